//! Programs by others under `spectral capture run`, without any other setup.
//!
//! Only the proxy trusts the suite's CA. A program that receives a response over TLS thus received it through the
//! proxy.

use crate::support::bundle::Bundle;
use crate::support::cli::capture_run;
use crate::support::peers::{Output, find, newest_python, peer, python_with, report_skipped, run};
use crate::support::{CertSpec, Origin, TempDir, TlsSetup, respond_to_all};
use std::path::{Path, PathBuf};
use std::process::Command;

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";

/// The result of a captured command.
struct Captured {
    output: Output,
    bundle: Bundle,
    dir: TempDir,
}

/// Runs a program with `args` under capture. It must succeed.
#[track_caller]
fn captured<A: AsRef<std::ffi::OsStr>>(program: &Path, args: &[A]) -> Captured {
    captured_in(TempDir::new(), program, args)
}

#[track_caller]
fn captured_in<A: AsRef<std::ffi::OsStr>>(dir: TempDir, program: &Path, args: &[A]) -> Captured {
    let command: Vec<_> = [program.as_os_str()].into_iter().chain(args.iter().map(AsRef::as_ref)).collect();
    let output = run(&mut capture_run(&dir, &[], &command)).ok();
    let bundle = Bundle::open(&dir.join("capture.zip"));
    Captured { output, bundle, dir }
}

/// Runs a program with `args` and an https URL, then with an http URL. It must print "hello" for each.
#[track_caller]
fn prints_hello(program: &Path, args: &[&str]) {
    let (tls, plain) = (Origin::tls_responding(HELLO), Origin::plain_responding(HELLO));
    let urls = [
        format!("https://{}/tls", tls.authority("localhost")),
        format!("http://{}/plain", plain.authority("localhost")),
    ];
    for url in &urls {
        let args: Vec<_> = args.iter().copied().chain([url.as_str()]).collect();
        let captured = captured(program, &args);
        assert_eq!(captured.output.text().trim(), "hello", "{}", captured.output.err);
        assert_eq!(captured.bundle.urls(), [url], "{}", captured.output.err);
    }
}

#[test]
fn curl() {
    if let Some(curl) = peer("curl") {
        prints_hello(&curl, &["-sS"]);
    }
}

#[test]
fn wget() {
    if let Some(wget) = peer("wget") {
        prints_hello(&wget, &["-q", "-O", "-"]);
    }
}

#[test]
fn python_with_urllib() {
    let program = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=20).read().decode())";
    if let Some(python) = newest_python() {
        prints_hello(&python, &["-c", program]);
    }
}

#[test]
fn python_with_requests() {
    if let Some(python) = python_with("requests") {
        prints_hello(&python, &["-c", "import requests, sys; print(requests.get(sys.argv[1], timeout=20).text)"]);
    }
}

#[test]
fn python_with_httpx() {
    if let Some(python) = python_with("httpx") {
        prints_hello(&python, &["-c", "import httpx, sys; print(httpx.get(sys.argv[1], timeout=20).text)"]);
    }
}

const AIOHTTP: &str = "
import aiohttp, asyncio, sys
async def main():
    async with aiohttp.ClientSession(trust_env=sys.argv[1] == 'trust_env') as session:
        async with session.get(sys.argv[2], ssl=sys.argv[1] == 'trust_env') as answer:
            print(await answer.text())
asyncio.run(main())
";

#[test]
fn python_with_aiohttp_and_trust_env() {
    let Some(python) = python_with("aiohttp") else {
        return;
    };
    prints_hello(&python, &["-c", AIOHTTP, "trust_env"]);
    // Without trust_env it connects to the origin directly, and the summary reports that.
    let origin = Origin::tls_responding(HELLO);
    let url = format!("https://{}/", origin.authority("localhost"));
    let captured = captured(&python, &["-c", AIOHTTP, "left alone", &url]);
    assert_eq!(captured.output.text().trim(), "hello");
    let nothing = "Nothing was captured: no connection reached the proxy.";
    assert!(captured.output.err.contains(nothing), "{}", captured.output.err);
}

/// The npm configuration sets its own roots, which must not override ours.
#[test]
fn npm_views_a_package() {
    let Some(npm) = peer("npm") else {
        return;
    };
    let package = r#"{"name":"demo","dist-tags":{"latest":"1.2.3"},"versions":{"1.2.3":{"name":"demo","version":"1.2.3","dist":{}}}}"#;
    let len = package.len();
    let origin = Origin::tls_responding(format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len}\r\n\r\n{package}"
    ));
    let dir = TempDir::new();
    dir.write(".npmrc", format!("cafile={}\n", crate::support::TestCa::unknown().pem.display()));
    let registry = format!("--registry=https://{}/", origin.authority("localhost"));
    let captured = captured_in(dir, &npm, &["view", "demo", "version", &registry]);
    assert_eq!(captured.output.text().trim(), "1.2.3", "{}", captured.output.err);
    // npm may check for updates of itself, too.
    captured.bundle.trace("/demo");
}

