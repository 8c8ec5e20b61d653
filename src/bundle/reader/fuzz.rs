//! The fuzzed property: any file is read without a panic, and its entries are distinct parts of it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a property is asserted")]

use super::Bundle;
use crate::bundle::archive::ZipReader;
use crate::bundle::test_dir::TestDir;
use std::collections::HashSet;
use std::fs;

/// Reads all entries and all items of the file `data`.
pub(crate) fn check_directory(data: &[u8]) {
    let dir = TestDir::new("fuzz");
    let path = dir.path("fuzz.zip");
    fs::write(&path, data).unwrap();
    if let Ok(archive) = ZipReader::open(&path) {
        let (mut names, mut total) = (HashSet::new(), 0);
        for (name, _) in archive.names_and_sizes() {
            if let Ok(Some((header, _))) = archive.compressed(&name) {
                total += header.compressed_size;
            }
            if let Ok(Some(content)) = archive.read(&name, MAX_SIZE) {
                assert!(content.len() as u64 <= MAX_SIZE);
            }
            assert!(names.insert(name), "a name occurs twice");
        }
        assert!(total <= data.len() as u64, "entries overlap");
    }
    for opened in [Bundle::open(&path), Bundle::open_part(&path)] {
        let Ok(bundle) = opened else { continue };
        for id in bundle.traces().iter() {
            let Ok(trace) = bundle.trace(id) else { continue };
            assert_eq!(trace.id, id);
            let _ = (bundle.request_body(&trace), bundle.response_body(&trace));
        }
        for id in bundle.websockets().iter() {
            let _ = bundle.websocket(id);
            for id in bundle.messages(id).iter() {
                let _ = bundle.message(id).map(|message| bundle.payload(&message));
            }
        }
        let _ = bundle.timeline();
        bundle.contexts().iter().for_each(|id| drop(bundle.context(id)));
    }
}

const MAX_SIZE: u64 = 1 << 20;
