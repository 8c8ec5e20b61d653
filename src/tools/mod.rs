//! Tools for bundles: export, merge, recover, redact.
//!
//! A running capture imports nothing from here.

pub mod export;
pub mod merge;
pub mod recover;
pub mod redact;
mod rewriter;
mod urlencoded;
