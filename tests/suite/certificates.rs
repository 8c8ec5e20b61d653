//! The CA's files, the leaf certificates that clients receive, and TLS clients of other projects that verify both.

use crate::support::cli::{Spectral, ca_in, spectral};
use crate::support::peers::{find, newest_python, peer, run};
use crate::support::{Capture, Origin, TempDir, TestCa, ca::epoch_seconds, options};
use spectral_capture::{CaSource, Config, Proxy};
use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use x509_parser::prelude::*;

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
const DAY: i64 = 24 * 60 * 60;

/// Returns the leaf that a client receives with the SNI `name` after `CONNECT host`.
#[track_caller]
fn leaf(capture: &Capture, origin: &Origin, host: &str, name: &str) -> Vec<u8> {
    capture.tls(&origin.authority(host), name).peer_certificate().to_vec()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_leaf_has_the_fields_that_strict_verifiers_require() {
    let origin = Origin::tls_responding(HELLO);
    let capture = Capture::start();
    let der = leaf(&capture, &origin, "127.0.0.1", "api.example.test");
    let (_, cert) = X509Certificate::from_der(&der).unwrap();
    let (not_before, not_after) = (cert.validity.not_before.timestamp(), cert.validity.not_after.timestamp());
    let now = epoch_seconds();
    assert!((DAY / 2..2 * DAY).contains(&(now - not_before)), "backdated by {} s", now - not_before);
    assert!(not_after > now && not_after - not_before <= 45 * DAY, "{} days in all", (not_after - not_before) / DAY);
    let names = &cert.subject_alternative_name().unwrap().unwrap().value.general_names;
    assert_eq!(names, &[GeneralName::DNSName("api.example.test")]);
    let cn: Vec<_> = cert.subject().iter_common_name().map(|cn| cn.as_str().unwrap()).collect();
    assert_eq!(cn, ["api.example.test"]);
    let usage = cert.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.digital_signature() && usage.value.flags == 1, "{:?}", usage.value);
    let extended = cert.extended_key_usage().unwrap().unwrap().value;
    assert!(extended.server_auth && !extended.client_auth && !extended.any, "{extended:?}");
    assert!(!cert.basic_constraints().unwrap().unwrap().value.ca);
    let (_, pem) = x509_parser::pem::parse_x509_pem(&std::fs::read(capture.ca.as_ref().unwrap()).unwrap()).unwrap();
    let ca = pem.parse_x509().unwrap();
    assert_eq!(cert.issuer(), ca.subject());
    let key_ids = |cert: &X509Certificate<'_>| {
        let (mut subject, mut authority) = (None, None);
        for extension in cert.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => subject = Some(id.0.to_vec()),
                ParsedExtension::AuthorityKeyIdentifier(id) => {
                    authority = id.key_identifier.as_ref().map(|id| id.0.to_vec());
                }
                _ => {}
            }
        }
        (subject, authority)
    };
    assert_eq!(key_ids(&cert), (None, key_ids(&ca).0), "the CA's key identifier, and no subject key identifier");
    assert!(key_ids(&ca).0.is_some());
}

#[test]
fn a_new_ca_has_the_fields_that_strict_verifiers_require() {
    let capture = Capture::start();
    let (_, pem) = x509_parser::pem::parse_x509_pem(&std::fs::read(capture.ca.as_ref().unwrap()).unwrap()).unwrap();
    let ca = pem.parse_x509().unwrap();
    let years = (ca.validity.not_after.timestamp() - epoch_seconds()) as f64 / DAY as f64 / 365.25;
    assert!((9.9..10.1).contains(&years), "{years} years");
    let backdated = epoch_seconds() - ca.validity.not_before.timestamp();
    assert!((DAY..3 * DAY).contains(&backdated), "{backdated} s");
    let constraints = ca.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical && constraints.value.ca);
    let usage = ca.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.key_cert_sign(), "{:?}", usage.value);
    assert!(ca.subject().iter_common_name().count() == 1 && ca.subject().iter_organization().count() == 1);
    // Each new CA has a different name: two with one name and different keys conflict in trust stores.
    let other = Capture::start();
    let (_, pem) = x509_parser::pem::parse_x509_pem(&std::fs::read(other.ca.as_ref().unwrap()).unwrap()).unwrap();
    assert_ne!(pem.parse_x509().unwrap().subject().as_raw(), ca.subject().as_raw());
}

