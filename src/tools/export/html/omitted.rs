//! The parts of a capture that a report leaves out for its size.

/// Parts that a report cuts or leaves out: their number, and lines about the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Omitted {
    /// The number of bodies, messages, heads and exchanges.
    pub count: u64,
    /// A line about each of the first 200, with the command that shows it. Ids in them come from the bundle and have no control
    /// characters.
    pub first: Vec<String>,
}

impl Omitted {
    /// Returns a heading for the lines; empty if nothing is left out.
    pub fn summary(&self) -> String {
        match self.count {
            0 => String::new(),
            1 => "1 part is cut or left out for its size".into(),
            count => format!("{count} parts are cut or left out for their size"),
        }
    }
}

/// Collects what a report leaves out.
pub(super) struct OmittedItems<'c> {
    command: &'c str,
    omitted: Omitted,
}

impl<'c> OmittedItems<'c> {
    pub(super) fn new(command: &'c str) -> Self {
        Self { command, omitted: Omitted::default() }
    }

    /// The exchange or WebSocket is not even in the list.
    pub(super) fn add_exchange(&mut self, id: &str) {
        self.add(id, "left out");
    }

    /// The heads of the exchange are left out.
    pub(super) fn add_head(&mut self, id: &str) {
        self.add(id, "heads left out");
    }

    /// The other messages of the WebSocket are left out.
    pub(super) fn add_messages(&mut self, id: &str) {
        self.add(id, "messages left out");
    }

    /// The body called `name` is left out.
    pub(super) fn add_body(&mut self, id: &str, name: &str, size: u64) {
        self.add(id, &format!("{name} of {size} bytes left out"));
    }

    /// Only the beginning of the body called `name` is in the report.
    pub(super) fn add_cut_body(&mut self, id: &str, name: &str, size: u64) {
        self.add(id, &format!("{name} of {size} bytes cut"));
    }

    fn add(&mut self, id: &str, text: &str) {
        self.omitted.count = self.omitted.count.saturating_add(1);
        if self.omitted.first.len() < MAX_LINES {
            // A message is shown with its WebSocket.
            let shown = id.split_once("_m").map_or(id, |(websocket, _)| websocket);
            let line = match self.command {
                "" => format!("{id}: {text}"),
                command => format!("{id}: {text}; see {command} {shown}"),
            };
            self.omitted.first.push(line);
        }
    }

    pub(super) fn finish(self) -> Omitted {
        self.omitted
    }
}

const MAX_LINES: usize = 200;