const GO: &str = r#"
package main

import (
    "fmt"
    "io"
    "net/http"
    "os"
)

func main() {
    answer, err := http.Get(os.Args[1])
    if err != nil {
        fmt.Fprintln(os.Stderr, err)
        os.Exit(1)
    }
    text, _ := io.ReadAll(answer.Body)
    fmt.Println(string(text))
}
"#;

/// Go never uses a proxy for `localhost` or a loopback address. The URL therefore names 0.0.0.0, which reaches this
/// machine too and which Go does not treat as loopback.
#[test]
fn go_except_for_loopback() {
    if find("go").is_none() && Command::new("go").arg("version").output().is_err() {
        return report_skipped("go");
    }
    let dir = TempDir::new();
    dir.write("main.go", GO);
    let built = Command::new("go")
        .args(["build", "-o", "client", "main.go"])
        .current_dir(dir.path())
        .env("GO111MODULE", "off")
        .env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("go-build"))
        .env("GOPATH", dir.join("go"))
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let client = dir.join("client");

    let cert_spec = CertSpec { names: vec!["0.0.0.0".into()], ..CertSpec::default() };
    let origin = Origin::tls_with(TlsSetup { cert_spec, ..TlsSetup::default() }, |connection| {
        respond_to_all(connection, HELLO.as_bytes())
    });
    let url = format!("https://{}/go", origin.authority("0.0.0.0"));
    let through = captured(&client, &[&url]);
    assert_eq!((through.output.text().trim(), through.bundle.urls()), ("hello", vec![url.as_str()]));

    let origin = Origin::plain_responding(HELLO);
    let url = format!("http://{}/go", origin.authority("localhost"));
    let direct = captured(&client, &[&url]);
    assert_eq!((direct.output.text().trim(), direct.bundle.traces.len()), ("hello", 0));
    assert!(direct.output.err.contains("Go for loopback addresses"), "{}", direct.output.err);
}

const JAVA: &str = r#"
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;

public class Main {
    public static void main(String[] args) throws Exception {
        URI uri = URI.create(args[1]);
        if (args[0].equals("HttpClient")) {
            var request = HttpRequest.newBuilder(uri).build();
            System.out.println(HttpClient.newHttpClient().send(request, BodyHandlers.ofString()).body());
        } else {
            System.out.println(new String(uri.toURL().openStream().readAllBytes()));
        }
    }
}
"#;

#[test]
fn java_with_both_http_clients() {
    let Some(java) = peer("java") else {
        return;
    };
    let dir = TempDir::new();
    let source = dir.write("Main.java", JAVA);
    for client in ["HttpClient", "URLConnection"] {
        prints_hello(&java, &[source.to_str().unwrap(), client]);
    }
}

/// An origin that serves the files below `folder`.
fn file_server(folder: PathBuf) -> Origin {
    Origin::tls(move |mut connection| {
        while let Some((head, _)) = crate::support::next_request(&mut connection) {
            let target = head.split(' ').nth(1).unwrap();
            let path = target.split(['?', '#']).next().unwrap().trim_start_matches('/');
            let found = if path.contains("..") { None } else { std::fs::read(folder.join(path)).ok() };
            let found = found.or_else(|| std::fs::read(folder.join(path).join("index.html")).ok());
            let kind =
                if found.as_deref().is_some_and(|body| body.starts_with(b"<!")) { "text/html" } else { "text/plain" };
            let (status, body) = found.map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
            connection
                .send(format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len()));
            connection.send(body);
        }
    })
}

#[test]
fn git_clones_over_https() {
    let Some(git) = peer("git") else {
        return;
    };
    let dir = TempDir::new();
    dir.write("file.txt", "in the repository\n");
    let done = |args: &[&str]| {
        let mut command = Command::new(&git);
        command.args(["-c", "user.name=a", "-c", "user.email=a@example.com"]).args(args);
        command.current_dir(dir.path()).env("HOME", dir.path()).env("GIT_CONFIG_NOSYSTEM", "1");
        run(&mut command).ok();
    };
    done(&["init", "-q"]);
    done(&["add", "file.txt"]);
    done(&["commit", "-q", "-m", "one"]);
    done(&["clone", "-q", "--bare", ".", "origin.git"]);
    done(&["--git-dir", "origin.git", "update-server-info"]);
    let origin = file_server(dir.path().to_owned());
    let url = format!("https://{}/origin.git", origin.authority("localhost"));
    let captured = captured(&git, &["clone", "-q", &url, "clone"]);
    let file = std::fs::read_to_string(captured.dir.join("clone/file.txt")).unwrap();
    assert_eq!(file, "in the repository\n");
    let first = captured.bundle.traces[0].url();
    assert_eq!(first, format!("{url}/info/refs?service=git-upload-pack"));
}

