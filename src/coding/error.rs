//! The reasons why a body is not decoded.

/// The reason why a decoder stopped early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DecodeError {
    /// The input ended too early; the output so far is valid.
    Truncated,
    /// The input is not valid in this coding, or could not be read.
    Malformed,
    /// The output exceeds [`DecodeLimits`](super::DecodeLimits), or the sink did not take it.
    TooLarge,
    /// A later part needs a larger window than the limits allow, but not more than
    /// [`MAX_BYTES`](super::window::MAX_BYTES).
    WindowTooLarge,
}