#[test]
fn leaves_for_addresses_and_long_names_have_distinct_serials() {
    let origin = Origin::tls_with(
        crate::support::TlsSetup {
            cert_spec: crate::support::CertSpec {
                names: vec!["127.0.0.1".into(), long_name(), "localhost".into()],
                ..Default::default()
            },
            ..Default::default()
        },
        |_| (),
    );
    let capture = Capture::start();
    let der = leaf(&capture, &origin, "127.0.0.1", "127.0.0.1");
    let (_, cert) = X509Certificate::from_der(&der).unwrap();
    let names = &cert.subject_alternative_name().unwrap().unwrap().value.general_names;
    assert_eq!(names, &[GeneralName::IPAddress(&[127, 0, 0, 1])]);

    let der = leaf(&capture, &origin, "127.0.0.1", &long_name());
    let (_, cert) = X509Certificate::from_der(&der).unwrap();
    assert_eq!(
        cert.subject().iter_common_name().count(),
        0,
        "a CN has at most 64 characters (RFC 5280 ub-common-name)"
    );

    let serial = |der: &[u8]| X509Certificate::from_der(der).unwrap().1.raw_serial().to_vec();
    let key = |der: &[u8]| X509Certificate::from_der(der).unwrap().1.public_key().raw.to_vec();
    let again = leaf(&capture, &origin, "127.0.0.1", &long_name());
    assert_eq!(again, der, "cached for the next connection");
    let other = leaf(&capture, &origin, "127.0.0.1", "localhost");
    assert_ne!(serial(&other), serial(&der));
    assert_eq!(key(&other), key(&der), "one key per run");
    let restarted = leaf(
        &Capture::with(|c| options(c).ca = CaSource::Dir(capture.dir.join("ca"))),
        &origin,
        "127.0.0.1",
        "localhost",
    );
    assert_ne!(serial(&restarted), serial(&other), "a CA never repeats a serial");
    assert_ne!(key(&restarted), key(&other));
}

/// Returns a DNS name of more than 64 characters.
fn long_name() -> String {
    format!("{}.{}.example.test", "a".repeat(40), "b".repeat(40))
}

#[test]
fn the_first_run_creates_a_ca_in_mitmproxys_layout() {
    let dir = TempDir::new();
    let running = Spectral::capture(&dir, &[]);
    let folder = dir.join(".mitmproxy");
    let mut names: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["mitmproxy-ca-cert.cer", "mitmproxy-ca-cert.pem", "mitmproxy-ca.pem"]);
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join("mitmproxy-ca.pem")), 0o600);
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    assert_eq!(read("mitmproxy-ca-cert.pem"), read("mitmproxy-ca-cert.cer"));
    let both = read("mitmproxy-ca.pem");
    assert!(
        both.contains("PRIVATE KEY-----") && both.contains(read("mitmproxy-ca-cert.pem").trim()),
        "key and certificate"
    );
    assert!(!read("mitmproxy-ca-cert.pem").contains("PRIVATE"));
    running.interrupt();
    // The second run uses the same CA.
    let again = Spectral::capture(&dir, &[]);
    again.interrupt();
    assert_eq!(read("mitmproxy-ca.pem"), both);
}

#[test]
fn concurrent_first_runs_use_one_ca() {
    let dir = TempDir::new();
    let cas: Vec<_> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4)
            .map(|number| {
                let dir = &dir;
                scope.spawn(move || {
                    let mut config = Config::capture(dir.join(&format!("{number}.zip")));
                    config.listen.set_port(0);
                    options(&mut config).ca = CaSource::Dir(dir.join("ca"));
                    let proxy = Proxy::bind(config).unwrap();
                    std::fs::read(proxy.ca_cert().unwrap()).unwrap()
                })
            })
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert_eq!(cas.iter().collect::<HashSet<_>>().len(), 1);
    let names = std::fs::read_dir(dir.join("ca")).unwrap().count();
    assert_eq!(names, 3, "no temporary file is left");
}