/// A minimal Python wheel.
fn wheel() -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, text) in [
        ("demo/__init__.py", ""),
        ("demo-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"),
        ("demo-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: a\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
        ("demo-1.0.dist-info/RECORD", ""),
    ] {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        std::io::Write::write_all(&mut zip, text.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn pip_downloads() {
    let Some(python) = python_with("pip") else {
        return;
    };
    let dir = TempDir::new();
    std::fs::create_dir_all(dir.join("simple/demo")).unwrap();
    dir.write("simple/demo/demo-1.0-py3-none-any.whl", wheel());
    dir.write(
        "simple/demo/index.html",
        "<!doctype html><a href=\"demo-1.0-py3-none-any.whl\">demo-1.0-py3-none-any.whl</a>",
    );
    let origin = file_server(dir.path().to_owned());
    let index = format!("https://{}/simple/", origin.authority("localhost"));
    let args = ["-m", "pip", "download", "-q", "--no-cache-dir", "--disable-pip-version-check", "--no-deps"];
    let captured = captured(&python, &[&args[..], &["--index-url", &index, "demo"]].concat());
    assert_eq!(std::fs::read(captured.dir.join("demo-1.0-py3-none-any.whl")).unwrap(), wheel());
    captured.bundle.trace("/simple/demo/demo-1.0-py3-none-any.whl");
}

/// Cargo with a registry of one crate.
#[test]
fn cargo_fetches() {
    let cargo = PathBuf::from(std::env::var_os("CARGO").expect("cargo runs the suite"));
    let dir = TempDir::new();
    for folder in ["demo/src", "user/src", "user/.cargo", "index/de/mo", "crates"] {
        std::fs::create_dir_all(dir.join(folder)).unwrap();
    }
    let manifest = |name: &str, more: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[workspace]\n{more}")
    };
    dir.write("demo/Cargo.toml", manifest("demo", ""));
    dir.write("demo/src/lib.rs", "");
    let packed = Command::new(&cargo)
        .args(["package", "--no-verify", "--allow-dirty", "--offline", "--quiet", "--target-dir", "target"])
        .current_dir(dir.join("demo"))
        .output()
        .unwrap();
    assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
    let package = std::fs::read(dir.join("demo/target/package/demo-1.0.0.crate")).unwrap();
    let digest = ring::digest::digest(&ring::digest::SHA256, &package);
    let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    dir.write("crates/demo", &package);
    dir.write(
        "index/de/mo/demo",
        format!("{{\"name\":\"demo\",\"vers\":\"1.0.0\",\"deps\":[],\"cksum\":\"{digest}\",\"features\":{{}},\"yanked\":false}}\n"),
    );
    let origin = file_server(dir.path().to_owned());
    let url = format!("https://{}", origin.authority("localhost"));
    dir.write("index/config.json", format!("{{\"dl\":\"{url}/crates/{{crate}}\"}}"));
    dir.write("user/Cargo.toml", manifest("user", "[dependencies]\ndemo = { version = \"1\", registry = \"mine\" }\n"));
    dir.write("user/src/lib.rs", "");
    dir.write("user/.cargo/config.toml", format!("[registries.mine]\nindex = \"sparse+{url}/index/\"\n"));

    let ca_dir = dir.join("ca");
    let mut command = capture_run(
        &dir,
        &["-o", "fetch.zip", "--ca-dir", ca_dir.to_str().unwrap()],
        &[
            cargo.as_os_str(),
            "fetch".as_ref(),
            "--quiet".as_ref(),
            "--manifest-path".as_ref(),
            dir.join("user/Cargo.toml").as_os_str(),
        ],
    );
    command.current_dir(dir.join("user")).env("CARGO_HOME", dir.join("cargo-home"));
    // HOME has the toolchain; only CARGO_HOME differs.
    command.envs(std::env::var_os("HOME").map(|home| ("HOME", home)));
    run(&mut command).ok();
    let bundle = Bundle::open(&dir.join("user/fetch.zip"));
    assert_eq!(bundle.trace("/crates/demo").response_body, package);
    bundle.trace("/index/config.json");
    bundle.trace("/index/de/mo/demo");
}
