//! Shared by the benchmarks: clients and origins, the processes under measurement, and statistics.

#![allow(dead_code, reason = "each benchmark uses some of these modules")]

pub(crate) mod bundles;
pub(crate) mod figures;
pub(crate) mod floor;
pub(crate) mod hostile;
pub(crate) mod http2;
pub(crate) mod load;
pub(crate) mod origin;
pub(crate) mod prepared;
pub(crate) mod program;
pub(crate) mod samples;

use std::time::{Duration, Instant};

/// Waits until `is_true`.
pub(crate) fn wait_until(what: &str, is_true: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_true() {
        assert!(began.elapsed() < Duration::from_secs(120), "waited for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
