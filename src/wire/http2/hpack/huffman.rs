//! Decodes the Huffman code of HPACK (RFC 7541 section 5.2 and appendix B), four bits at a time.
//!
//! ```text
//!             ┌ 0 ─▶ inner node ─▶ …        a state is an inner node: the bits of a symbol read so far
//! root ─▶ inner node                        a transition reads four bits and passes one leaf at most
//!             └ 1 ─▶ leaf: a symbol         (no code is shorter than five bits)
//! ```
//!
//! The code is canonical: codes of one length are consecutive, in the order of their symbols. The lengths alone therefore
//! determine the tree, which is built at compile time.

use super::HpackError;

/// Decodes one string, in pieces of any size.
#[derive(Clone, Copy)]
pub(super) struct HuffmanDecoder {
    state: u8,
}

impl HuffmanDecoder {
    pub(super) fn new() -> Self {
        Self { state: ROOT }
    }

    /// Decodes a piece of the code and appends the result to `out`: at most eight bytes for five.
    pub(super) fn decode(&mut self, code: &[u8], out: &mut Vec<u8>) -> Result<(), HpackError> {
        out.reserve(code.len().saturating_mul(8) / 5);
        let mut state = self.state;
        for &byte in code {
            for nibble in [byte >> 4, byte & 0x0f] {
                let transition = transition(state, nibble);
                match transition.output {
                    TransitionOutput::Nothing => {}
                    TransitionOutput::Symbol(symbol) => out.push(symbol),
                    TransitionOutput::EndOfString => return Err(HpackError::Huffman),
                }
                state = transition.next;
            }
        }
        self.state = state;
        Ok(())
    }

    /// Checks the padding at the end of the string.
    pub(super) fn finish(self) -> Result<(), HpackError> {
        match IS_PADDING.get(usize::from(self.state)) {
            Some(true) => Ok(()),
            Some(false) | None => Err(HpackError::Huffman),
        }
    }
}

/// The effect of four bits in a state.
#[derive(Clone, Copy)]
struct Transition {
    next: u8,
    output: TransitionOutput,
}

/// The symbol that four bits complete.
#[derive(Clone, Copy)]
enum TransitionOutput {
    Nothing,
    Symbol(u8),
    /// The end-of-string symbol, which is an error in a string (section 5.2).
    EndOfString,
}

fn transition(state: u8, nibble: u8) -> Transition {
    let transition = TRANSITIONS.get(usize::from(state)).and_then(|row| row.get(usize::from(nibble)));
    *transition.unwrap_or(&Transition { next: ROOT, output: TransitionOutput::EndOfString })
}

const ROOT: u8 = 0;

static TRANSITIONS: [[Transition; 16]; STATES] = transitions();

/// True for the states in which a string may end: after fewer than eight bits of padding, all ones.
static IS_PADDING: [bool; STATES] = padding();

/// The number of inner nodes in a tree with 257 leaves.
const STATES: usize = 256;

/// The children of each node. A value below [`LEAF`] is an inner node; a value from [`LEAF`] on is `LEAF` plus a symbol.
type Tree = [[usize; 2]; STATES];
const LEAF: usize = 0x1000;
const END_OF_STRING: usize = LEAF + 256;

/// Builds the tree from the code lengths.
#[expect(clippy::indexing_slicing, reason = "evaluated at compile time, where an index out of bounds is an error")]
const fn tree() -> Tree {
    let mut tree = [[0; 2]; STATES];
    let (mut nodes, mut code, mut length) = (1, 0_u32, 1);
    while length <= 30 {
        code <<= 1;
        let mut symbol = 0;
        while symbol < CODE_BITS.len() {
            if CODE_BITS[symbol] == length {
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

#[expect(clippy::indexing_slicing, reason = "evaluated at compile time, where an index out of bounds is an error")]
const fn transitions() -> [[Transition; 16]; STATES] {
    let tree = tree();
    let mut transitions = [[Transition { next: ROOT, output: TransitionOutput::Nothing }; 16]; STATES];
    let mut state = 0;
    while state < STATES {
        let mut nibble = 0;
        while nibble < 16 {
            let (mut node, mut output, mut left) = (state, TransitionOutput::Nothing, 4);
            while left > 0 {
                left -= 1;
                node = tree[node][(nibble >> left) & 1];
                if node >= LEAF {
                    output = match node {
                        END_OF_STRING => TransitionOutput::EndOfString,
                        leaf => TransitionOutput::Symbol((leaf - LEAF) as u8),
                    };
                    node = 0;
                }
            }
            transitions[state][nibble] = Transition { next: node as u8, output };
            nibble += 1;
        }
        state += 1;
    }
    transitions
}

#[expect(clippy::indexing_slicing, reason = "evaluated at compile time, where an index out of bounds is an error")]
const fn padding() -> [bool; STATES] {
    let tree = tree();
    // Up to seven ones from the root.
    let mut is_padding = [false; STATES];
    let (mut node, mut bits) = (0, 0);
    while bits < 8 {
        is_padding[node] = true;
        node = tree[node][1];
        bits += 1;
    }
    is_padding
}

/// The code length of each symbol in bits; the end-of-string symbol is the last one (appendix B).
#[rustfmt::skip]
const CODE_BITS: [u32; 257] = [
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

    fn decoded(code: &[u8]) -> Result<Vec<u8>, HpackError> {
        let (mut decoder, mut out) = (HuffmanDecoder::new(), Vec::new());
        decoder.decode(code, &mut out)?;
        decoder.finish().map(|()| out)
    }

    /// Encodes `text` bit by bit, as the examples in the RFC.
    fn encoded(text: &[u8]) -> Vec<u8> {
        let tree = tree();
        let mut codes = vec![String::new(); CODE_BITS.len()];
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
    fn decodes_the_examples_of_rfc_7541() {
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
    fn decodes_every_pair_of_bytes() {
        let text: Vec<u8> = (0..=255).flat_map(|a| (0..=255).flat_map(move |b| [a, b])).collect();
        assert_eq!(decoded(&encoded(&text)), Ok(text));
    }

    #[test]
    fn accepts_padding_of_fewer_than_eight_ones() {
        // "0" is 00000.
        assert_eq!(decoded(&[0b0000_0111]), Ok(b"0".into()));
        assert_eq!(decoded(&[0b0000_0110]), Err(HpackError::Huffman));
        assert_eq!(decoded(&[0b0000_0111, 0xff]), Err(HpackError::Huffman));
        assert_eq!(decoded(&[0xff]), Err(HpackError::Huffman));
        // "X" is 11111100: a whole byte, without padding.
        assert_eq!(decoded(&[0b1111_1100]), Ok(b"X".into()));
    }

    #[test]
    fn rejects_the_end_of_string_symbol() {
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xfc]), Err(HpackError::Huffman));
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xff]), Err(HpackError::Huffman));
    }
}
