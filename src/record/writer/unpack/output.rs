//! Decoded bytes, and their use: kept as they are, compressed again, or only checked.

use crate::bundle::archive::Deflater;
use crate::coding::crc32::Crc;
use crate::record::body::Body;
use std::io;

/// The use of decoded bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OutputKind {
    Plain,
    Deflated,
    /// Only size and checksum are needed.
    Checked,
}

/// Decoded bytes.
pub(super) struct Output {
    pub(super) kind: OutputKind,
    pub(super) body: Body,
    pub(super) size: u64,
    pub(super) crc: Crc,
    pub(super) state: OutputState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OutputState {
    Open,
    /// Compression does not make it smaller.
    Incompressible,
    Interrupted,
    /// The disk did not take it, or the compressor failed.
    Failed,
}

impl Output {
    pub(super) fn new(kind: OutputKind, body: Body) -> Self {
        Self { kind, body, size: 0, crc: Crc::new(), state: OutputState::Open }
    }

    /// Takes `bytes`. Returns false if it cannot take more.
    pub(super) fn push(&mut self, bytes: &[u8], deflater: &mut Deflater) -> bool {
        self.size = self.size.saturating_add(bytes.len() as u64);
        match self.kind {
            OutputKind::Plain => self.body.push(bytes),
            OutputKind::Checked => self.crc.update(bytes),
            OutputKind::Deflated => {
                self.crc.update(bytes);
                let body = &mut self.body;
                if deflater.push(bytes, &mut |packed| push_all(body, packed)).is_err() {
                    self.state = OutputState::Failed;
                }
                let saved = self.size.saturating_sub(self.body.len());
                if self.size >= MIN_PROBED_BYTES && saved < self.size / MIN_SAVING_DIVISOR {
                    self.state = OutputState::Incompressible;
                }
            }
        }
        if self.body.truncation().is_some() {
            self.state = OutputState::Failed;
        }
        self.state == OutputState::Open
    }

    /// Ends the compressed stream.
    pub(super) fn end(&mut self, deflater: &mut Deflater) {
        let body = &mut self.body;
        if self.kind == OutputKind::Deflated
            && self.state == OutputState::Open
            && deflater.end(&mut |packed| push_all(body, packed)).is_err()
        {
            self.state = OutputState::Failed;
        }
    }
}

/// Appends `bytes` to `body`. Fails if the disk does not take them.
pub(in super::super) fn push_all(body: &mut Body, bytes: &[u8]) -> io::Result<()> {
    body.push(bytes);
    body.truncation().map_or(Ok(()), |truncation| Err(truncation.cause.kind().into()))
}

/// Compression must save at least one part in this many; otherwise the body is stored.
pub(in super::super) const MIN_SAVING_DIVISOR: u64 = 20;

/// After this many bytes of content the compressor's output shows whether compression is worthwhile. It holds back up to a
/// buffer's worth of output, so this is several times larger.
const MIN_PROBED_BYTES: u64 = 1 << 20;
