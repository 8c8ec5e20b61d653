//! `spectral capture run`: a command under capture behaves as it does without.

use crate::support::bundle::Bundle;
use crate::support::ca::TestCa;
use crate::support::cli::{capture_run, spectral};
use crate::support::peers::{finish, peer, run};
use crate::support::{Gate, Origin, TempDir};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// Runs a line of shell under capture, in `dir`.
#[track_caller]
fn sh(dir: &TempDir, args: &[&str], line: &str) -> crate::support::peers::Said {
    run(&mut capture_run(dir, args, &["sh", "-c", line]))
}

#[test]
fn the_exit_code_is_the_commands() {
    let dir = TempDir::new();
    for code in [0, 1, 2, 77, 255] {
        assert_eq!(sh(&dir, &[], &format!("exit {code}")).code, Some(code));
    }
    for (signal, code) in [("KILL", 137), ("TERM", 143), ("SEGV", 139)] {
        assert_eq!(sh(&dir, &[], &format!("ulimit -c 0; kill -{signal} $$")).code, Some(code), "{signal}");
    }
    assert_eq!(Bundle::open(&dir.join("capture.zip")).traces.len(), 0);
}

#[test]
fn a_command_that_cannot_be_run_is_told_as_shells_tell_it_and_captures_nothing() {
    let dir = TempDir::new();
    dir.write("data", "no program");
    std::fs::create_dir(dir.join("folder")).unwrap();
    let before = dir.names();
    for (command, code) in
        [("no-such-command", 127), ("./no/such/file", 127), ("", 127), ("./data", 126), ("./folder", 126)]
    {
        let said = run(&mut capture_run(&dir, &[], &[command]));
        assert_eq!((said.code, said.text().as_str()), (Some(code), ""), "{command}: {}", said.err);
        assert_eq!(said.err.lines().count(), 1, "{}", said.err);
        assert!(said.err.contains(command), "{}", said.err);
        assert_eq!(dir.names(), before, "{command}");
    }
}

#[test]
fn a_script_without_an_interpreter_is_run_as_shells_run_it() {
    use std::os::unix::fs::PermissionsExt;
    let dir = TempDir::new();
    let script = dir.write("script", "echo \"$0\" \"$#\" \"$2\"; exit 5");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
    let said = run(&mut capture_run(&dir, &[], &["./script", "a", "b c"]));
    assert_eq!((said.code, said.text().as_str()), (Some(5), "./script 2 b c\n"), "{}", said.err);
}

#[test]
fn whatever_is_wrong_with_the_capture_is_known_before_the_command_starts() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for args in
        [&["-o", "missing/x.zip"][..], &["-p", &port], &["--upstream-ca", "missing.pem"], &["--ca-dir", "/dev/null"]]
    {
        let dir = TempDir::new();
        let said = sh(&dir, args, "touch started");
        assert_eq!(said.code, Some(1), "{args:?}: {}", said.err);
        assert_eq!(said.err.lines().count(), 1, "{args:?}: {}", said.err);
        assert!(!dir.join("started").exists(), "{args:?}");
    }
    // Where the files for it would be written.
    let dir = TempDir::new();
    let said = run(capture_run(&dir, &[], &["touch", "started"]).env("TMPDIR", dir.join("missing")));
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(said.err.contains("missing") && !dir.join("started").exists(), "{}", said.err);
}

#[test]
fn a_capture_that_is_incomplete_is_told_unless_the_command_failed_anyway() {
    for (line, code) in [("rm -r sub", 1), ("rm -r sub; exit 5", 5)] {
        let dir = TempDir::new();
        std::fs::create_dir(dir.join("sub")).unwrap();
        let said = sh(&dir, &["-o", "sub/x.zip"], line);
        assert_eq!(said.code, Some(code), "{}", said.err);
        assert!(said.err.contains("spectral: "), "{}", said.err);
    }
}

