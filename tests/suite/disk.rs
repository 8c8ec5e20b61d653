//! A disk that fills up, or files that may not grow: the app's traffic goes on, and the capture with it when it can.

use crate::support::bundle::{Bundle, wait_until_written};
use crate::support::cli::{Spectral, spectral};
use crate::support::peers::report_skipped;
use crate::support::{Connection, Origin, TempDir, next_request};
use std::path::Path;
use std::process::Command;

/// Answers `GET …/N` with N bytes of a picture, which is stored as it is, or of text, if it is asked for `…/text/N`.
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

/// Asks for `size` bytes, gets them all, and the exchange's number in the capture is of no matter.
#[track_caller]
fn get(proxy: &Spectral, origin: &Origin, size: usize) {
    get_what(proxy, origin, "picture", size);
}

#[track_caller]
fn get_what(proxy: &Spectral, origin: &Origin, what: &str, size: usize) {
    let host = origin.at("127.0.0.1");
    let mut connection = Connection::to(proxy.addr);
    let answer = connection
        .request(format!("GET http://{host}/{what}/{size} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
    assert_eq!((answer.status, answer.body.len()), (200, size), "the app's traffic goes on");
}

/// A folder on a file system of its own, a megabyte large.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// `None` where mounting is not allowed.
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

/// How often `part` was said.
fn times(output: &str, part: &str) -> usize {
    output.matches(part).count()
}

#[test]
fn a_full_disk_costs_what_came_meanwhile_and_no_more() {
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
    running.line("could not be written");
    // Of the three, those that the writer comes to only now find room.
    std::fs::remove_file(&ballast).unwrap();
    get(&running, &origin, 20);
    running.line("spectral: warning: the bundle can be written again; ");
    let output = running.interrupt();
    assert_eq!(output.code, Some(1), "{}", output.err);
    assert_eq!(times(&output.err, "No space left on device"), 2, "once as it happens, once at the end: {}", output.err);
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
fn a_disk_that_stays_full_leaves_what_can_be_recovered() {
    let Some(disk) = SmallDisk::mount() else { return };
    let origin = origin_of_pictures();
    let home = TempDir::new();
    let path = disk.0.join("capture.zip");
    let running = Spectral::capture(&home, &["-o", path.to_str().unwrap()]);
    // So many that the directory does not fit into what is left of the last page.
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

/// SIGXFSZ would end the process.
#[test]
fn a_limit_on_the_size_of_files_is_a_full_disk_and_no_more() {
    let origin = origin_of_pictures();
    let dir = TempDir::new();
    // 200 blocks of 512 or of 1024 bytes, as the shell has it.
    let line = "ulimit -f 200; exec \"$0\" capture proxy -p 0";
    let mut limited = Command::new("/bin/sh");
    limited.args(["-c", line, env!("CARGO_BIN_EXE_spectral")]).current_dir(dir.path()).env("HOME", dir.path());
    let running = Spectral::start(limited);
    get(&running, &origin, 10);
    get(&running, &origin, 250_000);
    running.line("could not be written: File too large");
    // The spill file may not grow either: of a body that gets small when it is packed, the end is missing.
    get_what(&running, &origin, "text", 400_000);
    running.line("1 body is truncated in the bundle: File too large");
    get(&running, &origin, 20);
    let output = running.interrupt();
    assert_eq!(output.code, Some(1), "{}", output.err);
    assert!(output.err.contains("  The end of 1 body could not be kept"), "{}", output.err);
    assert!(output.err.contains("  1 exchange or message could not be written and is lost\n"), "{}", output.err);
    let bundle = Bundle::open(&dir.join("capture.zip"));
    let sizes: Vec<_> = bundle.traces.iter().map(|trace| trace.response_body.len()).collect();
    assert!(matches!(sizes[..], [10, 1..400_000, 20]), "{sizes:?}");
}

/// Writes to `file` until nothing more goes in.
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
