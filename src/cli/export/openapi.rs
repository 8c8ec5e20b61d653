//! `spectral capture export --format openapi`: writes the document, and lists the changes since an earlier one.

use super::super::command_error::CommandError;
use super::super::message::{print_error, print_warning};
use super::super::text::{count, escaped_lines, shell_word};
use spectral_capture::export::Error;
use spectral_capture::export::openapi::drift::{Changes, Document, DocumentError, changes};
use spectral_capture::export::openapi::{Options, Written, write as write_document};
use spectral_capture::reader::{Bundle, LeftOut};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

/// A document that was written.
pub(super) struct Described {
    written: Written,
    /// `None` without an earlier document. An error if the new one is too large to be compared.
    pub(super) changes: Option<Result<Changes, DocumentError>>,
}

/// Reads an earlier document.
pub(super) fn read(path: &Path) -> Result<Document, CommandError> {
    let mut json = Vec::new();
    // One byte more shows that the file is too large.
    let read = File::open(path).and_then(|file| file.take(Document::MAX_SIZE + 1).read_to_end(&mut json));
    read.map_err(|e| CommandError::Request(format!("cannot read {}: {e}", path.display())))?;
    Document::parse(&json).map_err(|e| {
        let remedy = match &e {
            DocumentError::NotJson(_) if is_yaml(path, &json) => "; convert YAML to JSON",
            DocumentError::Swagger(_) => "; convert it to OpenAPI 3",
            _ => "",
        };
        CommandError::Request(format!("cannot compare with {}: {e}{remedy}", path.display()))
    })
}

/// True for a file that may be YAML, by its name or because it does not begin as a JSON object does.
fn is_yaml(path: &Path, text: &[u8]) -> bool {
    let has_name = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    has_name || text.trim_ascii_start().first().is_some_and(|first| *first != b'{')
}

/// Writes the document to `out` and returns the items that are damaged. The rest of the result is in `described`, also if `out` fails.
pub(super) fn write(
    bundle: &Bundle,
    options: &Options,
    earlier: Option<&Document>,
    out: &mut dyn Write,
    described: &mut Option<Described>,
) -> Result<LeftOut, Error> {
    let Some(earlier) = earlier else {
        let written = write_document(bundle, options, out)?;
        return Ok(described.insert(Described { written, changes: None }).written.damaged.clone());
    };
    let mut json = Vec::new();
    let written = write_document(bundle, options, &mut json)?;
    let changes = Some(Document::parse(&json).map(|present| changes(earlier, &present)));
    let damaged = described.insert(Described { written, changes }).written.damaged.clone();
    out.write_all(&json)?;
    Ok(damaged)
}

impl Described {
    /// Lists the exchanges that the document leaves out. Warns if it has no operations.
    pub(super) fn list_omitted(&self, file: &Path) {
        let omitted = self.written.omitted.iter();
        let lines: Vec<_> = omitted
            .map(|omitted| format!("left out: {}: {}", count(omitted.count, "exchange"), omitted.reason))
            .collect();
        print_lines(&lines);
        if self.written.operations == 0 {
            print_warning(&format!(
                "the document has no operations, since no matching exchange is a call of an API; list the exchanges with: \
                 spectral capture inspect {}",
                shell_word(&file.to_string_lossy())
            ));
        }
    }

    /// Lists the changes since the document in `file`. Returns true if there are any, or if not all was compared.
    pub(super) fn list_changes(&self, file: &Path) -> bool {
        let file = file.display();
        let changes = match &self.changes {
            Some(Ok(changes)) => changes,
            Some(Err(e)) => {
                print_error(&format!("cannot compare with {file}: the new document is {e}; select a part with --host"));
                return true;
            }
            None => return false,
        };
        if changes.unresolved > 0 {
            print_warning(&format!(
                "not followed: {} to other files or to nothing, whose parts are not compared; bundle {file} into one file",
                count(changes.unresolved, "reference")
            ));
        }
        if !changes.is_complete {
            print_warning(&format!("{file} and the new document are too complex to be compared in full"));
        }
        let mut lines: Vec<_> = changes.listed.iter().map(ToString::to_string).collect();
        let more = changes.count().saturating_sub(changes.listed.len() as u64);
        if more > 0 {
            lines.push(format!("{} more", count(more, "change")));
        }
        lines.push(match changes.count() {
            0 if changes.is_complete => format!("no changes since {file}"),
            _ => format!("since {file}: {} new, {} gone, {} changed", changes.new, changes.gone, changes.changed),
        });
        print_lines(&lines);
        changes.count() > 0 || !changes.is_complete
    }
}

/// Prints lines to stderr, escaped.
fn print_lines(lines: &[String]) {
    // Best effort, as for warnings: the exit code reports changes too.
    let _ = io::stderr().write_all(escaped_lines(lines).as_bytes());
}
