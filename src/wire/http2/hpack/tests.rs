//! Tests of the decoder with the examples of the RFC, with stories of other encoders, and with malicious blocks.

use super::super::testing::from_hex;
use super::*;
use crate::wire::mutations::mutations;

fn decode_with(decoder: &mut HpackDecoder, block: &[u8]) -> Result<Vec<String>, HpackError> {
    decode_pieces(decoder, &[block]).map(|(fields, _)| fields)
}

fn decode_pieces(decoder: &mut HpackDecoder, pieces: &[&[u8]]) -> Result<(Vec<String>, HeaderList), HpackError> {
    let mut fields = Vec::new();
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    for piece in pieces {
        decoder.decode(piece, &mut |name, value| fields.push(format!("{}: {}", text(name), text(value))))?;
    }
    Ok((fields, decoder.end_block()?))
}

fn decode_first(block: &[u8]) -> Result<Vec<String>, HpackError> {
    decode_with(&mut HpackDecoder::new(), block)
}

const STORIES: &str = include_str!("../../../../tests/data/hpack/stories.txt");

/// Decodes all stories, and asserts their fields. `split` returns the pieces of a block.
#[track_caller]
fn assert_stories(split: impl Fn(&[u8]) -> Vec<&[u8]>) {
    let (mut decoder, mut story, mut blocks) = (HpackDecoder::new(), "", 0);
    let mut lines = STORIES.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).peekable();
    while let Some(line) = lines.next() {
        match line.split_once(' ').unwrap() {
            ("story", name) => (story, decoder) = (name, HpackDecoder::new()),
            ("size", size) => decoder.set_max_table_size(size.parse().unwrap()),
            (_, wire) => {
                let mut expected = Vec::new();
                while let Some(field) = lines.next_if(|line| line.starts_with(' ')) {
                    expected.push(field.trim_start());
                }
                let (fields, _) = decode_pieces(&mut decoder, &split(&from_hex(wire))).unwrap();
                assert_eq!(fields, expected, "{story}");
                blocks += 1;
            }
        }
    }
    assert_eq!(blocks, 36);
}

#[test]
fn decodes_examples_and_stories_of_other_encoders() {
    assert_stories(|block| vec![block]);
}

#[test]
fn decodes_stories_in_any_pieces() {
    for size in [1, 2, 3, 7] {
        assert_stories(|block| block.chunks(size).collect());
    }
    for at in 0..100 {
        assert_stories(|block| <[&[u8]; 2]>::from(block.split_at(at.min(block.len()))).to_vec());
    }
}

#[test]
fn rejects_incomplete_blocks() {
    for block in ["3f", "7f", "ff", "40", "4001", "400161", "40016102", "4001610262", "41", "0f", "4081", "c080"] {
        assert!(decode_first(&from_hex(block)).is_err(), "{block}");
    }
    assert_eq!(decode_first(&[0x3f]), Err(HpackError::Incomplete));
    assert_eq!(decode_first(&from_hex("4001610262")), Err(HpackError::Incomplete));
    assert_eq!(decode_first(&from_hex("40ffffffffff0f")), Err(HpackError::IntegerTooLong));
}

#[test]
fn rejects_unknown_indexes() {
    for block in ["80", "be", "7e0161", "0f2f0161", "ffffff7f"] {
        assert_eq!(decode_first(&from_hex(block)), Err(HpackError::Index), "{block}");
    }
}

#[test]
fn rejects_invalid_huffman_code() {
    assert_eq!(decode_first(&from_hex("418100")), Err(HpackError::Huffman));
    assert_eq!(decode_first(&from_hex("4081ff0161")), Err(HpackError::Huffman));
}

#[test]
fn accepts_size_updates_first_and_up_to_the_announced_size() {
    assert_eq!(decode_first(&from_hex("20203fe11f82")), Ok(vec![":method: GET".into()]));
    assert_eq!(decode_first(&from_hex("3fe21f")), Err(HpackError::TableSize));
    assert_eq!(decode_first(&from_hex("8220")), Err(HpackError::LateUpdate));
    let mut decoder = HpackDecoder::new();
    decoder.set_max_table_size(u32::MAX);
    assert_eq!(decode_with(&mut decoder, &from_hex("3fe1ff3f82")), Ok(vec![":method: GET".into()]));
    assert_eq!(decode_with(&mut decoder, &from_hex("3fe2ff3f82")), Err(HpackError::TableSize));
    decoder.set_max_table_size(0);
    assert_eq!(decode_with(&mut decoder, &from_hex("21")), Err(HpackError::TableSize));
}

#[test]
fn a_size_update_evicts_entries() {
    let mut decoder = HpackDecoder::new();
    assert_eq!(decode_with(&mut decoder, &from_hex("40016101624001630164be")).unwrap(), ["a: b", "c: d", "c: d"]);
    assert_eq!(decode_with(&mut decoder, &from_hex("3f03be")).unwrap(), ["c: d"]);
    assert_eq!(decode_with(&mut decoder, &from_hex("bf")), Err(HpackError::Index));
}

#[test]
fn literals_without_indexing_are_not_in_the_table() {
    let mut decoder = HpackDecoder::new();
    assert_eq!(decode_with(&mut decoder, &from_hex("00016101621001630164")).unwrap(), ["a: b", "c: d"]);
    assert_eq!(decode_with(&mut decoder, &from_hex("be")), Err(HpackError::Index));
}

