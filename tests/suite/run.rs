//! `spectral capture run`: a command behaves as it does without the capture.

use crate::support::bundle::Bundle;
use crate::support::ca::TestCa;
use crate::support::cli::{capture_run, spectral};
use crate::support::peers::{finish, peer, run};
use crate::support::{Gate, Origin, TempDir};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// Runs a shell command line under capture, in `dir`.
#[track_caller]
fn sh(dir: &TempDir, args: &[&str], line: &str) -> crate::support::peers::Output {
    run(&mut capture_run(dir, args, &["sh", "-c", line]))
}

#[test]
fn the_exit_code_is_that_of_the_command() {
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
fn a_command_that_cannot_run_has_the_exit_code_of_a_shell_and_captures_nothing() {
    let dir = TempDir::new();
    dir.write("data", "no program");
    std::fs::create_dir(dir.join("folder")).unwrap();
    let before = dir.names();
    for (command, code) in
        [("no-such-command", 127), ("./no/such/file", 127), ("", 127), ("./data", 126), ("./folder", 126)]
    {
        let output = run(&mut capture_run(&dir, &[], &[command]));
        assert_eq!((output.code, output.text().as_str()), (Some(code), ""), "{command}: {}", output.err);
        assert_eq!(output.err.lines().count(), 1, "{}", output.err);
        let reason = if code == 127 { "command not found" } else { "not executable" };
        assert_eq!(output.err, format!("spectral: error: cannot run '{command}': {reason}\n"));
        assert_eq!(dir.names(), before, "{command}");
    }
}

#[test]
fn a_script_without_an_interpreter_runs_with_sh() {
    use std::os::unix::fs::PermissionsExt;
    let dir = TempDir::new();
    let script = dir.write("script", "echo \"$0\" \"$#\" \"$2\"; exit 5");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
    let output = run(&mut capture_run(&dir, &[], &["./script", "a", "b c"]));
    assert_eq!((output.code, output.text().as_str()), (Some(5), "./script 2 b c\n"), "{}", output.err);
}

#[test]
fn errors_of_the_capture_are_reported_before_the_command_starts() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for args in
        [&["-o", "missing/x.zip"][..], &["-p", &port], &["--upstream-ca", "missing.pem"], &["--ca-dir", "/dev/null"]]
    {
        let dir = TempDir::new();
        let output = sh(&dir, args, "touch started");
        assert_eq!(output.code, Some(1), "{args:?}: {}", output.err);
        assert_eq!(output.err.lines().count(), 1, "{args:?}: {}", output.err);
        assert!(!dir.join("started").exists(), "{args:?}");
    }
    // The directory for the trust files.
    let dir = TempDir::new();
    let output = run(capture_run(&dir, &[], &["touch", "started"]).env("TMPDIR", dir.join("missing")));
    assert_eq!(output.code, Some(1), "{}", output.err);
    assert!(output.err.contains("missing") && !dir.join("started").exists(), "{}", output.err);
}

#[test]
fn an_incomplete_capture_fails_unless_the_command_failed_already() {
    for (line, code) in [("rm -r sub", 1), ("rm -r sub; exit 5", 5)] {
        let dir = TempDir::new();
        std::fs::create_dir(dir.join("sub")).unwrap();
        let output = sh(&dir, &["-o", "sub/x.zip"], line);
        assert_eq!(output.code, Some(code), "{}", output.err);
        let error = "spectral: error: the command succeeded, but the capture is incomplete";
        assert_eq!(output.err.contains(error), code == 1, "{}", output.err);
        assert!(output.err.contains("spectral: warning: "), "{}", output.err);
    }
}

