//! Shared by the benchmarks: clients and origins, the processes under measurement, and statistics.

#![allow(dead_code, reason = "each benchmark uses some of these modules")]

pub(crate) mod figures;
pub(crate) mod floor;
pub(crate) mod load;
pub(crate) mod origin;
pub(crate) mod prepared;
pub(crate) mod program;
pub(crate) mod samples;
