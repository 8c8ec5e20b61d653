//! Tests of the decoder with the examples of the RFC, with stories of other encoders, and with malicious blocks.

use super::super::testing::from_hex;
use super::*;
use crate::wire::mutations::mutations;

fn decode_with(decoder: &mut HpackDecoder, block: &[u8]) -> Result<Vec<String>, HpackError> {
    let mut fields = Vec::new();
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    decoder.decode(block, &mut |name, value| fields.push(format!("{}: {}", text(name), text(value))))?;
    Ok(fields)
}

fn decode_first(block: &[u8]) -> Result<Vec<String>, HpackError> {
    decode_with(&mut HpackDecoder::new(), block)
}

const STORIES: &str = include_str!("../../../../tests/data/hpack/stories.txt");

#[test]
fn decodes_examples_and_stories_of_other_encoders() {
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
                assert_eq!(decode_with(&mut decoder, &from_hex(wire)).unwrap(), expected, "{story}");
                blocks += 1;
            }
        }
    }
    assert_eq!(blocks, 36);
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
    assert_eq!(decode_with(&mut decoder, &from_hex("0001610162100163016462be")), Err(HpackError::Incomplete));
    assert_eq!(decode_with(&mut decoder, &from_hex("00016101621001630164")).unwrap(), ["a: b", "c: d"]);
    assert_eq!(decode_with(&mut decoder, &from_hex("be")), Err(HpackError::Index));
}

#[test]
fn a_decompression_bomb_stops_at_the_limit() {
    // An entry of 4000 bytes, and one byte for each repetition.
    let entry = [&b"\x40\x01a\x7f\xa0\x1e"[..], &[b'x'; 3999]].concat();
    let mut decoder = HpackDecoder::new();
    decoder.decode(&entry, &mut |_, _| ()).unwrap();
    let (mut seen, bomb) = (0, vec![0xbe; 200_000]);
    assert_eq!(decoder.decode(&bomb, &mut |_, value| seen += value.len()), Err(HpackError::ListTooLong));
    assert!((MAX_HEADER_LIST_BYTES - 4100..=MAX_HEADER_LIST_BYTES).contains(&seen), "{seen}");
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