#[test]
fn its_streams_and_arguments_are_its_own() {
    let dir = TempDir::new();
    let args = ["printf", "<%s>", "-o", "--help", "-v", "", "--", "a b", "\u{fc}"];
    let said = run(&mut capture_run(&dir, &[], &args)).ok();
    assert_eq!(said.text(), "<-o><--help><-v><><--><a b><\u{fc}>");
    // Without the dashes, too.
    let said = spectral(&dir, &["capture", "run", "-o", "x.zip", "printf", "<%s>", "-o", "y"]).ok();
    assert_eq!(said.text(), "<-o><y>");
    assert!(dir.join("x.zip").exists() && !dir.join("y").exists());

    let mut child = capture_run(&dir, &[], &["sh", "-c", "cat; echo mine >&2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"\0\xff\n").unwrap();
    let said = finish(child).ok();
    assert_eq!(said.out, b"\0\xff\n");
    let at = |words: &str| {
        said.err.lines().position(|line| line.starts_with(words)).unwrap_or_else(|| panic!("{words}: {}", said.err))
    };
    assert!(at("Capturing on ") < at("mine") && at("mine") < at("Capture bundle written"), "{}", said.err);
}

#[test]
fn nothing_is_said_while_it_runs_unless_asked_for() {
    let Some(curl) = peer("curl") else {
        return;
    };
    let origin = Origin::plain_answering(HELLO);
    let host = origin.at("127.0.0.1");
    let line = format!("{} -sS http://{host}/one http://127.77.77.77:1/; echo mine >&2", curl.display());
    for verbose in [false, true] {
        let dir = TempDir::new();
        let said = sh(&dir, if verbose { &["-v"] } else { &[] }, &line).ok();
        assert_eq!(said.err.contains(&format!("200 GET http://{host}/one")), verbose, "{}", said.err);
        // The summary names it; what is said as it happens may come a moment after the client has heard of it.
        let (during, after) = said.err.split_once("Capture bundle written").unwrap();
        assert!(after.contains("127.77.77.77:1"), "{}", said.err);
        assert_eq!(during.contains("127.77.77.77"), verbose, "{}", said.err);
        let ours = ["Capturing on ", "A CA was made "];
        let own: Vec<_> = during.lines().filter(|line| !ours.iter().any(|before| line.starts_with(before))).collect();
        assert!(own.contains(&"mine") && (verbose || own.len() == 1), "{}", said.err);
        assert_eq!(Bundle::open(&dir.join("capture.zip")).only_trace().text(), "hello");
    }
    let dir = TempDir::new();
    let said = sh(&dir, &["-q"], "echo mine >&2").ok();
    assert_eq!(said.err, "mine\n");
}

#[test]
fn nothing_captured_is_said_with_what_it_may_mean() {
    let dir = TempDir::new();
    let said = run(&mut capture_run(&dir, &[], &["true"])).ok();
    assert!(said.err.contains("Nothing came through the proxy"), "{}", said.err);
}

#[test]
fn the_first_run_says_that_a_ca_was_made() {
    let dir = TempDir::new();
    let first = run(&mut capture_run(&dir, &[], &["true"])).ok().err;
    assert!(first.lines().nth(1).unwrap().ends_with("/.mitmproxy/mitmproxy-ca-cert.pem"), "{first}");
    let second = run(&mut capture_run(&dir, &[], &["true"])).ok().err;
    assert!(!second.contains("mitmproxy-ca-cert.pem"), "{second}");
}

/// What it needs to know comes before the command's first word, however long stderr takes: here nobody reads it at first.
#[test]
fn our_first_words_are_out_before_the_command_starts() {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::io::Read;
    use std::os::fd::AsFd;
    let dir = TempDir::new();
    let (mut errors, mut full) = std::io::pipe().unwrap();
    let has_room = |pipe: &std::io::PipeWriter| {
        poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLOUT)], PollTimeout::ZERO).unwrap() > 0
    };
    while has_room(&full) {
        full.write_all(&[b'\n'; 4096]).unwrap();
    }
    let mut child = capture_run(&dir, &[], &["echo", "started"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(full)
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    // Less than it waits for a stderr that nobody ever reads.
    let soon = PollTimeout::from(1000u16);
    let started = poll(&mut [PollFd::new(out.as_fd(), PollFlags::POLLIN)], soon).unwrap();
    assert_eq!(started, 0, "the command has started, and our words are not out");
    let reader = std::thread::spawn(move || {
        let mut said = String::new();
        errors.read_to_string(&mut said).map(|_| said)
    });
    let mut said = String::new();
    out.read_to_string(&mut said).unwrap();
    assert_eq!(said, "started\n");
    assert!(crate::support::peers::wait(&mut child).unwrap().success());
    assert!(reader.join().unwrap().unwrap().trim_start().starts_with("Capturing on "));
}

#[test]
fn what_is_done_already_is_not_advised() {
    let Some(curl) = peer("curl") else {
        return;
    };
    let origin = Origin::tls_answering(HELLO);
    let dir = TempDir::new();
    // It trusts the origin, and not us.
    let ask = format!(
        "{} -s --cacert {} https://{}/;",
        curl.display(),
        TestCa::trusted().pem.display(),
        origin.at("localhost")
    );
    let line = format!("{ask} {ask}");
    for (option, is_advised) in [("-k", true), ("--passthrough-refused", false)] {
        let said = sh(&dir, &[option], &line);
        assert!(said.err.contains("or exclude the host with -e localhost"), "{}", said.err);
        assert_eq!(said.err.contains("--passthrough-refused"), is_advised, "{}", said.err);
    }
}

#[test]
fn what_goes_on_in_the_background_is_captured_until_the_command_ends() {
    let Some(curl) = peer("curl") else {
        return;
    };
    let end = Gate::default();
    let wait = end.clone();
    let origin = Origin::plain(move |mut link| {
        link.head();
        wait.pass();
        link.cut();
    });
    let dir = TempDir::new();
    let line =
        format!("{} -s http://{} >/dev/null 2>&1 & read line; echo over", curl.display(), origin.at("127.0.0.1"));
    let mut child = capture_run(&dir, &[], &["sh", "-c", &line])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    origin.received_at_least(0, 10);
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let said = finish(child);
    end.open();
    assert_eq!(said.ok().text(), "over\n");
    let bundle = Bundle::open(&dir.join("capture.zip"));
    assert_eq!(bundle.only_trace().url(), format!("http://{}/", origin.at("127.0.0.1")));
}

#[test]
fn a_run_within_a_run_captures_alone() {
    let Some(curl) = peer("curl") else {
        return;
    };
    let origin = Origin::tls_answering(HELLO);
    let dir = TempDir::new();
    let inner = capture_run(&dir, &["-o", "inner.zip"], &["sh", "-c", "env | sort > inner.env; exec \"$@\"", "sh"]);
    let mut command: Vec<_> =
        [inner.get_program()].into_iter().chain(inner.get_args()).map(ToOwned::to_owned).collect();
    command.extend([curl.into(), "-sS".into(), format!("https://{}/", origin.at("localhost")).into()]);
    let said = run(capture_run(&dir, &["-o", "outer.zip"], &command).env("JAVA_TOOL_OPTIONS", "-Dmine=1")).ok();
    assert_eq!(said.text(), "hello");
    assert_eq!(Bundle::open(&dir.join("inner.zip")).only_trace().text(), "hello");
    assert_eq!(Bundle::open(&dir.join("outer.zip")).traces.len(), 0, "the inner one dials for itself");
    assert!(!said.err.contains("is not asked"), "the outer proxy is not the person's: {}", said.err);
    assert_eq!(said.err.matches("a run within another one").count(), 1, "{}", said.err);
    let variables = std::fs::read_to_string(dir.join("inner.env")).unwrap();
    let java = variables.lines().find(|line| line.starts_with("JAVA_TOOL_OPTIONS=")).unwrap();
    assert_eq!((java.matches("-Dmine=1").count(), java.matches("-Dhttp.proxyPort=").count()), (1, 1), "{java}");
}

#[test]
fn a_proxy_that_was_set_before_is_named_without_its_password() {
    let dir = TempDir::new();
    let said =
        run(capture_run(&dir, &[], &["true"]).env("HTTPS_PROXY", "http://me:secret@corporate.example:3128")).ok();
    let line = said.err.lines().find(|line| line.contains("HTTPS_PROXY")).unwrap_or_else(|| panic!("{}", said.err));
    assert!(line.starts_with("Warning: ") && !said.err.contains("secret"), "{}", said.err);
    let said = run(&mut capture_run(&dir, &[], &["true"])).ok();
    assert!(!said.err.contains("Warning"), "{}", said.err);
}

/// Ours is raised again a moment after the command is there, which it may have to wait for.
#[test]
fn its_limit_of_descriptors_is_as_it_was_and_ours_is_not() {
    let dir = TempDir::new();
    let program = "ulimit -Sn; ulimit -Hn; limits=/proc/$PPID/limits; [ -e $limits ] || exit 0; n=0; \
                   until grep -q 'open files *499 *499' $limits; do n=$((n + 1)); [ $n -lt 2000 ] || exit 9; done";
    let line = "ulimit -Sn 97; ulimit -Hn 499; exec \"$0\" capture run -- sh -c \"$1\"";
    let mut command = Command::new("/bin/sh");
    command.args(["-c", line, env!("CARGO_BIN_EXE_spectral"), program]).current_dir(dir.path()).env("HOME", dir.path());
    assert_eq!(run(&mut command).ok().text(), "97\n499\n");
}

#[test]
fn what_was_written_for_it_goes_with_it() {
    use std::os::unix::fs::PermissionsExt;
    let dir = TempDir::new();
    let temporary = dir.join("a blank and 'quotes'");
    std::fs::create_dir(&temporary).unwrap();
    dir.write(".wgetrc", "# mine\n");
    let line = "ls -d \"$TMPDIR\"/*/; stat -L -c '%a %n' \"$TMPDIR\"/* \"$TMPDIR\"/*/*; cat \"$WGETRC\"; grep -c BEGIN \"$SSL_CERT_FILE\"";
    let said = run(capture_run(&dir, &[], &["sh", "-c", line]).env("TMPDIR", &temporary)).ok();
    let out = said.text();
    let folder = out.lines().next().unwrap().trim_end_matches('/').to_owned();
    for (mode, name) in
        [("711", ""), ("644", "/roots.pem"), ("644", "/ca.pem"), ("644", "/roots.p12"), ("600", "/wgetrc")]
    {
        assert!(out.contains(&format!("{mode} {folder}{name}\n")), "{mode} {name} in {out}");
    }
    assert!(out.contains(&format!("# mine\n\nca_certificate = {folder}/roots.pem\n")), "{out}");
    assert!(out.lines().last().unwrap().parse::<usize>().unwrap() > 20, "{out}");
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0, "all gone");
    assert_eq!(std::fs::metadata(&temporary).unwrap().permissions().mode() & 0o777, 0o755);
}

