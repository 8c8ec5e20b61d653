//! The names of content codings (RFC 9110 section 16.6.1, the registry).

/// A content coding that can be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    /// The zlib format (RFC 1950), or raw deflate, which some senders use instead.
    Deflate,
    Brotli,
    Zstd,
}

impl Coding {
    /// Returns the coding with this name, in lower case; `None` if it is unknown.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "gzip" | "x-gzip" => Self::Gzip,
            "deflate" => Self::Deflate,
            "br" => Self::Brotli,
            "zstd" => Self::Zstd,
            _ => return None,
        })
    }
}
