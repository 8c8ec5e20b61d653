//! A body as it comes in: small ones in memory, larger ones in a file that has no name.
//!
//! ```text
//!              ┌─ fits, and the budget has room ─▶ memory ──┐
//! push(bytes) ─┤                                            ├─▶ reader: file first, then memory
//!              └─ else: memory, then bytes ──────▶ file ────┘
//! ```
//!
//! Collecting never fails and never blocks on another thread. If the disk is full the beginning of the body stays
//! and [`Body::damaged`] says what is missing.

use crate::bundle::spill;
use flate2::Crc;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Where the bodies of one capture are kept until they are written.
pub(crate) struct Store {
    folder: PathBuf,
    budget: usize,
    /// The capacities of all bodies' memory together.
    used: AtomicUsize,
}

impl Store {
    /// Spill files go to `folder`, which should be the bundle's: what does not fit there would not fit the bundle.
    /// All bodies together keep up to `budget` bytes in memory.
    pub(crate) fn new(folder: PathBuf, budget: usize) -> Arc<Self> {
        Arc::new(Self { folder, budget, used: AtomicUsize::new(0) })
    }

    fn take(&self, size: usize) -> bool {
        let more = |used: usize| used.checked_add(size).filter(|&all| all <= self.budget);
        self.used.fetch_update(Relaxed, Relaxed, more).is_ok()
    }

    /// Whether there is enough left for what only saves time.
    fn is_plentiful(&self) -> bool {
        self.used.load(Relaxed) < self.budget / 2
    }

    fn give_back(&self, size: usize) {
        // Most bodies are empty, and all processors share the number.
        if size > 0 {
            self.used.fetch_sub(size, Relaxed);
        }
    }
}

/// The bytes of one body or message, appended as they come and read from the start when it is over.
pub(crate) struct Body {
    store: Arc<Store>,
    /// What is not in the file; its capacity is what this body holds of the store's budget.
    memory: Vec<u8>,
    file: Option<File>,
    /// How much of the file is meant.
    spilled: u64,
    /// Of that much.
    crc: Crc,
    damage: Option<Damage>,
}

/// The end of a body is missing.
#[derive(Debug)]
pub(crate) struct Damage {
    /// How many bytes are.
    pub(crate) lost: u64,
    /// Why.
    pub(crate) cause: io::Error,
}

impl Body {
    /// An empty one, which owns nothing yet.
    pub(crate) fn new(store: &Arc<Store>) -> Self {
        Self { store: Arc::clone(store), memory: Vec::new(), file: None, spilled: 0, crc: Crc::new(), damage: None }
    }

    /// An empty one of the same store.
    pub(crate) fn another(&self) -> Self {
        Self::new(&self.store)
    }