/// Creates a CA in mitmproxy's layout with openssl. `key` is the command that generates the key.
#[track_caller]
fn create_with_openssl(openssl: &Path, dir: &TempDir, key: &[&str], cert_first: bool) -> String {
    let folder = dir.join("ca");
    std::fs::create_dir(&folder).unwrap();
    let key_file = dir.join("key.pem");
    let (command, options) = key.split_first().unwrap();
    run(Command::new(openssl).arg(command).arg("-out").arg(&key_file).args(options)).ok();
    let cert = run(Command::new(openssl)
        .args(["req", "-x509", "-new", "-days", "100", "-subj", "/CN=theirs/O=theirs", "-key"])
        .arg(&key_file)
        .args(["-addext", "keyUsage=critical,keyCertSign,cRLSign"]))
    .ok()
    .text();
    let key = std::fs::read_to_string(key_file).unwrap();
    let both = if cert_first { format!("{cert}{key}") } else { format!("{key}{cert}") };
    let file = folder.join("mitmproxy-ca.pem");
    std::fs::write(&file, &both).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    both
}

#[test]
fn an_existing_ca_is_used_unchanged() {
    let Some(openssl) = peer("openssl") else {
        return;
    };
    let kinds: [&[&str]; 4] = [
        &["genrsa", "-traditional", "2048"],
        &["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        &["ecparam", "-name", "prime256v1", "-genkey", "-noout"],
        &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    ];
    let origin = Origin::tls_responding(HELLO);
    for kind in kinds {
        for cert_first in [false, true] {
            let dir = TempDir::new();
            let both = create_with_openssl(&openssl, &dir, kind, cert_first);
            let capture = Capture::with(|config| options(config).ca = CaSource::Dir(dir.join("ca")));
            let file = dir.join("ca/mitmproxy-ca.pem");
            assert_eq!(std::fs::read_to_string(&file).unwrap(), both, "changed");
            let client = crate::support::TlsClient::new("localhost", crate::support::ca::certificates(&file));
            let mut connection = capture.tls_with(&origin.authority("localhost"), &client);
            assert_eq!(
                connection.request("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").text(),
                "hello",
                "{kind:?} {cert_first}"
            );
            let der = connection.peer_certificate();
            let issuer = X509Certificate::from_der(&der).unwrap().1.issuer().to_string();
            assert!(issuer.contains("theirs"), "{issuer}");
        }
    }
}

#[test]
fn a_damaged_ca_is_an_error_and_is_not_changed() {
    let mut damaged = vec![
        ("empty", String::new()),
        ("nonsense", "not PEM".to_owned()),
        ("a certificate without a key", std::fs::read_to_string(&TestCa::trusted().pem).unwrap()),
        ("a CA with name constraints", include_str!("../data/ca/name-constraints.pem").to_owned()),
        ("a CA for clients only", include_str!("../data/ca/only-for-clients.pem").to_owned()),
        ("half a file", std::fs::read_to_string(&TestCa::trusted().pem).unwrap()[..200].to_owned()),
    ];
    if let Some(openssl) = find("openssl") {
        let encrypted = ["genrsa", "-aes128", "-passout", "pass:secret", "2048"];
        let key = run(Command::new(&openssl).args(encrypted)).ok().text();
        let cert = std::fs::read_to_string(&TestCa::trusted().pem).unwrap();
        damaged.push(("a key with a passphrase", format!("{key}{cert}")));
        let unrelated = run(Command::new(&openssl).args(["genrsa", "2048"])).ok().text();
        damaged.push(("a key of another certificate", format!("{unrelated}{cert}")));
    }
    for (case, text) in damaged {
        let dir = TempDir::new();
        std::fs::create_dir(dir.join("ca")).unwrap();
        let file = dir.write_private("ca/mitmproxy-ca.pem", &text);
        let output = spectral(&dir, &["capture", "proxy", "-p", "0", "--ca-dir", dir.join("ca").to_str().unwrap()]);
        assert_eq!(output.code, Some(1), "{case}: {}", output.err);
        assert_eq!(output.err.trim().lines().count(), 1, "{case}: {}", output.err);
        assert!(output.err.contains("mitmproxy-ca.pem"), "{case}: {}", output.err);
        if case.contains("passphrase") {
            assert!(output.err.to_lowercase().contains("passphrase"), "{}", output.err);
        }
        assert!(output.err.contains("--ca-dir"), "{case} without a remedy: {}", output.err);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text, "{case} was overwritten");
        assert_eq!(dir.names(), ["ca"], "{case}");
        assert_eq!(std::fs::read_dir(dir.join("ca")).unwrap().count(), 1, "{case}: a file was added");
    }
}

