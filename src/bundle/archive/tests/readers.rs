//! Other ZIP readers read the archives, small ones and those past the limits of ZIP without ZIP64.

use super::*;

/// Programs that read ZIP files, and their arguments for listing or testing one.
const READERS: [(&str, &[&str]); 4] =
    [("unzip", &["-tqq"]), ("bsdtar", &["-tf"]), ("7z", &["t", "-bso0"]), ("jar", &["tf"])];

/// Asserts that our reader, Python, and each available program of [`READERS`] find `count` entries in `bundle`. The last
/// one is called `last` and contains its own name.
#[track_caller]
pub(super) fn assert_read_by_all(bundle: &Path, count: usize, last: &str) {
    let opened = ZipReader::open(bundle).unwrap();
    assert_eq!((opened.names().count(), opened.read(last, 100).unwrap()), (count, Some(last.into())));
    let script = "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); n = z.namelist()
assert z.testzip() is None; assert z.read(n[-1]).decode() == n[-1]; print(len(n), n[-1])";
    if let Some(output) = run("python3", &["-c", script], bundle) {
        assert_eq!(output.trim(), format!("{count} {last}"));
    }
    for (reader, args) in READERS {
        if let Some(output) = run(reader, args, bundle) {
            // These two test without listing.
            assert!(["unzip", "7z"].contains(&reader) || output.contains(last), "{reader} does not find {last}");
        }
    }
}

/// Runs `program` on `bundle` and returns its output. Returns `None` if it is not installed, unless
/// `SPECTRAL_REQUIRE_PEERS` requires it.
#[track_caller]
pub(super) fn run(program: &str, args: &[&str], bundle: &Path) -> Option<String> {
    match std::process::Command::new(program).args(args).arg(bundle).output() {
        Ok(output) => {
            let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(output.status.success(), "{program}: {stderr}");
            Some(stdout.into_owned())
        }
        Err(_) => {
            let required = std::env::var("SPECTRAL_REQUIRE_PEERS").unwrap_or_default();
            assert!(!required.split(',').any(|name| name == program), "{program} is required but not installed");
            // Directly to stderr: the test harness hides the output of passing tests.
            let test = std::thread::current().name().unwrap_or_default().to_owned();
            writeln!(io::stderr(), "skipped, no {program}: {test}").unwrap();
            None
        }
    }
}

#[test]
fn other_readers_read_more_entries_than_16_bits_count() {
    // Around the ZIP64 threshold: 65,535 refers to the ZIP64 record.
    for count in [65_534, 65_535, 70_000] {
        let dir = TestDir::new("many");
        let mut archive = create(&output(&dir));
        for chunk in (0..count).collect::<Vec<_>>().chunks(1000) {
            let names = chunk.iter().map(|n| format!("traces/{n}"));
            archive
                .group(|a| {
                    names.into_iter().try_for_each(|name| add(a, &name, name.as_bytes(), CompressionMethod::Stored))
                })
                .unwrap();
        }
        let bundle = archive.finish().unwrap().path;
        assert_read_by_all(&bundle, count, &format!("traces/{}", count - 1));
    }
}

#[test]
fn other_readers_read_a_bundle_past_4_gib() {
    let dir = TestDir::new("far");
    let mut archive = create(&output(&dir));
    archive.group(|a| add(a, "near", b"near", CompressionMethod::Stored)).unwrap();
    // Before, across and after the ZIP64 threshold of offsets. The hole takes no disk space.
    archive.skip_to((4 << 30) - 60);
    for name in ["first", "second", "third"] {
        archive.group(|a| add(a, name, name.as_bytes(), CompressionMethod::Stored)).unwrap();
    }
    let bundle = archive.finish().unwrap().path;
    assert!(fs::metadata(&bundle).unwrap().len() > 4 << 30);
    assert_read_by_all(&bundle, 4, "third");
}

#[test]
#[ignore = "takes a minute; .ci/run includes it"]
fn other_readers_read_an_entry_past_4_gib() {
    let dir = TestDir::new("large");
    let mut archive = create(&output(&dir));
    let size = (4 << 30) + 5;
    archive
        .group(|a| {
            a.begin_entry("large".into(), size, CompressionMethod::Deflated, &[])?;
            let zeros = vec![0; 1 << 20];
            let mut left = size;
            while left > 0 {
                let most = left.min(zeros.len() as u64);
                a.write_all(&zeros[..most as usize])?;
                left -= most;
            }
            add(a, "last", b"last", CompressionMethod::Stored)
        })
        .unwrap();
    let bundle = archive.finish().unwrap().path;
    assert_read_by_all(&bundle, 2, "last");
}
