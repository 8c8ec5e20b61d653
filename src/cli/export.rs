//! `spectral capture export`: writes a bundle, or selected exchanges of it, as HAR, curl commands, a report or OpenAPI.

use super::advice::rewrite_error_line;
use super::command_error::{CommandError, to_message};
use super::message::print_warning;
use super::open_bundle::{Opened, Prefer, open, require_exchange, warn_of_damaged, warn_of_left_out};
use super::output::Output;
use super::progress_line::ProgressLine;
use super::redact::remaining_lines;
use super::text::shell_word;
use spectral_capture::export::openapi::drift::Document;
use spectral_capture::export::{self, html};
use spectral_capture::filter::Filter;
use spectral_capture::reader::{Bundle, LeftOut, State};
use spectral_capture::redact::{self, Rules, redacted_copy};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

mod openapi;

/// The arguments of the command.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) file: PathBuf,
    pub(crate) format: Format,
    /// The limits of [`Format::Html`].
    pub(crate) report: html::Options,
    /// The options of [`Format::Openapi`].
    pub(crate) description: export::openapi::Options,
    /// The OpenAPI document with which the new one is compared.
    pub(crate) since_document: Option<PathBuf>,
    /// `None` is stdout.
    pub(crate) output: Option<PathBuf>,
    pub(crate) filter: Filter,
    /// Replaces secrets.
    pub(crate) redact: Option<Rules>,
    /// Shows no progress.
    pub(crate) quiet: bool,
}

/// The format of the export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// HTTP Archive 1.2, which browsers' developer tools read.
    Har,
    /// Shell commands.
    Curl,
    /// A report for people.
    Html,
    /// OpenAPI 3.1.
    Openapi,
}

impl Format {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "har" => Some(Self::Har),
            "curl" => Some(Self::Curl),
            "html" => Some(Self::Html),
            "openapi" => Some(Self::Openapi),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Har => "har",
            Self::Curl => "curl",
            Self::Html => "html",
            Self::Openapi => "openapi",
        }
    }
}

/// Runs the command.
pub(crate) fn export(options: &Options) -> Result<ExitCode, String> {
    to_message(all(options))
}

fn all(options: &Options) -> Result<ExitCode, CommandError> {
    let Opened { mut bundle, warning, state } = open(&options.file, Prefer::Complete)?;
    if let Some(warning) = warning {
        print_warning(&warning);
    }
    warn_of_left_out(bundle.left_out());
    options.filter.ids.iter().try_for_each(|id| require_trace(&bundle, id))?;
    if let Some(output) = &options.output
        && is_same_file(output, bundle.path())
    {
        return Err(CommandError::Request(format!(
            "cannot write {}: it is the bundle to export; choose another file with -o",
            output.display()
        )));
    }
    let earlier = options.since_document.as_deref().map(openapi::read).transpose()?;
    let (mut library_options, mut lost) = (export::Options::default(), LeftOut::default());
    match &options.redact {
        Some(_) if state != State::Complete => {
            return Err(CommandError::Request("--redact needs a finished bundle".into()));
        }
        // The filter applies to the values before they are replaced.
        Some(rules) => (bundle, lost) = redacted(bundle.path(), rules, options)?,
        None => library_options.filter = options.filter.clone(),
    }
    let output = Output::open(options.output.as_deref()).map_err(CommandError::Request)?;
    let mut written = Written::default();
    match write(&bundle, &library_options, options, earlier.as_ref(), output, &mut written) {
        // The reader of stdout needs no more of the document. The comparison is not affected.
        Err(CommandError::Output(e)) if e.kind() == io::ErrorKind::BrokenPipe && written.is_compared() => {}
        result => result?,
    }
    warn_of_omitted(&written.omitted);
    if let Some(described) = &written.described {
        described.list_omitted(&options.file);
    }
    // A redacted copy has no damaged items.
    let code = warn_of_damaged(if lost.count > 0 { &lost } else { &written.damaged });
    match (&written.described, &options.since_document) {
        (Some(described), Some(file)) if described.list_changes(file) => Ok(ExitCode::FAILURE),
        _ => Ok(code),
    }
}

