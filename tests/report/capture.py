#!/usr/bin/env python3
"""Writes a made-up capture, for the check of reports and the picture in the README: capture.py OUT.zip [ROWS]"""

import base64
import json
import struct
import sys
import zipfile
import zlib

START = 1_795_338_429_000
HOSTS = ["shop.example", "api.shop.example", "cdn.example"]
HOSTILE = "</script><script>window.injected = 1</script><img src=x onerror='window.injected = 2'>\u202e\u0007"


def gif(width, height):
    # One bit per pixel. LZW codes of three bits: clear, then a zero for each pixel, then the end. Cleared often, so that codes stay short.
    codes = "".join(f"{code:03b}"[::-1] for at in range(width * height // 2) for code in (4, 0, 0)) + f"{5:03b}"[::-1]
    data = bytes(int(codes[at : at + 8][::-1], 2) for at in range(0, len(codes), 8))
    blocks = b"".join(bytes([len(data[at : at + 255])]) + data[at : at + 255] for at in range(0, len(data), 255))
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes((40, 120, 200, 255, 255, 255))
    return head + b"," + struct.pack("<HHHHBB", 0, 0, width, height, 0, 2) + blocks + b"\0;"


def jpeg(width, height):
    # Grey: each block of 8 by 8 pixels is the code 0 for "as the block before" and the code 0 for "nothing else".
    def segment(marker, data):
        return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data

    bits = "00" * ((width + 7) // 8 * ((height + 7) // 8))
    data = int(bits + "1" * (-len(bits) % 8), 2).to_bytes((len(bits) + 7) // 8, "big")
    one_code = bytes([1] + [0] * 15) + b"\0"
    return (b"\xff\xd8" + segment(0xDB, b"\0" + b"\1" * 64) + segment(0xC0, struct.pack(">BHHBBBB", 8, height, width, 1, 1, 0x11, 0))
            + segment(0xC4, b"\0" + one_code) + segment(0xC4, b"\x10" + one_code)
            + segment(0xDA, bytes((1, 1, 0, 0, 63, 0))) + data + b"\xff\xd9")


def webp(width, height):
    # Lossless: five prefix codes of one symbol each, so that a pixel takes no bits.
    bits = f"{width - 1:014b}"[::-1] + f"{height - 1:014b}"[::-1] + "0" + "000" + "0" + "0" + "0"
    for symbol in (120, 40, 200, 255):
        bits += "1" + "0" + "1" + f"{symbol:08b}"[::-1]
    bits += "1" + "0" + "0" + "0"
    data = b"\x2f" + bytes(int(bits[at : at + 8][::-1], 2) for at in range(0, len(bits), 8))
    chunk = b"VP8L" + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


# 24 by 16 pixels of one colour, written by Pillow: AV1 is too much to encode here.
AVIF = base64.b64decode(
    "AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUIAAADrbWV0YQAAAAAAAAAhaGRscgAAAAAAAAAAcGljdAAAAAAAAAAAAAAAAAAAAAAOcGl0bQAAAAAAAQAAAB5pbG"
    "9jAAAAAEQAAAEAAQAAAAEAAAETAAAAJwAAAChpaW5mAAAAAAABAAAAGmluZmUCAAAAAAEAAGF2MDFDb2xvcgAAAABqaXBycAAAAEtpcGNvAAAAFGlzcGUAAAAAAAAAGAAA"
    "ABAAAAAQcGl4aQAAAAADCAgIAAAADGF2MUOBAAwAAAAAE2NvbHJuY2x4AAEADQAGgAAAABdpcG1hAAAAAAAAAAEAAQQBAoMEAAAAL21kYXQSAAoJGBDv7RAQ0GhAMhgcR4"
    "eF3dNNNMLAAACusZybtfGZsGy2iUA=")


def png(size):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    def pixel(x, y):
        return bytes((x * 255 // size, y * 255 // size, 160))

    rows = b"".join(b"\0" + b"".join(pixel(x, y) for x in range(size)) for y in range(size))
    head = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


class Bundle:
    def __init__(self, path):
        self.zip = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED)
        self.count = 0
        self.time = START
        self.events = []

    def add(self, method, url, status=200, type="application/json", sent=b"", received=b"", headers=(), cut_off=None, text=None):
        self.count += 1
        self.time += 35 + self.count * 17 % 90
        id = f"t_{self.count:04}"
        phases = [0.4, 1.8, 6.1] if self.count < 4 else [0.0, 0.0, 0.0]
        phases += [0.3, 12.0 + self.count * 37 % 60, 2.0 + len(received) / 400]
        names = ["dns_ms", "connect_ms", "tls_ms", "send_ms", "wait_ms", "receive_ms"]
        trace = {
            "id": id, "timestamp": self.time, "type": "http",
            "request": {"method": method, "url": url, "headers": [{"name": n, "value": v} for n, v in headers],
                        "body_file": f"{id}_request.bin" if sent else None, "body_size": len(sent), "body_encoding": None},
            "response": {"status": status, "status_text": text or {200: "OK", 404: "Not Found"}.get(status, ""),
                         "headers": [{"name": "Content-Type", "value": type}] if status else [],
                         "body_file": f"{id}_response.bin" if received else None, "body_size": len(received), "body_encoding": None},
            "timing": dict(zip(names, phases)) | {"total_ms": sum(phases)},
            "initiator": {"type": "proxy", "url": None, "line": None}, "context_refs": [],
        }
        if cut_off:
            trace["cut_off"] = cut_off
        self.json(f"traces/{id}.json", trace)
        for name, body in (("request", sent), ("response", received)):
            if body:
                self.zip.writestr(f"traces/{id}_{name}.bin", body)
        self.events.append({"timestamp": self.time, "type": "trace", "ref": id})
        return id

    def websocket(self, url, messages):
        handshake = self.add("GET", url, 101, "")
        socket = {"id": "ws_0001", "timestamp": self.time, "url": url, "handshake_trace_ref": handshake, "protocols": [],
                  "message_count": len(messages), "context_refs": []}
        self.json("ws/ws_0001.json", socket)
        self.events.append({"timestamp": self.time, "type": "ws_open", "ref": "ws_0001"})
        for at, (direction, opcode, payload) in enumerate(messages, 1):
            id = f"ws_0001_m{at:03}"
            self.json(f"ws/{id}.json", {
                "id": id, "connection_ref": "ws_0001", "timestamp": self.time + at * 40, "direction": direction, "opcode": opcode,
                "payload_file": f"{id}.bin", "payload_size": len(payload), "context_refs": []})
            self.zip.writestr(f"ws/{id}.bin", payload)
            self.events.append({"timestamp": self.time + at * 40, "type": "ws_message", "ref": id})

    def json(self, name, value):
        self.zip.writestr(name, json.dumps(value, indent=2, ensure_ascii=False))

    def finish(self, name):
        self.events.sort(key=lambda event: event["timestamp"])
        self.json("timeline.json", {"events": self.events})
        self.json("manifest.json", {
            "format_version": "1.0.0", "capture_id": "0b7d5c1e-8d55-4a8e-9a31-4d0f6a1c2e77",
            "created_at": "2026-11-22T09:07:09.000000+00:00", "app": {"name": name, "base_url": "https://shop.example", "title": name},
            "browser": None, "extension_version": None, "duration_ms": 9000,
            "stats": {"trace_count": self.count, "ws_connection_count": 1, "ws_message_count": 4, "context_count": 0},
            "capture_method": "proxy"})
        self.zip.close()


bundle = Bundle(sys.argv[1])
bundle.add("GET", "https://shop.example/", type="text/html; charset=utf-8", received=b"<!doctype html><title>Shop</title>")
product = b'{"id":12345678901234567890123,"price":1.10,"tags":["new",{}],"id":2}'
bundle.add("GET", "https://api.shop.example/v1/products/42", received=product, headers=[("Accept", "application/json")])
bundle.add("GET", "https://cdn.example/42.png", type="image/png", received=png(24))
bundle.add("POST", "https://api.shop.example/v1/cart", 201, sent=b'{"product":42,"count":1,"note":"needle in a request"}', received=b'{"ok":true}',
           headers=[("Content-Type", "application/json"), ("Authorization", "Bearer redacted-5b1c0e7f33a9")])
bundle.add("POST", "https://shop.example/login", 302, "text/plain", b"user=ada+l&next=%2Fcart", b"",
           [("Content-Type", "application/x-www-form-urlencoded")])
bundle.add("GET", "https://api.shop.example/v1/events", type="text/event-stream", received=b"event: stock\ndata: 1\n\nevent: stock\ndata: 2\n\n",
           cut_off={"side": "response", "why": "stopped"})
bundle.add("POST", "https://api.shop.example/shop.Cart/Get", type="application/grpc", sent=b"\0\0\0\0\2\x08\x2a",
           received=b"\0\0\0\0\4\x0a\2hi\0\0\0\0\2\x08\1", headers=[("Content-Type", "application/grpc")])
bundle.add("GET", "https://api.shop.example/v1/missing", 404, received=b'{"error":"not found"}')
bundle.add("GET", "https://api.shop.example/v1/slow", 0, text="connection refused")
bundle.add("GET", "https://shop.example/hostile?" + "x=%3Cscript%3E", type="text/html", received=HOSTILE.encode(),
           headers=[("X-Hostile", HOSTILE.replace("\u0007", ""))])
bundle.websocket("wss://shop.example/live", [("send", "text", b'{"subscribe":"stock"}'), ("receive", "text", b'{"stock":3}'),
                                             ("receive", "text", HOSTILE.encode()), ("receive", "binary", bytes(range(40)))])
# By their first bytes alone, whatever the type claims. The last one claims to be huge.
for name, image in [("gif", gif(24, 16)), ("jpeg", jpeg(24, 16)), ("webp", webp(24, 16)), ("avif", AVIF),
                    ("huge", png(2)[:16] + struct.pack(">II", 60_000, 60_000) + png(2)[24:])]:
    bundle.add("GET", f"https://images.example/{name}", type="application/octet-stream", received=image)
bundle.add("GET", "https://images.example/drawing.svg", type="image/svg+xml", received=b'<svg xmlns="http://www.w3.org/2000/svg" onload="injected = 3"/>')
bundle.add("GET", "https://images.example/text.png", type="image/png", received=b"not an image")
bundle.add("GET", "https://shop.example/deep", received=b"[" * 3000 + b"]" * 3000)
paths = ["v1/products/{}", "v1/cart", "v1/search?q=tea&page={}", "v1/orders/{}"]
for at in range(int(sys.argv[2]) if len(sys.argv) > 2 else 40):
    body = json.dumps({"id": at, "name": f"Item {at}", "stock": at * 7 % 30}).encode()
    bundle.add("GET" if at % 5 else "PUT", f"https://{HOSTS[at % 2]}/" + paths[at % 4].format(at), received=body)
bundle.finish("shop")