/// Returns a literal with indexing. Its name is `a` and its value has `len` bytes.
fn indexed(len: usize) -> Vec<u8> {
    let rest = len - 0x7f;
    let length = [0x7f, (rest & 0x7f) as u8 | 0x80, ((rest >> 7) & 0x7f) as u8 | 0x80, (rest >> 14) as u8];
    [&b"\x40\x01a"[..], &length, &vec![b'x'; len]].concat()
}

#[test]
fn a_decompression_bomb_is_truncated_at_the_limit() {
    let mut decoder = HpackDecoder::new();
    decode_with(&mut decoder, &indexed(4000)).unwrap();
    // One byte for each repetition.
    let (mut seen, bomb) = (0, vec![0xbe; 200_000]);
    decoder.decode(&bomb, &mut |_, value| seen += value.len()).unwrap();
    let list = decoder.end_block().unwrap();
    assert!(list.is_truncated && list.size <= MAX_HEADER_LIST_BYTES);
    assert!((MAX_HEADER_LIST_BYTES - 8000..=MAX_HEADER_LIST_BYTES).contains(&seen), "{seen}");
    // The next block begins a new list.
    let (fields, list) = decode_pieces(&mut decoder, &[&[0xbe]]).unwrap();
    assert_eq!((fields.len(), list.is_truncated), (1, false));
}

#[test]
fn fields_above_the_limit_still_change_the_table() {
    // 300 KB in fields of 1000 bytes, then a short one.
    let block = [indexed(1000).repeat(300), from_hex("4001630164")].concat();
    let mut decoder = HpackDecoder::new();
    let (fields, list) = decode_pieces(&mut decoder, &[&block]).unwrap();
    assert!(list.is_truncated && fields.len() < 300);
    let (fields, list) = decode_pieces(&mut decoder, &[&[0xbe, 0xbf, 0xc0, 0xc1]]).unwrap();
    assert!(!list.is_truncated && fields[0] == "c: d" && fields[3].len() == 1003);
    assert_eq!(decode_with(&mut decoder, &[0xc2]), Err(HpackError::Index), "the table has 4096 bytes");
}

#[test]
fn skips_a_string_above_all_limits() {
    for piece_size in [1, 1000, 20_000] {
        let mut decoder = HpackDecoder::new();
        assert_eq!(decode_with(&mut decoder, &from_hex("4001610162")).unwrap(), ["a: b"]);
        let block = [&[0x82], &indexed(2_000_000)[..], &[0x84]].concat();
        let mut fields = Vec::new();
        for piece in block.chunks(piece_size) {
            decoder.decode(piece, &mut |name, _| fields.push(name.to_vec())).unwrap();
            assert!(decoder.value.capacity() <= 2 * MAX_HEADER_LIST_BYTES + piece.len());
        }
        assert_eq!(fields, [&b":method"[..], b":path"]);
        assert!(decoder.end_block().unwrap().is_truncated);
        // Section 4.4: a field larger than the table empties it.
        assert_eq!(decode_with(&mut decoder, &[0xbe]), Err(HpackError::Index));
    }
    // A literal that is not indexed leaves the table as it is.
    let mut decoder = HpackDecoder::new();
    decode_with(&mut decoder, &from_hex("4001610162")).unwrap();
    let mut block = indexed(300_000);
    block[0] = 0;
    let (fields, list) = decode_pieces(&mut decoder, &[&block, &[0xbe]]).unwrap();
    assert!(list.is_truncated);
    assert_eq!(fields, ["a: b"]);
}

#[test]
fn keeps_a_field_that_only_a_large_table_holds() {
    let mut decoder = HpackDecoder::new();
    decoder.set_max_table_size(MAX_TABLE_BYTES as u32);
    let (fields, list) = decode_pieces(&mut decoder, &[&from_hex("3fe1ff3f"), &indexed(300_000)]).unwrap();
    assert!(list.is_truncated && fields.is_empty());
    let (fields, list) = decode_pieces(&mut decoder, &[&from_hex("82be84")]).unwrap();
    assert!(list.is_truncated, "the field is in the table, but too large for the list");
    assert_eq!(fields, [":method: GET", ":path: /"]);
    // Its name is in the table too.
    assert_eq!(decode_with(&mut decoder, &from_hex("7e0162")).unwrap(), ["a: b"]);
}

#[test]
fn validates_the_huffman_code_of_a_skipped_string() {
    // "0" is 00000, so each five bytes of zeros are eight of them, and the last byte is one of them with padding.
    let block = |last: u8| [&[0, 1, b'a', 0xff, 0xe4, 0xb6, 0x12], &vec![0; 302_050][..], &[last]].concat();
    let decode = |block: &[u8]| decode_pieces(&mut HpackDecoder::new(), &block.chunks(999).collect::<Vec<_>>());
    assert!(decode(&block(0x07)).unwrap().1.is_truncated);
    assert_eq!(decode(&block(0x00)), Err(HpackError::Huffman));
}

#[test]
fn stays_within_limits_on_mutated_blocks() {
    let seeds: Vec<Vec<u8>> = STORIES
        .split("story ")
        .map(|story| story.lines().filter_map(|line| line.strip_prefix("wire ")).flat_map(from_hex).collect())
        .map(|blocks: Vec<u8>| [&[1], &blocks[..]].concat())
        .collect();
    mutations(&seeds, 3000, check_limits);
}
