//! Programs under `spectral capture run` that need more than the variables of a proxy and of roots.

use crate::support::bundle::Bundle;
use crate::support::cli::capture_run;
use crate::support::peers::{Output, peer, report_skipped, run};
use crate::support::{Connection, Origin, TempDir, next_request};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";

/// Returns PHP with its curl extension, which the settings in its own directory load.
fn php() -> Option<PathBuf> {
    let php = peer("php")?;
    let has_curl = ["-r", "exit(extension_loaded('curl') ? 0 : 1);"];
    if run(Command::new(&php).args(has_curl)).code != Some(0) {
        report_skipped("php-curl");
        return None;
    }
    Some(php)
}

const PHP_CURL: &str = "
$curl = curl_init($argv[1]);
curl_setopt($curl, CURLOPT_RETURNTRANSFER, true);
$text = curl_exec($curl);
echo $text === false ? curl_error($curl) : $text;
";

#[test]
fn php_with_curl_trusts_the_ca_and_keeps_its_own_settings() {
    let Some(php) = php() else {
        return;
    };
    let origin = Origin::tls_responding(HELLO);
    let url = format!("https://{}/php", origin.authority("localhost"));
    let own = TempDir::new();
    own.write("mine.ini", "user_agent = mine\n");
    // An empty part of the list stands for PHP's own directories.
    let lists = [None, Some(format!("{}:", own.path().display())), Some(format!(":{}", own.path().display()))];
    for list in lists {
        let dir = TempDir::new();
        let program = format!("{PHP_CURL} echo ' ', ini_get('user_agent');");
        let fetch = [php.to_str().unwrap(), "-r", &program, "--", &url];
        let mut command = capture_run(&dir, &[], &fetch);
        let output = match &list {
            Some(list) => run(command.env("PHP_INI_SCAN_DIR", list)),
            None => run(&mut command),
        };
        let expected = if list.is_some() { "hello mine" } else { "hello " };
        assert_eq!(output.ok().text(), expected, "{list:?}");
        assert_eq!(Bundle::open(&dir.join("capture.zip")).urls(), [url.as_str()], "{list:?}");
    }
}

/// Runs `apt-get update` in directories of its own, with an https source.
fn apt_update(dir: &TempDir, apt: &std::path::Path, source: &str, config: Option<&std::path::Path>) -> Output {
    for folder in ["lists/partial", "cache/archives/partial"] {
        std::fs::create_dir_all(dir.join(folder)).unwrap();
    }
    let list = dir.write("sources.list", format!("deb [trusted=yes] {source} ./\n"));
    let at = |name: &str, path: PathBuf| format!("{name}={}", path.display());
    let options = [
        at("Dir::Etc::sourcelist", list),
        "Dir::Etc::sourceparts=-".to_owned(),
        at("Dir::State", dir.path().into()),
        at("Dir::State::lists", dir.join("lists")),
        at("Dir::Cache", dir.join("cache")),
        at("Dir::Log", dir.path().into()),
        // As another user, apt could not read this test's directories.
        "APT::Sandbox::User=".to_owned(),
    ];
    let mut update = vec![apt.to_str().unwrap(), "update", "--error-on=any"];
    update.extend(options.iter().flat_map(|option| ["-o", option.as_str()]));
    let mut command = capture_run(dir, &[], &update);
    if let Some(config) = config {
        command.env("APT_CONFIG", config);
    }
    run(&mut command)
}

