//! Bodies of 200 MB over HTTP/2 arrive and are recorded unchanged.

use crate::support::{Capture, NodeOrigin};
use serde_json::json;

const SIZE: usize = 200 << 20;

/// Checks the contents that `tests/peers/filling.js` generates: 4 KiB of each byte, with another first byte in each
/// MiB.
#[track_caller]
fn assert_filled(body: &[u8]) {
    assert_eq!(body.len(), SIZE);
    for (number, block) in body.chunks(4096).enumerate() {
        let byte = ((number & 0xff) ^ ((number >> 8) & 0xff)) as u8;
        assert!(block.iter().all(|&b| b == byte), "block {number}");
    }
}

/// Runs a client whose transfers are larger than the origin's flow-control window.
fn transfer(path: &str, upload: Option<usize>) -> Option<(serde_json::Value, crate::support::capture::Outcome)> {
    let origin = NodeOrigin::tls()?;
    let capture = Capture::start();
    let mut request = json!({"headers": {":path": path, ":method": "POST"}});
    if let Some(size) = upload {
        request["fill"] = size.into();
    }
    let seen = origin.run_client(Some(&capture), &json!([request]));
    let outcome = capture.stop();
    outcome.assert_no_warnings();
    Some((seen, outcome))
}

#[test]
fn records_a_download_of_200_mb() {
    let Some((seen, outcome)) = transfer(&format!("/fill/{SIZE}"), None) else {
        return;
    };
    assert_eq!((seen["answers"][0]["length"].as_u64(), &seen["failed"]), (Some(SIZE as u64), &json!(null)));
    assert_eq!(seen["answers"][0]["sha256"], SHA256);
    assert_filled(&outcome.bundle().only_trace().response_body);
}

#[test]
fn records_an_upload_of_200_mb() {
    let Some((seen, outcome)) = transfer("/hash", Some(SIZE)) else {
        return;
    };
    assert_eq!(seen["answers"][0]["body"], SHA256);
    assert_filled(&outcome.bundle().only_trace().request_body);
}

/// The size of the bodies in bytes.
const SHA256: &str = "aaf2258125badb6527c937fc91ab1e99aec54e88f00a6b4cfff2ffcf02cc644c";
