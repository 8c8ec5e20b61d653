//! Splicing: bytes that no watcher needs to see move from one socket to the other inside the kernel, through a pipe.
//!
//! ```text
//! socket ──fill──▶ pipe ──drain──▶ socket        splice(2): by reference, nothing is copied
//! ```
//!
//! Bytes in a pipe are unsent like those in an outbox, and count as such. Only Linux has splice(2). Elsewhere, and if
//! no pipe is available, bytes are copied.

use super::budget::UnsentBudget;
use super::sys;
use std::io::{self, ErrorKind, PipeReader, PipeWriter};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// A pipe between two sockets. It takes two descriptors.
#[derive(Debug)]
pub(crate) struct Pipe {
    reader: PipeReader,
    writer: PipeWriter,
    /// The number of bytes in it.
    len: usize,
    /// True if it counts towards [`WIDE_PIPES`].
    is_wide: bool,
    budget: Arc<UnsentBudget>,
}

/// The result of filling a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    /// It holds this many bytes.
    With(usize),
    /// The socket is at its end.
    End,
    /// The socket has no data yet.
    Empty,
    /// The socket was reset.
    Reset,
    /// This system cannot splice sockets. No data was taken.
    Unsupported,
}

impl Pipe {
    /// Creates an empty pipe; `None` if none is available.
    pub(crate) fn new(budget: &Arc<UnsentBudget>) -> Option<Self> {
        if IS_UNSUPPORTED.load(Relaxed) {
            return None;
        }
        let (reader, writer) = io::pipe().ok()?;
        let is_wide = WIDE_PIPES.fetch_add(1, Relaxed) < MAX_WIDE_PIPES && sys::enlarge_pipe(&writer, WIDE_PIPE_BYTES);
        if !is_wide {
            WIDE_PIPES.fetch_sub(1, Relaxed);
        }
        Some(Self { reader, writer, len: 0, is_wide, budget: Arc::clone(budget) })
    }

    /// The number of bytes in the pipe.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Moves data of `from` into the pipe. The pipe must be empty: splice(2) returns EAGAIN both for a full pipe and
    /// for a socket without data.
    pub(crate) fn fill(&mut self, from: &TcpStream) -> Filled {
        match sys::splice(from, &self.writer, self.budget.max_read().min(MAX_FILL_BYTES)) {
            Ok(0) => Filled::End,
            Ok(n) => {
                self.len = self.len.saturating_add(n);
                self.budget.hold(n);
                Filled::With(n)
            }
            Err(e) => match e.kind() {
                ErrorKind::WouldBlock | ErrorKind::Interrupted => Filled::Empty,
                // EINVAL, ENOSYS, and EPERM of a sandbox.
                ErrorKind::InvalidInput | ErrorKind::Unsupported | ErrorKind::PermissionDenied => {
                    IS_UNSUPPORTED.store(true, Relaxed);
                    Filled::Unsupported
                }
                _ => Filled::Reset,
            },
        }
    }

    /// Moves data from the pipe to `to`; returns the number of bytes that it accepted. A write to a peer that is gone
    /// raises SIGPIPE, which Rust's runtime ignores.
    ///
    /// # Errors
    /// The errors of a write.
    pub(crate) fn drain(&mut self, to: &TcpStream) -> io::Result<usize> {
        let n = sys::splice(&self.reader, to, self.len)?;
        self.release(n);
        Ok(n)
    }

    fn release(&mut self, n: usize) {
        let n = n.min(self.len);
        self.len -= n;
        self.budget.release(n);
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.release(self.len);
        if self.is_wide {
            WIDE_PIPES.fetch_sub(1, Relaxed);
        }
    }
}

/// True once splice(2) was refused. Static: a fact about this kernel.
static IS_UNSUPPORTED: AtomicBool = AtomicBool::new(!cfg!(target_os = "linux"));

/// The number of wide pipes. Pipes have 64 KiB by default on Linux, which takes four times as many system calls.
/// Static: the limit on their memory is per user.
static WIDE_PIPES: AtomicUsize = AtomicUsize::new(0);

/// A quarter of the memory that the pipes of an unprivileged user may have. Beyond that limit new pipes get one page,
/// also those of other programs (pipe(7), pipe-user-pages-soft).
const MAX_WIDE_PIPES: usize = 64;
const WIDE_PIPE_BYTES: i32 = 256 << 10;

/// Equal to the number of bytes that may be pending on a leg.
const MAX_FILL_BYTES: usize = WIDE_PIPE_BYTES as usize;

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener};
    use std::sync::mpsc::channel;
    use std::time::Duration;

    /// The two ends of a connection; the first is non-blocking.
    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let other = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let one = listener.accept().unwrap().0;
        one.set_nonblocking(true).unwrap();
        (one, other)
    }

    #[test]
    fn fills_from_one_socket_and_drains_to_another() {
        let ((from, mut sender), (to, mut receiver)) = (pair(), pair());
        let budget = Arc::default();
        let mut pipe = Pipe::new(&budget).unwrap();
        assert_eq!((pipe.fill(&from), pipe.len()), (Filled::Empty, 0));
        sender.write_all(b"some words").unwrap();
        from.set_nonblocking(false).unwrap();
        assert_eq!((pipe.fill(&from), pipe.len(), budget.held()), (Filled::With(10), 10, 10));
        assert_eq!((pipe.drain(&to).unwrap(), pipe.len(), budget.held()), (10, 0, 0));
        let mut received = [0; 10];
        receiver.read_exact(&mut received).unwrap();
        assert_eq!(&received, b"some words");
        sender.shutdown(Shutdown::Write).unwrap();
        assert_eq!(pipe.fill(&from), Filled::End);
        sys::reset_on_close(&receiver);
        drop(receiver);
        to.set_nonblocking(false).unwrap();
        assert_eq!(pipe.fill(&to), Filled::Reset);
    }

    #[test]
    fn some_pipes_are_wide() {
        // Other tests have few.
        let budget = Arc::default();
        let pipes: Vec<_> = (0..2 * MAX_WIDE_PIPES).map(|_| Pipe::new(&budget).unwrap()).collect();
        let wide = |pipes: &[Pipe]| pipes.iter().filter(|pipe| pipe.is_wide).count();
        assert!((MAX_WIDE_PIPES / 2..=MAX_WIDE_PIPES).contains(&wide(&pipes)), "{}", wide(&pipes));
        let pipe = pipes.into_iter().find(|pipe| pipe.is_wide).unwrap();
        // Without enough room this would wait for a reader.
        let (sender, written) = channel();
        std::thread::spawn(move || {
            (&pipe.writer).write_all(&vec![7; MAX_FILL_BYTES]).unwrap();
            sender.send(pipe).unwrap();
        });
        drop(written.recv_timeout(Duration::from_secs(20)).expect("it has room for all bytes"));
        assert!(Pipe::new(&budget).unwrap().is_wide, "a dropped pipe makes room for another wide one");
    }
}
