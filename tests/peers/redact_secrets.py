"""Writes bundles with random secrets in every grammar, and checks what `spectral capture redact` makes of them.

    redact_secrets.py make SEED BUNDLE           the same seed makes the same bundle
    redact_secrets.py check SEED REDACTED JSON   writes the JSON documents of the redacted bundle to JSON, a line each

The parsers are those of Python. A text is described by a tree: `render` writes it, and `verify` parses it again and compares each
value: secrets are placeholders, equal ones the same, and all else is as it was.
"""

import base64
import email
import json
import random
import re
import sys
import urllib.parse
import xml.etree.ElementTree as ElementTree
import zipfile
from xml.sax.saxutils import escape

PLACEHOLDER = re.compile(r"redacted-[0-9a-f]{12}")
LETTERS = "QXZJKWVYÜßЖ"
SPECIAL = ";'\"&|/\\+%<>=?#,:{}[] "
NAMES = ["token", "access_token", "refreshToken", "password", "clientSecret", "api_key", "X-Amz-Signature", "user[password]"]


class Maker:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.secrets = []
        # Secrets whose placeholders are known, and the expected placeholder of each.
        self.found = {}

    def secret(self, forbidden=""):
        """Returns the number of a new secret, or of one that exists."""
        usable = [n for n, secret in enumerate(self.secrets) if not set(secret) & set(forbidden)]
        if usable and self.random.random() < 0.3:
            return self.random.choice(usable)
        special = [c for c in SPECIAL if c not in forbidden]
        chars = [self.random.choice(special if special and self.random.random() < 0.25 else LETTERS) for _ in range(self.random.randint(16, 40))]
        chars[0], chars[-1] = self.random.choice(LETTERS), self.random.choice(LETTERS)
        self.secrets.append("".join(chars))
        return len(self.secrets) - 1

    def name(self):
        return self.random.choice(NAMES)

    # Trees.

    def value(self, depth):
        """Returns a text that is not secret as a whole."""
        kinds = ["plain", "echo"] if depth == 0 else ["json", "json", "form", "url", "xml", "graphql", "echo", "plain"]
        return getattr(self, "make_" + self.random.choice(kinds))(depth)

    def make_plain(self, _depth):
        return ["plain", self.random.choice(["", "a b", "page 2", "é ü", "1.5", "x=y", "{no json", "<no xml", "100%"])]

    def make_echo(self, _depth):
        encoding = self.random.choice(["plain", "percent", "json", "base64", "url-safe base64", "hex", "HEX"])
        if not self.secrets:
            return self.make_plain(0)
        return ["echo", self.random.randrange(len(self.secrets)), encoding, self.random.randint(0, 3)]

    def make_json(self, depth):
        members = {"a": ["number", 5], "none": ["null"], self.name(): ["secret", self.secret()]}
        for n in range(self.random.randint(0, 2)):
            members[f"data{n}"] = self.value(depth - 1)
        return ["json", members, self.random.choice(["plain", "ascii", "slash", "unicode"])]

    def make_form(self, depth):
        fields = [["a", ["plain", "b c"]], [self.name(), ["secret", self.secret()]], ["state", self.value(depth - 1)]]
        self.random.shuffle(fields)
        return ["form", fields]

    def make_url(self, depth):
        query = [["page", ["plain", "2"]], [self.name(), ["secret", self.secret()]], ["next", self.value(depth - 1)]]
        userinfo = ["secret", self.secret()] if self.random.random() < 0.3 else None
        return ["url", query, userinfo]

    def make_xml(self, depth):
        element = re.sub(r"\W", "", self.name())
        return ["xml", element, ["secret", self.secret()], ["secret", self.secret()], self.value(depth - 1), self.random.random() < 0.5]

    def make_graphql(self, _depth):
        return ["graphql", self.secret()]

    def make_multipart(self, depth):
        parts = [["note", ["plain", "b"]], [self.name(), ["secret", self.secret()]], ["data", self.value(depth - 1)]]
        return ["multipart", parts, self.random.choice(['; name="{}"', ";name=\"{}\"", "; name={}"])]

    # Texts.

    def render(self, tree):
        return getattr(self, "render_" + tree[0])(*tree[1:])

    def render_plain(self, text):
        return text

    def render_secret(self, number):
        return self.secrets[number]

    def render_echo(self, number, encoding, before):
        secret = self.secrets[number]
        encoded = {
            "plain": lambda: secret,
            "percent": lambda: urllib.parse.quote(secret, safe=""),
            "json": lambda: json.dumps(secret)[1:-1],
            "base64": lambda: base64.b64encode(("<" * before + secret + ">").encode()).decode(),
            "hex": lambda: ("<" * before + secret + ">").encode().hex(),
            "HEX": lambda: ("<" * before + secret + ">").encode().hex().upper(),
            "url-safe base64": lambda: base64.urlsafe_b64encode(("<" * before + secret + ">").encode()).decode(),
        }[encoding]()
        return f"you sent ({encoded}) to us"

    def render_json(self, members, style):
        def value(tree):
            return {"number": lambda: tree[1], "null": lambda: None}.get(tree[0], lambda: self.render(tree))()

        text = json.dumps({name: value(tree) for name, tree in members.items()}, ensure_ascii=style != "plain", indent=1 if style == "ascii" else None)
        if style == "slash":
            text = text.replace("/", "\\/")
        if style == "unicode":
            text = re.sub("[&=+<>']", lambda c: f"\\u{ord(c[0]):04x}", text)
        return text

    def render_form(self, fields):
        quote = self.random.choice([urllib.parse.quote_plus, lambda text: urllib.parse.quote(text, safe="")])
        return "&".join(f"{urllib.parse.quote(name)}={quote(self.render(tree))}" for name, tree in fields)

    def render_url(self, query, userinfo):
        host = urllib.parse.quote(self.render(userinfo), safe="") + "@h.test" if userinfo else "h.test"
        return f"https://{host}/path?{self.render_form(query)}#top"

    def render_xml(self, element, text, attribute, child, is_cdata):
        child = self.render(child)
        secret = self.render(text)
        content = f"<![CDATA[{secret}]]>" if is_cdata and "]]>" not in secret else escape(secret)
        quoted = escape(self.render(attribute), {'"': "&quot;"})
        return f'<?xml version="1.0"?>\n<r a="1">\n <n:{element} xmlns:n="u">{content}</n:{element}>\n <b password="{quoted}"/>\n <data>{escape(child)}</data>\n</r>'

    def render_graphql(self, number):
        return f'mutation {{ login(user: "me", password: {json.dumps(self.secrets[number], ensure_ascii=False)}) {{ ok }} }}'

    def render_multipart(self, parts, disposition):
        body = ""
        for name, tree in parts:
            body += f"--QQbound\r\nContent-Disposition: form-data{disposition.format(name)}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{self.render(tree)}\r\n"
        return body + "--QQbound--\r\n"

    # Verification.

    def verify(self, tree, text):
        getattr(self, "verify_" + tree[0])(text, *tree[1:])

    def placeholder(self, number, text):
        assert PLACEHOLDER.fullmatch(text), f"{self.secrets[number]!r} became {text!r}"
        key = self.secrets[number].replace(" ", "+")
        assert self.found.setdefault(key, text) == text, f"{self.secrets[number]!r} has two placeholders"

    def verify_plain(self, text, expected):
        assert text == expected, (text, expected)

    def verify_secret(self, text, number):
        self.placeholder(number, text)

    def verify_echo(self, text, number, encoding, before):
        inner = re.fullmatch(r"you sent \((.*)\) to us", text)[1]
        if encoding.lower() == "hex":
            assert inner == (inner.upper() if encoding == "HEX" else inner.lower()), inner
            decoded = bytes.fromhex(inner).decode()
            assert decoded.startswith("<" * before) and decoded.endswith(">"), decoded
            inner = PLACEHOLDER.search(decoded)[0]
        if "base64" in encoding:
            decoded = base64.urlsafe_b64decode(inner) if encoding.startswith("url") else base64.b64decode(inner)
            decoded = decoded.decode()
            assert decoded.startswith("<" * before) and decoded.endswith(">"), decoded
            inner = PLACEHOLDER.search(decoded)[0]
        self.placeholder(number, inner)

    def verify_json(self, text, members, _style):
        value = json.loads(text)
        assert list(value) == list(members), text
        for name, tree in members.items():
            if tree[0] == "number":
                assert value[name] == tree[1]
            elif tree[0] == "null":
                assert value[name] is None
            else:
                self.verify(tree, value[name])

    def verify_form(self, text, fields):
        parsed = urllib.parse.parse_qsl(text, keep_blank_values=True, strict_parsing=True)
        assert [name for name, _ in parsed] == [name for name, _ in fields], text
        for (_, value), (_, tree) in zip(parsed, fields):
            self.verify(tree, value)

    def verify_url(self, text, query, userinfo):
        url = urllib.parse.urlsplit(text)
        assert (url.scheme, url.hostname, url.path, url.fragment) == ("https", "h.test", "/path", "top"), text
        self.verify_form(url.query, query)
        if userinfo:
            self.verify(userinfo, urllib.parse.unquote(url.username))

    def verify_xml(self, text, element, secret, attribute, child, _is_cdata):
        root = ElementTree.fromstring(text)
        assert [part.tag for part in root] == ["{u}" + element, "b", "data"] and root.get("a") == "1", text
        self.verify(secret, root[0].text)
        self.verify(attribute, root[1].get("password"))
        # Parsers change white space in text, but not here.
        self.verify(child, root[2].text or "")

    def verify_graphql(self, text, number):
        inner = re.fullmatch(r'mutation \{ login\(user: "me", password: (".*")\) \{ ok \} \}', text)[1]
        self.placeholder(number, json.loads(inner))

    def verify_multipart(self, text, parts, _disposition):
        message = email.message_from_bytes(b"Content-Type: multipart/form-data; boundary=QQbound\r\n\r\n" + text.encode())
        found = message.get_payload()
        assert len(found) == len(parts), text
        for part, (name, tree) in zip(found, parts):
            assert part.get_param("name", header="content-disposition") == name, text
            self.verify(tree, part.get_payload(decode=True).decode())

    # Bundles.

    def exchanges(self):
        """Returns the exchanges: URL, header fields, and two bodies with media type and character set."""
        media = {"json": "application/json", "form": "application/x-www-form-urlencoded", "xml": "text/xml", "multipart": "multipart/form-data; boundary=QQbound"}
        for _ in range(40):
            bodies = []
            for _ in range(2):
                kind = self.random.choice(["json", "json", "form", "xml", "multipart"])
                charset = self.random.choice(["utf-8", "utf-8", "utf-16", "utf-32-le"]) if kind == "json" else "utf-8"
                bodies.append([getattr(self, "make_" + kind)(3), media[kind], charset])
            headers = [
                ["Authorization", ["secret", self.secret(SPECIAL)], "Bearer {}"],
                ["Cookie", ["secret", self.secret(";\", ")], "sid={}; lang="],
                ["X-Api-Key", ["secret", self.secret()], "{}"],
                ["X-Echo", self.make_echo(0), "{}"],
                ["Sec-WebSocket-Protocol", ["secret", self.secret(SPECIAL)], "bearer, {}"],
                ["X-State", self.make_json(1), "{}"],
                ["X-Accept", ["plain", "text/html"], "{}"],
            ]
            yield self.make_url(3), headers, bodies

    def payloads(self):
        for _ in range(20):
            yield self.random.choice([self.make_json, self.make_graphql, self.make_echo, self.make_xml])(2)


