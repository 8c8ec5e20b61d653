//! The content of an entry that is copied into the archive, in as few writes as possible.

use std::io::{self, BufRead};

/// Bytes that are copied into the archive.
pub(crate) trait Content {
    /// Returns the next bytes, in blocks that are written with one system call. At the end, there are none.
    fn blocks(&mut self) -> io::Result<Vec<&[u8]>>;

    /// Notes that the next `n` bytes were copied. They are in the blocks that were returned last.
    fn consume(&mut self, n: usize);
}

impl<R: BufRead> Content for R {
    fn blocks(&mut self) -> io::Result<Vec<&[u8]>> {
        Ok(vec![self.fill_buf()?])
    }

    fn consume(&mut self, n: usize) {
        BufRead::consume(self, n);
    }
}

/// Passes the next `remaining` bytes of `content` to `sink`.
pub(super) fn copy_blocks(
    content: &mut dyn Content,
    mut remaining: u64,
    sink: &mut dyn FnMut(&[&[u8]]) -> io::Result<()>,
) -> io::Result<()> {
    while remaining > 0 {
        let mut blocks = match content.blocks() {
            Ok(blocks) => blocks,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        let n = truncate(&mut blocks, remaining);
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        sink(&blocks)?;
        content.consume(n);
        remaining = remaining.saturating_sub(n as u64);
    }
    Ok(())
}

/// Removes all but the first `max` bytes. Returns the number of those that are left.
fn truncate(blocks: &mut [&[u8]], max: u64) -> usize {
    let max = usize::try_from(max).unwrap_or(usize::MAX);
    blocks.iter_mut().fold(0, |len: usize, block| {
        *block = block.get(..max.saturating_sub(len)).unwrap_or(block);
        len.saturating_add(block.len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All blocks that are left, at once.
    struct Blocks(Vec<Vec<u8>>);

    impl Content for Blocks {
        fn blocks(&mut self) -> io::Result<Vec<&[u8]>> {
            Ok(self.0.iter().map(Vec::as_slice).collect())
        }

        fn consume(&mut self, mut n: usize) {
            self.0.retain_mut(|block| {
                let consumed = n.min(block.len());
                block.drain(..consumed);
                n -= consumed;
                !block.is_empty()
            });
        }
    }

    #[test]
    fn no_more_than_the_given_bytes_are_copied() {
        for len in 0..=8 {
            let mut content = Blocks([&b"ab"[..], b"cde", b"fg"].map(<[u8]>::to_vec).into());
            let (mut copied, mut calls) = (Vec::new(), 0);
            let result = copy_blocks(&mut content, len, &mut |blocks| {
                calls += 1;
                copied.extend(blocks.concat());
                Ok(())
            });
            let expected = &b"abcdefg"[..len.min(7) as usize];
            assert_eq!((&*copied, calls), (expected, u32::from(len > 0)));
            assert_eq!(content.0.concat(), b"abcdefg"[expected.len()..]);
            assert_eq!(result.map_err(|e| e.kind()), if len > 7 { Err(io::ErrorKind::UnexpectedEof) } else { Ok(()) });
        }
    }

    #[test]
    fn readers_are_content() {
        let mut copied = Vec::new();
        let mut reader = io::BufReader::with_capacity(3, &b"abcdefgh"[..]);
        let mut copy = |len| {
            copy_blocks(&mut reader, len, &mut |blocks| {
                copied.extend(blocks.concat());
                Ok(())
            })
        };
        copy(4).unwrap();
        copy(3).unwrap();
        assert_eq!(copied, b"abcdefg");
    }
}
