#!/usr/bin/env python3
"""Drives two builds of spectral with the same traffic and compares everything that they write and forward.

    compare_bundles.py OLD NEW [--only TEXT] [--keep DIR] [--list]

Each scenario runs once with OLD and once with NEW, against the same origins on loopback. Compared are the bundles, the
bytes that clients and origins received, and the output of merge, redact, recover, inspect --json and export. Mapped
before the comparison, because it may differ: capture ids, times, timings, the numbers of ids, `status_text` where
`status` is 0, and comments in exports. Of the proxy's own error pages only the status is compared. The program's messages
are not compared.

Prints a line per scenario and exits with 1 on a difference, or if a scenario captured nothing. A scenario whose tool
is missing is reported as skipped. Needs Python's standard library and `openssl`; `node`, `curl`, `nghttp` and `h2load` for some scenarios.
"""
import argparse, base64, collections, contextlib, copy, gzip, hashlib, json, os, pathlib, random, re, shutil, signal
import socket, ssl, struct, subprocess, sys, tempfile, threading, time, zipfile, zlib

HERE = pathlib.Path(__file__).resolve().parent
PEERS, DATA = HERE.parent / "peers", HERE.parent / "data"
DEADLINE = 30


# ---- Comparison of bundles ------------------------------------------------------------------------------------------

REFERENCE = re.compile(r'"(id|ref|connection_ref|handshake_trace_ref|body_file|payload_file)": "((?:t|ws)_\d[\d_]*\d)')
NAME = re.compile(r"(traces|ws)/((?:t|ws)_\d[\d_]*\d)")
TIMES = re.compile(r'"(timestamp|duration_ms)": \d+')
TEXTS = re.compile(r'"(capture_id|created_at)": "[^"]+"')
# Durations differ between runs; only a connection time of zero is compared.
TIMINGS = re.compile(r'"(dns|connect|tls|send|wait|receive|total)_ms": (\d+\.\d+(?:e-?\d+)?)')
PLACEHOLDER = re.compile(rb"redacted-[0-9a-f]{12}")
NO_STATUS = re.compile(r'"status": 0,\n    "status_text": "(?:[^"\\]|\\.)+"')


class Bundle:
    """The members of a bundle, with everything mapped that may differ between two captures of the same traffic."""

    def __init__(self, path):
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            raw = [(info, archive.read(info)) for info in infos]
        json_of = {info.filename: json.loads(data) for info, data in raw if info.filename.endswith(".json")}
        traces = {v["id"]: v for k, v in json_of.items() if k.startswith("traces/")}
        sockets = {v["id"]: v for k, v in json_of.items() if re.fullmatch(r"ws/ws_[\d_]+\.json", k)}
        self.counts = len(traces), sum(k.startswith("ws/") and "_m" in k and k.endswith(".json") for k in json_of)
        self.ids = self.by_start(traces, lambda t: t["request"]["url"]) | self.by_start(sockets, lambda s: s["url"])
        self.renumbered = any(a != b for a, b in self.ids.items())
        self.members, placeholders = collections.Counter(), {}
        renamed = [(NAME.sub(lambda m: f"{m[1]}/{self.ids.get(m[2], m[2])}", info.filename), info, data) for info, data in raw]
        for name, info, data in sorted(renamed, key=lambda member: member[0]):
            # Placeholders of `redact` depend on a random key. They are numbered, and equal ones get the same number.
            data = PLACEHOLDER.sub(lambda m: placeholders.setdefault(m[0], b"redacted-%012d" % len(placeholders)), data)
            packing = info.compress_type, info.external_attr, info.create_system, info.flag_bits, info.extra, info.comment
            if name.endswith(".json"):
                data = self.map_json(name, data.decode()).encode()
            self.members[name, packing, data] += 1
        self.timeline_is_consistent(json_of)

    @staticmethod
    def by_start(items, url):
        """Maps old ids to new ids. Requests are sorted by the number (`?n=7`) that the driver gives them."""
        def key(item):
            number = re.search(r"[?&]n=(\d+)", url(item))
            bundle = item["id"].split("_")[1:-1]
            return bundle, int(number[1]) if number else 1 << 60, item["timestamp"], item["id"]
        ids = {}
        for number, item in enumerate(sorted(items.values(), key=key), 1):
            head, _, last = item["id"].rpartition("_")
            ids[item["id"]] = f"{head}_{number:0{len(last)}d}"
        return ids

    def map_json(self, name, text):
        text = REFERENCE.sub(lambda m: f'"{m[1]}": "{self.ids.get(m[2], m[2])}', text)
        if name == "timeline.json":
            value = json.loads(text)
            if json.dumps(value, indent=2, ensure_ascii=False) != text:
                raise ValueError("timeline.json is not formatted as usual")
            # Times differ between runs, so events are compared in the order of their ids.
            value["events"].sort(key=lambda event: (event["ref"], event["type"]))
            text = json.dumps(value, indent=2, ensure_ascii=False)
        text = TIMES.sub(r'"\1": TIME', text)
        text = TEXTS.sub(r'"\1": "MAPPED"', text)
        text = TIMINGS.sub(lambda m: f'"{m[1]}_ms": ' + ("0.0" if m[2] == "0.0" and m[1] in ("dns", "connect", "tls") else "SPAN"), text)
        return NO_STATUS.sub('"status": 0,\n    "status_text": "MAPPED"', text)

    @staticmethod
    def timeline_is_consistent(json_of):
        events = json_of["timeline.json"]["events"]
        times = [event["timestamp"] for event in events]
        if times != sorted(times):
            raise ValueError("timeline.json is out of order")
        by_id = {v["id"]: v["timestamp"] for k, v in json_of.items() if k.startswith(("traces/", "ws/"))}
        if {event["ref"]: event["timestamp"] for event in events} != by_id or len(events) != len(by_id):
            raise ValueError("timeline.json and the items disagree")

    def difference(self, other):
        """The first difference, in words; None if there is none."""
        only_here = sorted((self.members - other.members), key=lambda member: member[0])
        only_there = {member[0]: member for member in other.members - self.members}
        for name, packing, data in only_here:
            if name not in only_there:
                return f"{name}: only in the first"
            _, packing2, data2 = only_there[name]
            if packing != packing2:
                return f"{name}: ZIP entry {packing} and {packing2}"
            return f"{name}: {first_difference(data, data2)}"
        return next((f"{name}: only in the second" for name in sorted(only_there)), None)


def first_difference(one, two):
    if isinstance(one, str):
        one, two = one.encode(), two.encode()
    at = next((i for i, (a, b) in enumerate(zip(one, two)) if a != b), min(len(one), len(two)))
    start = max(0, at - 60)
    return f"byte {at} of {len(one)} and {len(two)}:\n    old …{one[start:at + 80]!r}\n    new …{two[start:at + 80]!r}"


def check_comparison(path, scratch):
    """Changes a bundle in many ways and requires that each is noticed."""
    def change(pattern, replacement, only="traces/"):
        def edit(name, data):
            changed = re.sub(pattern, replacement, data, count=1) if name.startswith(only) and name.endswith(".json") else data
            return name, changed
        return edit
    def first_body(name, data):
        return name, bytes([data[0] ^ 1]) + data[1:] if name.endswith(".bin") else data
    edits = {
        "a changed body": first_body,
        "a changed status": change(rb'"status": 200', b'"status": 201'),
        "a changed header": change(rb'"value": "', b'"value": "x'),
        "a changed method": change(rb'"method": "GET"', b'"method": "PUT"'),
        "another size": change(rb'"body_size": 0', b'"body_size": 1'),
        "another URL": change(rb'\?n=', b'?m='),
        "another layout": change(rb'\n  "type"', b'\n "type"'),
        "an added member": change(rb'"context_refs": \[\]', b'"context_refs": [],\n  "cut_off": null'),
        "a changed statistic": change(rb'"context_count": 0', b'"context_count": 1', "manifest"),
        "another status text": change(rb'"status_text": "OK"', b'"status_text": "Ok"'),
        "connect_ms without reason": change(rb'"connect_ms": 0\.0,', b'"connect_ms": 1.5,'),
        "a missing member": lambda name, data: None if name.endswith("_response.bin") else (name, data),
        "a renamed member": lambda name, data: (name.replace("manifest", "Manifest"), data),
    }
    whole = Bundle(path)
    for title, edit in edits.items():
        edited, count = scratch / "edited.zip", 0
        with zipfile.ZipFile(path) as source, zipfile.ZipFile(edited, "w") as target:
            done = False
            for info in source.infolist():
                data = source.read(info)
                new = (info.filename, data) if done else edit(info.filename, data)
                if new != (info.filename, data):
                    done = True
                if new:
                    info = copy.copy(info)
                    info.filename = new[0]
                    target.writestr(info, new[1])
        if not done:
            raise SystemExit(f"the comparison's own check: the sample has no place for {title}")
        if whole.difference(Bundle(edited)) is None:
            raise SystemExit(f"the comparison does not notice {title}")
    return len(edits)