#[test]
fn what_a_run_left_that_was_killed_goes_with_the_next() {
    let dir = TempDir::new();
    let temporary = dir.join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    std::fs::create_dir(temporary.join("spectral-notours")).unwrap();
    let folders = || {
        let names =
            std::fs::read_dir(&temporary).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "spectral-notours").collect::<Vec<_>>()
    };
    // Says its process's id, waits for its stdin, and goes on without us.
    let start = || {
        let mut child = capture_run(&dir, &["-q"], &["sh", "-c", "echo $$; read line"])
            .env("TMPDIR", &temporary)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut id = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut id).unwrap();
        child
    };
    let (mut killed, mut alive) = (start(), start());
    assert_eq!(folders().len(), 2);
    killed.kill().unwrap();
    crate::support::peers::wait(&mut killed).unwrap();
    assert_eq!(folders().len(), 2, "nobody could clean up");
    let secret = "PRIVATE KEY";
    for folder in folders() {
        for file in std::fs::read_dir(temporary.join(folder)).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()));
        }
    }
    run(capture_run(&dir, &["-q", "-o", "next.zip"], &["true"]).env("TMPDIR", &temporary)).ok();
    assert_eq!(folders().len(), 1, "that of the one that is alive stays");
    alive.stdin.take().unwrap().write_all(b"\n").unwrap();
    finish(alive).ok();
    assert_eq!(folders(), Vec::<String>::new());
    assert!(temporary.join("spectral-notours").exists());
}

#[test]
fn usage_errors_are_one_line_and_exit_2() {
    let dir = TempDir::new();
    for args in
        [&[][..], &["--"], &["-o"], &["--transparent", "true"], &["--frobnicate", "true"], &["-o", "x.zip", "--"]]
    {
        let said = spectral(&dir, &[&["capture", "run"], args].concat());
        assert_eq!((said.code, said.text().as_str()), (Some(2), ""), "{args:?}: {}", said.err);
        assert_eq!(said.err.trim_end().lines().count(), 1, "{args:?}: {}", said.err);
    }
    assert_eq!(dir.names(), Vec::<String>::new(), "nothing was made");
}

#[test]
fn the_proxy_listens_on_this_machine_alone() {
    let dir = TempDir::new();
    let said = sh(&dir, &[], "echo $SPECTRAL_PROXY").ok();
    let proxy = said.text();
    let addr = proxy.trim().strip_prefix("http://").unwrap();
    assert!(addr.starts_with("127.0.0.1:"), "{addr}");
    assert!(said.err.starts_with(&format!("Capturing on {addr} into capture.zip\n")), "{}", said.err);
    assert!(std::net::TcpStream::connect(addr).is_err(), "and no longer than the command");
}