#[test]
fn apt_updates_from_an_https_source_and_keeps_its_own_configuration() {
    let Some(apt) = peer("apt-get") else {
        return;
    };
    let origin = Origin::tls(|mut connection| {
        while let Some((head, _)) = next_request(&mut connection) {
            let is_index = head.starts_with("GET /./Packages HTTP");
            let status = if is_index { "200 OK" } else { "404 Not Found" };
            connection.send(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"));
        }
    });
    let source = format!("https://{}/", origin.authority("localhost"));
    let dir = TempDir::new();
    apt_update(&dir, &apt, &source, None).ok();
    assert_eq!(Bundle::open(&dir.join("capture.zip")).trace("/./Packages").status(), 200);

    let dir = TempDir::new();
    let own = dir.write("my apt.conf", "Acquire::http::User-Agent \"mine\";\nAcquire::https::User-Agent \"mine\";\n");
    apt_update(&dir, &apt, &source, Some(&own)).ok();
    let bundle = Bundle::open(&dir.join("capture.zip"));
    let headers = bundle.trace("/./Packages").request_headers();
    assert!(headers.contains(&("User-Agent", "mine")), "{headers:?}");
}

/// wget2 1.99 sends TLS to an HTTP proxy, and plain requests without the port.
#[test]
fn wget2_connects_directly_and_keeps_its_own_settings() {
    let Some(wget2) = peer("wget2") else {
        return;
    };
    let answer = |mut connection: Connection| {
        while let Some((head, _)) = next_request(&mut connection) {
            assert!(head.contains("User-Agent: mine\r\n"), "{head}");
            connection.send(HELLO);
        }
    };
    let (tls, plain) = (Origin::tls(answer), Origin::plain(answer));
    for url in [
        format!("https://{}/tls", tls.authority("localhost")),
        format!("http://{}/plain", plain.authority("localhost")),
    ] {
        let dir = TempDir::new();
        dir.write(".wget2rc", "user-agent = mine\n");
        let fetch = [wget2.to_str().unwrap(), "-qO-", "--no-check-certificate", &url];
        let output = run(&mut capture_run(&dir, &["-q"], &fetch)).ok();
        assert_eq!((output.text().as_str(), output.err.as_str()), ("hello", ""), "{url}");
        assert_eq!(Bundle::open(&dir.join("capture.zip")).traces.len(), 0, "{url}");
    }
}

#[test]
fn perl_with_lwp_uses_the_proxy() {
    let Some(perl) = peer("perl") else {
        return;
    };
    if run(Command::new(&perl).args(["-MLWP::UserAgent", "-MLWP::Protocol::https", "-e", "1"])).code != Some(0) {
        return report_skipped("libwww-perl");
    }
    let program = "my $r = LWP::UserAgent->new->get($ARGV[0]); print $r->decoded_content";
    let (tls, plain) = (Origin::tls_responding(HELLO), Origin::plain_responding(HELLO));
    for url in [
        format!("https://{}/tls", tls.authority("localhost")),
        format!("http://{}/plain", plain.authority("localhost")),
    ] {
        let dir = TempDir::new();
        let fetch = [perl.to_str().unwrap(), "-MLWP::UserAgent", "-we", program, &url];
        let output = run(&mut capture_run(&dir, &["-q"], &fetch)).ok();
        assert_eq!((output.text().as_str(), output.err.as_str()), ("hello", ""));
        assert_eq!(Bundle::open(&dir.join("capture.zip")).urls(), [url]);
    }
}

/// Serves one file of one FTP client.
fn ftp_server() -> (u16, std::thread::JoinHandle<std::io::Result<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = move || {
        let (mut control, _) = listener.accept()?;
        let data = TcpListener::bind("127.0.0.1:0")?;
        let mut lines = BufReader::new(control.try_clone()?).lines();
        control.write_all(b"220 ready\r\n")?;
        while let Some(Ok(line)) = lines.next() {
            let command = line.split(' ').next().unwrap_or_default();
            let answer = match command {
                "USER" => "331 password".to_owned(),
                "PASS" => "230 logged in".to_owned(),
                "PWD" => "257 \"/\"".to_owned(),
                "EPSV" => format!("229 Entering (|||{}|)", data.local_addr()?.port()),
                "TYPE" => "200 ok".to_owned(),
                "SIZE" => "213 5".to_owned(),
                "RETR" => {
                    control.write_all(b"150 here it is\r\n")?;
                    data.accept()?.0.write_all(b"hello")?;
                    "226 done".to_owned()
                }
                "QUIT" => return control.write_all(b"221 bye\r\n"),
                _ => "502 unknown".to_owned(),
            };
            control.write_all(format!("{answer}\r\n").as_bytes())?;
        }
        Ok(())
    };
    (port, std::thread::spawn(serve))
}

#[test]
fn ftp_goes_to_its_origin() {
    let Some(curl) = peer("curl") else {
        return;
    };
    let (port, server) = ftp_server();
    let dir = TempDir::new();
    let fetch = [curl.to_str().unwrap(), "-sS", &format!("ftp://127.0.0.1:{port}/file")];
    // A proxy for every protocol is removed, as those for HTTP are replaced.
    let output = run(capture_run(&dir, &[], &fetch).env("ALL_PROXY", "http://127.0.0.1:1")).ok();
    assert_eq!(output.text(), "hello", "{}", output.err);
    assert_eq!(Bundle::open(&dir.join("capture.zip")).traces.len(), 0);
    server.join().unwrap().unwrap();
}

#[test]
fn warns_if_settings_cannot_contain_the_path_of_the_certificate() {
    let dir = TempDir::new();
    for (name, expected) in
        [("plain", None), ("a:b", Some("PHP will refuse")), ("a$b", Some("apt and PHP will refuse"))]
    {
        let temporary = dir.join(name);
        std::fs::create_dir(&temporary).unwrap();
        let output = run(capture_run(&dir, &["-o", &format!("{name}.zip")], &["true"]).env("TMPDIR", temporary)).ok();
        let warning = output.err.lines().find(|line| line.contains("will refuse"));
        let prefix = expected.map(|expected| format!("spectral: warning: {expected} the certificate: "));
        assert_eq!(warning.is_some(), prefix.is_some(), "{}", output.err);
        assert!(warning.unwrap_or_default().starts_with(&prefix.unwrap_or_default()), "{}", output.err);
    }
}

#[test]
fn the_exit_code_is_that_of_the_command_if_sigchld_is_ignored() {
    let dir = TempDir::new();
    let Some(python) = peer("python3") else {
        return;
    };
    let ignore =
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])";
    let mut command = Command::new(python);
    command.args(["-c", ignore, env!("CARGO_BIN_EXE_spectral"), "capture", "run", "--", "sh", "-c", "exit 7"]);
    let output = run(command.current_dir(dir.path()).env("HOME", dir.path()));
    assert_eq!(output.code, Some(7), "{}", output.err);
}
