//! Netlink messages, written at compile time: the program contains their bytes and no code that writes them.
//!
//! ```text
//! message     length, kind, flags, 0, 0 | header of the protocol | attributes      netlink(7)
//! attribute   length, kind | bytes or attributes | padding to 4 bytes
//! ```

/// Netlink messages, one after the other.
pub(super) struct Writer {
    bytes: [u8; CAPACITY],
    pub(super) len: usize,
}

/// The place of a message or list that is not closed.
#[derive(Clone, Copy)]
pub(super) struct Open(usize);

#[allow(clippy::indexing_slicing, reason = "evaluated at compile time")]
impl Writer {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; CAPACITY], len: 0 }
    }

    /// Begins a message.
    pub(super) const fn message(&mut self, kind: u16, flags: u16, header: &[u8]) -> Open {
        let open = Open(self.len);
        self.put(&[0; 4]);
        self.put(&kind.to_ne_bytes());
        self.put(&(REQUEST | flags).to_ne_bytes());
        self.put(&[0; 8]);
        self.put(header);
        open
    }

    /// Ends a message.
    pub(super) const fn close_message(&mut self, Open(at): Open) {
        let length = ((self.len - at) as u32).to_ne_bytes();
        (self.bytes[at], self.bytes[at + 1], self.bytes[at + 2], self.bytes[at + 3]) =
            (length[0], length[1], length[2], length[3]);
    }

    /// Begins an attribute that contains attributes.
    pub(super) const fn list(&mut self, kind: u16) -> Open {
        let open = Open(self.len);
        self.put(&[0; 2]);
        self.put(&(kind | NESTED).to_ne_bytes());
        open
    }

    /// Ends it.
    pub(super) const fn close_list(&mut self, Open(at): Open) {
        let length = ((self.len - at) as u16).to_ne_bytes();
        (self.bytes[at], self.bytes[at + 1]) = (length[0], length[1]);
    }

    pub(super) const fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.put(&((HEADER + value.len()) as u16).to_ne_bytes());
        self.put(&kind.to_ne_bytes());
        self.put(value);
        self.len = self.len.next_multiple_of(ALIGNMENT);
    }

    /// Attributes whose values are numbers, in network byte order.
    pub(super) const fn numbers(&mut self, mut rest: &[(u16, u32)]) {
        while let [(kind, value), others @ ..] = rest {
            self.attribute(*kind, &value.to_be_bytes());
            rest = others;
        }
    }

    /// A text, which ends with NUL.
    pub(super) const fn text(&mut self, kind: u16, value: &str) {
        let start = self.len;
        self.attribute(kind, value.as_bytes());
        let length = HEADER + value.len() + 1;
        self.bytes[start] = length as u8;
        self.len = (start + length).next_multiple_of(ALIGNMENT);
    }

    const fn put(&mut self, bytes: &[u8]) {
        let mut i = 0;
        while i < bytes.len() {
            self.bytes[self.len + i] = bytes[i];
            i += 1;
        }
        self.len += bytes.len();
    }

    /// Returns the messages. `N` must be their length.
    pub(super) const fn bytes<const N: usize>(&self) -> [u8; N] {
        assert!(N == self.len);
        let (mut bytes, mut i) = ([0; N], 0);
        while i < N {
            bytes[i] = self.bytes[i];
            i += 1;
        }
        bytes
    }
}

/// Returns the attributes in `bytes`; stops at one that is invalid.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (&[l0, l1, k0, k1], _) = bytes.split_first_chunk()?;
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = bytes.get(HEADER..length)?;
        bytes = bytes.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
        Some((u16::from_ne_bytes([k0, k1]) & !NESTED, value))
    })
}

/// Returns the attribute at the end of `path`, which names the lists that it is in.
pub(super) fn find<'a>(bytes: &'a [u8], path: &[u16]) -> Option<&'a [u8]> {
    path.iter()
        .try_fold(bytes, |bytes, kind| attributes(bytes).find(|(found, _)| found == kind).map(|(_, value)| value))
}

/// For new objects.
pub(super) const CREATE: u16 = 0x400;
/// Adds at the end.
pub(super) const APPEND: u16 = 0x800;
/// Returns all objects.
pub(super) const DUMP: u16 = 0x300;
const REQUEST: u16 = 1;
const NESTED: u16 = 0x8000;
const HEADER: usize = 4;
const ALIGNMENT: usize = 4;
const CAPACITY: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn messages_are_written_byte_for_byte() {
        let mut writer = Writer::new();
        let message = writer.message(0x0a06, CREATE | APPEND, &[1, 0, 0, 0]);
        writer.text(1, "spectral");
        let list = writer.list(4);
        writer.numbers(&[(2, 0x0102_0304)]);
        writer.attribute(3, &[9]);
        writer.close_list(list);
        writer.close_message(message);
        let expected = [
            &[56, 0, 0, 0, 0x06, 0x0a, 0x01, 0x0c, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0][..],
            &[13, 0, 1, 0],
            b"spectral\0\0\0\0",
            &[20, 0, 4, 0x80, 8, 0, 2, 0, 1, 2, 3, 4, 5, 0, 3, 0, 9, 0, 0, 0],
        ]
        .concat();
        assert_eq!(writer.bytes::<56>(), *expected);
    }

    #[test]
    fn attributes_are_found_by_their_path_and_damage_ends_the_search() {
        let mut writer = Writer::new();
        let outer = writer.list(4);
        writer.attribute(7, &[1, 2, 3]);
        let inner = writer.list(5);
        writer.attribute(1, b"deep");
        writer.close_list(inner);
        writer.close_list(outer);
        let bytes: [u8; 24] = writer.bytes();
        assert_eq!(find(&bytes, &[4, 5, 1]), Some(&b"deep"[..]));
        assert_eq!(find(&bytes, &[4, 7]), Some(&[1, 2, 3][..]));
        assert_eq!(find(&bytes, &[4, 6]), None);
        for cut in 0..bytes.len() {
            assert_eq!(find(&bytes[..cut], &[4]), None, "{cut}");
        }
        assert_eq!(attributes(&[0; 16]).count(), 0, "a length of 0");
    }
}
