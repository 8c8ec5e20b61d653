"""Serves a description and calls its operations through the binary, as a client would that knows only some of its resources."""
import os
import random
import re
import urllib.parse

from description import Description
from observed import Exercised
from traffic import Answer, Capture, to_json
from values import Values

# Calls of an operation. An operation that is called rarely has fewer values to be inferred from.
CALLS = (3, 4, 6, 9)
MAX_SAME_BEGINNING = 12
ITEM_ID_NAMES = ("id", "uuid", "guid", "gid", "sid", "key", "name", "slug", "login", "username", "number")


class Session:
    def __init__(self, description, seed):
        self.description, self.random = description, random.Random(seed)
        self.values = Values(description, self.random)
        self.exercised = Exercised(description.title)
        self.token, self.cookie = self.values.marker(), self.values.marker()

    def choose(self, count):
        """Returns up to `count` operations: as in an app's traffic, neighbouring ones, from some places of the API."""
        groups = {}
        for operation in filter(self.is_recognizable, self.description.operations()):
            words = [part for part in operation.template.split("/") if part and "{" not in part]
            groups.setdefault(tuple(words[:2]), []).append(operation)
        order = sorted(groups)
        self.random.shuffle(order)
        first = [operation for key in order for operation in groups[key][:MAX_SAME_BEGINNING]]
        rest = [operation for key in order for operation in groups[key][MAX_SAME_BEGINNING:]]
        return [*first, *rest][:count]

    def is_recognizable(self, operation):
        """False if a parameter has so few values that each could be a literal."""
        for name in operation.path_names():
            schema = self.description.schema(operation.parameters["path", name].get("schema") or {})
            if "const" in schema or 0 < len(schema.get("enum") or []) < 3:
                return False
        return True

    def plan(self, operations):
        """Returns the calls: rounds over the operations, each in an order of its own."""
        calls = [(number, self.random.random(), operation) for operation in operations for number in range(self.random.choice(CALLS))]
        return [(number, operation) for number, _, operation in sorted(calls, key=lambda call: call[:2])]

    # The request.

    def path(self, operation, number):
        """Returns the target's path, and the name and value of each parameter."""
        target, place, pairs = self.description.base, "", []
        for segment in operation.template.split("/")[1:]:
            def value(match):
                name = match[1]
                schema = operation.parameters["path", name].get("schema") or {}
                ids = self.values.pool(place + "/" + segment[: match.start()], name, schema)
                pairs.append((name, ids[number] if number < min(3, len(ids)) else self.random.choice(ids)))
                return urllib.parse.quote(pairs[-1][1], safe="'")
            target += "/" + re.sub(r"\{([^}]+)\}", value, segment)
            place += "/" + re.sub(r"\{[^}]+\}", "{}", segment)
        return target, pairs

    def query_and_headers(self, operation, share):
        query, headers = [], []
        for (where, name), parameter in operation.parameters.items():
            if where not in ("query", "header") or name.lower() in ("authorization", "accept", "content-type"):
                continue
            if not parameter.get("required") and self.random.random() > share:
                continue
            value = self.values.json(parameter.get("schema") or {}, 0.6)
            items = value if isinstance(value, list) else [value]
            texts = [as_text(item) for item in items if not isinstance(item, (dict, list)) and item is not None]
            if not texts:
                continue
            if where == "header":
                headers.append((name, ",".join(texts)))
            else:
                query += [(name, text) for text in texts] if parameter.get("explode", True) else [(name, ",".join(texts))]
        for scheme in operation.security:
            if scheme.get("type") == "apiKey" and scheme.get("in") == "query":
                query.append((scheme["name"], self.token))
            elif scheme.get("type") == "apiKey" and scheme.get("in") == "header":
                headers.append((scheme["name"], self.token))
            elif scheme.get("type") in ("http", "oauth2", "openIdConnect"):
                headers.append(("Authorization", "Bearer " + self.token))
        return query, [*headers, ("Cookie", "session=" + self.cookie)]

    def body(self, operation, share):
        """Returns the Content-Type, the bytes, and the media type with its JSON value, or three times None."""
        content = operation.body.get("content") or {}
        media = next((name for name in content if "json" in name), next(iter(content), None))
        if not media or not operation.body.get("required") and share < 0.3:
            return None, None, None
        value = self.values.json(content[media].get("schema") or {}, share)
        if "json" in media:
            return media, to_json(value), (media, value)
        if media in ("application/x-www-form-urlencoded", "multipart/form-data"):
            fields = fields_of(value) or fields_of(self.values.json(content[media].get("schema") or {}, 1))
            return self.form(media, fields) if fields else (None, None, None)
        media = "text/plain" if "*" in media else media
        return media, self.values.marker().encode(), (media,)

    def form(self, media, fields):
        if media == "application/x-www-form-urlencoded":
            return media, urllib.parse.urlencode(fields).encode(), (media, fields)
        boundary = "----" + self.values.marker()
        parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n' for name, text in fields.items()]
        return f"{media}; boundary={boundary}", ("".join(parts) + f"--{boundary}--\r\n").encode(), (media, fields)

    # The answer.

    def answer(self, operation, pairs, share, may_fail):
        """Returns the answer, and its media type with its JSON value, or None."""
        statuses = list(operation.responses)
        success = [status for status in statuses if status[0] in "2d"] or ["200"]
        failures = [status for status in statuses if re.fullmatch(r"4\d\d", status)]
        status = self.random.choice(failures) if failures and may_fail and self.random.random() < 0.15 else success[0]
        code = int(status) if status.isdigit() else 200
        content = operation.responses.get(status, {}).get("content") or {}
        media = next((name for name in content if "json" in name), next(iter(content), None))
        if not media or code in (204, 304):
            return Answer(code), None
        if "json" not in media:
            media = "text/plain" if "*" in media else media
            return Answer(code, self.values.marker().encode(), media), (media,)
        value = self.values.json(content[media].get("schema") or {}, share)
        if code < 300:
            self.identify(operation, value, pairs)
        return Answer(code, value, media), (media, value)

    def identify(self, operation, value, pairs):
        """Puts ids into an answer, as APIs do: the resource's own, or those of a collection's resources."""
        if operation.template.endswith("}") and pairs:
            set_id(value, *pairs[-1])
        elif operation.method == "get":
            place = re.sub(r"\{[^}]+\}", "{}", operation.template) + "/"
            ids = self.values.pools.get(place)
            for row, id in zip(rows_of(value), ids or []):
                set_id(row, "id", id)

    def call(self, capture, number, operation):
        share = {0: 1, 1: 0.2}.get(number, 0.6)
        target, pairs = self.path(operation, number)
        query, headers = self.query_and_headers(operation, share)
        type, body, sent = self.body(operation, share)
        answer, received = self.answer(operation, pairs, share, number > 2)
        if body is None and operation.method in ("post", "put", "patch"):
            body = b""
        full = target + ("?" + urllib.parse.urlencode(query) if query else "")
        capture.send(operation.method.upper(), full, answer, headers, body, type)
        key = self.description.base + operation.template
        tokens = {scheme.get("name") for scheme in operation.security if scheme.get("in") == "query"}
        query = [pair for pair in query if pair[0] not in tokens]
        self.exercised.operation(key, operation.method).add(pairs, query, answer.status, sent, received)


