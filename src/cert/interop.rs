//! Interoperability tests: TLS clients of other projects verify our leaves. Clients that are not installed
//! are skipped.
//!
//! Each client runs handshakes against a local server. OpenSSL verifies certificate files instead.

use super::testing::{TempDir, ca_of, new_ca, now};
use super::{Ca, Leaves};
use rustls::crypto::ring;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::fs;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::thread;

/// A server's certificate, the root that a client trusts, and the expected verdict.
struct Case {
    trusted: PathBuf,
    name: String,
    certified: Arc<CertifiedKey>,
    /// `accept` or `refuse`.
    verdict: &'static str,
}

fn cases(dir: &TempDir) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut case = |ca: &Arc<Ca>, trusted: &Ca, name: &str, verdict| {
        let file = dir.join(format!("{}.pem", cases.len()));
        fs::write(&file, trusted.cert_pem()).unwrap();
        let leaves = Leaves::new(Arc::clone(ca)).unwrap();
        let certified = leaves.certificate(&name.to_owned().try_into().unwrap(), now()).unwrap();
        cases.push(Case { trusted: file, name: name.to_owned(), certified, verdict });
    };
    let created = Arc::new(new_ca(now()));
    let long = format!("{}.{}.example.com", "a".repeat(40), "b".repeat(40)); // too long for a CN, so the subject is empty
    for name in ["api.example.com", &long, "127.0.0.1", "::1"] {
        case(&created, &created, name, "accept");
    }
    for file in ["rsa-pkcs1.pem", "p384-pkcs8.pem", "path-length-0.pem"] {
        let ca = Arc::new(ca_of(file));
        case(&ca, &ca, "api.example.com", "accept");
    }
    case(&Arc::new(ca_of("issuing-with-root.pem")), &ca_of("p384-pkcs8.pem"), "api.example.com", "accept");
    case(&created, &new_ca(now()), "api.example.com", "refuse");
    assert_eq!(cases.len(), CASES);
    cases
}

/// Runs a TLS server that sends "ok" after each handshake. Returns its port.
fn serve(certified: &Arc<CertifiedKey>) -> u16 {
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(certified))));
    let config = Arc::new(config);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        while let Ok((socket, _)) = listener.accept() {
            // Fails if the client rejects the certificate.
            let _ = answer(socket, &config);
        }
    });
    port
}

fn answer(socket: TcpStream, config: &Arc<ServerConfig>) -> io::Result<()> {
    let session = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(session, socket);
    stream.write_all(b"ok")?;
    stream.conn.send_close_notify();
    stream.flush()
}

/// Runs `program` with the arguments `TRUSTED NAME PORT VERDICT` for each case. It exits with 0 if every verdict is as expected.
fn verify(tool: &str, program: impl FnOnce(&TempDir) -> Command) {
    if !is_installed(tool) {
        return;
    }
    let dir = TempDir::new();
    let mut command = program(&dir);
    for case in cases(&dir) {
        let port = serve(&case.certified);
        command.arg(case.trusted).arg(case.name).arg(port.to_string()).arg(case.verdict);
    }
    let (succeeded, output) = run(&mut command);
    assert!(succeeded, "{tool}: {output}");
    assert_eq!(output.matches("as expected").count(), CASES, "{tool}: {output}");
}

fn is_installed(tool: &str) -> bool {
    let is_installed = Command::new(tool).arg("--help").output().is_ok();
    if !is_installed {
        // Written directly to stderr: the test harness hides the output of tests that pass.
        let _ = writeln!(io::stderr(), "SKIPPED: {tool} is not installed; its verdict on our certificates is unknown");
    }
    is_installed
}

#[expect(clippy::disallowed_macros, reason = "the test harness shows it with --nocapture")]
fn run(command: &mut Command) -> (bool, String) {
    let output = command.output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{text}");
    (output.status.success(), text)
}

