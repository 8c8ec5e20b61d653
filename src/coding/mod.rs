//! Content codings: decodes gzip, deflate, Brotli and Zstandard (RFC 9110 section 8.4.1, RFC 7932, RFC 8878).
//!
//! ```text
//! Content ─▶ decode ─▶ Decoder ─▶ gzip, inflate, brotli, zstd ─▶ Content       one coding after the other
//! a gzip body ─▶ gzip::sole_member ─▶ its deflate stream, as a ZIP entry has it ─▶ Inflater::verify
//! ```
//!
//! Pure computation: bytes come from a reader and go to a sink, within limits. Bytes may be hostile. Decoders keep their
//! memory between bodies.

pub(crate) use content::{Content, Decoded, decode};
pub(crate) use decoder::Decoder;
pub(crate) use error::DecodeError;
pub(crate) use inflate::Inflater;
pub(crate) use limits::DecodeLimits;
pub(crate) use name::Coding;

mod brotli;
mod content;
pub(crate) mod crc32;
mod decoder;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub(crate) mod gzip;
mod inflate;
mod input;
mod limits;
mod name;
mod output;
pub(crate) mod window;
mod zstd;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