def write(seed, path):
    maker = Maker(seed)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for n, (url, headers, bodies) in enumerate(maker.exchanges(), 1):
            trace = {"request": {"method": "POST", "url": maker.render(url)}, "response": {"status": 200}}
            for side, (tree, media_type, charset) in zip(["request", "response"], bodies):
                body = maker.render(tree).encode(charset)
                fields = [{"name": name, "value": form.format(maker.render(value))} for name, value, form in headers]
                trace[side] |= {
                    "headers": fields + [{"name": "Content-Type", "value": media_type}],
                    "body_file": f"t_{n:04}_{side}.bin",
                    "body_size": len(body),
                }
                bundle.writestr(f"traces/t_{n:04}_{side}.bin", body)
            bundle.writestr(f"traces/t_{n:04}.json", json.dumps(trace))
        bundle.writestr("ws/ws_0001.json", json.dumps({"url": "wss://h.test/"}))
        for n, tree in enumerate(maker.payloads(), 1):
            payload = maker.render(tree).encode()
            message = {"opcode": "text", "payload_file": f"ws_0001_m{n:03}.bin", "payload_size": len(payload)}
            bundle.writestr(f"ws/ws_0001_m{n:03}.json", json.dumps(message))
            bundle.writestr(f"ws/ws_0001_m{n:03}.bin", payload)
        bundle.writestr("manifest.json", "{}")