# ---- Origins --------------------------------------------------------------------------------------------------------

def with_length(body, *headers, status="200 OK"):
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def with_head(*headers, status="200 OK", version="1.1"):
    return "\r\n".join([f"HTTP/{version} {status}", *headers, "", ""]).encode("latin-1")


def chunked(body, size, extension=b"", trailers=b""):
    pieces = [body[at:at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x%s\r\n%s\r\n" % (len(p), extension, p) for p in pieces) + b"0\r\n" + trailers + b"\r\n"


def deflated(body, window=15):
    packer = zlib.compressobj(6, zlib.DEFLATED, window)
    return packer.compress(body) + packer.flush()


def gzipped(body):
    return gzip.compress(body, mtime=0)


TEXT = b"".join(b'{"id": %d, "name": "item %d"}\n' % (i, i * i) for i in range(300))
NOISE = random.Random(1).randbytes(3_000_000)
PROSE = TEXT * 700
GET_ONLY = {
    "hello": [with_length(b"hello", "Content-Type: text/plain")],
    "empty": [with_length(b"")],
    "binary": [with_length(bytes(range(256)) * 16, "Content-Type: application/octet-stream")],
    "chunked": [with_head("Content-Type: application/json", "Transfer-Encoding: chunked") + chunked(TEXT, 777)],
    "chunked-empty": [with_head("Transfer-Encoding: chunked") + b"0\r\n\r\n"],
    "chunk-extensions": [with_head("Transfer-Encoding: chunked") + chunked(TEXT, 100, b';name="a;b"')],
    "trailers": [with_head("Trailer: X-Sum, X-Other", "Transfer-Encoding: chunked")
                 + chunked(TEXT, 1000, trailers=b"X-Sum: 1\r\nX-Other:  two  \r\n")],
    "until-close": [with_head("Content-Type: text/plain") + TEXT, "close"],
    "until-close-empty": [with_head(), "close"],
    "http10": [with_head("Content-Type: text/plain", version="1.0") + b"old", "close"],
    "http10-kept": [b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nold"],
    "gzip": [with_length(gzipped(TEXT), "Content-Encoding: gzip", "Content-Type: application/json")],
    "x-gzip": [with_length(gzipped(TEXT), "Content-Encoding: x-gzip")],
    "gzip-members": [with_length(gzipped(TEXT) + gzipped(b"more"), "Content-Encoding: gzip")],
    "gzip-garbage": [with_length(gzipped(TEXT) + b"\0\0garbage", "Content-Encoding: gzip")],
    "gzip-damaged": [with_length(gzipped(TEXT)[:100] + b"damage" + gzipped(TEXT)[106:], "Content-Encoding: gzip")],
    "gzip-short": [with_length(gzipped(TEXT)[:-200], "Content-Encoding: gzip")],
    "gzip-empty": [with_length(b"", "Content-Encoding: gzip")],
    "gzip-chunked": [with_head("Content-Encoding: gzip", "Transfer-Encoding: chunked") + chunked(gzipped(TEXT), 50)],
    "gzip-large": [with_length(gzipped(PROSE), "Content-Encoding: gzip", "Content-Type: application/json")],
    "te-gzip": [with_head("Transfer-Encoding: gzip, chunked") + chunked(gzipped(TEXT), 500)],
    "deflate": [with_length(deflated(TEXT), "Content-Encoding: deflate")],
    "deflate-raw": [with_length(deflated(TEXT, -15), "Content-Encoding: deflate")],
    "br": [with_length((DATA / "text.br").read_bytes(), "Content-Encoding: br")],
    "zstd": [with_length((DATA / "text.zst").read_bytes(), "Content-Encoding: zstd")],
    "gzip-br": [with_length(gzipped((DATA / "text.br").read_bytes()), "Content-Encoding: br, gzip")],
    "two-codings": [with_length(gzipped(deflated(TEXT)), "Content-Encoding: deflate", "Content-Encoding: gzip")],
    "identity": [with_length(TEXT, "Content-Encoding: identity")],
    "unknown-coding": [with_length(b"\1\2\3", "Content-Encoding: x-private")],
    "large": [with_length(NOISE, "Content-Type: application/zip")],
    "large-text": [with_length(PROSE, "Content-Type: application/json")],
    "large-chunked": [with_head("Transfer-Encoding: chunked") + chunked(NOISE, 60_000)],
    "204": [with_head("X-Kept: yes", status="204 No Content")],
    "205": [with_length(b"", status="205 Reset Content")],
    "304": [with_head('ETag: "a"', "Content-Length: 500", status="304 Not Modified")],
    "404": [with_length(b"no such page", status="404 Not Found")],
    "500": [with_length(b"broken", status="500 Internal Server Error")],
    "599": [with_length(b"odd", status="599 \xe9t\xe9")],
    "no-reason": [b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok"],
    "redirect": [with_length(b"", "Location: /hello?to=1", status="302 Found")],
    "interim": [with_head(status="102 Processing"), with_head("Link: </a.css>; rel=preload", status="103 Early Hints"),
                with_length(b"after interim responses")],
    "odd-headers": [with_length(b"odd", "X-Empty:", "x-spaces:   in  between \t ", "SET-COOKIE: a=1", "Set-Cookie: b=2; Path=/",
                                "X-Latin: caf\xe9 \xff\x80", "X-Utf8: caf\xc3\xa9 \xe2\x82\xac", "X-Quote: \"a\\b\"\tc", "x-UPPER: Yes",
                                "X-Long: " + "y" * 6000, "Keep-Alive: timeout=5", "Date: Thu, 01 Jan 1970 00:00:00 GMT")],
    "large-head": [with_length(b"large", *(f"X-Number-{n}: {n}" for n in range(2000)))],
    "length-and-chunked": [with_head("Content-Length: 5", "Transfer-Encoding: chunked") + chunked(b"hello", 2), "close"],
    "lengths-differ": [with_head("Content-Length: 5", "Content-Length: 6") + b"hello!", "close"],
    "length-is-no-number": [with_head("Content-Length: five") + b"hello", "close"],
    "garbage": [b"\0\1\2 no HTTP at all\r\n\r\n", "close"],
    "nothing": ["close"],
    "nothing-reset": ["reset"],
    "half-a-head": [b"HTTP/1.1 200 OK\r\nContent-Le", "close"],
    "short": [with_head("Content-Length: 100") + b"only this", "close"],
    "short-abrupt": [with_head("Content-Length: 100") + b"only this", "abort"],
    "short-chunked": [with_head("Transfer-Encoding: chunked") + b"5\r\nhello\r\n20\r\nsome", "close"],
    "short-gzip": [with_head("Content-Length: 5000", "Content-Encoding: gzip") + gzipped(TEXT)[:600], "close"],
    "bad-chunk": [with_head("Transfer-Encoding: chunked") + b"5\r\nhello\r\nzz\r\n", "close"],
    "reset": [with_head("Content-Length: 100") + b"only this", "wait", "reset"],
    "until-close-abrupt": [with_head() + TEXT, "abort"],
    "endless": [with_head("Content-Length: 1000000") + b"the first bytes", "hold"],
    "silent": ["hold"],
    "events": [with_head("Content-Type: text/event-stream") + b"data: 1\n\n", "wait", b"data: 2\n\n", "wait",
               b"event: end\ndata: 3\n\n", "close"],
    "events-chunked": [with_head("Content-Type: text/event-stream", "Transfer-Encoding: chunked") + b"9\r\ndata: 1\n\n\r\n",
                       "wait", b"9\r\ndata: 2\n\n\r\n", "wait", b"0\r\n\r\n"],
    "events-endless": [with_head("Content-Type: text/event-stream") + b": ping\n\ndata: 1\n\n", "hold"],
}
# These responses are sent before the request's body is read.
EARLY = {
    "early-413": [with_length(b"too much", "Connection: close", status="413 Content Too Large"), "close-when-read"],
    "early-reset": ["wait", "reset"],
    "continue": [b"HTTP/1.1 100 Continue\r\n\r\n", "body", with_length(b"thanks")],
    "refuse-expect": [with_length(b"no", "Connection: close", status="417 Expectation Failed"), "close"],
}


class Wire:
    """A connected socket with a read buffer; counts and keeps what it receives."""

    def __init__(self, sock):
        sock.settimeout(DEADLINE)
        self.sock, self.buffer, self.received = sock, bytearray(), bytearray()

    def fill(self):
        """Receives more; False at the end of the stream."""
        data = self.sock.recv(65536)
        self.buffer += data
        self.received += data
        return bool(data)

    def until(self, mark):
        while (at := self.buffer.find(mark)) < 0:
            if not self.fill():
                raise EOFError
        return self.take(at + len(mark))

    def take(self, count):
        while len(self.buffer) < count:
            if not self.fill():
                raise EOFError
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def rest(self):
        while self.fill():
            pass
        return self.take(len(self.buffer))

    def chunks(self):
        """A chunked body, raw with its trailers, and decoded."""
        raw, body = bytearray(), bytearray()
        while True:
            line = self.until(b"\r\n")
            raw += line
            size = int(line.split(b";")[0], 16)
            if not size:
                break
            piece = self.take(size + 2)
            raw += piece
            body += piece[:-2]
        while (line := self.until(b"\r\n")) != b"\r\n":
            raw += line
        return bytes(raw + line), bytes(body)

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self, notify=True):
        with contextlib.suppress(OSError, ValueError):
            if notify and isinstance(self.sock, ssl.SSLSocket):
                self.sock.settimeout(1)
                self.sock.unwrap()
        with contextlib.suppress(OSError):
            self.sock.close()


def header(head, name):
    found = re.search(rb"(?im)^" + name + rb":[ \t]*(.*?)[ \t]*\r$", head)
    return found and found[1]


class Origin:
    """An HTTP/1.1 origin whose response depends on the first segment of the path."""

    def __init__(self, context=None, address="127.0.0.1"):
        self.context, self.gate = context, threading.Semaphore(0)
        self.connections, self.open, self.lock = [], 0, threading.Lock()
        self.listener = socket.create_server((address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            sock, _ = self.listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.open += 1
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        try:
            if self.context:
                sock.settimeout(DEADLINE)
                sock = self.context.wrap_socket(sock, server_side=True)
            wire = Wire(sock)
            with self.lock:
                self.connections.append(wire.received)
            while self.respond(wire):
                pass
            wire.close()
        except (OSError, EOFError, ValueError):
            with contextlib.suppress(OSError):
                sock.close()
        finally:
            with self.lock:
                self.open -= 1

    def respond(self, wire):
        head = wire.until(b"\r\n\r\n")
        method, target = head.split(b" ")[:2]
        name = re.sub(rb"^http://[^/]*", b"", target).decode().split("?")[0].strip("/").split("/")[0]
        if name in EARLY:
            return self.play(wire, EARLY[name], head)
        if name == "upgrade":
            wire.sock.sendall(with_head("Connection: Upgrade", "Upgrade: private", status="101 Switching Protocols"))
            while wire.fill():
                wire.sock.sendall(wire.take(len(wire.buffer)))
            return False
        if (header(head, b"upgrade") or b"").lower() == b"websocket":
            return echo_frames(wire, head, name)
        body = self.body(wire, head)
        if name == "echo":
            wire.sock.sendall(with_length(body, "Content-Type: application/octet-stream"))
            return True
        if name == "hash":
            wire.sock.sendall(with_length(hashlib.sha256(body).hexdigest().encode()))
            return True
        steps = GET_ONLY.get(name, [with_length(b"unknown: " + name.encode(), status="404 Not Found")])
        if method == b"HEAD":
            steps = [steps[0].split(b"\r\n\r\n")[0] + b"\r\n\r\n"]
        return self.play(wire, steps, head)

    @staticmethod
    def body(wire, head):
        if b"chunked" in (header(head, b"transfer-encoding") or b""):
            return wire.chunks()[1]
        return wire.take(int(header(head, b"content-length") or 0))

    def play(self, wire, steps, head):
        for step in steps:
            match step:
                case bytes():
                    wire.sock.sendall(step)
                case "wait":
                    self.gate.acquire(timeout=DEADLINE)
                case "body":
                    self.body(wire, head)
                case "hold":
                    wire.rest()
                    return False
                case "close":
                    return False
                case "close-when-read":
                    # Closing with unread bytes would reset the connection.
                    wire.rest()
                    return False
                case "reset":
                    wire.reset()
                    return False
                case "abort":
                    wire.close(notify=False)
                    return False
        return True


def echo_frames(wire, head, name):
    """Accepts a WebSocket and returns each frame without its mask."""
    key = header(head, b"sec-websocket-key")
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()
    more = []
    if protocols := header(head, b"sec-websocket-protocol"):
        more.append("Sec-WebSocket-Protocol: " + protocols.decode().split(",")[0].strip())
    if name == "ws-deflate":
        more.append("Sec-WebSocket-Extensions: permessage-deflate")
    if name == "ws-deflate-fresh":
        more.append("Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover")
    if name == "ws-refused":
        wire.sock.sendall(with_length(b"not here", status="403 Forbidden"))
        return True
    wire.sock.sendall(with_head("Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {accept}", *more,
                                status="101 Switching Protocols"))
    while True:
        first, payload = read_frame(wire)
        if payload == b"reset now":
            wire.reset()
            return False
        wire.sock.sendall(frame(first, payload))
        if first & 15 == 8:
            return False


def read_frame(wire):
    first, length = wire.take(2)
    masked, length = length & 128, length & 127
    if length == 126:
        length = int.from_bytes(wire.take(2))
    elif length == 127:
        length = int.from_bytes(wire.take(8))
    mask = wire.take(4) if masked else bytes(4)
    return first, masked_with(mask, wire.take(length))


def masked_with(mask, payload):
    if not any(mask):
        return payload
    long = (mask * (len(payload) // 4 + 1))[:len(payload)]
    return (int.from_bytes(payload) ^ int.from_bytes(long)).to_bytes(len(payload))


def frame(first, payload, mask=None):
    size = len(payload)
    length = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2) if size < 65536 else b"\x7f" + size.to_bytes(8)
    if mask:
        length = bytes([length[0] | 128]) + length[1:]
    return bytes([first]) + length + (mask or b"") + masked_with(mask or bytes(4), payload)


# ---- A run of one build ---------------------------------------------------------------------------------------------

class Skipped(Exception):
    pass


class World:
    """The origins and files that both builds use."""

    def __init__(self, scratch):
        self.dir = scratch
        self.make_certificates()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.dir / "leaf.pem", self.dir / "leaf.key")
        self_signed = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self_signed.load_cert_chain(self.dir / "self-signed.pem", self.dir / "self-signed.key")
        self.clear, self.tls, self.other, self.untrusted = Origin(), Origin(context), Origin(), Origin(self_signed)
        try:
            self.ipv6 = Origin(address="::1")
        except OSError:
            self.ipv6 = None
        # Bound but not listening: it refuses connections, and no other process can take the port.
        self.unreachable = socket.socket()
        self.unreachable.bind(("127.0.0.1", 0))
        self.processes, self.node_ports = [], {}

    def make_certificates(self):
        def openssl(*args):
            subprocess.run(["openssl", *args], cwd=self.dir, check=True, capture_output=True)
        new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        openssl("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "30", "-subj", "/CN=origins")
        openssl("req", *new_key, "-keyout", "leaf.key", "-out", "leaf.csr", "-subj", "/CN=localhost")
        (self.dir / "leaf.ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n")
        openssl("x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30",
                "-extfile", "leaf.ext", "-out", "leaf.pem")
        openssl("req", "-x509", *new_key, "-keyout", "self-signed.key", "-out", "self-signed.pem", "-days", "30",
                "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")

    def node(self, *args):
        """The port of a Node origin that was started with these arguments."""
        if not (node := shutil.which("node")):
            raise Skipped("node is not installed")
        if args not in self.node_ports:
            script = PEERS / "http2_origin.js"
            child = subprocess.Popen([node, script, *args], cwd=self.dir, stdout=subprocess.PIPE, text=True)
            self.processes.append(child)
            self.node_ports[args] = int(child.stdout.readline())
        return self.node_ports[args]

    def origins(self):
        return [origin for origin in (self.clear, self.tls, self.other, self.untrusted, self.ipv6) if origin]

    def stop(self):
        for child in self.processes:
            child.kill()
            child.wait()


class Run:
    """One build under one scenario: drives it, and keeps what is compared afterwards."""

    def __init__(self, world, binary, directory, number):
        self.world, self.binary, self.dir, self.number = world, binary, directory, number
        self.dir.mkdir(parents=True)
        self.home = directory.parent.parent / ("home-" + directory.name)
        self.home.mkdir(exist_ok=True)
        self.ca = self.home / "ca" / "mitmproxy-ca-cert.pem"
        # The bytes that the clients received, and the results of commands.
        self.seen, self.child, self.clients = [], None, []
        self.env = {k: v for k, v in os.environ.items() if "proxy" not in k.lower()} | {"HOME": str(self.home)}

    def n(self):
        self.number += 1
        return self.number

    def start(self, *args, output="capture.zip", command="proxy"):
        for origin in self.world.origins():
            origin.connections, origin.gate = [], threading.Semaphore(0)
        line = [self.binary, "capture", command, "-q", "-p", "0"]
        if command == "proxy":
            line += ["-o", output, "--ca-dir", self.home / "ca", "--upstream-ca", self.world.dir / "ca.pem"]
        self.child = subprocess.Popen([*line, *args], cwd=self.dir, env=self.env, stdin=subprocess.DEVNULL,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        first = self.child.stderr.readline().decode()
        found = re.search(r"127\.0\.0\.1:(\d+)", first)
        if not found:
            raise RuntimeError(f"{self.binary} does not start: {first}{self.child.stderr.read().decode()}")
        self.port = int(found[1])

    def settle(self):
        """Waits until the proxy has closed its connections to origins."""
        for client in self.clients:
            client.wire.close()
        self.clients = []
        end = time.monotonic() + 2
        while any(origin.open for origin in self.world.origins()) and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(0.1)

    def stop(self, settle=True, signals=1):
        if settle:
            self.settle()
        for _ in range(signals):
            self.child.send_signal(signal.SIGINT)
            time.sleep(0.3 if signals > 1 else 0)
        out, err = self.child.communicate(timeout=DEADLINE)
        self.seen.append(("exit code", self.child.returncode))
        if self.child.returncode not in (0, 1):
            raise RuntimeError(f"{self.binary} exits with {self.child.returncode}: {err.decode()}")
        for client in self.clients:
            client.wire.close()
        self.child = None
        for origin, name in zip(self.world.origins(), ["clear", "tls", "other", "untrusted", "ipv6"]):
            end = time.monotonic() + 2
            while origin.open and time.monotonic() < end:
                time.sleep(0.01)
            self.seen += [(f"received by origin {name}, connection {i}", b"TLS" if received.startswith(b"\x16\x03") else bytes(received))
                          for i, received in enumerate(origin.connections)]
        return out

    def kill(self):
        if self.child:
            self.child.kill()
            self.child.communicate()

    def client(self, over, host="localhost", origin=None):
        client = Client(self, over, host, origin)
        self.clients.append(client)
        return client

    def command(self, *args):
        """Runs the build with these arguments; its standard output."""
        done = subprocess.run([self.binary, *args], cwd=self.dir, env=self.env, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=DEADLINE)
        if done.returncode:
            raise RuntimeError(f"{' '.join(map(str, args))}: exit code {done.returncode}: {done.stderr.decode()}")
        return done.stdout

    def tool(self, line):
        """Runs a client of another project; its standard output is compared."""
        if not shutil.which(line[0]):
            raise Skipped(f"{line[0]} is not installed")
        done = subprocess.run(line, cwd=self.dir, stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE)
        if done.returncode:
            raise RuntimeError(f"{line}: exit code {done.returncode}: {done.stderr.decode()}")
        title = re.sub(r":\d+", "", f"{line[0]} {line[-1]}")
        self.seen.append((title, done.stdout))
        return done.stdout

    def node(self, origin, requests, offer=("h2",), at_once=False):
        """Sends requests with the HTTP/2 client of Node."""
        for request in requests:
            path = request["headers"][":path"]
            request["headers"][":path"] = path + ("&" if "?" in path else "?") + f"n={self.n()}"
        job = {"proxy": f"127.0.0.1:{self.port}", "host": "localhost", "port": origin, "offer": offer, "at_once": at_once,
               "requests": requests} | ({"ca": str(self.ca)} if offer else {})
        (self.dir / "job").write_text(json.dumps(job))
        out = json.loads(self.tool(["node", str(PEERS / "http2_client.js"), "job"]))
        if not out["answers"]:
            raise RuntimeError(f"the HTTP/2 client received nothing: {out}")
        for answer in out["answers"]:
            # The printed part of a large body depends on its pieces; its hash does not.
            if answer.get("length", 0) >= 100_000:
                del answer["body"]
        self.seen[-1] = "the HTTP/2 client's report", json.dumps(out)


class Client:
    """A client of the proxy: over CONNECT and TLS, over CONNECT in the clear, with absolute URLs, or redirected to it."""

    def __init__(self, run, over, host="localhost", origin=None):
        world = run.world
        self.run, self.over, self.host = run, over, host
        self.origin = origin or (world.tls if over == "tls" else world.clear)
        self.authority = f"{host}:{self.origin.port}"
        sock = socket.create_connection(("127.0.0.1", run.port), timeout=DEADLINE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.wire = Wire(sock)
        if over in ("tls", "connect"):
            sock.sendall(f"CONNECT {self.authority} HTTP/1.1\r\nHost: {self.authority}\r\n\r\n".encode())
            head = self.wire.until(b"\r\n\r\n")
            run.seen.append(("CONNECT", head))
            if not re.match(rb"HTTP/1\.1 200", head):
                raise RuntimeError(f"CONNECT: {head}")
        if over == "tls":
            # A client that trusts the origins' CA too works through a passthrough tunnel.
            context = ssl.create_default_context(cafile=run.world.dir / "ca.pem")
            context.load_verify_locations(run.ca)
            self.wire = Wire(context.wrap_socket(sock, server_hostname=host))

    def head(self, method, path, headers=(), version="1.1", host=None):
        target = f"http://{self.authority}{path}" if self.over == "plain" else path
        lines = [f"{method} {target} HTTP/{version}", f"Host: {host or self.authority}", *headers, "", ""]
        return "\r\n".join(lines).encode("latin-1")

    def numbered(self, path):
        return f"{path}{'&' if '?' in path else '?'}n={self.run.n()}"

    def send(self, data):
        self.wire.sock.sendall(data)

    def ask(self, method, path, headers=(), body=None, own_page=False, **more):
        """Sends a request and receives its response."""
        if body is not None:
            headers = [*headers, f"Content-Length: {len(body)}"]
        path = self.numbered(path)
        self.send(self.head(method, path, headers, **more) + (body or b""))
        return self.response(method, f"{method} {path}", own_page)

    def response(self, method="GET", title="response", own_page=False):
        begin = len(self.wire.received) - len(self.wire.buffer)
        end = b""
        try:
            head = self.wire.until(b"\r\n\r\n")
            while re.match(rb"HTTP/1.1 1(?!01)", head):
                head = self.wire.until(b"\r\n\r\n")
            status = int(head[9:12])
            if method == "HEAD" or status in (101, 204, 304):
                pass
            elif b"chunked" in (header(head, b"transfer-encoding") or b""):
                self.wire.chunks()
            elif (length := header(head, b"content-length")) and length.isdigit():
                self.wire.take(int(length))
            else:
                self.wire.rest()
        except EOFError:
            end = b"<end of stream>"
        except ConnectionError:
            end = b"<reset>"
        except ValueError:
            end = b"<malformed>"
        received = bytes(self.wire.received[begin:len(self.wire.received) - (len(self.wire.buffer) if not end else 0)])
        if own_page:
            received = received[:12]
        self.run.seen.append((title, received + end))
        return received

    def receives_head(self):
        self.run.seen.append(("head", self.wire.until(b"\r\n\r\n")))

    def receives(self, data):
        """Receives exactly these bytes."""
        got = self.wire.take(len(data))
        self.run.seen.append(("bytes", got))
        if got != data:
            raise RuntimeError(f"received {got!r} instead of {data!r}")

    def go(self):
        """Lets the origin take its next step."""
        self.origin.gate.release()

    def reset(self):
        self.wire.reset()

    def leave(self):
        self.wire.close(notify=False)


# ---- Scenarios ------------------------------------------------------------------------------------------------------

SCENARIOS = []
ALL = ["plain", "connect", "tls"]


def scenario(title, *args, overs=(None,)):
    """Registers a scenario that runs under `capture proxy` with these arguments, once per kind of connection."""
    def register(work):
        for over in overs:
            def whole(run, over=over):
                run.start(*args)
                if run.ca.exists() is False:
                    raise RuntimeError("no CA was made")
                work(run, over) if over else work(run)
                if run.child:
                    run.stop()
                return [run.dir / "capture.zip"]
            SCENARIOS.append((f"{title}, {over}" if over else title, whole))
        return work
    return register


def command_scenario(title):
    """Registers a scenario that returns the bundles to compare."""
    def register(work):
        SCENARIOS.append((title, work))
        return work
    return register


WELL_BEHAVED = [name for name, steps in GET_ONLY.items() if all(isinstance(step, bytes) for step in steps)]
UNTIL_CLOSE = ["until-close", "until-close-empty", "http10"]
NOT_WHOLE = ["short", "short-abrupt", "short-chunked", "short-gzip", "bad-chunk", "half-a-head", "until-close-abrupt",
             "length-and-chunked", "lengths-differ", "length-is-no-number"]
NO_ANSWER = ["nothing", "nothing-reset", "garbage"]


@scenario("responses on one connection", overs=ALL)
def responses_on_one_connection(run, over):
    client = run.client(over)
    for name in WELL_BEHAVED:
        client.ask("GET", f"/{name}")


@scenario("responses that end with the connection", overs=ALL)
def responses_that_end_with_the_connection(run, over):
    for name in UNTIL_CLOSE:
        run.client(over).ask("GET", f"/{name}")


@scenario("responses that break off", overs=ALL)
def responses_that_break_off(run, over):
    for name in NOT_WHOLE:
        run.client(over).ask("GET", f"/{name}")
        run.settle()


@scenario("no response", overs=ALL)
def no_response(run, over):
    for name in NO_ANSWER:
        run.client(over).ask("GET", f"/{name}", own_page=True)
        run.settle()


@scenario("methods and uploads", overs=ALL)
def methods_and_uploads(run, over):
    client = run.client(over)
    for name in ["hello", "empty", "chunked", "gzip", "404", "large"]:
        client.ask("HEAD", f"/{name}")
    for method in ["DELETE", "OPTIONS", "PATCH", "PROPFIND", "get", "X-OWN"]:
        client.ask(method, "/hello")
    for method in ["POST", "PUT", "PATCH", "DELETE", "GET"]:
        client.ask(method, "/echo", ["Content-Type: application/json"], TEXT)
    for body in [b"", b"\0", bytes(range(256)), gzipped(TEXT), NOISE, PROSE]:
        client.ask("POST", "/echo", [], body)
        client.ask("PUT", "/hash", ["Content-Type: application/x-www-form-urlencoded"], body)
    client.ask("POST", "/echo", ["Content-Encoding: gzip"], gzipped(TEXT))
    client.ask("POST", "/echo", ["Content-Encoding: x-private"], b"\1\2")
    client.ask("POST", "/echo", ["Content-Encoding: gzip"], b"not gzip at all")
    boundary = "Content-Type: multipart/form-data; boundary=xx"
    client.ask("POST", "/echo", [boundary], b'--xx\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--xx--\r\n')


@scenario("chunked uploads", overs=ALL)
def chunked_uploads(run, over):
    client = run.client(over)
    for body, size, extension, trailers in [(TEXT, 333, b"", b""), (b"", 1, b"", b""), (NOISE, 70_000, b"", b""),
                                            (TEXT, 50, b";a=b", b"X-Sum: 1\r\nX-Two: 2\r\n"), (TEXT, 1, b"", b"")]:
        path = client.numbered("/hash")
        client.send(client.head("POST", path, ["Transfer-Encoding: chunked"]) + chunked(body, size, extension, trailers))
        client.response(title=path)
    client.send(client.head("POST", client.numbered("/hash"), ["Transfer-Encoding: gzip, chunked"]) + chunked(gzipped(TEXT), 99))
    client.response()


@scenario("odd requests", overs=ALL)
def odd_requests(run, over):
    # Each on a connection of its own, since the proxy may close it.
    def ask(*args, **more):
        run.client(over).ask("GET", *args, **more)
        run.settle()
    port = (run.world.tls if over == "tls" else run.world.clear).port
    ask("/hello", ["X-Empty:", "x-spaces:  a  b \t", "Cookie: a=1", "cookie: b=2", "X-Latin: \xe9\xff",
                   "X-Utf8: caf\xc3\xa9", 'X-Quote: "\\"', "X-Long: " + "z" * 5000, "X-Same: 1", "X-Same: 1"])
    ask("/hello", ["Proxy-Connection: keep-alive", "Proxy-Authorization: Basic YTpi", "Connection: keep-alive"])
    ask("/hello/%C3%A9/%2F/a+b;c=d?q=%20&r=\xe9")
    ask("/hello", host=f"LocalHost:{port}")
    ask("/hello", host="localhost", own_page=True)
    ask("/hello", host="virtual.example", own_page=True)
    ask("/hello", ["TE: trailers", "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABk"])
    ask("/hello", ["Connection: close"])
    ask("/http10-kept", ["Connection: keep-alive"], version="1.0")
    ask("/until-close", version="1.0")


@scenario("pipelining", overs=ALL)
def pipelining(run, over):
    client = run.client(over)
    paths = [client.numbered(f"/{name}") for name in ["hello", "chunked", "empty", "gzip", "204", "binary"]]
    client.send(b"".join(client.head("GET", path) for path in paths))
    for path in paths:
        client.response(title=path)
    post = client.numbered("/echo")
    get = client.numbered("/hello")
    client.send(client.head("POST", post, ["Content-Length: 4"]) + b"body" + client.head("GET", get))
    client.response(title=post)
    client.response(title=get)


@scenario("byte by byte", overs=ALL)
def byte_by_byte(run, over):
    client = run.client(over)
    path = client.numbered("/echo")
    for byte in client.head("POST", path, ["Content-Length: 4"]) + b"body":
        client.send(bytes([byte]))
    client.response(title=path)


@scenario("expect and early responses", overs=ALL)
def expect_and_early_responses(run, over):
    client = run.client(over)
    path = client.numbered("/continue")
    client.send(client.head("POST", path, ["Expect: 100-continue", "Content-Length: 9"]))
    run.seen.append(("interim", client.wire.until(b"\r\n\r\n")))
    client.send(b"the body.")
    client.response(title=path)
    client = run.client(over)
    client.send(client.head("POST", client.numbered("/refuse-expect"), ["Expect: 100-continue", "Content-Length: 9"]))
    client.response()
    run.settle()
    client = run.client(over)
    client.send(client.head("POST", client.numbered("/early-413"), ["Content-Length: 100000"]) + b"begun")
    client.response()
    run.settle()
    client = run.client(over)
    client.send(client.head("POST", client.numbered("/early-reset"), ["Content-Length: 100000"]) + b"begun")
    wait_for(lambda: any(b"begun" in received for received in client.origin.connections[-1:]))
    client.go()
    client.response(own_page=True)
    run.settle()


@scenario("resets and clients that leave", overs=ALL)
def resets_and_clients_that_leave(run, over):
    client = run.client(over)
    client.send(client.head("GET", client.numbered("/reset")))
    client.receives_head()
    client.receives(b"only this")
    client.go()
    with contextlib.suppress(OSError):
        client.wire.rest()
    run.settle()
    for leave in [Client.leave, Client.reset]:
        client = run.client(over)
        client.send(client.head("GET", client.numbered("/endless")))
        client.receives_head()
        client.receives(b"the first bytes")
        leave(client)
        run.settle()
        client = run.client(over)
        client.send(client.head("GET", client.numbered("/silent")))
        wait_for(lambda: any(b"/silent" in received for received in client.origin.connections[-1:]))
        leave(client)
        run.settle()
        client = run.client(over)
        client.send(client.head("POST", client.numbered("/echo"), ["Content-Length: 1000"]) + b"not all of it")
        wait_for(lambda: any(b"not all of it" in received for received in client.origin.connections[-1:]))
        leave(client)
        run.settle()


@scenario("server-sent events", overs=ALL)
def server_sent_events(run, over):
    for name, tail in [("events", b"event: end\ndata: 3\n\n"), ("events-chunked", b"0\r\n\r\n")]:
        client = run.client(over)
        client.send(client.head("GET", client.numbered(f"/{name}"), ["Accept: text/event-stream"]))
        client.receives_head()
        chunk = [b"9\r\n%s\r\n", b"%s"][name == "events"]
        client.receives(chunk % b"data: 1\n\n")
        client.go()
        client.receives(chunk % b"data: 2\n\n")
        client.go()
        client.receives(tail)
    client = run.client(over)
    client.send(client.head("GET", client.numbered("/events-endless")))
    client.receives_head()
    client.receives(b": ping\n\ndata: 1\n\n")
    client.leave()


def open_websocket(run, over, path, *headers):
    client = run.client(over)
    client.send(client.head("GET", client.numbered(path), ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
                                                           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", *headers]))
    client.response(title=path)
    return client


MASK = b"\x11\x22\x33\x44"


def exchange_frame(client, first, payload):
    client.send(frame(first, payload, MASK))
    got = read_frame(client.wire)
    client.run.seen.append(("frame", bytes([got[0]]) + got[1]))


@scenario("WebSocket", overs=ALL)
def websocket(run, over):
    client = open_websocket(run, over, "/ws", "Sec-WebSocket-Protocol: chat, other", "Origin: http://page.example")
    for first, payload in [(0x81, b"hello"), (0x82, bytes(range(256))), (0x81, b""), (0x81, "caf\xe9 \u20ac".encode()), (0x89, b"ping"),
                           (0x89, b""), (0x8a, b"unsolicited"), (0x82, NOISE[:100_000]), (0x81, TEXT * 10)]:
        exchange_frame(client, first, payload)
    # Fragments, with a ping in between.
    for first, payload in [(0x01, b"one "), (0x00, b"two "), (0x89, b"between"), (0x80, b"three"), (0x02, b"\1"), (0x80, b"")]:
        exchange_frame(client, first, payload)
    # A reserved bit that no extension explains, a reserved opcode, text that is not UTF-8.
    for first, payload in [(0xa1, b"reserved bit"), (0x83, b"reserved opcode"), (0x81, b"\xff\xfe")]:
        exchange_frame(client, first, payload)
    exchange_frame(client, 0x88, b"\x03\xe8bye")
    run.settle()
    open_websocket(run, over, "/ws-refused")
    run.settle()
    for end in [Client.leave, Client.reset]:
        client = open_websocket(run, over, "/ws")
        exchange_frame(client, 0x81, b"before")
        client.send(frame(0x01, b"half a message", MASK))
        run.seen.append(("frame", read_frame(client.wire)[1]))
        end(client)
        run.settle()
    client = open_websocket(run, over, "/ws")
    exchange_frame(client, 0x82, b"before")
    client.send(frame(0x81, b"reset now", MASK))
    with contextlib.suppress(OSError):
        client.wire.rest()


@scenario("WebSocket with permessage-deflate", overs=ALL)
def websocket_with_deflate(run, over):
    for path in ["/ws-deflate", "/ws-deflate-fresh"]:
        client = open_websocket(run, over, path, "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits")
        packer = None
        for message in [b"hello", TEXT, b"hello", b"", TEXT]:
            if packer is None or path.endswith("fresh"):
                packer = zlib.compressobj(6, zlib.DEFLATED, -15)
            packed = (packer.compress(message) + packer.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\0\0\xff\xff") or b"\0"
            exchange_frame(client, 0xc1, packed)
            exchange_frame(client, 0x81, b"not compressed")
        exchange_frame(client, 0x41, packed[:3])
        exchange_frame(client, 0x80, packed[3:])
        exchange_frame(client, 0xc1, b"\xff\xff\xff damaged")
        exchange_frame(client, 0x88, b"")
        run.settle()


@scenario("half-close", overs=["plain", "connect"])
def half_close(run, over):
    for name, headers, body in [("hello", [], b""), ("echo", ["Content-Length: 4"], b"body"), ("until-close", [], b"")]:
        client = run.client(over)
        path = client.numbered(f"/{name}")
        client.send(client.head("GET" if not body else "POST", path, headers) + body)
        client.wire.sock.shutdown(socket.SHUT_WR)
        client.response(title=path)
        run.seen.append(("rest", client.wire.rest()))
        run.settle()


@scenario("other upgrades and large heads", overs=ALL)
def other_upgrades_and_large_heads(run, over):
    client = run.client(over)
    client.send(client.head("GET", client.numbered("/upgrade"), ["Connection: Upgrade", "Upgrade: private"]))
    client.receives_head()
    client.send(b"\0\1private bytes")
    client.receives(b"\0\1private bytes")
    client.leave()
    run.settle()
    for size in [60_000, 300_000, 2_000_000]:
        client = run.client(over)
        with contextlib.suppress(OSError):
            client.ask("GET", "/hello", ["X-Large: " + "x" * size], own_page=over == "plain")
        run.settle()
    run.client(over).ask("GET", "/large-head")
    run.client(over).ask("GET", "/hello", [f"X-{n}: {n}" for n in range(3000)], own_page=over == "plain")


@scenario("--passthrough-refused", "--passthrough-refused")
def passthrough_refused(run):
    world = run.world
    only_origins = ssl.create_default_context(cafile=world.dir / "ca.pem")
    target = f"localhost:{world.tls.port}"
    for _ in range(3):
        sock = socket.create_connection(("127.0.0.1", run.port), timeout=DEADLINE)
        sock.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        Wire(sock).until(b"\r\n\r\n")
        try:
            wire = Wire(only_origins.wrap_socket(sock, server_hostname="localhost"))
            wire.sock.sendall(f"GET /hello?n={run.n()} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
            run.seen.append(("passed through", wire.until(b"hello")))
            wire.close()
        except ssl.SSLError as error:
            run.seen.append(("refused", error.reason))
        run.settle()
    run.client("tls", "127.0.0.1").ask("GET", "/gzip")


@scenario("passthrough of an untrusted origin")
def passthrough_of_an_untrusted_origin(run):
    """The client trusts an origin that the proxy does not."""
    context = ssl.create_default_context(cafile=run.world.dir / "self-signed.pem")
    target = f"localhost:{run.world.untrusted.port}"
    sock = socket.create_connection(("127.0.0.1", run.port), timeout=DEADLINE)
    sock.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    Wire(sock).until(b"\r\n\r\n")
    wire = Wire(context.wrap_socket(sock, server_hostname="localhost"))
    wire.sock.sendall(f"GET /gzip?n={run.n()} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    head = wire.until(b"\r\n\r\n")
    run.seen.append(("passed through", head + wire.take(int(header(head, b"content-length")))))
    wire.close()
    run.client("tls").ask("GET", "/hello")


@scenario("unreachable origins")
def unreachable_origins(run):
    world = run.world
    dead = world.unreachable.getsockname()[1]
    def ask(first, then=b""):
        with socket.create_connection(("127.0.0.1", run.port), timeout=DEADLINE) as sock:
            sock.sendall(first)
            wire = Wire(sock)
            head = wire.until(b"\r\n\r\n")
            run.seen.append((str(first), head[:12]))
            if then and head[9:12] == b"200":
                sock.sendall(then)
                run.seen.append((str(then), wire.until(b"\r\n\r\n")[:12]))
    ask(f"GET http://localhost:{dead}/a?n={run.n()} HTTP/1.1\r\nHost: localhost:{dead}\r\n\r\n".encode())
    ask(f"GET http://no-such-host.invalid/a?n={run.n()} HTTP/1.1\r\nHost: no-such-host.invalid\r\n\r\n".encode())
    ask(f"POST http://127.0.0.1:{dead}/a?n={run.n()} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody".encode())
    ask(f"CONNECT localhost:{dead} HTTP/1.1\r\nHost: localhost:{dead}\r\n\r\n".encode(),
        f"GET /a?n={run.n()} HTTP/1.1\r\nHost: localhost:{dead}\r\n\r\n".encode())
    run.client("plain").ask("GET", "/hello")
    # TLS to an origin without TLS.
    client = Client(run, "connect")
    client.send(client.head("GET", client.numbered("/hello")))
    client.response()
    context = ssl.create_default_context(cafile=run.ca)
    sock = socket.create_connection(("127.0.0.1", run.port), timeout=DEADLINE)
    clear = f"localhost:{world.clear.port}"
    sock.sendall(f"CONNECT {clear} HTTP/1.1\r\nHost: {clear}\r\n\r\n".encode())
    run.seen.append(("CONNECT", Wire(sock).until(b"\r\n\r\n")))
    try:
        tls = context.wrap_socket(sock, server_hostname="localhost")
        tls.sendall(f"GET /hello?n={run.n()} HTTP/1.1\r\nHost: {clear}\r\n\r\n".encode())
        run.seen.append(("TLS to a clear origin", Wire(tls).rest()[:12]))
    except OSError as error:
        run.seen.append(("TLS to a clear origin", str(error)))


def wait_for(condition):
    end = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError("the origin did not receive the request")
        time.sleep(0.005)


def two_hosts(run):
    for over in ALL:
        for host in ["localhost", "127.0.0.1"]:
            client = run.client(over, host)
            client.ask("GET", "/hello")
            client.ask("POST", "/echo", [], TEXT)
            if over != "tls":
                run.client(over, host, run.world.other).ask("GET", "/gzip")
            client = open_websocket(run, over, "/ws")
            exchange_frame(client, 0x81, b"hello")
            exchange_frame(client, 0x88, b"")


scenario("-d localhost", "-d", "localhost")(two_hosts)
scenario("-e localhost", "-e", "localhost")(two_hosts)
scenario("-e with wildcard", "-e", "127.*")(two_hosts)
scenario("-d and -e", "-d", "*", "-e", "127.0.0.1")(two_hosts)
scenario("-k", "-k")(two_hosts)


@scenario("--max-body", "--max-body", "1M")
def max_body(run):
    client = run.client("tls")
    for name in ["gzip", "gzip-large", "large", "large-text", "br", "hello"]:
        client.ask("GET", f"/{name}")
    client.ask("POST", "/hash", ["Content-Encoding: gzip"], gzipped(PROSE))


@scenario("--memory", "--memory", "4M")
def little_memory(run):
    client = run.client("tls")
    for name in ["large", "gzip-large", "large-text", "large-chunked", "hello"] * 2:
        client.ask("GET", f"/{name}")


@scenario("--transparent", "--transparent")
def transparent(run):
    client = run.client("redirected")
    for name in ["hello", "chunked", "gzip", "404"]:
        client.ask("GET", f"/{name}")
    client.ask("POST", "/echo", [], TEXT)
    two_hosts(run)


@scenario("IPv6")
def ipv6(run):
    if not run.world.ipv6:
        raise Skipped("this machine has no IPv6 loopback")
    for over in ["plain", "connect"]:
        run.client(over, "[::1]", run.world.ipv6).ask("GET", "/hello")


@scenario("many connections, one after another", overs=ALL)
def many_connections(run, over):
    for number in range(40):
        client = run.client(over)
        client.ask("GET", f"/{['hello', 'gzip', 'binary'][number % 3]}")
        client.leave()


@scenario("connections at the same time", overs=ALL)
def connections_at_the_same_time(run, over):
    clients = [run.client(over) for _ in range(8)]
    for client in clients:
        client.path = client.numbered("/chunked")
        client.send(client.head("GET", client.path))
    for client in clients:
        client.response(title=client.path)
    # Connections are kept in order of arrival, which is arbitrary here.
    for origin in run.world.origins():
        origin.connections.sort(key=bytes)


@scenario("the end of the capture", overs=ALL)
def end_of_the_capture(run, over):
    client = run.client(over)
    client.ask("GET", "/hello")
    client.send(client.head("GET", client.numbered("/endless")))
    client.receives_head()
    client.receives(b"the first bytes")
    socket_client = open_websocket(run, over, "/ws")
    exchange_frame(socket_client, 0x81, b"before")
    run.stop(settle=False, signals=2)


@command_scenario("discover")
def discover(run):
    run.start("--json", command="discover")
    for over in ["plain", "connect"]:
        for host in ["localhost", "127.0.0.1"]:
            run.client(over, host).ask("GET", "/hello")
    domains = [json.loads(line) for line in run.stop().splitlines()]
    # Only values are compared.
    run.seen.append(("domains", str([list(domain.values()) for domain in domains])))
    if "localhost" not in str(domains):
        raise RuntimeError(f"nothing was discovered: {domains}")
    return []


# ---- HTTP/2 ---------------------------------------------------------------------------------------------------------

def h2(path, method="GET", **more):
    return {"headers": {":method": method, ":path": path, "x-odd": "a  b", "cookie": "a=1; b=2"}} | more


def http2_frames(*frames):
    return b"".join(frame(first, payload, MASK) for first, payload in frames).hex()


def http2_work(run, origin, offer):
    one_after_another = [
        h2("/hello"), h2("/fields"), h2("/echo", "POST", body="a body", trailers={"x-sent": "yes"}), h2("/hints"), h2("/status/204"),
        h2("/status/304"), h2("/status/404"), h2("/hello", "HEAD"), h2("/fill/3000000"), h2("/hash", "POST", fill=2_000_000), h2("/push"),
        h2("/reset"), h2("/refuse"), h2("/endless", cancel_at=5), h2("/echo", "PUT", body=""), h2("/hello"),
    ]
    run.node(origin, one_after_another, offer)
    run.node(origin, [h2("/together/6", "POST", body=f"body {i}") for i in range(6)], offer, at_once=True)
    run.node(origin, [h2(f"/fill/{i * 10000}") for i in range(20)], offer, at_once=True)
    run.node(origin, [h2("/goaway")], offer)
    run.node(origin, [h2("/cut")], offer)
    chat = {":method": "CONNECT", ":protocol": "websocket", ":scheme": "https" if offer else "http", ":path": "/chat",
            "sec-websocket-version": "13", "sec-websocket-protocol": "chat"}
    frames = http2_frames((0x81, b"hello"), (0x82, b"\0\1"), (0x89, b"p"), (0x01, b"a"), (0x80, b"b"), (0x88, b"\x03\xe8"))
    run.node(origin, [{"headers": chat, "frames": frames}], offer)


@scenario("HTTP/2 over TLS (Node)")
def http2_over_tls(run):
    http2_work(run, run.world.node("leaf.key", "leaf.pem", "h2"), ["h2"])


@scenario("HTTP/2 in the clear (Node)")
def http2_in_the_clear(run):
    http2_work(run, run.world.node(), None)


@scenario("HTTP/2 offered, HTTP/1.1 negotiated (Node)")
def http2_offered(run):
    run.node(run.world.node("leaf.key", "leaf.pem", "http/1.1"), [h2("/hello")], ["h2", "http/1.1"])
    run.node(run.world.node("leaf.key", "leaf.pem", "h2,http/1.1"), [h2("/hello")], ["http/1.1"])
    run.node(run.world.node("leaf.key", "leaf.pem", "h2,http/1.1"), [h2("/hello")], ["h2", "http/1.1"])


@scenario("HTTP/2 (curl)")
def http2_curl(run):
    if "HTTP2" not in subprocess.run(["curl", "-V"], capture_output=True, text=True).stdout:
        raise Skipped("curl has no HTTP/2")
    origin = f"https://localhost:{run.world.node('leaf.key', 'leaf.pem', 'h2')}"
    for args in [[], ["-d", "a=b"], ["-I"], ["-T", "job"], ["--compressed"]]:
        (run.dir / "job").write_bytes(TEXT)
        path = "/echo" if "-d" in args or "-T" in args else "/hello"
        run.tool(["curl", "-s", "-i", "--http2", "--cacert", str(run.ca), "-x", f"http://127.0.0.1:{run.port}", *args,
                  f"{origin}{path}?n={run.n()}"])


def forward(run, target):
    """A port that forwards through the proxy, for clients that have no proxy setting; each connection is one CONNECT."""
    listener = socket.create_server(("127.0.0.1", 0))

    def copy(source, destination):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                destination.sendall(data)
        with contextlib.suppress(OSError):
            destination.shutdown(socket.SHUT_WR)

    def accept():
        while True:
            client, _ = listener.accept()
            proxy = socket.create_connection(("127.0.0.1", run.port))
            proxy.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
            wire = Wire(proxy)
            wire.until(b"\r\n\r\n")
            client.sendall(wire.take(len(wire.buffer)))
            proxy.settimeout(None)
            threading.Thread(target=copy, args=(client, proxy), daemon=True).start()
            threading.Thread(target=copy, args=(proxy, client), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def nghttp_authority(run, *args):
    """Returns a forwarded port for nghttp and h2load to connect to, and the authority of the origin behind it."""
    port = run.world.node(*args)
    return forward(run, f"localhost:{port}"), f"localhost:{port}"


@scenario("HTTP/2 over TLS (nghttp)")
def http2_nghttp_over_tls(run):
    port, authority = nghttp_authority(run, "leaf.key", "leaf.pem", "h2")
    (run.dir / "upload").write_bytes(PROSE[:300_000])
    for options, path in [([], "/hello"), (["--padding=50"], "/fill/500000"), (["--continuation"], "/status/404"),
                          (["-d", "upload", "--trailer", "x-sent: yes"], "/echo"), (["--header-table-size=0"], "/fields"),
                          (["--no-dep", "-H", "cookie: a=1", "-H", "cookie: b=2"], "/hello"), (["-m", "1", "--window-bits=16"], "/push")]:
        run.tool(["nghttp", "-y", *options, "-H", f":authority: {authority}", f"https://localhost:{port}{path}?n={run.n()}"])


@scenario("HTTP/2 in the clear (nghttp)")
def http2_nghttp_in_the_clear(run):
    port, authority = nghttp_authority(run)
    for options, path in [([], "/hello"), (["--padding=50"], "/fill/500000")]:
        run.tool(["nghttp", *options, "-H", f":authority: {authority}", f"http://localhost:{port}{path}?n={run.n()}"])


@scenario("HTTP/2 over TLS (h2load)")
def http2_h2load(run):
    port, authority = nghttp_authority(run, "leaf.key", "leaf.pem", "h2")
    # One after another, since the requests have no number. The report has rates, which are not compared.
    out = run.tool(["h2load", "-n", "200", "-c", "1", "-m", "1", "-H", f":authority: {authority}", f"https://localhost:{port}/hello"])
    run.seen = [entry for entry in run.seen if not entry[0].startswith("h2load")]
    if b"200 succeeded" not in out:
        raise RuntimeError(f"h2load: {out.decode()}")


# ---- Commands -------------------------------------------------------------------------------------------------------

@command_scenario("capture run (curl)")
def capture_run(run):
    if not shutil.which("curl"):
        raise Skipped("curl is not installed")
    for origin in run.world.origins():
        origin.connections, origin.gate = [], threading.Semaphore(0)
    urls = [f"http://localhost:{run.world.clear.port}/hello?n={run.n()}", f"https://localhost:{run.world.tls.port}/gzip?n={run.n()}",
            f"http://127.0.0.1:{run.world.clear.port}/chunked?n={run.n()}"]
    line = ["capture", "run", "-q", "-o", "capture.zip", "--ca-dir", run.home / "ca", "--upstream-ca", run.world.dir / "ca.pem", "--"]
    run.seen.append(("output of the command", run.command(*line, "curl", "-s", *urls)))
    return [run.dir / "capture.zip"]


def small_capture(run, name, over, paths):
    run.start(output=name)
    client = run.client(over)
    for path in paths:
        client.ask("GET", path, ["Authorization: Bearer secret-token-1", "Cookie: session=secret-session"])
    client.ask("POST", "/echo?token=secret-query", ["Content-Type: application/json"],
               b'{"password": "secret-json", "user": "a", "again": "secret-token-1"}')
    client.ask("POST", "/echo", ["Content-Type: application/x-www-form-urlencoded"], b"password=secret-form&user=a")
    socket_client = open_websocket(run, over, "/ws?access_token=secret-query")
    exchange_frame(socket_client, 0x81, b'{"token": "secret-json"}')
    exchange_frame(socket_client, 0x88, b"")
    run.stop()
    return run.dir / name


@command_scenario("merge and redact what was just captured")
def merge_and_redact(run):
    one = small_capture(run, "one.zip", "plain", ["/hello", "/gzip", "/odd-headers"])
    two = small_capture(run, "two.zip", "tls", ["/chunked", "/br", "/unknown-coding"])
    run.command("capture", "merge", "one.zip", "two.zip", "-o", "merged.zip")
    run.command("capture", "redact", "one.zip", "-o", "redacted.zip", "--header", "x-empty", "--query", "token", "--json", "password")
    run.command("capture", "redact", "two.zip", "-o", "redacted2.zip", "--keep-unsearched")
    run.command("capture", "redact", "merged.zip", "-o", "redacted3.zip")
    with zipfile.ZipFile(run.dir / "redacted.zip") as redacted:
        if any(b"secret-session" in redacted.read(name) for name in redacted.namelist()):
            raise RuntimeError("redact left a secret")
    return [one, two, *(run.dir / name for name in ["merged.zip", "redacted.zip", "redacted2.zip", "redacted3.zip"])]


@command_scenario("recover a killed capture")
def recover(run):
    run.start()
    for over in ALL:
        client = run.client(over)
        for name in ["hello", "gzip", "large", "chunked", "odd-headers"]:
            client.ask("GET", f"/{name}")
        client.send(client.head("GET", client.numbered("/endless")))
        client.receives_head()
        client.receives(b"the first bytes")
        socket_client = open_websocket(run, over, "/ws")
        exchange_frame(socket_client, 0x81, b"before")
    # Exchanges that are not written yet are lost.
    time.sleep(2.5)
    run.child.send_signal(signal.SIGKILL)
    run.child.communicate()
    run.child = None
    [part] = run.dir.glob("*.part")
    run.command("capture", "recover", part.name, "-o", "recovered.zip")
    return [run.dir / "recovered.zip"]


def same_input(worlds_bundles, old, new, scratch, report):
    """Runs commands of both builds on the same bundles. Their outputs must be equal byte for byte."""
    bundles = [path for paths in worlds_bundles.values() for path in paths]
    if not bundles:
        return
    def without_comments(text):
        """Replaces explanatory comments in exports."""
        text = re.sub(rb'"comment":"(?:[^"\\]|\\.)*"', b'"comment":"MAPPED"', text)
        return re.sub(rb"(?m)^# (?!t_|ws_).*$", b"# MAPPED", text)

    def both(title, args, output=None):
        results = []
        for number, binary in enumerate([old, new]):
            place = scratch / f"same-{number}"
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            done = subprocess.run([binary, *args], cwd=place, capture_output=True, timeout=DEADLINE,
                                  stdin=subprocess.DEVNULL, env=os.environ | {"HOME": str(place)})
            if done.returncode:
                return f"{title}: exit code {done.returncode}: {done.stderr.decode()}"
            results.append(Bundle(place / output) if output else without_comments(done.stdout))
        if output:
            difference = results[0].difference(results[1])
            return difference and f"{title}: {difference}"
        if results[0] == results[1]:
            return None if results[0] else f"{title}: no output"
        return f"{title}: {first_difference(*results)}"

    def over_all(title, make, output=None):
        problems = (both(f"{path.parent.parent.name}/{path.name}", make(path), output) for path in bundles)
        report(title, next(filter(None, problems), None), f"{len(bundles)} bundles")
    over_all("export --format har, the same bundles", lambda p: ["capture", "export", p, "--format", "har"])
    over_all("export --format curl, the same bundles", lambda p: ["capture", "export", p, "--format", "curl"])
    over_all("inspect --json, the same bundles", lambda p: ["capture", "inspect", p, "--json"])
    over_all("redact, the same bundles", lambda p: ["capture", "redact", p, "-o", "out.zip", "--header", "x-odd", "--json", "name", "--query", "q"], "out.zip")
    report("merge, the same bundles", both("merge", ["capture", "merge", *bundles[:12], "-o", "out.zip"], "out.zip"), "")
    if parts := [path for path in scratch.glob("*/old/*.part")]:
        report("recover, the same file", both("recover", ["capture", "recover", parts[0], "-o", "out.zip"], "out.zip"), "")


# ---- The comparison -------------------------------------------------------------------------------------------------

def compare(runs, bundles):
    """The first difference between two runs; None if there is none."""
    for (title, old), (title2, new) in zip(runs[0].seen, runs[1].seen):
        if title != title2:
            return f"{title} and {title2}"
        if old != new:
            if isinstance(old, int):
                return f"{title}: {old} and {new}"
            return f"{title}: {first_difference(old, new)}"
    if len(runs[0].seen) != len(runs[1].seen):
        return f"{len(runs[0].seen)} and {len(runs[1].seen)} results"
    for old, new in zip(*bundles):
        if difference := old.difference(new):
            return difference
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=pathlib.Path)
    parser.add_argument("new", type=pathlib.Path)
    parser.add_argument("--only", default="", metavar="TEXT", help="only scenarios with this text in their title")
    parser.add_argument("--keep", type=pathlib.Path, metavar="DIR", help="keep the bundles in this new directory")
    parser.add_argument("--list", action="store_true", help="print the scenarios' titles")
    args = parser.parse_args()
    if args.list:
        return print("\n".join(title for title, _ in SCENARIOS))
    scratch = args.keep or pathlib.Path(tempfile.mkdtemp(prefix="spectral-compare-"))
    scratch.mkdir(exist_ok=True)
    scratch = scratch.resolve()
    world, results, kept, checked = World(scratch), collections.Counter(), {}, False

    def report(title, problem, note):
        results["differ" if problem else "equal"] += 1
        print(f"{title}: {'DIFFERS: ' + problem if problem else 'equal'}{' (' + note + ')' if note and not problem else ''}", flush=True)

    try:
        for place, (title, work) in enumerate(SCENARIOS):
            if args.only not in title:
                continue
            runs, bundles, paths = [], [], []
            try:
                for name, binary in [("old", args.old), ("new", args.new)]:
                    run = Run(world, binary.resolve(), scratch / f"{place:02}" / name, place * 1000)
                    runs.append(run)
                    try:
                        paths.append(work(run))
                    finally:
                        run.kill()
                    bundles.append([Bundle(path) for path in paths[-1]])
            except Skipped as why:
                results["skipped"] += 1
                print(f"{title}: SKIPPED: {why}", flush=True)
                continue
            except Exception as error:
                report(title, f"{runs[-1].dir.name} fails: {type(error).__name__}: {error}", "")
                continue
            kept[place] = paths[0]
            empty = [path.name for path, bundle in zip(paths[0], bundles[0]) if not bundle.counts[0]]
            counts = [sum(bundle.counts[i] for bundle in bundles[0]) for i in (0, 1)]
            note = f"{counts[0]} exchanges, {counts[1]} messages, {len(runs[0].seen)} results"
            if any(old.ids != new.ids for old, new in zip(*bundles)):
                note += ", ids numbered differently"
            report(title, compare(runs, bundles) or (f"nothing was captured in {empty}" if empty else None), note)
            if not checked and title.startswith("responses on one connection"):
                print(f"the comparison notices {check_comparison(paths[0][0], scratch)} kinds of changes")
                checked = True
        same_input(kept, args.old.resolve(), args.new.resolve(), scratch, report)
    finally:
        world.stop()
        if not args.keep:
            shutil.rmtree(scratch)
    print(f"{results['equal']} equal, {results['differ']} different, {results['skipped']} skipped")
    return 1 if results["differ"] or not results["equal"] else 0


if __name__ == "__main__":
    sys.exit(main())
