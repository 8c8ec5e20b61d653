//! Heads with malformed lines, as real programs send and receive them.

use crate::support::peers::{newest_python, peer, run, serve};
use crate::support::{Capture, Origin};
use std::process::Command;

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// Prints the page at a URL. `HttpURLConnection` sends the URL as it is.
const JAVA: &str = r#"
import java.io.FileInputStream;
import java.net.*;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.*;

class Main {
    public static void main(String[] args) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(new FileInputStream(args[1])));
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        SSLContext tls = SSLContext.getInstance("TLS");
        tls.init(null, trust.getTrustManagers(), null);
        HttpsURLConnection.setDefaultSSLSocketFactory(tls.getSocketFactory());
        Proxy proxy = new Proxy(Proxy.Type.HTTP, new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0])));
        System.out.print(new String(new URL(args[2]).openConnection(proxy).getInputStream().readAllBytes()));
    }
}
"#;

#[test]
fn records_spaces_in_the_urls_of_java() {
    let Some(java) = peer("java") else {
        return;
    };
    let capture = Capture::start();
    let source = capture.dir.path().join("Main.java");
    std::fs::write(&source, JAVA).unwrap();
    let origins = [("http", Origin::plain_responding(HELLO)), ("https", Origin::tls_responding(HELLO))];
    let mut urls = Vec::new();
    for (scheme, origin) in &origins {
        let url = format!("{scheme}://{}/a b?c d", origin.authority("localhost"));
        let mut command = Command::new(&java);
        command.arg(&source).arg(capture.addr.port().to_string()).arg(capture.ca.as_ref().unwrap()).arg(&url);
        assert_eq!(run(&mut command).ok().text(), "hello", "{url}");
        let received = String::from_utf8(origin.received(0)).unwrap();
        assert!(received.starts_with("GET /a b?c d HTTP/1.1\r\n"), "{received}");
        urls.push(url);
    }
    let outcome = capture.stop();
    assert_eq!(outcome.bundle().urls(), urls);
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
}

/// A server whose responses have malformed lines. It accepts names of any bytes from applications.
const PYTHON: &str = r#"
import http.server

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Bad Name", "x")
        self.send_header("Set-Cookie", "a=\x01b")
        self.send_header("X-\xe9", "\x7f")
        self.send_header("X-Fold", "a\r\n b")
        self.send_header("Content-Length", "5" if self.path == "/length" else "+5")
        self.end_headers()
        self.wfile.write(b"hello")
        self.close_connection = self.path != "/length"

    def log_message(self, *args):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"#;

#[test]
fn records_the_malformed_lines_of_a_python_server() {
    let (Some(python), Some(curl)) = (newest_python(), peer("curl")) else {
        return;
    };
    let (_server, port) = serve(Command::new(python).args(["-c", PYTHON]));
    let capture = Capture::start();
    let proxy = format!("http://{}", capture.addr);
    for tunnel in [&[][..], &["--proxytunnel"]] {
        let mut command = Command::new(&curl);
        command.args(["-sS", "-i", "--noproxy", "", "--proxy", &proxy]).args(tunnel);
        let output = run(command.arg(format!("http://127.0.0.1:{port}/length")));
        assert!(output.text().ends_with("hello"), "{output:?}");
    }
    let mut connection = capture.connect(&format!("127.0.0.1:{port}"));
    connection.send("GET /until-close HTTP/1.1\r\nHost: x\r\n\r\n");
    connection.read_to_end();
    drop(connection);
    let outcome = capture.stop();
    assert_eq!(outcome.bundle().traces.len(), 3);
    for trace in &outcome.bundle().traces {
        let expected = [("Bad Name", "x"), ("Set-Cookie", "a=\x01b"), ("X-\u{e9}", "\x7f"), ("X-Fold", "a   b")];
        // After Server and Date.
        assert_eq!(trace.response_headers()[2..6], expected);
        assert_eq!((trace.status(), trace.text().as_str()), (200, "hello"), "{}", trace.url());
    }
}
