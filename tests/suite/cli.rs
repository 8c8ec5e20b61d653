//! The command line: its messages, the streams that they go to, and exit codes.

use crate::support::cli::{Spectral, command, spectral};
use crate::support::peers::{find, finish, peer, run, wait};
use crate::support::{Connection, Origin, TempDir, TestCa, TlsClient, Watched, ca, eventually};
use std::net::TcpListener;
use std::process::{Command, Stdio};

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"answer\":42}";

/// Sends one plain request through `running`.
fn ask(running: &Spectral, origin: &Origin, path: &str) {
    let mut connection = Connection::to(running.addr);
    let host = origin.authority("127.0.0.1");
    connection.request(format!("GET http://{host}{path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
}

/// Returns a directory with a `capture.zip` of two exchanges.
fn dir_with_capture() -> (TempDir, Origin) {
    let dir = TempDir::new();
    let origin = Origin::plain_responding(HELLO);
    let running = Spectral::capture(&dir, &[]);
    ask(&running, &origin, "/users?page=2");
    let mut connection = Connection::to(running.addr);
    let host = origin.authority("127.0.0.1");
    connection.request(format!(
        "POST http://{host}/binary HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\n\r\n\0\x01\x02\x7f\x1b"
    ));
    drop(connection);
    assert_eq!(running.interrupt().code, Some(0));
    (dir, origin)
}

#[test]
fn usage_errors_are_one_line_and_exit_2() {
    let dir = TempDir::new();
    let wrong: &[&[&str]] = &[
        &[],
        &["frobnicate"],
        &["capture"],
        &["capture", "frobnicate"],
        &["capture", "proxy", "--frobnicate"],
        &["capture", "proxy", "-x"],
        &["capture", "proxy", "-p"],
        &["capture", "proxy", "-p", "http"],
        &["capture", "proxy", "-p", "65536"],
        &["capture", "proxy", "-p", "-1"],
        &["capture", "proxy", "--listen", "not an address"],
        &["capture", "proxy", "-d"],
        &["capture", "proxy", "-d", "https://example.com/"],
        &["capture", "proxy", "-d", "example.com:http"],
        &["capture", "proxy", "-d", ""],
        &["capture", "proxy", "-e", "a b"],
        &["capture", "proxy", "extra"],
        &["capture", "discover", "-o", "x.zip"],
        &["capture", "inspect"],
        &["capture", "inspect", "a.zip", "b.zip"],
        &["capture", "inspect", "a.zip", "--trace"],
    ];
    for args in wrong {
        let output = spectral(&dir, args);
        assert_eq!(output.code, Some(2), "{args:?}: {}", output.err);
        assert_eq!(output.err.trim_end().lines().count(), 1, "{args:?}: {}", output.err);
        assert_eq!(output.text(), "", "{args:?}: messages go to stderr");
    }
    assert_eq!(dir.names(), Vec::<String>::new(), "no file was created");
}

#[test]
fn usage_errors_name_the_problem_and_the_remedy() {
    let dir = TempDir::new();
    let cases: &[(&[&str], &str)] = &[
        (&["captrue"], "unknown command 'captrue'; did you mean 'capture'?"),
        (
            &["capture", "proxy", "--prot", "80"],
            "unknown option '--prot'; did you mean '--port'? See 'spectral capture proxy -h'.",
        ),
        (&["capture", "run"], "missing COMMAND: spectral capture run -- COMMAND"),
        (&["capture", "proxy", "-p", "abc"], "invalid port 'abc': expected 0 to 65535"),
        (&["capture", "proxy", "--memory", "1"], "invalid size '1': expected 1M to 1T"),
        (&["capture", "proxy", "-d", "a b"], "'a b' contains a space or comma: repeat -d for each pattern"),
        (&["capture", "proxy", "-o"], "option '-o' needs a value"),
        (&["capture", "proxy", "-o", "-"], "cannot write a bundle to stdout: give -o FILE"),
        (&["capture", "export", "a.zip"], "missing --format: expected har, curl, html or openapi"),
        (&["capture", "merge", "a.zip"], "missing -o FILE: spectral capture merge FILE... -o FILE"),
        (&["ca", "path", "x\u{1b}"], "unexpected argument 'x\\x1b'. See 'spectral ca path -h'."),
    ];
    for (args, problem) in cases {
        let result = spectral(&dir, args);
        assert_eq!(result.code, Some(2), "{args:?}: {}", result.err);
        assert_eq!(result.err, format!("spectral: error: {problem}\n"), "{args:?}");
    }
}

#[test]
fn an_export_to_a_dash_is_written_to_stdout() {
    let (dir, _origin) = dir_with_capture();
    let har = ["capture", "export", "capture.zip", "--format", "har"];
    let by_default = spectral(&dir, &har).ok().text();
    assert_eq!(spectral(&dir, &[&har[..], &["-o", "-"]].concat()).ok().text(), by_default);
    let pem = spectral(&dir, &["ca", "export", "-o", "-"]).ok().text();
    assert!(pem.starts_with("-----BEGIN CERTIFICATE-----"), "{pem}");
    assert!(!dir.names().contains(&"-".to_owned()));
}

#[test]
fn every_subcommand_has_help_of_its_own() {
    let dir = TempDir::new();
    for (args, option) in [
        (&["ca", "install", "-h"][..], "--dry-run "),
        (&["ca", "export", "-h"], "--format pem|der|p12|mobileconfig "),
        (&["ca", "--ca-dir", "x", "env", "--help"], "--unset\n"),
        (&["help", "capture", "merge"], "-o, --output FILE\n"),
        (&["capture", "proxy", "-o", "x", "--help", "-q"], "--transparent[=by-name]\n"),
        (&["--help", "capture", "discover"], "--json\n"),
    ] {
        let help = spectral(&dir, args).ok().text();
        assert!(help.contains(option), "{args:?}: {help}");
    }
    assert_eq!(dir.names(), Vec::<String>::new());
}

#[test]
fn help_is_short_with_h_and_long_with_help() {
    let dir = TempDir::new();
    let commands: [&[&str]; 6] =
        [&[], &["capture", "run"], &["capture", "proxy"], &["capture", "discover"], &["capture", "inspect"], &["ca"]];
    for command in commands {
        let help = |flag: &str| {
            let output = spectral(&dir, &[command, &[flag]].concat()).ok();
            output.text() + &output.err
        };
        let (short, long) = (help("-h"), help("--help"));
        assert!(!short.is_empty() && long.len() > short.len(), "{command:?}: {short}\n---\n{long}");
    }
    let long = spectral(&dir, &["capture", "proxy", "--help"]).ok();
    let long = long.text() + &long.err;
    for option in [
        "-p",
        "--port",
        "--listen",
        "-o",
        "--output",
        "-d",
        "--domain",
        "-e",
        "--exclude",
        "-k",
        "--insecure",
        "--upstream-ca",
        "--ca-dir",
        "--transparent",
        "-q",
        "--quiet",
        "-v",
        "--verbose",
    ] {
        assert!(long.contains(option), "{option} in {long}");
    }
    let all = spectral(&dir, &["--help"]).ok().text();
    for part in ["capture run", "ca export", "--transparent", "--grep"] {
        assert!(all.contains(part), "{part} in {all}");
    }
    assert_eq!(dir.names(), Vec::<String>::new());
}

#[test]
fn version_is_printed() {
    let dir = TempDir::new();
    for flag in ["-V", "--version"] {
        let output = spectral(&dir, &[flag]).ok();
        assert_eq!(output.text().trim(), format!("spectral {}", env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn a_capture_that_cannot_work_fails_before_it_listens() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().port().to_string();
    let cases: &[(&[&str], &[&str])] = &[
        (&["-p", &taken], &[&taken, "-p"]),
        (&["-p", "0", "-o", "missing/capture.zip"], &["missing"]),
        (&["-p", "0", "-o", "folder"], &["folder"]),
        (&["-p", "0", "--upstream-ca", "missing.pem"], &["missing.pem", "--upstream-ca"]),
        (&["-p", "0", "--upstream-ca", "nonsense.pem"], &["nonsense.pem"]),
        (&["-p", "0", "--ca-dir", "nonsense.pem"], &["nonsense.pem"]),
        (&["-p", "0", "--listen", "192.0.2.1"], &["192.0.2.1", "--listen"]),
    ];
    for (args, words) in cases {
        let dir = TempDir::new();
        std::fs::create_dir(dir.join("folder")).unwrap();
        dir.write("nonsense.pem", "not PEM");
        dir.write("capture.zip", "previous bundle");
        let before = dir.names();
        let output = spectral(&dir, &[&["capture", "proxy"], *args].concat());
        assert_eq!(output.code, Some(1), "{args:?}: {}", output.err);
        assert_eq!(output.err.trim_end().lines().count(), 1, "{args:?}: {}", output.err);
        for word in *words {
            assert!(output.err.contains(word), "{word} in {}", output.err);
        }
        assert_eq!(output.text(), "");
        assert_eq!(std::fs::read(dir.join("capture.zip")).unwrap(), b"previous bundle", "{args:?}");
        let mut after = dir.names();
        // A new CA is allowed: no existing file is changed.
        after.retain(|name| name != ".mitmproxy");
        assert_eq!(after, before, "{args:?}");
    }
}

#[test]
fn an_unwritable_directory_fails_before_it_listens() {
    use std::os::unix::fs::PermissionsExt;
    let dir = TempDir::new();
    let locked = dir.join("locked");
    std::fs::create_dir(&locked).unwrap();
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o500)).unwrap();
    let root = std::fs::write(locked.join("probe"), "").is_ok();
    if !root {
        let output = spectral(&dir, &["capture", "proxy", "-p", "0", "-o", "locked/capture.zip"]);
        assert_eq!(output.code, Some(1));
        assert!(output.err.contains("locked"), "{}", output.err);
    }
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn the_banner_has_the_address_the_options_and_the_ca() {
    let dir = TempDir::new();
    let running = Spectral::capture(&dir, &["-d", "*.example.com", "-d", "localhost", "-o", "mine.zip"]);
    let ca = dir.join(".mitmproxy/mitmproxy-ca-cert.pem");
    running.wait_for_line("curl --cacert");
    let banner = running.err.read(|lines| lines.join("\n"));
    for word in [
        running.addr.to_string().as_str(),
        "*.example.com",
        "localhost",
        "mine.zip",
        ca.to_str().unwrap(),
        "export ",
        &format!("HTTPS_PROXY=http://{}", running.addr),
        &format!("socks5h://{}", running.addr),
        &format!("curl --cacert {}", ca.display()),
    ] {
        assert!(banner.contains(word), "{word} in\n{banner}");
    }
    assert!(!banner.to_lowercase().contains("warning"), "loopback needs no warning: {banner}");
    let output = running.interrupt();
    assert_eq!((output.code, output.text().as_str()), (Some(0), ""), "messages go to stderr");
}

#[test]
fn warns_when_listening_on_all_addresses() {
    let dir = TempDir::new();
    let running = Spectral::capture(&dir, &["--listen", "0.0.0.0"]);
    let banner = running.err.read(|lines| lines.join("\n")).to_lowercase();
    assert!(banner.contains("anyone") || running.wait_for_line("anyone").contains("anyone"), "{banner}");
    running.interrupt();
}

#[test]
fn the_summary_counts_captured_and_uncaptured_traffic() {
    let dir = TempDir::new();
    let (wanted, unwanted) = (Origin::plain_responding(HELLO), Origin::tls_responding(HELLO));
    let running = Spectral::capture(&dir, &["-o", "out.zip", "-e", &unwanted.authority("localhost")]);
    ask(&running, &wanted, "/one");
    ask(&running, &wanted, "/two");
    for _ in 0..2 {
        let mut connection = Connection::to(running.addr);
        let host = unwanted.authority("localhost");
        connection.send(format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        connection.read_head();
        TlsClient::new("localhost", vec![TestCa::trusted().der()]).start(&mut connection).unwrap();
    }
    let output = running.interrupt();
    assert_eq!(output.code, Some(0));
    let lines: Vec<_> = output.err.lines().collect();
    let at = lines.iter().position(|line| *line == "Capture bundle written to out.zip");
    let at = at.unwrap_or_else(|| panic!("{}", output.err));
    assert_eq!(lines[at + 1], "  2 exchanges, 0 WebSockets, 0 messages");
    let named = lines[at..].iter().find(|line| line.contains(&unwanted.authority("localhost")));
    assert!(named.is_some_and(|line| line.contains('2')), "{}", output.err);
}

#[test]
fn the_summary_has_the_remedy_for_clients_that_refuse_the_certificate() {
    let dir = TempDir::new();
    let origin = Origin::tls_responding(HELLO);
    let running = Spectral::capture(&dir, &[]);
    let mut connection = Connection::to(running.addr);
    let host = origin.authority("localhost");
    connection.send(format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    connection.read_head();
    TlsClient::new("localhost", vec![TestCa::trusted().der()]).start(&mut connection).unwrap_err();
    drop(connection);
    let output = running.interrupt();
    let summary = &output.err[output.err.find("Capture bundle written").unwrap()..];
    assert!(summary.contains(&host) && summary.contains("mitmproxy-ca-cert.pem"), "{summary}");
}

#[test]
fn the_default_output_is_capture_zip() {
    let (dir, _origin) = dir_with_capture();
    assert!(dir.names().contains(&"capture.zip".to_owned()));
    let bundle = crate::support::bundle::Bundle::open(&dir.join("capture.zip"));
    assert_eq!(bundle.manifest["app"]["name"], "capture");
    assert_eq!(bundle.traces.len(), 2);
}

#[test]
fn a_second_capture_keeps_the_first_as_bak() {
    let (dir, origin) = dir_with_capture();
    let first = std::fs::read(dir.join("capture.zip")).unwrap();
    let running = Spectral::capture(&dir, &[]);
    ask(&running, &origin, "/second");
    assert_eq!(std::fs::read(dir.join("capture.zip")).unwrap(), first, "replaced only when complete");
    running.interrupt();
    assert_eq!(std::fs::read(dir.join("capture.zip.bak")).unwrap(), first);
    assert_eq!(crate::support::bundle::Bundle::open(&dir.join("capture.zip")).traces.len(), 1);
}

#[test]
fn quiet_prints_only_a_port_that_was_picked() {
    let dir = TempDir::new();
    let running = Spectral::capture(&dir, &["-q"]);
    let addr = running.addr.to_string();
    let output = running.interrupt();
    assert_eq!((output.code, output.err.trim()), (Some(0), addr.as_str()));
}

#[test]
fn the_summary_names_the_previous_bundle() {
    let (dir, origin) = (TempDir::new(), Origin::plain_responding(b"HTTP/1.1 204 No Content\r\n\r\n"));
    let capture = || {
        let running = Spectral::capture(&dir, &[]);
        ask(&running, &origin, "/");
        running.interrupt().err
    };
    let first = capture();
    assert!(!first.contains(".bak"), "{first}");
    for backup in ["capture.zip.bak", "capture.zip.2.bak"] {
        let next = capture();
        assert!(next.contains(&format!("\n  The previous bundle is kept as {backup}")), "{next}");
    }
}

#[test]
fn quiet_prints_no_line_per_exchange() {
    let dir = TempDir::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let child = command(&dir, &["capture", "proxy", "-q", "-p", &port.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let origin = Origin::plain_responding(HELLO);
    // It prints nothing when it starts to listen.
    let addr = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let tcp = eventually(|| std::net::TcpStream::connect(addr).ok(), || "it does not listen".into());
    let mut connection = Connection::over(tcp);
    let host = origin.authority("127.0.0.1");
    connection.request(format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    drop(connection);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id() as i32), nix::sys::signal::Signal::SIGTERM).unwrap();
    let output = finish(child);
    assert_eq!((output.code, output.text().as_str()), (Some(0), ""));
    assert!(!output.err.contains("GET"), "no line per exchange: {}", output.err);
    assert_eq!(crate::support::bundle::Bundle::open(&dir.join("capture.zip")).traces.len(), 1);
}

/// Runs a command on a pseudo-terminal and copies its output to stdout.
const ON_A_TERMINAL: &str = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)";

/// Runs `spectral capture proxy` on a terminal of the type `term`, with `during`, and returns all its output.
fn on_a_terminal(
    args: &[&str],
    term: &str,
    during: impl FnOnce(std::net::SocketAddr, &Watched<String>),
) -> Option<String> {
    let python = peer("python3")?;
    let dir = TempDir::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let pid_file = dir.join("pid");
    let script = format!("echo $$ > {}; exec \"$@\"", pid_file.display());
    let port_text = port.to_string();
    let mut child = Command::new(python)
        .args(["-c", ON_A_TERMINAL, "sh", "-c", &script, "sh", env!("CARGO_BIN_EXE_spectral"), "capture", "proxy"])
        .args(["-p", &port_text])
        .args(args)
        .current_dir(dir.path())
        .env("HOME", dir.path())
        .env("TERM", term)
        .env_remove("NO_COLOR")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let shown = Watched::<String>::default();
    let (mut pipe, so_far) = (child.stdout.take().unwrap(), shown.clone());
    let reader = std::thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(n @ 1..) = std::io::Read::read(&mut pipe, &mut piece) {
            so_far.update(|shown| shown.push_str(&String::from_utf8_lossy(&piece[..n])));
        }
    });
    let addr = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    eventually(|| std::net::TcpStream::connect(addr).ok(), || "it does not listen".into());
    during(addr, &shown);
    let pid = std::fs::read_to_string(pid_file).unwrap().trim().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGINT).unwrap();
    assert!(wait(&mut child).is_some(), "it does not end");
    reader.join().unwrap();
    Some(shown.read(Clone::clone))
}

#[test]
fn verbose_prints_a_line_per_exchange_without_control_characters() {
    let origin = Origin::plain(|mut connection| {
        let head = connection.read_head();
        assert!(head.contains("/evil"));
        connection.send("HTTP/1.1 418 Tea\r\nContent-Length: 5\r\n\r\nshort");
    });
    let host = origin.authority("127.0.0.1");
    let shown = on_a_terminal(&["-v"], "dumb", |addr, _| {
        let mut connection = Connection::to(addr);
        // ESC and the C1 control CSI in UTF-8: either would let an origin write to the terminal.
        connection.send(format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        connection.read_head();
        connection.request(format!("GET /evil\u{9b}31m HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    });
    let Some(shown) = shown else {
        return;
    };
    let line = shown.lines().find(|line| line.contains("/evil")).unwrap_or_else(|| panic!("{shown}"));
    for word in ["GET", "418", "5", "ms"] {
        assert!(line.contains(word), "{word} in {line}");
    }
    assert!(!line.contains('\u{9b}'), "{line:?}");
}

#[test]
fn a_terminal_gets_a_status_line() {
    let origin = Origin::plain_responding(HELLO);
    let host = origin.authority("127.0.0.1");
    let talk = |addr: std::net::SocketAddr| {
        let mut connection = Connection::to(addr);
        connection.request(format!("GET http://{host}/one HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        // Reported as not captured, on its own line.
        assert_eq!(Connection::to(addr).request("GET http://127.77.77.77:1/ HTTP/1.1\r\nHost: x\r\n\r\n").status, 502);
    };
    let on_screen = on_a_terminal(&[], "xterm", |addr, shown| {
        talk(addr);
        shown.until("the status line", |shown| shown.contains("1 exchange, ").then_some(()));
    });
    let Some(shown) = on_screen else {
        return;
    };
    assert!(shown.contains("\r\u{1b}[K\u{1b}[2m1 exchange, 0 WebSockets, "), "{shown:?}");
    assert!(shown.contains(" relayed, ") && shown.contains(" open, bundle "), "{shown:?}");
    assert!(shown.contains("\r\u{1b}[Knot captured: 127.77.77.77:1: "), "the status line is erased first: {shown:?}");
    assert!(!shown.contains("/one"), "lines per exchange need -v: {shown:?}");
    let summary = shown.split("Capture bundle written").nth(1).unwrap();
    assert!(!summary.contains(" relayed, ") && !summary.contains('\u{1b}'), "{shown:?}");

    let dumb = on_a_terminal(&[], "dumb", |addr, _| talk(addr)).unwrap();
    assert!(!dumb.contains('\u{1b}') && !dumb.contains(" relayed, "), "{dumb:?}");
}

#[test]
fn a_closed_stderr_does_not_stop_a_capture() {
    let dir = TempDir::new();
    let mut child = command(&dir, &["capture", "proxy", "-p", "0"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Reads the banner up to the address, then closes the pipe.
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    let addr = lines.find_map(|line| {
        let line = line.ok()?;
        let at = line.find("127.0.0.1:")?;
        line[at..].split(|c: char| !c.is_ascii_digit() && c != '.' && c != ':').next()?.parse().ok()
    });
    drop(lines);
    let origin = Origin::plain_responding(HELLO);
    let host = origin.authority("127.0.0.1");
    for _ in 0..3 {
        let mut connection = Connection::to(addr.unwrap());
        connection.request(format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    }
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id() as i32), nix::sys::signal::Signal::SIGINT).unwrap();
    let output = finish(child);
    assert_eq!(output.code, Some(0));
    assert_eq!(crate::support::bundle::Bundle::open(&dir.join("capture.zip")).traces.len(), 3);
}

#[test]
fn a_stderr_that_is_never_read_does_not_stop_a_capture() {
    let dir = TempDir::new();
    // The port is chosen here, since the banner is not read.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let child = command(&dir, &["capture", "proxy", "-p", &port.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let dial = || std::net::TcpStream::connect(("127.0.0.1", port));
    eventually(|| dial().ok(), || "it does not listen".into());
    // Each prints a line that the host is unreachable; together they exceed the pipe's capacity.
    for unused in 1..1_000 {
        let mut connection = Connection::over(dial().unwrap());
        assert_eq!(
            connection.request(format!("GET http://127.77.77.77:{unused}/ HTTP/1.1\r\nHost: x\r\n\r\n")).status,
            502
        );
    }
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id() as i32), nix::sys::signal::Signal::SIGINT).unwrap();
    let mut child = child;
    let pipe = child.stderr.take();
    let code = crate::support::peers::wait(&mut child).and_then(|status| status.code());
    drop(pipe);
    assert_eq!(code, Some(0));
    assert!(dir.join("capture.zip").exists());
}

#[test]
fn inspect_lists_exchanges_and_shows_one() {
    let (dir, origin) = dir_with_capture();
    let output = spectral(&dir, &["capture", "inspect", "capture.zip"]).ok();
    let shown = output.text() + &output.err;
    let host = origin.authority("127.0.0.1");
    for word in ["t_0001", "t_0002", "GET", "POST", "200", &format!("http://{host}/users?page=2"), "2 exchanges"] {
        assert!(shown.contains(word), "{word} in\n{shown}");
    }

    let output = spectral(&dir, &["capture", "inspect", "capture.zip", "--trace", "t_0001"]).ok();
    let shown = output.text() + &output.err;
    for word in ["GET", "/users?page=2", "Content-Type", "application/json", "\"answer\": 42", "ms"] {
        assert!(shown.contains(word), "{word} in\n{shown}");
    }
    let output = spectral(&dir, &["capture", "inspect", "--trace", "t_0002", "capture.zip"]).ok();
    let shown = output.text() + &output.err;
    assert!(shown.contains("binary, 5 bytes"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "no control characters: {shown:?}");
}

#[test]
fn inspect_reads_a_bundle_of_the_browser_extension() {
    let dir = TempDir::new();
    let theirs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/extension.zip");
    let output = spectral(&dir, &["capture", "inspect", theirs.to_str().unwrap()]).ok();
    assert!((output.text() + &output.err).contains("t_0001"));
}

#[test]
fn inspect_fails_with_one_line() {
    let (dir, _origin) = dir_with_capture();
    dir.write("nonsense.zip", "not a ZIP file");
    for args in [&["missing.zip"][..], &["nonsense.zip"], &["capture.zip", "--trace", "t_9999"]] {
        let output = spectral(&dir, &[&["capture", "inspect"], args].concat());
        assert_eq!(output.code, Some(1), "{args:?}: {}", output.err);
        assert_eq!(output.err.trim_end().lines().count(), 1, "{args:?}: {}", output.err);
    }
}

#[test]
fn every_option_works_in_one_run() {
    let Some(curl) = find("curl") else {
        return;
    };
    let dir = TempDir::new();
    let unknown = TestCa::unknown().pem.to_str().unwrap().to_owned();
    let origin = Origin::tls_responding(HELLO);
    let args = ["--quiet", "--insecure", "--transparent", "--listen", "127.0.0.1", "--upstream-ca", &unknown];
    let args =
        [&args[..], &["--ca-dir", "my-ca", "--output", "all.zip", "--domain", "local*", "--exclude=*.evil.test"]]
            .concat();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let child = command(&dir, &[&["capture", "proxy", "--port", &port.to_string()], &args[..]].concat())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    eventually(|| std::net::TcpStream::connect(("127.0.0.1", port)).ok(), || "it does not listen".into());
    let ca = dir.join("my-ca/mitmproxy-ca-cert.pem");
    assert_eq!(ca::certificates(&ca).len(), 1);
    let output = run(Command::new(curl)
        .args(["-sS", "--noproxy", "", "--proxy", &format!("http://127.0.0.1:{port}"), "--cacert"])
        .arg(&ca)
        .arg(format!("https://{}/all", origin.authority("localhost"))))
    .ok();
    assert_eq!(output.text(), "{\"answer\":42}");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id() as i32), nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(finish(child).code, Some(0));
    crate::support::bundle::Bundle::open(&dir.join("all.zip")).only_trace();
}
