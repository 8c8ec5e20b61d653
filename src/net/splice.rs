//! Bytes that nobody looks at need not come up from the kernel: a pipe takes them from one socket to the other.
//!
//! ```text
//! socket ──fill──▶ pipe ──drain──▶ socket        splice(2), by reference, nothing is copied
//! ```
//!
//! What is in a pipe is owed like what is in an outbox, and counts as such. Linux alone has splice(2); elsewhere, and where no
//! pipe is to be had, bytes are copied.

use super::{outbox, sys};
use std::io::{self, ErrorKind, PipeReader, PipeWriter};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// A way through the kernel, of two descriptors.
#[derive(Debug)]
pub(crate) struct Pipe {
    reader: PipeReader,
    writer: PipeWriter,
    /// How many bytes are on their way in it.
    held: usize,
    /// Whether it counts as one of [`WIDE`].
    is_wide: bool,
}

/// What came of filling a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    /// So many bytes are in it.
    With(usize),
    /// The socket has ended.
    End,
    /// Nothing is there yet.
    Empty,
    /// The socket was reset.
    Reset,
    /// This system cannot splice sockets: nothing was taken from it.
    Never,
}

impl Pipe {
    /// `None` where there is none to be had.
    pub(crate) fn new() -> Option<Self> {
        if UNKNOWN.load(Relaxed) {
            return None;
        }
        let (reader, writer) = io::pipe().ok()?;
        let is_wide = WIDE.fetch_add(1, Relaxed) < MOST_WIDE && sys::enlarge_pipe(&writer, WIDTH);
        if !is_wide {
            WIDE.fetch_sub(1, Relaxed);
        }
        Some(Self { reader, writer, held: 0, is_wide })
    }

    /// How many bytes are in it.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Takes in what `from` has. Only while it is empty: a full pipe and a socket that has nothing look alike.
    pub(crate) fn fill(&mut self, from: &TcpStream) -> Filled {
        match sys::splice(from, &self.writer, outbox::most_at_once().min(MOST)) {
            Ok(0) => Filled::End,
            Ok(n) => {
                self.held = self.held.saturating_add(n);
                outbox::hold(n);
                Filled::With(n)
            }
            Err(e) => match e.kind() {
                ErrorKind::WouldBlock | ErrorKind::Interrupted => Filled::Empty,
                // EINVAL, ENOSYS, and what a sandbox says.
                ErrorKind::InvalidInput | ErrorKind::Unsupported | ErrorKind::PermissionDenied => {
                    UNKNOWN.store(true, Relaxed);
                    Filled::Never
                }
                _ => Filled::Reset,
            },
        }
    }

    /// Gives `to` what it takes. Like a write, but that a peer that is gone raises SIGPIPE, which Rust's runtime ignores.
    ///
    /// # Errors
    /// Like a write's.
    pub(crate) fn drain(&mut self, to: &TcpStream) -> io::Result<usize> {
        let n = sys::splice(&self.reader, to, self.held)?;
        self.release(n);
        Ok(n)
    }

    fn release(&mut self, n: usize) {
        let n = n.min(self.held);
        self.held -= n;
        outbox::release(n);
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.release(self.held);
        if self.is_wide {
            WIDE.fetch_sub(1, Relaxed);
        }
    }
}

/// Whether splice(2) was refused once.
static UNKNOWN: AtomicBool = AtomicBool::new(!cfg!(target_os = "linux"));

/// How many pipes are wide: what a system gives without asking, 64 KiB on Linux, takes four times as many system calls.
static WIDE: AtomicUsize = AtomicUsize::new(0);

/// Together they take a quarter of what an unprivileged user's pipes may have before new ones get next to nothing, also those
/// of other programs (pipe(7), pipe-user-pages-soft).
const MOST_WIDE: usize = 64;
const WIDTH: i32 = 256 << 10;

/// As much as a leg may owe.
const MOST: usize = WIDTH as usize;

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::super::leg::Leg;
    use super::*;
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener};
    use std::sync::mpsc::channel;
    use std::time::Duration;

    /// The two ends of a connection; the first does not wait.
    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let other = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let one = listener.accept().unwrap().0;
        one.set_nonblocking(true).unwrap();
        (one, other)
    }

    #[test]
    fn what_goes_in_comes_out() {
        let ((from, mut sender), (to, mut taker)) = (pair(), pair());
        let mut pipe = Pipe::new().unwrap();
        assert_eq!((pipe.fill(&from), pipe.held()), (Filled::Empty, 0));
        sender.write_all(b"some words").unwrap();
        from.set_nonblocking(false).unwrap();
        assert_eq!((pipe.fill(&from), pipe.held()), (Filled::With(10), 10));
        assert_eq!((pipe.drain(&to).unwrap(), pipe.held()), (10, 0));
        let mut came = [0; 10];
        taker.read_exact(&mut came).unwrap();
        assert_eq!(&came, b"some words");
        sender.shutdown(Shutdown::Write).unwrap();
        assert_eq!(pipe.fill(&from), Filled::End);
        sys::reset_on_close(&taker);
        drop(taker);
        let (from, sender) = (to, sender);
        from.set_nonblocking(false).unwrap();
        assert_eq!(pipe.fill(&from), Filled::Reset);
        drop(sender);
    }

    #[test]
    fn some_pipes_are_wide() {
        // Other tests have few.
        let pipes: Vec<_> = (0..2 * MOST_WIDE).map(|_| Pipe::new().unwrap()).collect();
        let wide = |pipes: &[Pipe]| pipes.iter().filter(|pipe| pipe.is_wide).count();
        assert!((MOST_WIDE / 2..=MOST_WIDE).contains(&wide(&pipes)), "{}", wide(&pipes));
        let pipe = pipes.into_iter().find(|pipe| pipe.is_wide).unwrap();
        // Without room for it, this would wait for a reader.
        let (told, written) = channel();
        std::thread::spawn(move || {
            (&pipe.writer).write_all(&vec![7; MOST]).unwrap();
            told.send(pipe).unwrap();
        });
        drop(written.recv_timeout(Duration::from_secs(20)).expect("it has room for so much"));
        assert!(Pipe::new().unwrap().is_wide, "what is dropped leaves its place to others");
    }

    #[test]
    fn two_legs_have_one_pipe_where_it_is_needed() {
        let ((client, mut asker), (origin, _answerer)) = (pair(), pair());
        let (mut client, mut origin) = (Leg::new(client).unwrap(), Leg::new(origin).unwrap());
        client.join(&mut origin);
        assert!(origin.is_joined() && !client.is_joined());
        origin.join(&mut client);
        assert!(client.is_joined() && !origin.is_joined());
        client.join(&mut origin);
        // The origin does not read: in the end something is left in the pipe.
        let much = vec![7; MOST];
        while origin.owed() == 0 {
            asker.write_all(&much).unwrap();
            while client.pass(&mut origin) > 0 && origin.owed() == 0 {}
        }
        assert!(!origin.is_joined() && !origin.has_room() && origin.owed() <= MOST);
        origin.join(&mut client);
        assert!(!client.is_joined(), "what is in it would be lost");
        origin.shrink();
        assert!(origin.owed() > 0);
    }
}
