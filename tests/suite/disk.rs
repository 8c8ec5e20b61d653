//! A full disk or a file size limit: traffic is forwarded, and the capture resumes when there is space.

use crate::support::bundle::{Bundle, wait_until_written};
use crate::support::cli::{Spectral, spectral};
use crate::support::peers::report_skipped;
use crate::support::{Connection, Origin, TempDir, next_request};
use std::path::Path;
use std::process::Command;

/// Starts an origin that sends N bytes for `GET …/N`: a picture, which is stored uncompressed, or text for `…/text/N`.
fn origin_of_pictures() -> Origin {
    Origin::plain(move |mut connection| {
        while let Some((request, _)) = next_request(&mut connection) {
            let path = request.split(' ').nth(1).unwrap().to_owned();
            let size: usize = path.rsplit('/').next().unwrap().parse().unwrap();
            let kind = if path.contains("/text/") { "text/plain" } else { "image/png" };
            connection.send(format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\n\r\n"));
            connection.send(vec![b'x'; size]);
        }
    })
}

/// Downloads `size` bytes; the exchange need not be recorded.
#[track_caller]
fn get(proxy: &Spectral, origin: &Origin, size: usize) {
    get_kind(proxy, origin, "picture", size);
}

#[track_caller]
fn get_kind(proxy: &Spectral, origin: &Origin, kind: &str, size: usize) {
    let host = origin.authority("127.0.0.1");
    let mut connection = Connection::to(proxy.addr);
    let response = connection
        .request(format!("GET http://{host}/{kind}/{size} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
    assert_eq!((response.status, response.body.len()), (200, size), "traffic is still forwarded");
}

/// A folder on a file system of 1 MB.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// Returns `None` if mounting is not permitted.
    fn mount() -> Option<Self> {
        let dir = TempDir::new();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(dir.path()).output();
        if mount.is_ok_and(|output| output.status.success()) {
            return Some(Self(dir));
        }
        report_skipped("mount");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(self.0.path()).output().unwrap();
    }
}

/// Returns the number of occurrences of `part`.
fn occurrences(output: &str, part: &str) -> usize {
    output.matches(part).count()
}

#[test]
fn loses_only_the_exchanges_during_a_full_disk() {
    let Some(disk) = SmallDisk::mount() else { return };
    let origin = origin_of_pictures();
    let home = TempDir::new();
    let path = disk.0.join("capture.zip");
    let running = Spectral::capture(&home, &["-o", path.to_str().unwrap()]);
    get(&running, &origin, 10);
    wait_until_written(&path.with_extension("zip.part"), "traces/t_0001.json");
    let ballast = disk.0.write("ballast", "");
    fill(&ballast);
    for _ in 0..3 {
        get(&running, &origin, 100_000);
    }
    running.wait_for_line("could not be written");
    // The writer may reach some of the three only now, when there is space.
    std::fs::remove_file(&ballast).unwrap();
    get(&running, &origin, 20);
    running.wait_for_line("spectral: warning: the bundle can be written again; ");
    let output = running.interrupt();
    assert_eq!(output.code, Some(1), "{}", output.err);
    assert_eq!(
        occurrences(&output.err, "No space left on device"),
        1,
        "reported at once, counted in the summary: {}",
        output.err
    );
    let (above, below) = output.err.split_once("Capture bundle written to ").unwrap();
    let warnings = occurrences(above, "spectral: warning: ");
    assert!(below.contains(&format!("\n  {warnings} warnings were printed above")), "{}", output.err);
    assert!(!below.contains("spectral: warning: "), "{}", output.err);
    let bundle = Bundle::open(&path);
    let sizes: Vec<_> = bundle.traces.iter().map(|trace| trace.response_body.len()).collect();
    assert!(matches!(&sizes[..], [10, late @ .., 20] if late.len() < 3), "{sizes:?}");
    let lost = match 5 - sizes.len() {
        1 => "  1 exchange or message could not be written and is lost\n".to_owned(),
        lost => format!("  {lost} exchanges or messages could not be written and are lost\n"),
    };
    assert!(output.err.contains(&lost), "{}", output.err);
}

#[test]
fn leaves_a_recoverable_bundle_if_the_disk_stays_full() {
    let Some(disk) = SmallDisk::mount() else { return };
    let origin = origin_of_pictures();
    let home = TempDir::new();
    let path = disk.0.join("capture.zip");
    let running = Spectral::capture(&home, &["-o", path.to_str().unwrap()]);
    // Enough exchanges that the directory does not fit into the rest of the last page.
    (0..60).for_each(|_| get(&running, &origin, 10));
    let part = disk.0.join("capture.zip.part");
    wait_until_written(&part, "traces/t_0060.json");
    fill(&disk.0.write("ballast", ""));
    let output = running.interrupt();
    assert_eq!(output.code, Some(1), "{}", output.err);
    assert!(output.err.contains("the bundle could not be completed: No space left on device"), "{}", output.err);
    let recover = format!("make a bundle of it with: spectral capture recover {}.part", path.display());
    assert!(output.err.contains(&recover), "{}", output.err);
    spectral(&home, &["capture", "recover", part.to_str().unwrap(), "-o", "mended.zip"]).ok();
    assert_eq!(Bundle::open(&home.join("mended.zip")).traces.len(), 60);
}

/// By default SIGXFSZ terminates the process.
#[test]
fn treats_a_file_size_limit_as_a_full_disk() {
    let origin = origin_of_pictures();
    let dir = TempDir::new();
    // 200 blocks of 512 or 1024 bytes, depending on the shell.
    let line = "ulimit -f 200; exec \"$0\" capture proxy -p 0 --memory 1M";
    let mut limited = Command::new("/bin/sh");
    limited.args(["-c", line, env!("CARGO_BIN_EXE_spectral")]).current_dir(dir.path()).env("HOME", dir.path());
    let running = Spectral::start(limited);
    get(&running, &origin, 10);
    get(&running, &origin, 250_000);
    running.wait_for_line("could not be written: File too large");
    // The spill file cannot grow either, so the end of a compressible body is missing.
    get_kind(&running, &origin, "text", 400_000);
    running.wait_for_line("1 body is truncated in the bundle: File too large");
    get(&running, &origin, 20);
    let output = running.interrupt();
    assert_eq!(output.code, Some(1), "{}", output.err);
    assert!(output.err.contains("  1 body is truncated, since it could not be stored\n"), "{}", output.err);
    assert!(output.err.contains("  1 exchange or message could not be written and is lost\n"), "{}", output.err);
    let bundle = Bundle::open(&dir.join("capture.zip"));
    let sizes: Vec<_> = bundle.traces.iter().map(|trace| trace.response_body.len()).collect();
    assert!(matches!(sizes[..], [10, 1..400_000, 20]), "{sizes:?}");
}

/// Writes to `file` until the disk is full.
#[track_caller]
fn fill(file: &Path) {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new().append(true).open(file).unwrap();
    let mut size = 64 << 10;
    while size > 0 {
        if file.write_all(&vec![0; size]).is_err() {
            size /= 2;
        }
    }
}
