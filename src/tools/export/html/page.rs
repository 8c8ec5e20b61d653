//! The page around the data blocks: report.html, report.css and report.js, joined.

use crate::embedded::inflate;
use crate::text::Base64;
use ring::digest::{SHA256, digest};
use std::io::{self, Write};

/// Writes the start of the page, to which data blocks are appended.
pub(super) fn write_start(out: &mut dyn Write) -> io::Result<()> {
    let [style_text, script_text] = [style(), script()];
    let hash = |text: &str| Base64(digest(&SHA256, text.as_bytes()).as_ref()).to_string();
    let (style, script) = (hash(&style_text), hash(&script_text));
    // Without `unsafe-inline`, so no `style` and no event handler in an attribute takes effect, whatever the page contains.
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'sha256-{script}'; \
         style-src 'sha256-{style}'; img-src data: blob:; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>Capture</title>\n<style>{style_text}</style>\n</head>\n<body>\n{BODY}"
    )
}

/// Writes the last data block, `meta`, and the end of the page.
pub(super) fn write_end(meta: &[u8], out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"<script type=\"application/json\" data-kind=\"meta\">")?;
    out.write_all(meta)?;
    write!(out, "</script>\n<script>{}</script>\n</body>\n</html>\n", script())
}

/// Returns a size that the page without data does not exceed.
pub(super) fn len() -> u64 {
    (BODY.len().saturating_add(style().len()).saturating_add(script().len()) as u64).saturating_add(2000)
}

const BODY: &str = include_str!("../report/report.html");

fn style() -> String {
    embedded_text(include_bytes!(concat!(env!("OUT_DIR"), "/report.css.deflate")))
}

fn script() -> String {
    embedded_text(include_bytes!(concat!(env!("OUT_DIR"), "/report.js.deflate")))
}

fn embedded_text(embedded: &[u8]) -> String {
    String::from_utf8(inflate(embedded)).unwrap_or_default()
}