/// A TLS client of another project that trusts only our CA and prints the body.
struct Verifier {
    program: &'static str,
    arguments: fn(url: &Url<'_>) -> Vec<String>,
}

struct Url<'u> {
    proxy: std::net::SocketAddr,
    host: &'u str,
    port: u16,
    ca: &'u str,
    dir: &'u Path,
}

const PYTHON: &str = "
import ssl, sys, urllib.request
proxy, url, ca = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
context.verify_flags |= ssl.VERIFY_X509_STRICT
open = urllib.request.build_opener(urllib.request.ProxyHandler({'https': proxy}), urllib.request.HTTPSHandler(context=context)).open
sys.stdout.write(open(url, timeout=20).read().decode())
";

pub(crate) const NODE: &str = "
const http = require('http'), tls = require('tls'), fs = require('fs');
const [proxy, host, port, ca] = process.argv.slice(1);
const [address, proxyPort] = proxy.split(':');
http.request({ host: address, port: proxyPort, method: 'CONNECT', path: `${host}:${port}` })
  .on('connect', (answer, socket) => {
    if (answer.statusCode !== 200) { console.error(answer.statusCode); process.exit(1); }
    const name = /^[0-9.]+$/.test(host) ? {} : { servername: host };
    const secure = tls.connect({ socket, host, ca: fs.readFileSync(ca), ALPNProtocols: ['http/1.1'], ...name }, () => {
      require('http').request({ createConnection: () => secure, path: '/node?q=1', headers: { host: `${host}:${port}` } }, (response) => {
        response.pipe(process.stdout);
        response.on('end', () => secure.end());
      }).end();
    });
    secure.on('error', (error) => { console.error(error); process.exit(1); });
  }).end();
";

const JAVA: &str = r#"
import java.io.*; import java.net.*; import java.nio.file.*; import java.security.*; import java.security.cert.*; import javax.net.ssl.*;
public class Peer {
    public static void main(String[] args) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        try (InputStream in = Files.newInputStream(Path.of(args[3]))) {
            store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(in));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        String[] at = args[0].split(":");
        Proxy proxy = new Proxy(Proxy.Type.HTTP, new InetSocketAddress(at[0], Integer.parseInt(at[1])));
        HttpsURLConnection c = (HttpsURLConnection) new URL("https://" + args[1] + ":" + args[2] + "/java").openConnection(proxy);
        c.setSSLSocketFactory(context.getSocketFactory());
        c.setConnectTimeout(20000); c.setReadTimeout(20000);
        try (InputStream in = c.getInputStream()) { in.transferTo(System.out); }
        System.out.flush();
    }
}
"#;

const VERIFIERS: &[Verifier] = &[
    Verifier {
        program: "curl",
        arguments: |u| {
            let (proxy, url) = (format!("http://{}", u.proxy), format!("https://{}:{}/curl", u.host, u.port));
            ["-sS", "--noproxy", "", "--proxy", &proxy, "--cacert", u.ca, &url].map(str::to_owned).into()
        },
    },
    Verifier {
        program: "python3",
        arguments: |u| {
            let (proxy, url) = (format!("http://{}", u.proxy), format!("https://{}:{}/python", u.host, u.port));
            ["-c", PYTHON, &proxy, &url, u.ca].map(str::to_owned).into()
        },
    },
    Verifier {
        program: "node",
        arguments: |u| ["-e", NODE, &u.proxy.to_string(), u.host, &u.port.to_string(), u.ca].map(str::to_owned).into(),
    },
    Verifier {
        program: "java",
        arguments: |u| {
            let source = u.dir.join("Peer.java");
            std::fs::write(&source, JAVA).unwrap();
            let source = source.to_str().unwrap().to_owned();
            [source, u.proxy.to_string(), u.host.to_owned(), u.port.to_string(), u.ca.to_owned()].into()
        },
    },
];