fn script(dir: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn strict_openssl_agrees() {
    if !is_installed("openssl") {
        return;
    }
    let dir = TempDir::new();
    for case in cases(&dir) {
        let leaf = script(&dir, "leaf.pem", &super::pem::encode_certificate(&case.certified.cert[0]));
        let chain: String = case.certified.cert[1..].iter().map(super::pem::encode_certificate).collect();
        let chain = script(&dir, "chain.pem", &chain);
        let name = if case.name.parse::<std::net::IpAddr>().is_ok() { "-verify_ip" } else { "-verify_hostname" };
        let mut openssl = Command::new("openssl");
        openssl.args(["verify", "-x509_strict", "-purpose", "sslserver", "-no-CApath", "-no-CAstore"]);
        openssl.args([name, &case.name]).arg("-CAfile").arg(case.trusted).arg("-untrusted").args([chain, leaf]);
        let (succeeded, output) = run(&mut openssl);
        assert_eq!(succeeded, case.verdict == "accept", "{}: {output}", case.name);
    }
}

#[test]
fn strict_python_agrees() {
    verify("python3", |dir| {
        let mut python = Command::new("python3");
        python.arg(script(dir, "peer.py", PYTHON));
        python
    });
}

#[test]
fn node_agrees() {
    verify("node", |dir| {
        let mut node = Command::new("node");
        node.arg(script(dir, "peer.js", NODE));
        node
    });
}

#[test]
fn java_agrees() {
    verify("java", |dir| {
        let mut java = Command::new("java");
        java.arg(script(dir, "Peer.java", JAVA));
        java
    });
}

#[test]
fn go_agrees() {
    verify("go", |dir| {
        let mut go = Command::new("go");
        go.env("GO111MODULE", "off").env("GOCACHE", dir.join("cache")).arg("run").arg(script(dir, "peer.go", GO));
        go
    });
}

const CASES: usize = 9;

/// Python 3.13 and later verify strictly by default.
const PYTHON: &str = r#"
import socket, ssl, sys
print(sys.version.split()[0], ssl.OPENSSL_VERSION)
cases = iter(sys.argv[1:])
for trusted, name, port, verdict in zip(cases, cases, cases, cases):
    context = ssl.create_default_context(cafile=trusted)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    try:
        with socket.create_connection(("127.0.0.1", int(port))) as plain:
            with context.wrap_socket(plain, server_hostname=name) as tls:
                assert tls.recv(2) == b"ok"
                found, why = "accept", tls.version()
    except ssl.SSLCertVerificationError as e:
        found, why = "refuse", e
    print(name, found, why, "as expected" if found == verdict else "UNEXPECTED")
    if found != verdict:
        sys.exit(1)
"#;

const NODE: &str = r#"
const fs = require("fs"), net = require("net"), tls = require("tls");
console.log(process.version, process.versions.openssl);
const cases = process.argv.slice(2);
(function next() {
    if (cases.length === 0) return;
    const [trusted, name, port, verdict] = cases.splice(0, 4);
    const report = (found, why) => {
        console.log(name, found, why, found === verdict ? "as expected" : "UNEXPECTED");
        if (found !== verdict) process.exit(1);
        next();
    };
    const socket = net.connect(port, "127.0.0.1");
    const options = { socket, host: name, ca: fs.readFileSync(trusted) };
    if (!net.isIP(name)) options.servername = name;
    const client = tls.connect(options);
    client.once("data", () => { report("accept", client.getProtocol()); client.destroy(); });
    client.once("error", (e) => report("refuse", e.code));
})();
"#;

const JAVA: &str = r#"
import java.io.FileInputStream;
import java.net.Socket;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.*;

public class Peer {
    public static void main(String[] cases) throws Exception {
        System.out.println(System.getProperty("java.version"));
        for (int i = 0; i < cases.length; i += 4) {
            String name = cases[i + 1], found, why;
            KeyStore trusted = KeyStore.getInstance(KeyStore.getDefaultType());
            trusted.load(null, null);
            var certificate = CertificateFactory.getInstance("X.509").generateCertificate(new FileInputStream(cases[i]));
            trusted.setCertificateEntry("ca", certificate);
            TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
            trust.init(trusted);
            SSLContext context = SSLContext.getInstance("TLS");
            context.init(null, trust.getTrustManagers(), null);
            int port = Integer.parseInt(cases[i + 2]);
            Socket plain = new Socket("127.0.0.1", port);
            try (SSLSocket tls = (SSLSocket) context.getSocketFactory().createSocket(plain, name, port, true)) {
                SSLParameters parameters = tls.getSSLParameters();
                parameters.setEndpointIdentificationAlgorithm("HTTPS");
                tls.setSSLParameters(parameters);
                tls.startHandshake();
                found = new String(tls.getInputStream().readNBytes(2)).equals("ok") ? "accept" : "nothing";
                why = tls.getSession().getProtocol();
            } catch (SSLHandshakeException e) {
                found = "refuse";
                why = e.getMessage();
            }
            boolean right = found.equals(cases[i + 3]);
            System.out.println(name + " " + found + " " + why + (right ? " as expected" : " UNEXPECTED"));
            if (!right) System.exit(1);
        }
    }
}
"#;

const GO: &str = r#"
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"runtime"
)

func main() {
	fmt.Println(runtime.Version())
	for cases := os.Args[1:]; len(cases) > 0; cases = cases[4:] {
		pem, err := os.ReadFile(cases[0])
		if err != nil {
			panic(err)
		}
		trusted := x509.NewCertPool()
		trusted.AppendCertsFromPEM(pem)
		found, why := "accept", ""
		conn, err := tls.Dial("tcp", "127.0.0.1:"+cases[2], &tls.Config{RootCAs: trusted, ServerName: cases[1]})
		if err != nil {
			found, why = "refuse", err.Error()
		} else if _, err := io.ReadFull(conn, make([]byte, 2)); err != nil {
			found, why = "nothing", err.Error()
		}
		if found != cases[3] {
			fmt.Println(cases[1], found, why, "UNEXPECTED")
			os.Exit(1)
		}
		fmt.Println(cases[1], found, why, "as expected")
	}
}
"#;
