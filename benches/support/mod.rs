//! What the benchmarks share: peers, processes that are measured, and figures.

#![allow(dead_code, reason = "each benchmark uses a part of it")]

pub(crate) mod figures;
pub(crate) mod floor;
pub(crate) mod origin;
pub(crate) mod program;
pub(crate) mod samples;