/// Fetches a page through the proxy with `verifier`, and fails if it does not arrive.
fn verify(verifier: &Verifier) {
    let found = if verifier.program == "python3" { newest_python() } else { peer(verifier.program) };
    let Some(program) = found else {
        return;
    };
    let origin = Origin::tls_responding(HELLO);
    let capture = Capture::start();
    for host in ["localhost", "127.0.0.1"] {
        let ca = capture.ca.as_ref().unwrap().to_str().unwrap();
        let url = Url { proxy: capture.addr, host, port: origin.port(), ca, dir: capture.dir.path() };
        let output = run(Command::new(&program).args((verifier.arguments)(&url))).ok();
        assert_eq!(output.text(), "hello", "{} {host}: {}", verifier.program, output.err);
    }
    let outcome = capture.stop();
    assert_eq!(outcome.bundle().traces.len(), 2, "{:?}", outcome.summary.uncaptured);
}

#[test]
fn curl_accepts_our_certificates() {
    verify(&VERIFIERS[0]);
}

#[test]
fn strict_python_accepts_our_certificates() {
    verify(&VERIFIERS[1]);
}

#[test]
fn node_accepts_our_certificates() {
    verify(&VERIFIERS[2]);
}

#[test]
fn java_accepts_our_certificates() {
    verify(&VERIFIERS[3]);
}

#[test]
fn strict_openssl_accepts_our_certificates() {
    let Some(openssl) = peer("openssl") else {
        return;
    };
    let origin = Origin::tls_responding(HELLO);
    let capture = Capture::start();
    let output = run(Command::new(openssl)
        .args(["s_client", "-proxy", &capture.addr.to_string(), "-connect", &origin.authority("localhost")])
        .args(["-servername", "localhost", "-verify_hostname", "localhost", "-x509_strict", "-verify_return_error"])
        .arg("-CAfile")
        .arg(capture.ca.as_ref().unwrap()));
    assert!(output.text().contains("Verify return code: 0 (ok)"), "{}\n{}", output.text(), output.err);
}

#[test]
fn mitmproxy_starts_with_a_ca_that_we_created() {
    let Some(mitmdump) = peer("mitmdump") else {
        return;
    };
    let capture = Capture::start();
    let folder = capture.ca.as_ref().unwrap().parent().unwrap();
    let before = std::fs::read(folder.join("mitmproxy-ca.pem")).unwrap();
    let empty = capture.dir.write("no.flows", "");
    run(Command::new(mitmdump).args(["-n", "-r"]).arg(empty).arg("--set").arg(format!("confdir={}", folder.display())))
        .ok();
    assert_eq!(std::fs::read(folder.join("mitmproxy-ca.pem")).unwrap(), before);
}

#[test]
fn the_curl_command_of_the_banner_works_when_pasted() {
    if peer("curl").is_none() {
        return;
    }
    let origin = Origin::tls_responding(HELLO);
    let dir = TempDir::new();
    let running = Spectral::capture(&dir, &[]);
    running.wait_for_line("curl --cacert");
    assert!(ca_in(dir.path()).exists());
    let lines = running.err.read(Clone::clone);
    let export = lines.iter().find(|line| line.contains("export ") && line.contains("HTTPS_PROXY=")).unwrap();
    let export = &export[export.find("export").unwrap()..];
    let curl = lines.iter().find(|line| line.contains("curl --cacert")).unwrap();
    let curl = &curl[curl.find("curl").unwrap()..];
    // Our URL replaces the banner's example.
    let command: Vec<_> = curl.split(' ').take_while(|word| !word.starts_with("http")).collect();
    let script = format!(
        "{export}; unset no_proxy NO_PROXY; {} -sS https://{}/pasted",
        command.join(" "),
        origin.authority("localhost")
    );
    let output = run(Command::new("/bin/sh").args(["-c", &script])).ok();
    assert_eq!(output.text(), "hello", "{script}: {}", output.err);
    let ended = running.interrupt();
    assert!(ended.err.contains("1 exchange,"), "{}", ended.err);
}
