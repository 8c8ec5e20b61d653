//! The Huffman code of HPACK (RFC 7541 section 5.2 and appendix B), read four bits at a time.
//!
//! ```text
//!             ┌ 0 ─▶ inner node ─▶ …        a state is an inner node: the bits of a symbol read so far
//! root ─▶ inner node                        a step is four bits from there: to another state, past a leaf at most
//!             └ 1 ─▶ leaf: a symbol         (no code is shorter than five bits)
//! ```
//!
//! The code is canonical: codes of one length follow each other in the order of their symbols, and the lengths alone tell
//! the tree. It is made by the compiler.

use super::Malformed;

/// Appends to `out` what `code` stands for: at most eight bytes for five.
pub(super) fn decode(code: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    out.reserve(code.len().saturating_mul(8) / 5);
    let mut state = ROOT;
    for &byte in code {
        for nibble in [byte >> 4, byte & 0x0f] {
            let step = step(state, nibble);
            match step.passes {
                Passes::Nothing => {}
                Passes::Symbol(symbol) => out.push(symbol),
                Passes::EndOfString => return Err(Malformed::Huffman),
            }
            state = step.to;
        }
    }
    match IS_PADDING.get(usize::from(state)) {
        Some(true) => Ok(()),
        Some(false) | None => Err(Malformed::Huffman),
    }
}

/// Four bits more.
#[derive(Clone, Copy)]
struct Step {
    to: u8,
    passes: Passes,
}

/// What four bits complete.
#[derive(Clone, Copy)]
enum Passes {
    Nothing,
    Symbol(u8),
    /// Never part of a string (section 5.2).
    EndOfString,
}

fn step(state: u8, nibble: u8) -> Step {
    let steps = STEPS.get(usize::from(state)).and_then(|steps| steps.get(usize::from(nibble)));
    *steps.unwrap_or(&Step { to: ROOT, passes: Passes::EndOfString })
}

const ROOT: u8 = 0;

static STEPS: [[Step; 16]; STATES] = steps();

/// The states in which a string may end: after less than eight bits of padding, all ones.
static IS_PADDING: [bool; STATES] = padding();

/// A tree of 257 leaves.
const STATES: usize = 256;

/// A node's children: under [`LEAF`] the state that the bit leads to, from there on the symbol it completes.
type Tree = [[usize; 2]; STATES];
const LEAF: usize = 0x1000;
const END_OF_STRING: usize = LEAF + 256;

#[expect(clippy::indexing_slicing, reason = "runs in the compiler, which does not compile an index out of bounds")]
const fn tree() -> Tree {
    let mut tree = [[0; 2]; STATES];
    let (mut nodes, mut code, mut length) = (1, 0_u32, 1);
    while length <= 30 {
        code <<= 1;
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] == length {
                let (mut node, mut left) = (0, length);
                while left > 1 {
                    left -= 1;
                    let bit = ((code >> left) & 1) as usize;
                    if tree[node][bit] == 0 {
                        tree[node][bit] = nodes;
                        nodes += 1;
                    }
                    node = tree[node][bit];
                }
                tree[node][(code & 1) as usize] = LEAF + symbol;
                code += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    tree
}

#[expect(clippy::indexing_slicing, reason = "runs in the compiler, which does not compile an index out of bounds")]
const fn steps() -> [[Step; 16]; STATES] {
    let tree = tree();
    let mut steps = [[Step { to: ROOT, passes: Passes::Nothing }; 16]; STATES];
    let mut state = 0;
    while state < STATES {
        let mut nibble = 0;
        while nibble < 16 {
            let (mut node, mut passes, mut left) = (state, Passes::Nothing, 4);
            while left > 0 {
                left -= 1;
                node = tree[node][(nibble >> left) & 1];
                if node >= LEAF {
                    passes = match node {
                        END_OF_STRING => Passes::EndOfString,
                        leaf => Passes::Symbol((leaf - LEAF) as u8),
                    };
                    node = 0;
                }
            }
            steps[state][nibble] = Step { to: node as u8, passes };
            nibble += 1;
        }
        state += 1;
    }
    steps
}

#[expect(clippy::indexing_slicing, reason = "runs in the compiler, which does not compile an index out of bounds")]
const fn padding() -> [bool; STATES] {
    let tree = tree();
    let mut is_padding = [false; STATES];
    let (mut node, mut bits) = (0, 0);
    while bits < 8 {
        is_padding[node] = true;
        node = tree[node][1];
        bits += 1;
    }
    is_padding
}

/// How many bits each symbol takes, the end of the string last (appendix B).
#[rustfmt::skip]
const LENGTHS: [u32; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(code: &[u8]) -> Result<Vec<u8>, Malformed> {
        let mut out = Vec::new();
        decode(code, &mut out).map(|()| out)
    }

    /// As the RFC shows a code: its bits, each byte of the string one symbol.
    fn encoded(text: &[u8]) -> Vec<u8> {
        let tree = tree();
        let mut codes = vec![String::new(); LENGTHS.len()];
        let mut nodes = vec![(0, String::new())];
        while let Some((node, bits)) = nodes.pop() {
            for (bit, &child) in tree[node].iter().enumerate() {
                let bits = format!("{bits}{bit}");
                match child.checked_sub(LEAF) {
                    Some(symbol) => codes[symbol] = bits,
                    None => nodes.push((child, bits)),
                }
            }
        }
        let mut bits: String = text.iter().map(|&b| codes[usize::from(b)].as_str()).collect();
        bits.extend(std::iter::repeat_n('1', bits.len().next_multiple_of(8) - bits.len()));
        bits.as_bytes().chunks(8).map(|b| u8::from_str_radix(std::str::from_utf8(b).unwrap(), 2).unwrap()).collect()
    }

    #[test]
    fn the_examples_of_rfc_7541() {
        for (code, text) in [
            (&b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"[..], "www.example.com"),
            (b"\xa8\xeb\x10\x64\x9c\xbf", "no-cache"),
            (b"\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f", "custom-key"),
            (b"", ""),
        ] {
            assert_eq!(decoded(code), Ok(text.into()));
            assert_eq!(encoded(text.as_bytes()), code);
        }
    }

    #[test]
    fn every_byte_next_to_every_other() {
        let text: Vec<u8> = (0..=255).flat_map(|a| (0..=255).flat_map(move |b| [a, b])).collect();
        assert_eq!(decoded(&encoded(&text)), Ok(text));
    }

    #[test]
    fn padding_is_less_than_a_byte_of_ones() {
        // "0" is 00000.
        assert_eq!(decoded(&[0b0000_0111]), Ok(b"0".into()));
        assert_eq!(decoded(&[0b0000_0110]), Err(Malformed::Huffman));
        assert_eq!(decoded(&[0b0000_0111, 0xff]), Err(Malformed::Huffman));
        assert_eq!(decoded(&[0xff]), Err(Malformed::Huffman));
        // "X" is 11111100, which leaves no room for padding and asks for none.
        assert_eq!(decoded(&[0b1111_1100]), Ok(b"X".into()));
    }

    #[test]
    fn the_end_of_the_string_is_no_part_of_it() {
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xfc]), Err(Malformed::Huffman));
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xff]), Err(Malformed::Huffman));
    }
}
