//! The priority of packer threads: the app and the connections come first.

/// Lowers the priority of the calling thread. A process without privileges cannot raise it again.
#[cfg(target_os = "linux")]
pub(super) fn lower() {
    // Process 0 is the calling thread: Linux has a nice value per thread. Without it, packers only compete more.
    let _ = rustix::process::setpriority_process(None, NICENESS);
}

/// Elsewhere a nice value belongs to the whole process.
#[cfg(not(target_os = "linux"))]
pub(super) fn lower() {}

/// A thread of this nice value gets a tenth of a processor for which another thread competes. Larger values and the
/// scheduling policies for batch work do not improve the latency of the connections measurably.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;
