//! Tools that work on finished or interrupted bundles: recover, merge, redact.
//!
//! A running capture imports nothing from here.

pub mod merge;
pub mod recover;
pub mod redact;
mod rewriter;