def generate(binary, file, folder, count, seed):
    """Captures calls of up to `count` operations of a description. Returns what was exercised, and the origin's host."""
    session = Session(Description(file), seed)
    operations = session.choose(count)
    with Capture(binary, os.path.join(folder, "capture.zip")) as capture:
        for at, (number, operation) in enumerate(session.plan(operations)):
            session.call(capture, number, operation)
            if at % 10 == 9:
                send_noise(capture, at // 10)
    session.exercised.markers = session.values.markers
    return session.exercised, capture.host


def send_noise(capture, at):
    """Sends what a browser or a scanner sends beside an app's calls: the document must not have it."""
    noise = (
        ("GET", "/assets/index-4f9d1c.js", Answer(200, b"let a=1", "text/javascript")),
        ("GET", "/favicon.ico", Answer(404, b"<h1>404</h1>", "text/html")),
        ("OPTIONS", "/", Answer(204, headers=[("Access-Control-Allow-Origin", "*")])),
        ("GET", "/app/settings", Answer(200, b"<!doctype html><title>App</title>", "text/html")),
        ("GET", "/.env", Answer(404, {"error": "not found"})),
        ("GET", "/sign-in", Answer(302, b"", None, [("Location", "/app/settings")])),
        ("GET", "/img/logo@2x.png", Answer(200, b"\x89PNG\r\n\x1a\n", "image/png")),
    )
    method, target, answer = noise[at % len(noise)]
    headers = [("Origin", "http://app.test"), ("Access-Control-Request-Method", "PUT")] if method == "OPTIONS" else []
    capture.send(method, target, answer, headers)


def rows_of(value):
    """Returns the resources in the answer of a collection."""
    if isinstance(value, dict):
        value = next((member for member in value.values() if isinstance(member, list)), [])
    return value if isinstance(value, list) else []


def set_id(value, name, id):
    if not isinstance(value, dict):
        return
    for key in (name, re.sub("([a-z])([A-Z])", r"\1_\2", name).lower(), *ITEM_ID_NAMES):
        if isinstance(value.get(key), str):
            value[key] = id
            return
        if type(value.get(key)) is int and id.isdigit():
            value[key] = int(id)
            return


def fields_of(value):
    """Returns the members of an object that a form can have, as text."""
    members = value.items() if isinstance(value, dict) else ()
    return {name: as_text(member) for name, member in members if not isinstance(member, (dict, list)) and member is not None}


def as_text(value):
    return ("false", "true")[value] if isinstance(value, bool) else str(value).replace("\n", " ")