#[test]
fn the_command_has_its_own_streams_and_arguments() {
    let dir = TempDir::new();
    let args = ["printf", "<%s>", "-o", "--help", "-v", "", "--", "a b", "\u{fc}"];
    let output = run(&mut capture_run(&dir, &["-o", "a.zip"], &args)).ok();
    assert_eq!(output.text(), "<-o><--help><-v><><--><a b><\u{fc}>");
    // Without `--`, too.
    let output = spectral(&dir, &["capture", "run", "-o", "x.zip", "printf", "<%s>", "-o", "y"]).ok();
    assert_eq!(output.text(), "<-o><y>");
    assert!(dir.join("x.zip").exists() && !dir.join("y").exists());

    let mut child = capture_run(&dir, &[], &["sh", "-c", "cat; echo mine >&2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"\0\xff\n").unwrap();
    let output = finish(child).ok();
    assert_eq!(output.out, b"\0\xff\n");
    let at = |words: &str| {
        output.err.lines().position(|line| line.starts_with(words)).unwrap_or_else(|| panic!("{words}: {}", output.err))
    };
    assert!(at("Capturing on ") < at("mine") && at("mine") < at("Capture bundle written"), "{}", output.err);
}

#[test]
fn no_message_appears_while_the_command_runs_except_with_v() {
    let Some(curl) = peer("curl") else {
        return;
    };
    let origin = Origin::plain_responding(HELLO);
    let host = origin.authority("127.0.0.1");
    let line = format!("{} -sS http://{host}/one http://127.77.77.77:1/; echo mine >&2", curl.display());
    for verbose in [false, true] {
        let dir = TempDir::new();
        let output = sh(&dir, if verbose { &["-v"] } else { &[] }, &line).ok();
        assert_eq!(output.err.contains(&format!("200 GET http://{host}/one")), verbose, "{}", output.err);
        // The summary always names the host; with -v, a line appears as it happens.
        let (during, after) = output.err.split_once("Capture bundle written").unwrap();
        assert!(after.contains("127.77.77.77:1"), "{}", output.err);
        assert_eq!(during.contains("127.77.77.77"), verbose, "{}", output.err);
        let ours = ["Capturing on ", "Created a CA, "];
        let others: Vec<_> =
            during.lines().filter(|line| !ours.iter().any(|before| line.starts_with(before))).collect();
        assert!(others.contains(&"mine") && (verbose || others.len() == 1), "{}", output.err);
        assert_eq!(Bundle::open(&dir.join("capture.zip")).only_trace().text(), "hello");
    }
    let dir = TempDir::new();
    let output = sh(&dir, &["-q"], "echo mine >&2").ok();
    assert_eq!(output.err, "mine\n");
}

#[test]
fn a_capture_of_nothing_is_reported_with_possible_causes() {
    let dir = TempDir::new();
    let output = run(&mut capture_run(&dir, &[], &["true"])).ok();
    assert!(output.err.contains("Nothing was captured: no connection reached the proxy."), "{}", output.err);
}

#[test]
fn the_first_run_reports_the_new_ca() {
    let dir = TempDir::new();
    let first = run(&mut capture_run(&dir, &[], &["true"])).ok().err;
    assert!(first.lines().nth(1).unwrap().ends_with("/.mitmproxy/mitmproxy-ca-cert.pem"), "{first}");
    let second = run(&mut capture_run(&dir, &["-o", "second.zip"], &["true"])).ok().err;
    assert!(!second.contains("mitmproxy-ca-cert.pem"), "{second}");
}

#[test]
fn risks_are_warnings_before_the_command_starts() {
    let dir = TempDir::new();
    let output = sh(&dir, &["-k", "--listen", "0.0.0.0"], "echo started >&2").ok();
    let (before, _) = output.err.split_once("started").unwrap();
    let warnings: Vec<_> = before.lines().filter(|line| line.starts_with("spectral: warning: ")).collect();
    assert!(warnings[0].starts_with("spectral: warning: anyone who can reach 0.0.0.0:"), "{}", output.err);
    assert_eq!(warnings[1..], ["spectral: warning: certificates of origins are not verified (-k)"], "{}", output.err);
}

/// The opening messages precede the command's output even if stderr is slow. Here it is not read at first.
#[test]
fn the_opening_messages_are_written_before_the_command_starts() {
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
    // Less than the time for which it waits for a stderr that is never read.
    let soon = PollTimeout::from(1000u16);
    let started = poll(&mut [PollFd::new(out.as_fd(), PollFlags::POLLIN)], soon).unwrap();
    assert_eq!(started, 0, "the command has started before the messages were written");
    let reader = std::thread::spawn(move || {
        let mut output = String::new();
        errors.read_to_string(&mut output).map(|_| output)
    });
    let mut output = String::new();
    out.read_to_string(&mut output).unwrap();
    assert_eq!(output, "started\n");
    assert!(crate::support::peers::wait(&mut child).unwrap().success());
    assert!(reader.join().unwrap().unwrap().trim_start().starts_with("Capturing on "));
}

#[test]
fn a_client_that_refuses_fails_once_and_others_are_captured() {
    let Some(curl) = peer("curl") else {
        return;
    };
    let origin = Origin::tls_responding(HELLO);
    let (host, curl) = (origin.authority("localhost"), curl.display());
    // Without HTTP/2 it is another kind of client.
    let refusing = format!("{curl} -s --http1.1 --cacert {} https://{host}/; echo;", TestCa::trusted().pem.display());
    let line = format!("{refusing} {refusing} {curl} -s https://{host}/");
    let dir = TempDir::new();
    let output = sh(&dir, &[], &line).ok();
    assert_eq!(output.text(), "\nhello\nhello");
    Bundle::open(&dir.join("capture.zip")).only_trace();
    for part in [
        format!("  {host}  1 connection: the client refused our certificate (unknown_ca)\n"),
        format!("  {host}  1 connection: passed through: this client refused our certificate earlier\n"),
        ", or exclude the host with -e localhost".into(),
    ] {
        assert!(output.err.contains(&part), "{}", output.err);
    }
    let dir = TempDir::new();
    let output = sh(&dir, &["--no-passthrough-refused"], &line).ok();
    assert_eq!(output.text(), "\n\nhello");
    assert!(output.err.contains("2 connections: the client refused our certificate (unknown_ca)"), "{}", output.err);
}

#[test]
fn an_option_is_suggested_where_it_helps() {
    let Some(curl) = peer("curl") else {
        return;
    };
    let origin = Origin::tls_responding(HELLO);
    let dir = TempDir::new();
    // curl trusts the origin, but not our CA.
    let ask = format!(
        "{} -s --cacert {} https://{}/;",
        curl.display(),
        TestCa::trusted().pem.display(),
        origin.authority("localhost")
    );
    let line = format!("{ask} {ask}");
    for (option, is_suggested) in [("-k", true), ("--no-passthrough-refused", false)] {
        let output = sh(&dir, &[option], &line);
        assert!(output.err.contains("or exclude the host with -e localhost"), "{}", output.err);
        assert_eq!(output.err.contains("--no-passthrough-refused"), is_suggested, "{}", output.err);
    }
}

#[test]
fn background_processes_are_captured_until_the_command_ends() {
    let Some(curl) = peer("curl") else {
        return;
    };
    let end = Gate::default();
    let wait = end.clone();
    let origin = Origin::plain(move |mut connection| {
        connection.read_head();
        wait.pass();
        connection.close_abruptly();
    });
    let dir = TempDir::new();
    let line = format!(
        "{} -s http://{} >/dev/null 2>&1 & read line; echo over",
        curl.display(),
        origin.authority("127.0.0.1")
    );
    let mut child = capture_run(&dir, &[], &["sh", "-c", &line])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    origin.received_at_least(0, 10);
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let output = finish(child);
    end.open();
    assert_eq!(output.ok().text(), "over\n");
    let bundle = Bundle::open(&dir.join("capture.zip"));
    assert_eq!(bundle.only_trace().url(), format!("http://{}/", origin.authority("127.0.0.1")));
}

#[test]
fn only_the_innermost_run_captures() {
    let Some(curl) = peer("curl") else {
        return;
    };
    let origin = Origin::tls_responding(HELLO);
    let dir = TempDir::new();
    let inner = capture_run(&dir, &["-o", "inner.zip"], &["sh", "-c", "env | sort > inner.env; exec \"$@\"", "sh"]);
    let mut command: Vec<_> =
        [inner.get_program()].into_iter().chain(inner.get_args()).map(ToOwned::to_owned).collect();
    command.extend([curl.into(), "-sS".into(), format!("https://{}/", origin.authority("localhost")).into()]);
    let output = run(capture_run(&dir, &["-o", "outer.zip"], &command).env("JAVA_TOOL_OPTIONS", "-Dmine=1")).ok();
    assert_eq!(output.text(), "hello");
    assert_eq!(Bundle::open(&dir.join("inner.zip")).only_trace().text(), "hello");
    assert_eq!(Bundle::open(&dir.join("outer.zip")).traces.len(), 0, "the inner proxy connects to the origin directly");
    assert!(!output.err.contains("is bypassed"), "the outer run set this proxy, not the user: {}", output.err);
    assert_eq!(output.err.matches("inside another 'spectral capture run'").count(), 1, "{}", output.err);
    let variables = std::fs::read_to_string(dir.join("inner.env")).unwrap();
    let java = variables.lines().find(|line| line.starts_with("JAVA_TOOL_OPTIONS=")).unwrap();
    assert_eq!((java.matches("-Dmine=1").count(), java.matches("-Dhttp.proxyPort=").count()), (1, 1), "{java}");
}

/// Our own limit is raised again shortly after the command starts, so the command polls for it.
#[test]
fn the_command_has_the_original_limit_of_descriptors() {
    let dir = TempDir::new();
    let program = "ulimit -Sn; ulimit -Hn; limits=/proc/$PPID/limits; [ -e $limits ] || exit 0; n=0; \
                   until grep -q 'open files *499 *499' $limits; do n=$((n + 1)); [ $n -lt 2000 ] || exit 9; done";
    let line = "ulimit -Sn 97; ulimit -Hn 499; exec \"$0\" capture run -- sh -c \"$1\"";
    let mut command = Command::new("/bin/sh");
    command.args(["-c", line, env!("CARGO_BIN_EXE_spectral"), program]).current_dir(dir.path()).env("HOME", dir.path());
    assert_eq!(run(&mut command).ok().text(), "97\n499\n");
}

#[test]
fn the_trust_files_are_deleted_when_the_command_ends() {
    use std::os::unix::fs::PermissionsExt;
    let dir = TempDir::new();
    let temporary = dir.join("a space and 'quotes'");
    std::fs::create_dir(&temporary).unwrap();
    dir.write(".wgetrc", "# mine\n");
    let line = "ls -d \"$TMPDIR\"/*/; stat -L -c '%a %n' \"$TMPDIR\"/* \"$TMPDIR\"/*/*; cat \"$WGETRC\"; grep -c BEGIN \"$SSL_CERT_FILE\"";
    let output = run(capture_run(&dir, &[], &["sh", "-c", line]).env("TMPDIR", &temporary)).ok();
    let out = output.text();
    let folder = out.lines().next().unwrap().trim_end_matches('/').to_owned();
    for (mode, name) in [
        ("711", ""),
        ("644", "/roots.pem"),
        ("644", "/ca.pem"),
        ("644", "/roots.p12"),
        ("644", "/node.js"),
        ("644", "/apt.conf"),
        ("644", "/php.ini"),
        ("600", "/wgetrc"),
        ("600", "/wget2rc"),
    ] {
        assert!(out.contains(&format!("{mode} {folder}{name}\n")), "{mode} {name} in {out}");
    }
    assert!(out.contains(&format!("# mine\n\nca_certificate = {folder}/roots.pem\n")), "{out}");
    assert!(out.lines().last().unwrap().parse::<usize>().unwrap() > 20, "{out}");
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0, "all gone");
    assert_eq!(std::fs::metadata(&temporary).unwrap().permissions().mode() & 0o777, 0o755);
}

#[test]
fn the_trust_files_of_a_killed_run_are_deleted_by_the_next() {
    let dir = TempDir::new();
    let temporary = dir.join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    std::fs::create_dir(temporary.join("spectral-notours")).unwrap();
    let folders = || {
        let names =
            std::fs::read_dir(&temporary).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "spectral-notours").collect::<Vec<_>>()
    };
    // Prints its process id, then waits for its stdin, even after spectral is killed.
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
    assert_eq!(folders().len(), 2, "a killed run cannot clean up");
    let secret = "PRIVATE KEY";
    for folder in folders() {
        for file in std::fs::read_dir(temporary.join(folder)).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()));
        }
    }
    run(capture_run(&dir, &["-q", "-o", "next.zip"], &["true"]).env("TMPDIR", &temporary)).ok();
    assert_eq!(folders().len(), 1, "the directory of the running one stays");
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
        let output = spectral(&dir, &[&["capture", "run"], args].concat());
        assert_eq!((output.code, output.text().as_str()), (Some(2), ""), "{args:?}: {}", output.err);
        assert_eq!(output.err.trim_end().lines().count(), 1, "{args:?}: {}", output.err);
    }
    assert_eq!(dir.names(), Vec::<String>::new(), "nothing is created");
}

#[test]
fn the_proxy_listens_on_loopback_while_the_command_runs() {
    let dir = TempDir::new();
    let output = sh(&dir, &[], "echo $SPECTRAL_PROXY").ok();
    let proxy = output.text();
    let addr = proxy.trim().strip_prefix("http://").unwrap();
    assert!(addr.starts_with("127.0.0.1:"), "{addr}");
    assert!(output.err.starts_with(&format!("Capturing on {addr} into capture.zip\n")), "{}", output.err);
    assert!(std::net::TcpStream::connect(addr).is_err(), "the proxy ends with the command");
}