    /// Appends `bytes`.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.damage.is_none() && self.fits(bytes.len()) {
            self.memory.extend_from_slice(bytes);
        } else {
            self.spill(bytes);
        }
    }

    /// How many bytes there are to read.
    pub(crate) fn len(&self) -> u64 {
        self.spilled.saturating_add(self.memory.len() as u64)
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is missing at the end, if something is.
    pub(crate) fn damaged(&self) -> Option<&Damage> {
        self.damage.as_ref()
    }

    /// All of it, unless some is in a file.
    pub(crate) fn in_memory(&self) -> Option<&[u8]> {
        self.file.is_none().then_some(&self.memory)
    }

    /// The CRC-32 of what there is to read. Of what is in the file it is known already.
    pub(crate) fn crc(&self) -> u32 {
        let mut crc = Crc::new();
        crc.combine(&self.crc);
        crc.update(&self.memory);
        crc.sum()
    }

    /// Reads from the start; read in large pieces, each one may be a system call.
    pub(crate) fn reader(&self) -> Reader<'_> {
        self.reader_at(0)
    }

    /// Reads from `at` on.
    pub(crate) fn reader_at(&self, at: u64) -> Reader<'_> {
        let in_memory = usize::try_from(at.saturating_sub(self.spilled)).unwrap_or(usize::MAX);
        let memory = self.memory.get(in_memory..).unwrap_or_default();
        Reader { file: self.file.as_ref(), at: at.min(self.spilled), end: self.spilled, memory }
    }

    /// Makes room for `more` bytes in memory, if they may stay there.
    fn fits(&mut self, more: usize) -> bool {
        let limit = match &self.file {
            None => IN_MEMORY,
            Some(_) if self.store.is_plentiful() => WRITE_BUFFER,
            Some(_) => SMALL_WRITE_BUFFER.max(self.memory.capacity()),
        };
        let Some(need) = self.memory.len().checked_add(more).filter(|&need| need <= limit) else {
            return false;
        };
        let had = self.memory.capacity();
        if need <= had {
            return true;
        }
        let want = need.next_power_of_two().max(SMALLEST);
        let grow = want.saturating_sub(had);
        if want <= ALWAYS_IN_MEMORY {
            self.store.used.fetch_add(grow, Relaxed);
        } else if !self.store.take(grow) {
            return false;
        }
        let spare = want.saturating_sub(self.memory.len());
        let grown = self.memory.try_reserve_exact(spare).is_ok();
        // Whatever the allocator gave is what will be given back.
        let got = self.memory.capacity().saturating_sub(had);
        if got != grow {
            self.store.used.fetch_add(got, Relaxed);
            self.store.give_back(grow);
        }
        grown
    }

    /// Writes memory and `bytes` to the file, and keeps count of what does not go in.
    fn spill(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        if self.damage.is_none() {
            match self.write_out(&mut rest) {
                Ok(()) => return,
                Err(cause) => self.damage = Some(Damage { lost: 0, cause }),
            }
        }
        if let Some(damage) = &mut self.damage {
            damage.lost = damage.lost.saturating_add(rest.len() as u64);
        }
    }

    fn write_out(&mut self, bytes: &mut &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(spill::unlinked(&self.store.folder)?),
        };
        // On failure memory stays as it is, and the part of it that went into the file is overlooked.
        file.write_all_at(&self.memory, self.spilled)?;
        self.spilled = self.spilled.saturating_add(self.memory.len() as u64);
        self.crc.update(&self.memory);
        self.memory.clear();
        if self.memory.capacity() > WRITE_BUFFER {
            self.store.give_back(self.memory.capacity());
            self.memory = Vec::new();
        }
        // A large piece is not worth collecting.
        if bytes.len() <= self.memory.capacity() / 2 {
            self.memory.extend_from_slice(bytes);
            return Ok(());
        }
        while !bytes.is_empty() {
            match file.write_at(bytes, self.spilled) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    self.spilled = self.spilled.saturating_add(n as u64);
                    self.crc.update(bytes.get(..n).unwrap_or_default());
                    *bytes = bytes.get(n..).unwrap_or_default();
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.store.give_back(self.memory.capacity());
    }
}

/// Reads a [`Body`] from the start.
pub(crate) struct Reader<'b> {
    file: Option<&'b File>,
    at: u64,
    end: u64,
    memory: &'b [u8],
}

impl Read for Reader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.end.saturating_sub(self.at);
        let Some(file) = self.file.filter(|_| left > 0) else {
            return self.memory.read(into);
        };
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(into.len());
        let into = into.get_mut(..most).unwrap_or_default();
        match file.read_at(into, self.at) {
            Ok(0) if most > 0 => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                self.at = self.at.saturating_add(n as u64);
                Ok(n)
            }
            Err(e) => Err(e),
        }
    }
}

/// The most that one body keeps in memory: nearly every API answer, hardly any download.
const IN_MEMORY: usize = 256 * 1024;

/// Stays in memory even if the budget is spent: a file each for small messages would use up file descriptors,
/// of which the connections need many.
const ALWAYS_IN_MEMORY: usize = 4 * 1024;

/// What a body in a file collects before it writes: small pieces do not cost a system call each, and the system keeps larger
/// ones at two thirds of the cost.
const WRITE_BUFFER: usize = 64 * 1024;

/// The same where memory gets scarce: a thousand large bodies at once have one each.
const SMALL_WRITE_BUFFER: usize = 16 * 1024;