def check(seed, path, documents):
    maker = Maker(seed)
    # The values that were replaced, and those of other fields that contain them.
    texts = []
    with zipfile.ZipFile(path) as bundle, open(documents, "w", encoding="utf-8") as lines:
        for n, (url, headers, bodies) in enumerate(maker.exchanges(), 1):
            # Consumes the same random numbers as the bundle did.
            maker.render(url)
            trace = json.loads(bundle.read(f"traces/t_{n:04}.json"))
            maker.verify(url, trace["request"]["url"])
            texts.append(trace["request"]["url"])
            for side, (tree, _, charset) in zip(["request", "response"], bodies):
                maker.render(tree)
                body = bundle.read(f"traces/t_{n:04}_{side}.bin").decode(charset)
                texts.append(body)
                maker.verify(tree, body)
                if tree[0] == "json":
                    lines.write(json.dumps(json.loads(body)) if charset != "utf-8" else body.replace("\n", " "))
                    lines.write("\n")
                fields = {field["name"]: field["value"] for field in trace[side]["headers"]}
                for name, value, form in headers:
                    maker.render(value)
                    before, after = form.split("{}")
                    inner = fields[name]
                    assert inner.startswith(before) and inner.endswith(after), inner
                    maker.verify(value, inner[len(before) : len(inner) - len(after)])
                    texts.append(inner)
        for n, tree in enumerate(maker.payloads(), 1):
            maker.render(tree)
            payload = bundle.read(f"ws/ws_0001_m{n:03}.bin").decode()
            texts.append(payload)
            maker.verify(tree, payload)
        raw = [bundle.read(name) for name in bundle.namelist()]
    leaks = set()
    everything = b"\n".join([text.encode() for text in texts] + raw)
    # Excludes nearly all pieces at once.
    beginnings = {everything[at : at + 6] for at in range(len(everything))}
    for secret in maker.secrets:
        for start in range(len(secret) - 5):
            pieces = {piece for piece in encodings(secret[start : start + 6]) if piece[:6] in beginnings}
            leaks |= {piece for piece in pieces if piece in everything}
    assert not leaks, leaks
    print(f"{len(maker.secrets)} secrets, {len(texts)} texts")


def encodings(piece):
    """Returns six characters in each encoding, as bytes. Of base64, the characters that depend on them alone."""
    yield piece.encode()
    yield urllib.parse.quote(piece, safe="").encode()
    yield urllib.parse.quote_plus(piece).encode()
    yield json.dumps(piece)[1:-1].encode()
    yield json.dumps(piece, ensure_ascii=False)[1:-1].replace("/", "\\/").encode()
    yield piece.encode().hex().encode()
    yield piece.encode().hex().upper().encode()
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + piece.encode())
        characters = encoded[-(-before * 8 // 6) : (before + len(piece.encode())) * 8 // 6]
        yield characters
        yield characters.replace(b"+", b"-").replace(b"/", b"_")


if __name__ == "__main__":
    if sys.argv[1] == "make":
        write(int(sys.argv[2]), sys.argv[3])
    else:
        check(int(sys.argv[2]), sys.argv[3], sys.argv[4])
