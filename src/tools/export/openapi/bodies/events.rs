//! Reads server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
//!
//! ```text
//! event: price            the name; without this field, "message"
//! data: {"id": 1,         data has a line for each field
//! data:  "amount": 2}
//! : comment
//!                         an empty line ends the event
//! ```
//!
//! Lines end with LF, CR or CRLF. An event without an empty line behind it is incomplete, and left out.

/// Calls `add` with the name and the data of each event.
pub(super) fn for_each(text: &str, mut add: impl FnMut(&str, &str)) {
    let (mut name, mut data) = ("", String::new());
    for line in lines(text.strip_prefix('\u{feff}').unwrap_or(text)) {
        if line.is_empty() {
            // An event without data is none.
            if let Some(data) = data.strip_suffix('\n') {
                add(if name.is_empty() { "message" } else { name }, data);
            }
            name = "";
            data.clear();
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => name = value,
            "data" => {
                data.push_str(value);
                data.push('\n');
            }
            _ => {}
        }
    }
}

/// Returns the lines that are complete.
fn lines(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (line, rest) = text.split_at_checked(text.find(['\n', '\r'])?)?;
        text = rest.strip_prefix("\r\n").or_else(|| rest.get(1..)).unwrap_or_default();
        Some(line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &str) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for_each(text, |name, data| all.push((name.to_owned(), data.to_owned())));
        all
    }

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str)]) {
        // Lines may end in three ways.
        for end in ["\n", "\r", "\r\n"] {
            let expected: Vec<_> =
                expected.iter().map(|(name, data)| ((*name).to_owned(), (*data).to_owned())).collect();
            assert_eq!(events(&text.replace('\n', end)), expected, "{text:?} with {end:?}");
        }
    }

    #[test]
    fn an_event_has_the_lines_up_to_an_empty_one() {
        check("data: a\n\ndata: b\n\n", &[("message", "a"), ("message", "b")]);
        check("event: x\ndata: a\n\ndata: b\n\n", &[("x", "a"), ("message", "b")]);
        check("data: a\nid: 7\nevent: x\nretry: 10\n\n", &[("x", "a")]);
    }

    #[test]
    fn data_has_a_line_for_each_field() {
        check("data: a\ndata: b\n\n", &[("message", "a\nb")]);
        check("data:\ndata:  a\n\n", &[("message", "\n a")]);
        check("data\n\n", &[("message", "")]);
    }

    #[test]
    fn an_event_without_data_is_none_and_its_name_does_not_last() {
        check("event: ping\n\ndata: a\n\n", &[("message", "a")]);
        check("event: x\nevent:\ndata: a\n\n", &[("message", "a")]);
    }

    #[test]
    fn comments_and_unknown_fields_are_skipped() {
        check(": hello\n\nother: a\ndatum: b\ndata:c\n:data: d\n\n", &[("message", "c")]);
    }

    #[test]
    fn an_incomplete_event_is_left_out() {
        check("data: a\n\ndata: b\n", &[("message", "a")]);
        check("data: a\n\ndata: b", &[("message", "a")]);
        check("data: a", &[]);
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        check("\u{feff}data: a\n\n", &[("message", "a")]);
        check("\u{feff}\u{feff}data: a\n\n", &[]);
    }
}