/// The first allocation; most messages of a WebSocket fit.
const SMALLEST: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, OpenOptions};
    use std::path::Path;

    const BUDGET: usize = 64 << 20;

    /// A folder of its own for each test, gone at its end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("spectral-body-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn is_empty(&self) -> bool {
            fs::read_dir(&self.0).unwrap().next().is_none()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn content(body: &Body) -> Vec<u8> {
        let mut all = Vec::new();
        body.reader().read_to_end(&mut all).unwrap();
        all
    }

    fn pattern(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i % 251) as u8).collect()
    }

    #[test]
    fn an_empty_body_owns_nothing() {
        let store = Store::new("/nowhere".into(), BUDGET);
        let body = Body::new(&store);
        assert!(body.is_empty() && content(&body).is_empty());
        assert_eq!((body.memory.capacity(), store.used.load(Relaxed)), (0, 0));
    }

    #[test]
    fn small_ones_stay_in_memory_and_are_paid_back() {
        let store = Store::new("/nowhere".into(), BUDGET);
        let mut body = Body::new(&store);
        let all = pattern(IN_MEMORY);
        for piece in all.chunks(1000) {
            body.push(piece);
        }
        assert!(body.damaged().is_none() && body.file.is_none());
        assert_eq!((body.len(), content(&body)), (all.len() as u64, all.clone()));
        let mut crc = Crc::new();
        crc.update(&all);
        assert_eq!(body.crc(), crc.sum());
        assert_eq!(store.used.load(Relaxed), body.memory.capacity());
        drop(body);
        assert_eq!(store.used.load(Relaxed), 0);
    }

    #[test]
    fn large_ones_go_to_a_file_without_a_name() {
        let folder = Folder::new("large");
        let store = Store::new(folder.0.clone(), BUDGET);
        for piece in [7, 1000, 70_000, 1_000_000] {
            let mut body = Body::new(&store);
            let all = pattern(1_000_000);
            all.chunks(piece).for_each(|piece| body.push(piece));
            assert!(body.file.is_some() && body.memory.len() <= WRITE_BUFFER && body.damaged().is_none());
            assert!(folder.is_empty(), "the file has a name");
            assert_eq!(body.len(), all.len() as u64);
            assert!(content(&body) == all && content(&body) == all, "in pieces of {piece}, read twice");
            let (mut crc, mut from) = (Crc::new(), Vec::new());
            crc.update(&all);
            assert_eq!(body.crc(), crc.sum());
            for at in [0, 1, body.spilled - 1, body.spilled, all.len() as u64 - 1, all.len() as u64, u64::MAX] {
                from.clear();
                body.reader_at(at).read_to_end(&mut from).unwrap();
                assert!(from == all[all.len().min(at as usize)..], "from {at}, {} in the file", body.spilled);
            }
        }
        assert_eq!(store.used.load(Relaxed), 0);
    }

    #[test]
    fn a_spent_budget_sends_all_but_the_smallest_to_files() {
        let folder = Folder::new("budget");
        let store = Store::new(folder.0.clone(), 10_000);
        let mut first = Body::new(&store);
        first.push(&pattern(8192));
        let mut second = Body::new(&store);
        second.push(&pattern(5000));
        let mut third = Body::new(&store);
        third.push(&pattern(ALWAYS_IN_MEMORY));
        assert!(first.file.is_none() && second.file.is_some() && third.file.is_none());
        assert_eq!(content(&second), pattern(5000));
        drop(first);
        let mut fourth = Body::new(&store);
        fourth.push(&pattern(5000));
        assert!(fourth.file.is_some(), "the third still holds 4096 of 10000, and 8192 are asked for");
        drop((second, third, fourth));
        assert_eq!(store.used.load(Relaxed), 0);
    }

    #[test]
    fn what_the_disk_does_not_take_is_counted() {
        let store = Store::new("/nowhere/at/all".into(), BUDGET);
        let mut body = Body::new(&store);
        body.push(&pattern(1000));
        body.push(&pattern(IN_MEMORY));
        body.push(b"more");
        let damage = body.damaged().unwrap();
        assert_eq!((damage.lost, damage.cause.kind()), (IN_MEMORY as u64 + 4, io::ErrorKind::NotFound));
        assert_eq!((body.len(), content(&body)), (1000, pattern(1000)));
    }

    #[test]
    fn a_disk_that_fills_up_keeps_the_beginning() {
        let full = Path::new("/dev/full");
        if !full.exists() {
            return;
        }
        let mut body = Body::new(&Store::new("/nowhere".into(), BUDGET));
        body.push(b"kept");
        body.file = Some(OpenOptions::new().write(true).open(full).unwrap());
        body.push(&pattern(IN_MEMORY));
        assert_eq!(body.damaged().map(|damage| damage.lost), Some(IN_MEMORY as u64));
        assert_eq!(content(&body), b"kept");
        let mut crc = Crc::new();
        crc.update(b"kept");
        assert_eq!(body.crc(), crc.sum());
    }

    #[test]
    fn can_be_sent() {
        fn send<T: Send>() {}
        send::<Body>();
    }
}
