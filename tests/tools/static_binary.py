#!/usr/bin/env python3
"""Checks the release: one static file of at most 6 MB that captures from an empty chroot.

    static_binary.py target/x86_64-unknown-linux-gnu/release/spectral

The chroot has only the binary and /etc/resolv.conf: no library, no root certificates, no HOME, no /dev. The script's own name
server resolves the origin's name. Needs root, for the chroot and port 53, and curl and openssl. Uses loopback only.
"""

import http.server
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path

MAX_SIZE = 6_000_000
NAME = "origin.test"


def serve_names():
    """Responds to each query for an IPv4 address with 127.0.0.1 (RFC 1035 section 4)."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))

    def serve():
        while True:
            query, client = server.recvfrom(512)
            end = query.index(b"\0", 12) + 5
            is_a = query[end - 4 : end - 2] == b"\0\1"
            counts = b"\0\1\0\1\0\0\0\0" if is_a else b"\0\1\0\0\0\0\0\0"
            answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1" if is_a else b""
            server.sendto(query[:2] + b"\x81\x80" + counts + query[12:end] + answer, client)

    threading.Thread(target=serve, daemon=True).start()


def serve_https(folder):
    """Starts an origin with a self-signed certificate; returns its port."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "3")
            self.end_headers()
            self.wfile.write(b"hi\n")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def capture(root, options, url):
    """Runs curl, which trusts the capture's CA, for `url` through a capture in `root`; returns both outputs and the start time."""
    port = free_port()
    command = ["/spectral", "capture", "proxy", "-p", str(port), "-o", "/capture.zip", "--ca-dir", "/ca", *options]

    def enter():
        os.chroot(root)
        os.chdir("/")

    began = time.monotonic()
    proxy = subprocess.Popen(command, env={}, preexec_fn=enter, executable="/spectral", stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True)
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            assert proxy.poll() is None and time.monotonic() - began < 20, proxy.communicate()[0]
            time.sleep(0.001)
    took = time.monotonic() - began
    curl = subprocess.run(
        ["curl", "-sS", "--max-time", "20", "--noproxy", "", "-x", f"http://127.0.0.1:{port}",
         "--cacert", f"{root}/ca/mitmproxy-ca-cert.pem", url],
        capture_output=True, text=True,
    )
    proxy.send_signal(signal.SIGINT)
    output = proxy.communicate(timeout=20)[0]
    return curl.stdout + curl.stderr, output, took


def main():
    binary = Path(sys.argv[1])
    if os.geteuid() != 0:
        sys.exit("static_binary.py needs root")
    headers = subprocess.run(["readelf", "-lW", binary], check=True, capture_output=True, text=True).stdout
    assert "INTERP" not in headers, f"{binary} is not static:\n{headers}"
    size = binary.stat().st_size
    assert size <= MAX_SIZE, f"{size} bytes"
    work = Path(tempfile.mkdtemp())
    try:
        serve_names()
        port = serve_https(work)
        root = work / "root"
        (root / "etc").mkdir(parents=True)
        (root / "etc/resolv.conf").write_text("nameserver 127.0.0.1\n")
        shutil.copy(binary, root / "spectral")
        url = f"https://{NAME}:{port}/"

        # The built-in root certificates do not include the origin: it passes through, and curl verifies for itself.
        got, output, first = capture(root, [], url)
        assert "self-signed" in got or "self signed" in got, got
        assert "this machine does not trust the origin" in output and "0 exchanges," in output, output
        got, output, again = capture(root, ["-k"], url)
        assert got == "hi\n" and "1 exchange," in output, got + output
        with zipfile.ZipFile(root / "capture.zip") as bundle:
            assert bundle.read("traces/t_0001_response.bin") == b"hi\n"
    finally:
        shutil.rmtree(work)
    print(f"static, {size} bytes; captures from an empty chroot; from start to listening "
          f"{again * 1000:.0f} ms, {first * 1000:.0f} ms with a CA to make")


main()
