//! The decoder against the RFC's examples, other encoders' stories, and bytes that mean harm.

use super::super::testing::from_hex;
use super::*;
use crate::wire::mutations::mutations;

fn decoded(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<String>, Malformed> {
    let mut fields = Vec::new();
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    decoder.decode(block, &mut |name, value| fields.push(format!("{}: {}", text(name), text(value))))?;
    Ok(fields)
}

fn fresh(block: &[u8]) -> Result<Vec<String>, Malformed> {
    decoded(&mut Decoder::new(), block)
}

const STORIES: &str = include_str!("../../../../tests/data/hpack/stories.txt");

#[test]
fn examples_and_stories_of_other_encoders() {
    let (mut decoder, mut story, mut blocks) = (Decoder::new(), "", 0);
    let mut lines = STORIES.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).peekable();
    while let Some(line) = lines.next() {
        match line.split_once(' ').unwrap() {
            ("story", name) => (story, decoder) = (name, Decoder::new()),
            ("size", size) => decoder.allow(size.parse().unwrap()),
            (_, wire) => {
                let mut expected = Vec::new();
                while let Some(field) = lines.next_if(|line| line.starts_with(' ')) {
                    expected.push(field.trim_start());
                }
                assert_eq!(decoded(&mut decoder, &from_hex(wire)).unwrap(), expected, "{story}");
                blocks += 1;
            }
        }
    }
    assert_eq!(blocks, 36);
}

#[test]
fn a_block_that_ends_within_a_field() {
    for block in ["3f", "7f", "ff", "40", "4001", "400161", "40016102", "4001610262", "41", "0f", "4081", "c080"] {
        assert!(fresh(&from_hex(block)).is_err(), "{block}");
    }
    assert_eq!(fresh(&[0x3f]), Err(Malformed::Unfinished));
    assert_eq!(fresh(&from_hex("4001610262")), Err(Malformed::Unfinished));
    assert_eq!(fresh(&from_hex("40ffffffffff0f")), Err(Malformed::Integer));
}

#[test]
fn an_index_of_nothing() {
    for block in ["80", "be", "7e0161", "0f2f0161", "ffffff7f"] {
        assert_eq!(fresh(&from_hex(block)), Err(Malformed::Index), "{block}");
    }
}

#[test]
fn a_string_that_is_not_huffmans() {
    assert_eq!(fresh(&from_hex("418100")), Err(Malformed::Huffman));
    assert_eq!(fresh(&from_hex("4081ff0161")), Err(Malformed::Huffman));
}

#[test]
fn a_size_update_comes_first_and_within_what_was_announced() {
    assert_eq!(fresh(&from_hex("20203fe11f82")), Ok(vec![":method: GET".into()]));
    assert_eq!(fresh(&from_hex("3fe21f")), Err(Malformed::TableSize));
    assert_eq!(fresh(&from_hex("8220")), Err(Malformed::LateUpdate));
    let mut decoder = Decoder::new();
    decoder.allow(u32::MAX);
    assert_eq!(decoded(&mut decoder, &from_hex("3fe1ff3f82")), Ok(vec![":method: GET".into()]));
    assert_eq!(decoded(&mut decoder, &from_hex("3fe2ff3f82")), Err(Malformed::TableSize));
    decoder.allow(0);
    assert_eq!(decoded(&mut decoder, &from_hex("21")), Err(Malformed::TableSize));
}

#[test]
fn an_update_evicts() {
    let mut decoder = Decoder::new();
    assert_eq!(decoded(&mut decoder, &from_hex("40016101624001630164be")).unwrap(), ["a: b", "c: d", "c: d"]);
    assert_eq!(decoded(&mut decoder, &from_hex("3f03be")).unwrap(), ["c: d"]);
    assert_eq!(decoded(&mut decoder, &from_hex("bf")), Err(Malformed::Index));
}

#[test]
fn what_is_not_to_be_learned_is_not() {
    let mut decoder = Decoder::new();
    assert_eq!(decoded(&mut decoder, &from_hex("0001610162100163016462be")), Err(Malformed::Unfinished));
    assert_eq!(decoded(&mut decoder, &from_hex("00016101621001630164")).unwrap(), ["a: b", "c: d"]);
    assert_eq!(decoded(&mut decoder, &from_hex("be")), Err(Malformed::Index));
}

#[test]
fn a_bomb_goes_off_at_the_limit() {
    // One entry of 4000 bytes, and a byte for each time it comes again.
    let entry = [&b"\x40\x01a\x7f\xa0\x1e"[..], &[b'x'; 3999]].concat();
    let mut decoder = Decoder::new();
    decoder.decode(&entry, &mut |_, _| ()).unwrap();
    let (mut seen, bomb) = (0, vec![0xbe; 200_000]);
    assert_eq!(decoder.decode(&bomb, &mut |_, value| seen += value.len()), Err(Malformed::TooLong));
    assert!((MAX_LIST - 4100..=MAX_LIST).contains(&seen), "{seen}");
}

#[test]
fn any_block_is_no_harm() {
    let seeds: Vec<Vec<u8>> = STORIES
        .split("story ")
        .map(|story| story.lines().filter_map(|line| line.strip_prefix("wire ")).flat_map(from_hex).collect())
        .map(|blocks: Vec<u8>| [&[1], &blocks[..]].concat())
        .collect();
    mutations(&seeds, 3000, any_blocks);
}