/// The result of an export.
#[derive(Default)]
struct Written {
    damaged: LeftOut,
    /// Parts that a report leaves out.
    omitted: html::Omitted,
    /// `None` for other formats than OpenAPI.
    described: Option<openapi::Described>,
}

impl Written {
    /// True if the document was compared with an earlier one.
    fn is_compared(&self) -> bool {
        self.described.as_ref().is_some_and(|described| described.changes.is_some())
    }
}

/// Writes the bundle to `output`. The result is in `written`, as far as it is known, also after an error.
fn write(
    bundle: &Bundle,
    library_options: &export::Options,
    options: &Options,
    earlier: Option<&Document>,
    mut output: Output,
    written: &mut Written,
) -> Result<(), CommandError> {
    let write_error = |e| match &options.output {
        Some(output) => CommandError::Request(format!("cannot write {}: {e}", output.display())),
        None => CommandError::Output(e),
    };
    let progress = ProgressLine::start(bundle.meter(), options.quiet);
    let mut rows = progress.above(&mut output, options.output.is_none() && io::stdout().is_terminal());
    let result = match options.format {
        Format::Har => export::har::write(bundle, library_options, &mut rows),
        Format::Curl => export::curl::write(bundle, library_options, &mut rows),
        Format::Html => {
            let mut report = options.report.clone();
            report.filter = library_options.filter.clone();
            report.title = options.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            report.inspect_command =
                ["spectral capture inspect ", &shell_word(&options.file.to_string_lossy()), " --trace"].concat();
            report.is_redacted = options.redact.is_some();
            html::write(bundle, &report, &mut rows).map(|report| {
                written.omitted = report.omitted;
                report.damaged
            })
        }
        Format::Openapi => {
            let mut description = options.description.clone();
            description.filter = library_options.filter.clone();
            openapi::write(bundle, &description, earlier, &mut rows, &mut written.described)
        }
    };
    let flushed = rows.flush();
    drop(progress);
    written.damaged = result.map_err(|e| match e {
        export::Error::Read(e) => CommandError::Bundle(e),
        export::Error::Write(e) => write_error(e),
        e => CommandError::Request(e.to_string()),
    })?;
    flushed.and_then(|()| output.finish()).map_err(write_error)
}

/// Lists what a report leaves out for its size.
fn warn_of_omitted(omitted: &html::Omitted) {
    if omitted.count == 0 {
        return;
    }
    print_warning(&omitted.summary());
    omitted.first.iter().take(MAX_OMITTED_LINES).for_each(|line| print_warning(line));
    let more = omitted.count.saturating_sub(MAX_OMITTED_LINES as u64);
    if more > 0 {
        print_warning(&format!("{more} more, listed in the report"));
    }
}

const MAX_OMITTED_LINES: usize = 10;

/// Returns a redacted copy and the items that it lacks because they are damaged, and warns of all that remains.
fn redacted(file: &Path, rules: &Rules, options: &Options) -> Result<(Bundle, LeftOut), CommandError> {
    let mut library_options = redact::Options::default();
    library_options.filter = options.filter.clone();
    let progress = ProgressLine::start(&library_options.meter, options.quiet);
    let copied = redacted_copy(file, rules, &library_options);
    drop(progress);
    let (bundle, report) = copied.map_err(|e| CommandError::Request(rewrite_error_line(&e)))?;
    remaining_lines(&report, rules).iter().for_each(|line| print_warning(line.trim_start()));
    Ok((bundle, report.damaged))
}

/// Fails unless the bundle has an exchange with this id. A WebSocket is exported with its handshake.
fn require_trace(bundle: &Bundle, id: &str) -> Result<(), CommandError> {
    if !bundle.websockets().contains(id) {
        return require_exchange(bundle, id);
    }
    let handshake = bundle.websocket(id)?.handshake_trace_ref.filter(|handshake| bundle.traces().contains(handshake));
    Err(CommandError::Request(match handshake {
        Some(handshake) => format!("{id} is a WebSocket: export it with its handshake, --trace {handshake}"),
        None => format!("{id} is a WebSocket: it is exported only without --trace"),
    }))
}

fn is_same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
