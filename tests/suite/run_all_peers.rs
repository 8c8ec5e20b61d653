//! Programs by others under `spectral capture run --all`: with their proxies off, and without variables for roots where they have the
//! system's.
//!
//! Only the proxy trusts the suite's CA. A program that receives a response over TLS thus received it through the proxy.

use crate::support::bundle::Bundle;
use crate::support::namespaces::User;
use crate::support::peers::{Output, find, peer, report_skipped, run};
use crate::support::{Origin, TempDir};
use std::path::{Path, PathBuf};
use std::process::Command;

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";

/// Runs a command that ends with a URL, once over TLS and once in the clear, as each user. It must print "hello".
#[track_caller]
fn prints_hello(command: &[&str]) {
    prints_hello_from("localhost", command);
}

#[track_caller]
fn prints_hello_from(host: &str, command: &[&str]) {
    for user in User::all() {
        let (tls, plain) = (Origin::tls_responding(HELLO), Origin::plain_responding(HELLO));
        let urls =
            [format!("https://{}/tls", tls.authority(host)), format!("http://{}/plain", plain.authority("127.0.0.1"))];
        for url in &urls {
            let dir = user.dir();
            let output: Output = run(&mut user.run_all(&dir, &[], &[command, &[url]].concat()));
            assert_eq!(output.text().trim(), "hello", "{user:?}: {}", output.err);
            assert_eq!(Bundle::open(&dir.join("capture.zip")).urls(), [url], "{user:?}: {}", output.err);
        }
    }
}

#[test]
fn wget_without_variables() {
    if let Some(wget) = peer("wget") {
        prints_hello(&["env", "-i", wget.to_str().unwrap(), "--no-proxy", "-qO-"]);
    }
}

#[test]
fn aria2_without_variables() {
    if let Some(aria2) = peer("aria2c") {
        let line = "\"$0\" --all-proxy= --allow-overwrite -q -o file \"$1\" && cat file";
        // For localhost, it sends no server name, and expects one in the certificate.
        prints_hello_from("127.0.0.1", &["env", "-i", "PATH=/usr/bin:/bin", "sh", "-c", line, aria2.to_str().unwrap()]);
    }
}

#[test]
fn node_with_fetch() {
    let Some(node) = peer("node") else {
        return;
    };
    let fetch = "fetch(process.argv[1]).then(it => it.text()).then(console.log)";
    prints_hello(&[node.to_str().unwrap(), "-e", fetch]);
}

#[test]
fn php_without_variables() {
    if let Some(php) = peer("php") {
        prints_hello(&["env", "-i", php.to_str().unwrap(), "-r", "curl_exec(curl_init($argv[1]));"]);
    }
}

#[test]
fn python_with_http_client() {
    let python = Path::new("/usr/bin/python3");
    if !python.exists() {
        return report_skipped("python3");
    }
    let program = "
import http.client, sys, urllib.parse
url = urllib.parse.urlsplit(sys.argv[1])
client = {'https': http.client.HTTPSConnection, 'http': http.client.HTTPConnection}[url.scheme](url.netloc, timeout=20)
client.request('GET', url.path)
print(client.getresponse().read().decode())
";
    prints_hello(&[python.to_str().unwrap(), "-c", program]);
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
    client := &http.Client{Transport: &http.Transport{Proxy: nil, ForceAttemptHTTP2: true}}
    answer, err := client.Get(os.Args[1])
    if err != nil {
        fmt.Fprintln(os.Stderr, err)
        os.Exit(1)
    }
    text, _ := io.ReadAll(answer.Body)
    fmt.Println(string(text))
}
"#;

#[test]
fn a_static_go_binary_with_proxies_off() {
    if find("go").is_none() && Command::new("go").arg("version").output().is_err() {
        return report_skipped("go");
    }
    let dir = TempDir::new();
    dir.write("main.go", GO);
    let built = Command::new("go")
        .args(["build", "-o", "client", "main.go"])
        .current_dir(dir.path())
        .env("CGO_ENABLED", "0")
        .env("GO111MODULE", "off")
        .env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("go-build"))
        .env("GOPATH", dir.join("go"))
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    prints_hello(&["env", "-i", dir.join("client").to_str().unwrap()]);
}

#[test]
fn java_without_a_proxy() {
    let (Some(java), true) = (peer("java"), find("javac").is_some()) else {
        return;
    };
    let dir = TempDir::new();
    dir.write(
        "Main.java",
        "import java.net.*; import java.net.http.*; import java.net.http.HttpResponse.BodyHandlers;
         public class Main {
             public static void main(String[] args) throws Exception {
                 var client = HttpClient.newBuilder().proxy(HttpClient.Builder.NO_PROXY).build();
                 System.out.println(client.send(HttpRequest.newBuilder(URI.create(args[0])).build(), BodyHandlers.ofString()).body());
             }
         }",
    );
    let built = run(Command::new(find("javac").unwrap()).arg("Main.java").current_dir(dir.path()));
    assert_eq!(built.code, Some(0), "{}", built.err);
    let classes: PathBuf = dir.path().into();
    prints_hello(&[java.to_str().unwrap(), "-cp", classes.to_str().unwrap(), "Main"]);
}
