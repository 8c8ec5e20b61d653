"""Origins for the programs: HTTP, HTTPS and WebSocket on loopback. They record each request that they receive."""
import base64
import hashlib
import http.server
import io
import json
import socketserver
import ssl
import threading
import zipfile
from collections import namedtuple

Request = namedtuple("Request", "method url status headers")

PASSWORD = "Basic " + base64.b64encode(b"user:pass").decode()


class Log:
    """The requests of all programs. A program's first path segment is unique, so its requests can be found."""

    def __init__(self):
        self._lock = threading.Lock()
        self._requests = []

    def add(self, request):
        with self._lock:
            self._requests.append(request)

    def take(self, token):
        """Removes and returns the requests with `token` as their first path segment."""
        def matches(request):
            return request.url.split("/")[3:4] == [token]

        with self._lock:
            taken = [request for request in self._requests if matches(request)]
            self._requests = [request for request in self._requests if not matches(request)]
            return taken


class Origin(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """A server on one address. `name` is part of its answers, so that a request to the wrong server shows."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, name, address, log, tls=None):
        self.name, self.log, self.tls = name, log, tls
        socketserver.TCPServer.__init__(self, address, Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def finish_request(self, request, client_address):
        if self.tls:
            request = self.tls.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)

    def handle_error(self, request, client_address):
        """Ignores clients that refuse the certificate or leave early."""


def tls_context(certificate, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["http/1.1"])
    return context


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves what the package managers ask for, and a line of text everywhere else."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Prints nothing."""

    def do_GET(self):
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Upgrade", "").lower() == "websocket":
            return self.websocket()
        status, kind, body = self.answer()
        self.record(status)
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="clients"')
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_POST = do_PUT = do_GET

    def record(self, status, scheme="http"):
        scheme += "s" if self.server.tls else ""
        url = f"{scheme}://{self.headers.get('Host')}{self.path}"
        self.server.log.add(Request(self.command, url, status, self.headers.items()))

    def answer(self):
        path = self.path.partition("?")[0]
        token, _, rest = path[1:].partition("/")
        base = f"{'https' if self.server.tls else 'http'}://{self.headers.get('Host')}/{token}"
        if rest == "password" and self.headers.get("Authorization") != PASSWORD:
            return 401, "text/plain", b"no password\n"
        if rest == "simple/tiny/":
            return 200, "text/html", b'<a href="../../tiny-1.0-py3-none-any.whl">tiny-1.0-py3-none-any.whl</a>'
        if rest.endswith(".whl"):
            return 200, "application/zip", wheel()
        if rest == "npm/tiny":
            version = {"name": "tiny", "version": "1.0.0", "dist": {"tarball": f"{base}/npm/tiny.tgz"}}
            document = {"name": "tiny", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}
            return 200, "application/json", json.dumps(document).encode()
        if rest == "cargo/config.json":
            return 200, "application/json", json.dumps({"dl": base, "api": f"{base}/cargo"}).encode()
        if rest == "cargo/api/v1/crates":
            crate = {"name": "tiny", "max_version": "1.0.0", "description": "hello"}
            return 200, "application/json", json.dumps({"crates": [crate], "meta": {"total": 1}}).encode()
        if rest == "repo.git/info/refs":
            return 200, "text/plain", b"%040d\trefs/heads/main\n" % 7
        if rest == "repo.git/HEAD":
            return 200, "text/plain", b"ref: refs/heads/main\n"
        if rest.startswith("apt/") and not rest.endswith("Packages"):
            return 404, "text/plain", b""
        if rest.startswith("apt/"):
            return 200, "text/plain", b"Package: tiny\nVersion: 1.0\nArchitecture: all\nFilename: tiny.deb\nSize: 1\n\n"
        if rest.endswith("@v/list"):
            return 200, "text/plain", b"v1.0.0\n"
        if rest.endswith("@v/v1.0.0.info"):
            return 200, "application/json", b'{"Version": "v1.0.0", "Time": "2026-01-01T00:00:00Z"}'
        if rest.endswith("@v/v1.0.0.mod"):
            return 200, "text/plain", b"module a.test/tiny\n"
        return 200, "text/plain", f"hello from {self.server.name} {self.command} {self.body.decode()}\n".encode()

    def websocket(self):
        """Sends `hello`, echoes one short message, and closes."""
        self.record(101, "ws")
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        self.close_connection = True
        self.wfile.write(b"\x81\x05hello")
        payload = b""
        while not payload:
            opcode, payload = self.frame()
        self.wfile.write(bytes([0x80 | opcode, len(payload)]) + payload)
        self.wfile.write(b"\x88\x02\x03\xe8")
        self.frame()

    def frame(self):
        """Reads a masked frame of less than 126 bytes."""
        opcode, length = self.rfile.read(2)
        mask = self.rfile.read(4)
        payload = self.rfile.read(length & 0x7F)
        return opcode & 0xF, bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))


def wheel():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(zipfile.ZipInfo("tiny.py"), "")
        info = "tiny-1.0.dist-info/"
        archive.writestr(zipfile.ZipInfo(info + "METADATA"), "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr(zipfile.ZipInfo(info + "WHEEL"), "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(zipfile.ZipInfo(info + "RECORD"), "")
    return content.getvalue()
