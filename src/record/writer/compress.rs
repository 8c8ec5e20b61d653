//! Compresses a body that has no coding, if that is worthwhile.

use super::packing::{Packing, PackingTools};
use super::source::Source;
use super::unpack::{MIN_SAVING_DIVISOR, push_all};
use crate::bundle::archive::Deflater;
use crate::coding::crc32::Crc;
use crate::record::body::Body;
use std::io::{self, Read};

/// The result of compression.
pub(super) enum Compressed {
    /// A deflate stream, and the CRC-32 of its content.
    Smaller(Body, u32),
    Incompressible,
}

/// Compresses all of `source`. Incompressible content takes longest, so samples of it are compressed first. Fails if
/// packing is cancelled.
pub(super) fn compressed(source: &Source, packing: &Packing, tools: &mut PackingTools) -> io::Result<Compressed> {
    let deflater = &mut tools.deflater;
    if source.len() >= MIN_SAMPLED_BYTES && !samples_shrink(source, deflater)? {
        return Ok(Compressed::Incompressible);
    }
    let (mut packed, mut crc) = (packing.new_body(), Crc::new());
    deflater.begin();
    let mut buffer = vec![0; usize::try_from(source.len()).map_or(BUFFER_BYTES, |len| len.min(BUFFER_BYTES))];
    let mut reader = source.reader_at(0)?;
    let mut left = source.len();
    while left > 0 {
        if packing.should_stop() {
            return Err(io::Error::other("cancelled"));
        }
        let n = reader.read(&mut buffer)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let bytes = buffer.get(..n).unwrap_or_default();
        crc.update(bytes);
        deflater.push(bytes, &mut |bytes| push_all(&mut packed, bytes))?;
        left = left.saturating_sub(n as u64);
    }
    deflater.end(&mut |bytes| push_all(&mut packed, bytes))?;
    if packed.len() >= source.len() {
        return Ok(Compressed::Incompressible);
    }
    Ok(Compressed::Smaller(packed, crc.sum()))
}

/// True if samples from all over `source` shrink. Each is compressed alone: repetition between distant samples is out of
/// the compressor's window in the body too.
fn samples_shrink(source: &Source, deflater: &mut Deflater) -> io::Result<bool> {
    let count = (source.len() / SAMPLE_INTERVAL_BYTES).clamp(MIN_SAMPLES, MAX_SAMPLES);
    let interval = source.len() / count;
    let (mut sample, mut packed_bytes) = ([0; SAMPLE_BYTES], 0u64);
    for n in 0..count {
        // From the middle of each interval: the start of a file differs from the rest.
        let at = interval.saturating_mul(n).saturating_add(interval / 2);
        source.reader_at(at)?.read_exact(&mut sample)?;
        let packed = deflater.whole(&sample)?.map_or(SAMPLE_BYTES, <[u8]>::len);
        packed_bytes = packed_bytes.saturating_add(packed as u64);
    }
    let sampled_bytes = count.saturating_mul(SAMPLE_BYTES as u64);
    Ok(packed_bytes < sampled_bytes.saturating_sub(sampled_bytes / MIN_SAVING_DIVISOR))
}

/// From this size, samples decide whether to compress.
const MIN_SAMPLED_BYTES: u64 = 64 << 10;

/// The size of one sample.
const SAMPLE_BYTES: usize = 4 << 10;

/// One sample is taken per this many bytes, within [`MIN_SAMPLES`] and [`MAX_SAMPLES`].
const SAMPLE_INTERVAL_BYTES: u64 = 256 << 10;
const MIN_SAMPLES: u64 = 2;
/// More samples do not improve the estimate.
const MAX_SAMPLES: u64 = 16;

/// Bodies are read in pieces of at most this size.
const BUFFER_BYTES: usize = 64 * 1024;
