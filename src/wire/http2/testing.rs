//! Encodes frames and uncompressed field blocks for tests.

/// Encodes a frame.
pub(crate) fn frame(frame_type: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[frame_type, flags], &stream.to_be_bytes(), payload].concat()
}

pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const ACK: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;
pub(crate) const PADDED: u8 = 0x8;
pub(crate) const PRIORITY: u8 = 0x20;

/// Encodes fields as literals without indexing. Each line is a field such as `:method GET`.
pub(crate) fn block(fields: &str) -> Vec<u8> {
    fields.lines().map(str::trim).filter(|line| !line.is_empty()).flat_map(literal).collect()
}

fn literal(line: &str) -> Vec<u8> {
    let (name, value) = line.split_once(' ').unwrap_or((line, ""));
    [&[0][..], &string(name), &string(value)].concat()
}

fn string(text: &str) -> Vec<u8> {
    let mut bytes = match text.len() {
        short @ ..0x7f => vec![short as u8],
        long => {
            let left = long - 0x7f;
            vec![0x7f, (left & 0x7f) as u8 | 0x80, ((left >> 7) & 0x7f) as u8 | 0x80, (left >> 14) as u8]
        }
    };
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

pub(crate) fn headers(stream: u32, flags: u8, fields: &str) -> Vec<u8> {
    frame(0x1, END_HEADERS | flags, stream, &block(fields))
}

pub(crate) fn data(stream: u32, flags: u8, bytes: &[u8]) -> Vec<u8> {
    frame(0x0, flags, stream, bytes)
}

pub(crate) fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(0x3, 0, stream, &code.to_be_bytes())
}

pub(crate) fn settings(list: &[(u16, u32)]) -> Vec<u8> {
    let list: Vec<u8> =
        list.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
    frame(0x4, 0, 0, &list)
}

pub(crate) fn acknowledge() -> Vec<u8> {
    frame(0x4, ACK, 0, b"")
}

pub(crate) fn push_promise(stream: u32, promised: u32, fields: &str) -> Vec<u8> {
    frame(0x5, END_HEADERS, stream, &[&promised.to_be_bytes()[..], &block(fields)].concat())
}

pub(crate) fn goaway(last: u32) -> Vec<u8> {
    frame(0x7, 0, 0, &[&last.to_be_bytes()[..], &[0, 0, 0, 0], b"debug"].concat())
}

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The fields of a simple request.
pub(crate) const GET: &str = ":method GET
    :scheme https
    :authority a
    :path /";

pub(crate) fn from_hex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}
