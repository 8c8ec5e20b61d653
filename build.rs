//! Compresses what the binary contains and hardly ever needs: Mozilla's roots and the script and style of reports. `src/embedded.rs`
//! inflates them. 0.06 MB less.
//!
//! ```text
//! roots.deflate                    size of the content, 4 bytes, big-endian; then deflate: for each root, its size, 2 bytes; its DER
//! report.js.deflate, ….css.…       the same, with the file
//! ```

#![allow(
    clippy::expect_used,
    clippy::disallowed_macros,
    reason = "a build script prints, and ends the build if it fails"
)]

use flate2::Compression;
use flate2::write::DeflateEncoder;
use std::io::Write;
use std::path::Path;
use std::{env, fs};

fn main() {
    let out = env::var_os("OUT_DIR").expect("Cargo sets OUT_DIR");
    let write = |name: &str, content: &[u8]| {
        let size = u32::try_from(content.len()).expect("less than 4 GB");
        let mut encoder = DeflateEncoder::new(size.to_be_bytes().to_vec(), Compression::best());
        encoder.write_all(content).expect("a vector can be written");
        let compressed = encoder.finish().expect("a vector can be written");
        fs::write(Path::new(&out).join(name), compressed).expect("OUT_DIR can be written");
    };
    let mut roots = Vec::new();
    for root in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        let size = u16::try_from(root.len()).expect("a root has a few kilobytes");
        roots.extend_from_slice(&size.to_be_bytes());
        roots.extend_from_slice(root);
    }
    write("roots.deflate", &roots);
    println!("cargo::rerun-if-changed=build.rs");
    for name in ["report.js", "report.css"] {
        let file = ["src/tools/export/report/", name].concat();
        println!("cargo::rerun-if-changed={file}");
        write(&[name, ".deflate"].concat(), &fs::read(&file).expect("the file is in the package"));
    }
}
