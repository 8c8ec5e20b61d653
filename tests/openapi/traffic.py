"""Records made-up traffic with the binary: an origin that sends prepared answers, `capture proxy`, and a client. Loopback only."""
import http.client
import http.server
import json
import os
import signal
import subprocess
import threading

USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"
TIMEOUT = 30


class Answer:
    """A response: its body is sent as JSON unless it is bytes. A map has `type` for its Content-Type."""

    def __init__(self, status=200, body=None, type="application/json", headers=(), cut_off=False):
        self.status, self.type, self.headers, self.cut_off = status, type, list(headers), cut_off
        self.body = body if isinstance(body, bytes) else b"" if body is None else to_json(body)


class Capture:
    """A running capture of one client that sends requests to one origin, one after another.

    `with Capture(binary, "capture.zip") as capture:` writes the bundle at the end.
    """

    def __init__(self, binary, bundle):
        self.answer = None
        self.origin = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.origin.daemon_threads = True
        threading.Thread(target=self.origin.serve_forever, daemon=True).start()
        self.host = f"127.0.0.1:{self.origin.server_port}"
        ca = os.path.join(os.path.dirname(os.path.abspath(bundle)), "ca")
        command = [binary, "capture", "proxy", "-q", "-p", "0", "-o", bundle, "--ca-dir", ca]
        self.proxy = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        address = self.proxy.stderr.readline().strip()
        if ":" not in address:
            raise SystemExit(f"{binary} capture proxy did not start")
        self.client = http.client.HTTPConnection(address, timeout=TIMEOUT)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.client.close()
        self.proxy.send_signal(signal.SIGINT)
        warnings = self.proxy.communicate(timeout=TIMEOUT)[1]
        self.origin.shutdown()
        self.origin.server_close()
        if self.proxy.returncode != 0 and not error[0]:
            raise SystemExit(f"capture proxy: {warnings}")

    def send(self, method, target, answer, headers=(), body=None, type=None):
        """Sends a request through the proxy, and `answer` from the origin."""
        self.answer = answer
        self.client.putrequest(method, f"http://{self.host}{target}", skip_host=True, skip_accept_encoding=True)
        usual = [("Host", self.host), ("User-Agent", USER_AGENT), ("Accept", "application/json, text/plain, */*"),
                 ("Accept-Language", "en-US,en;q=0.9"), ("Sec-Fetch-Mode", "cors"), ("Referer", f"http://{self.host}/app")]
        if type:
            usual.append(("Content-Type", type))
        if body is not None:
            usual.append(("Content-Length", str(len(body))))
        for name, value in [*usual, *headers]:
            self.client.putheader(name, value)
        self.client.endheaders(body)
        try:
            self.client.getresponse().read()
        except http.client.IncompleteRead:
            self.client.close()

    def handler(self):
        capture = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def answer(self):
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                answer = capture.answer
                has_body = answer.status not in (204, 304) and self.command != "HEAD"
                self.send_response(answer.status)
                for name, value in answer.headers:
                    self.send_header(name, value)
                if answer.body and answer.type:
                    self.send_header("Content-Type", answer.type)
                if answer.status != 204:
                    self.send_header("Content-Length", str(len(answer.body) + 100 * answer.cut_off))
                self.end_headers()
                if has_body:
                    self.wfile.write(answer.body)
                self.close_connection = answer.cut_off

            def __getattr__(self, name):
                if name.startswith("do_"):
                    return self.answer
                raise AttributeError(name)

            def log_message(self, *_):
                pass

        return Handler


def to_json(value):
    return json.dumps(value, ensure_ascii=False).encode()


def export(binary, bundle, format, output):
    """Exports a bundle. Returns what the command printed to stderr."""
    done = subprocess.run([binary, "capture", "export", "-q", bundle, "--format", format, "-o", output],
                          stderr=subprocess.PIPE, text=True, timeout=300)
    if done.returncode != 0:
        raise SystemExit(f"{bundle}: export as {format} failed: {done.stderr}")
    return done.stderr


def first_half(binary, bundle, har, output):
    """Writes a bundle of the exchanges in the first half of a capture, whose HAR is `har`."""
    starts = sorted(entry["startedDateTime"] for entry in har["log"]["entries"])
    command = [binary, "capture", "merge", "-q", bundle, "-o", output, "--until", starts[len(starts) // 2]]
    subprocess.run(command, check=True, timeout=300, stdout=subprocess.DEVNULL)
