//! Inflates deflate streams (RFC 1951), with and without the zlib wrapper, with an inflater that is reused.

use super::crc32::Crc;
use super::error::DecodeError;
use flate2::{Decompress, FlushDecompress, Status};
use std::io::{self, BufRead, Read};

/// An inflater. Allocates its window and buffers when it is first used.
#[derive(Default)]
pub(crate) struct Inflater {
    /// `None` at first, and after a stream that did not end.
    idle: Option<Decompress>,
    out: Vec<u8>,
    input: Vec<u8>,
}

impl Inflater {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Inflates one stream and passes it to `sink`. Leaves what follows it in `input`.
    pub(super) fn stream(
        &mut self,
        input: &mut dyn BufRead,
        has_wrapper: bool,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let mut inflater = self.begin(has_wrapper);
        loop {
            let bytes = input.fill_buf().map_err(|_| DecodeError::Malformed)?;
            let at_end = bytes.is_empty();
            let (status, used, made) = step(&mut inflater, bytes, &mut self.out).ok_or(DecodeError::Malformed)?;
            input.consume(used);
            sink(self.out.get(..made).unwrap_or_default())?;
            match status {
                Status::StreamEnd => {
                    self.idle = Some(inflater);
                    return Ok(());
                }
                Status::Ok | Status::BufError if made > 0 || used > 0 => {}
                Status::Ok | Status::BufError => {
                    return Err(if at_end { DecodeError::Truncated } else { DecodeError::Malformed });
                }
            }
        }
    }

    /// True if `slice` is one raw deflate stream and nothing else, of content with this CRC-32 and this size, which is at
    /// most `max_size`. Stops as soon as the content is larger.
    pub(crate) fn verify(&mut self, slice: &mut dyn Read, crc: u32, size: u64, max_size: u64) -> io::Result<bool> {
        if size > max_size {
            return Ok(false);
        }
        let (mut found_crc, mut found_size) = (Crc::new(), 0u64);
        let mut inflater = self.begin(false);
        let mut input = std::mem::take(&mut self.input);
        input.resize(INPUT_BYTES, 0);
        let mut has_ended = false;
        let mut inflate = || loop {
            let n = match slice.read(&mut input) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            let mut bytes = input.get(..n).unwrap_or_default();
            // At the end of the slice, output that filled the buffer may leave more inside the inflater.
            while !has_ended && (!bytes.is_empty() || n == 0) {
                let Some((status, used, made)) = step(&mut inflater, bytes, &mut self.out) else { return Ok(false) };
                let content = self.out.get(..made).unwrap_or_default();
                found_crc.update(content);
                found_size = found_size.saturating_add(made as u64);
                bytes = bytes.get(used..).unwrap_or_default();
                has_ended = status == Status::StreamEnd;
                let is_stuck = used == 0 && made == 0 && !has_ended;
                if is_stuck || found_size > size {
                    return Ok(false);
                }
            }
            if !bytes.is_empty() {
                return Ok(false);
            }
            if n == 0 {
                return Ok(true);
            }
        };
        let result: io::Result<bool> = inflate();
        self.input = input;
        if has_ended {
            self.idle = Some(inflater);
        }
        Ok(result? && found_size == size && found_crc.sum() == crc)
    }

    /// Returns an inflater at the start of a stream.
    fn begin(&mut self, has_wrapper: bool) -> Decompress {
        self.out.resize(OUT_BYTES, 0);
        match self.idle.take() {
            Some(mut inflater) => {
                inflater.reset(has_wrapper);
                inflater
            }
            None => Decompress::new(has_wrapper),
        }
    }
}

/// Inflates `bytes` until they are used, the stream ends or `out` is full. Returns the number of bytes used and made;
/// `None` if they are malformed.
fn step(inflater: &mut Decompress, bytes: &[u8], out: &mut [u8]) -> Option<(Status, usize, usize)> {
    let (total_in, total_out) = (inflater.total_in(), inflater.total_out());
    let status = inflater.decompress(bytes, out, FlushDecompress::None).ok()?;
    let used = inflater.total_in().saturating_sub(total_in);
    let made = inflater.total_out().saturating_sub(total_out);
    Some((status, usize::try_from(used).ok()?, usize::try_from(made).ok()?))
}

/// The size of the output buffer.
const OUT_BYTES: usize = 64 * 1024;

/// The size of the buffer for input that is not in memory.
const INPUT_BYTES: usize = 64 * 1024;
