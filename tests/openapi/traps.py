"""Made-up traffic with cases that are hard to infer. Each names the templates that a careful person would write."""
import base64
import datetime
import gzip
import os
import random
import urllib.parse
import uuid

from generate import send_noise
from observed import Exercised, Map
from traffic import Answer, Capture, to_json
from values import BASE62, Values

SEED = 20


class Traps:
    def __init__(self, capture):
        self.capture, self.random = capture, random.Random(SEED)
        self.values = Values(None, self.random)
        self.exercised = Exercised("traps")
        self.marker = self.values.marker

    def call(self, template, values=(), body=None, method="GET", status=200, query=(), headers=(), sent=None, answer=None, form=None):
        """Sends a request for a template with these values, and records it as exercised.

        The value of a path parameter is sent as it is, so a value with reserved characters has to be encoded.
        """
        names = [f"p{at}" for at in range(template.count("{}"))]
        target = template
        for value in values:
            target = target.replace("{}", str(value), 1)
        if query:
            target += "?" + urllib.parse.urlencode(query)
        answer = answer or Answer(status, body)
        received = (answer.type, body) if body is not None else (answer.type,) if answer.body else None
        type, bytes, request = None, None, None
        if sent is not None:
            type, bytes, request = "application/json", to_json(sent), ("application/json", sent)
        elif form is not None:
            type, bytes = "application/x-www-form-urlencoded", urllib.parse.urlencode(form).encode()
            request = (type, form)
        self.capture.send(method, target, answer, headers, bytes, type)
        key = template
        for name in names:
            key = key.replace("{}", "{" + name + "}", 1)
        operation = self.exercised.operation(key, method)
        operation.add(list(zip(names, map(str, values))), [(name, str(text)) for name, text in query], answer.status, request, received)

    def also(self, template, *others):
        """Accepts other templates instead of one."""
        self.exercised.also[named(template)] = [named(other) for other in others]

    def optional(self, *templates):
        """Accepts templates, but does not expect them: other templates cover them."""
        self.exercised.optional.update(map(named, templates))

    def thing(self, **more):
        """Returns an object with some members, as most answers have."""
        return {"id": self.random.randrange(10**6), "title": f"x {self.marker()}", "created_at": self.values.id("date-time", ""), **more}

    def words(self, count):
        found = []
        while len(found) < count:
            word = self.values.id("word", "")
            found += [word] if word not in found else []
        return found

    # Paths.

    def odata(self):
        """Keys in parentheses: numbers as they are, strings in quotes."""
        for word in self.words(4):
            self.call("/odata/People('{}')", [word], {"@odata.context": "$metadata#People", "UserName": word})
            self.call("/odata/People('{}')/Trips", [word], {"value": [self.thing()]})
        for number in (7, 19, 230):
            self.call("/odata/Orders({})", [number], self.thing())
        query = [("$top", "5"), ("$filter", f"startswith(Name,'{self.marker()}')")]
        self.call("/odata/People", body={"value": [self.thing()]}, query=query)
        self.call("/odata/People/$count", answer=Answer(200, b"17", "text/plain"))
        self.also("/odata/People('{}')", "/odata/People({})")
        self.also("/odata/People('{}')/Trips", "/odata/People({})/Trips")

    def handles(self):
        for word in self.words(4):
            self.call("/@{}", [word], self.thing(handle=word))
            self.call("/@{}/posts", [word], [self.thing()])

    def matrix(self):
        """Parameters after a semicolon, one of them a secret."""
        for colour, year in (("red", 2019), ("green", 2021), ("blue", 2024)):
            self.call("/fleet/cars;color={};year={}", [colour, year], [self.thing()])
        for _ in range(3):
            self.call("/shop/basket;jsessionid={}", [self.marker()], self.thing(items=[]))
        self.also("/fleet/cars;color={};year={}", "/fleet/cars;color={};year={}", "/fleet/cars{}", "/fleet/cars;{}")
        self.also("/shop/basket;jsessionid={}", "/shop/basket{}", "/shop/basket;{}", "/shop/basket")

    def latest(self):
        """A word among numbers, with the answer of the numbers."""
        for id in (self.values.id("uuid", "") for _ in range(3)):
            for version in (1, 2, 3):
                self.call("/documents/{}/versions/{}", [id, version], self.thing(version=version))
            self.call("/documents/{}/versions/latest", [id], self.thing(version=3))
        self.optional("/documents/{}/versions/latest")

    def tenants(self):
        """The first segment is the customer."""
        for tenant in ("acme", "globex", "initech", "umbrella"):
            self.call("/{}/api/projects", [tenant], [self.thing()])
            for _ in range(2):
                self.call("/{}/api/projects/{}", [tenant, self.random.randrange(10**5)], self.thing(state="open"))

    def locales(self):
        for locale in ("en", "de", "pt-BR"):
            for word in self.words(3):
                self.call("/{}/articles/{}", [locale, word], self.thing(language=locale))
            self.call("/{}/menu", [locale], {"entries": [{"label": self.marker()}]})

    def dates(self):
        for day in (datetime.date(2026, 3, 14), datetime.date(2026, 11, 2), datetime.date(2025, 7, 30)):
            self.call("/archive/{}/{}/{}", [f"{day:%Y}", f"{day:%m}", f"{day:%d}"], [self.thing()])
            self.call("/rates/{}..{}", [day, day + datetime.timedelta(days=30)], {"EUR": 1.25})
        self.also("/rates/{}..{}", "/rates/{}")

    def partial_segments(self):
        """Values that are a part of their segment."""
        for word in self.words(3):
            self.call("/exports/{}.csv", [word], answer=Answer(200, b"a,b\n1,2\n", "text/csv"))
            self.call("/exports/{}.json", [word], [self.thing()])
        for number in (2, 3, 4):
            self.call("/blog/page-{}", [number], {"posts": [self.thing()]})
            self.call("/jobs/{}:cancel", [self.values.id("uuid", "")], {"done": True}, "POST")
            self.call("/jobs/{}:retry", [self.values.id("uuid", "")], self.thing(attempt=number), "POST")
            self.call("/jobs/{}", [self.values.id("uuid", "")], self.thing(state="running"))
        for latitude, longitude in ((52.52, 13.405), (-33.86, 151.21), (40.71, -74.006)):
            self.call("/weather/{},{}", [latitude, longitude], {"temperature": 11.5, "place": self.marker()})
        self.also("/exports/{}.csv", "/exports/{}.{}", "/exports/{}")
        self.also("/exports/{}.json", "/exports/{}.{}", "/exports/{}")
        self.also("/blog/page-{}", "/blog/{}")
        self.also("/weather/{},{}", "/weather/{}")

    def odd_ids(self):
        for _ in range(3):
            self.call("/devices/{}", [self.values.id("upper uuid", "")], self.thing(online=True))
            self.call("/instances/{}", [f"i-{self.random.getrandbits(68):017x}"], self.thing(type="small"))
            self.call("/objects/{}", [self.random.getrandbits(62) + 2**62], {"size": 1})
            self.call("/short/{}", ["".join(self.random.choices(BASE62, k=7))], {"url": "https://example.org/" + self.marker()})
            self.call("/hosts/{}", [f"10.{self.random.randrange(256)}.{self.random.randrange(256)}.7"], {"up": True})
            self.call("/people/{}", [self.marker() + "%40example.org"], self.thing(mail=self.marker() + "@example.org"))
        for text in ("caf%C3%A9", "a%2Fb", "two%20words", "50%25"):
            self.call("/labels/{}", [text], {"colour": "#fff", "uses": 3})
        for name, version in (("left-pad", "1.3.0"), ("lodash", "1.4.1"), ("react", "2.0.0-rc.1"), ("react", "2.0.0")):
            self.call("/packages/{}/{}", [name, version], self.thing(version=version))

    def single_ids(self):
        """One call each: the form of the value, or another answer, shows that it is one."""
        self.call("/commits/{}", [self.values.id("sha", "")], self.thing(author={"name": self.marker()}))
        self.call("/receipts/{}", [self.values.id("uuid", "")], self.thing(total=9.5))
        self.call("/rooms", body=[{"id": "lobby", "seats": 8}, {"id": "attic", "seats": 2}])
        self.call("/rooms/{}", ["lobby"], {"id": "lobby", "seats": 8, "floor": 0})

    def me(self):
        """Words beside ids: with an answer of its own, with the same answer, and where no id was ever."""
        for id in (4, 81, 977):
            self.call("/members/{}", [id], self.thing(email=self.marker() + "@example.org"))
            self.call("/members/{}/posts", [id], [self.thing()])
        for _ in range(2):
            self.call("/members/me", body={"quota": 10, "scopes": ["read"], "session": {"expires": 3600}})
            self.call("/members/me/posts", body=[self.thing()])
            self.call("/members/me/settings", body={"theme": "dark", "beta": False})
        self.optional("/members/me/posts")

    def literals_like_ids(self):
        """Versions and names with digits, of which there is one at their place, are no ids."""
        for key in ("APP-17", "APP-204", "WEB-9"):
            self.call("/rest/api/3/issue/{}", [key], self.thing(key=key))
            for version in ("v1", "v2"):
                self.call(f"/api/{version}/notes/{{}}", [self.random.randrange(10**5)], self.thing(pinned=version == "v1"))
        for _ in range(3):
            self.call("/codecs/base64/encode", body={"encoded": self.marker()}, method="POST", sent={"text": self.marker()})
            self.call("/oauth2/token", body={"access_token": self.marker(), "expires_in": 3600, "token_type": "Bearer"}, method="POST",
                      form={"grant_type": "client_credentials", "client_secret": self.marker()})
            self.call("/1.0/status", body={"ok": True})
            self.call("/2026-01-15/usage", body={"bytes": 5})

    def same_shapes(self):
        """Collections whose items look alike are still several."""
        for collection in ("brands", "sizes", "seasons", "materials"):
            self.call(f"/catalog/{collection}", body=[{"id": 1, "name": self.marker()}, {"id": 2, "name": self.marker()}])
            for id in (1, 2, 3):
                self.call(f"/catalog/{collection}/{{}}", [id], {"id": id, "name": self.marker()})
        for collection in ("albums", "playlists", "shows"):
            for _ in range(3):
                self.call(f"/{collection}/{{}}/tracks", [self.values.id("nano", "")], {"total": 2, "items": [self.thing()]})

    def procedures(self):
        """Verbs at the end, with one answer for all."""
        for verb in ("start", "stop", "reboot", "rebuild"):
            for _ in range(2):
                self.call(f"/machines/{{}}/{verb}", [self.values.id("hex", "")], {"accepted": True}, "POST", 202)
        for name in ("AddItem", "RemoveItem", "Checkout", "Estimate"):
            for _ in range(2):
                self.call(f"/twirp/shop.Cart/{name}", body={"total": 12}, method="POST", sent={"cart": self.marker(), "count": 2})
        for name in ("Get", "List"):
            message = base64.b64decode("AAAAAAQKAmhp")
            self.call(f"/shop.v1.Stock/{name}", method="POST", answer=Answer(200, message, "application/grpc"))
            self.optional(f"/shop.v1.Stock/{name}")

    def one_path(self):
        """GraphQL and JSON-RPC: the operation is in the body."""
        for name in ("Viewer", "Orders", "Search"):
            query = f"query {name}($q: String) {{ node(q: $q) {{ id }} }}"
            self.call("/graphql", body={"data": {"node": {"id": self.marker()}}}, method="POST",
                      sent={"operationName": name, "query": query, "variables": {"q": self.marker()}})
        for at, name in enumerate(("eth_call", "eth_chainId", "eth_gasPrice")):
            self.call("/rpc", body={"jsonrpc": "2.0", "id": at, "result": "0x" + self.marker()}, method="POST",
                      sent={"jsonrpc": "2.0", "id": at, "method": name, "params": [self.marker()]})

    def single_page_app(self):
        """Pages beside the API, under the same words."""
        for id in (3, 8, 15):
            page = Answer(200, b"<!doctype html><title>Board</title>", "text/html; charset=utf-8")
            self.capture.send("GET", f"/projects/{id}/board", page)
            self.call("/api/boards/{}", [id], self.thing(columns=[{"name": self.marker(), "cards": []}]))
        for at in range(7):
            send_noise(self.capture, at)
        self.capture.send("GET", "/api/boards/99/cut", Answer(200, b'{"half": ', cut_off=True))

    def files(self):
        """Paths of files as a parameter, which no template can express: one for each depth is as good as another."""
        self.exercised.free.append("/raw/")
        for depth in range(1, 5):
            for _ in range(2):
                path = [f"{word}-{self.marker()}" for word in self.words(depth)]
                self.call("/raw/" + "/".join(["{}"] * depth), path, answer=Answer(200, self.marker().encode(), "text/plain"))

    # Bodies.

    def shapes(self):
        """JSON of every kind in one object."""
        for at in range(4):
            body = self.thing(
                ratio=(1, 2.5, 3, 4)[at], maybe=None if at % 2 else self.marker(), big=2**60 + at, empty=[], nothing={},
                mixed=[1, "two" + self.marker(), None], flags={"a b": True, "$ref": self.marker(), "ключ": 1},
                by_id=Map({self.values.id("uuid", ""): {"count": 1, "last": self.marker()} for _ in range(2)}),
                by_day=Map({f"2026-0{at + 1}-1{day}": 5 for day in range(3)}), nested='{"inner": 1}', day="2026-02-03")
            if at:
                body["rare"] = {"deep": [{"x": 1.5}]}
            self.call("/shapes", body=body, query=[("page", at), ("q", self.marker()), *[("tag", tag) for tag in "ab"]])

    def variants(self):
        """Objects of several kinds in one list, and a tree."""
        for _ in range(3):
            events = [{"type": "push", "commits": 3}, {"type": "fork", "target": {"id": 1}}, {"type": "star"}]
            self.call("/activity", body={"data": events, "_links": {"self": {"href": "/activity"}, "next": None}})
        for depth in (1, 3, 4):
            self.call("/folders/{}", [depth + 40], tree(self, depth))

    def failures(self):
        """Problem documents beside an answer, and refused calls alone."""
        for id in (3, 4, 5):
            self.call("/tickets/{}", [id], self.thing(open=True))
            problem = {"type": "tag:example.org,2026:missing", "title": "Not found", "status": 404, "detail": self.marker()}
            self.call("/tickets/{}", [id + 600], problem, answer=Answer(404, problem, "application/problem+json"), status=404)
        self.call("/tickets/{}", [3], method="DELETE", status=204)
        self.call("/tickets/{}", [4], self.thing(open=False), method="PATCH", sent={"open": False})
        self.call("/tickets", body=self.thing(open=True), method="POST", status=201, sent={"title": self.marker(), "open": True})

    def media(self):
        """Media types with a suffix or parameters, compressed answers, and bodies that are not JSON."""
        for id in (1, 2, 3):
            value = {"data": {"type": "books", "id": str(id), "attributes": {"title": self.marker()}}}
            self.call("/books/{}", [id], value, answer=Answer(200, value, "application/vnd.api+json"))
            packed = Answer(200, gzip.compress(to_json(value)), "application/json", [("Content-Encoding", "gzip")])
            self.call("/packed/{}", [id], value, answer=packed)
            self.call("/feed/{}", [id], answer=Answer(200, f"<a>{self.marker()}</a>".encode(), "application/xml"))
            self.call("/lines/{}", [id], answer=Answer(200, b'{"a":1}\n{"a":2}\n', "application/x-ndjson"))
            self.call("/stream/{}", [id], answer=Answer(200, f"data: {self.marker()}\n\n".encode(), "text/event-stream"))
        self.call("/count", body=17)
        self.call("/count", body=18)

    def few_people(self):
        """Names of people who occur often are still values, unlike the words of a state."""
        people = [self.values.name() for _ in range(4)]
        for at in range(24):
            body = self.thing(state=("open", "closed")[at % 2], assignee=people[at % 2], reviewer={"login": people[2]}, labels=[people[3]])
            self.call("/reviews/{}", [at + 1], body)

    def secrets(self):
        """Credentials in each place where they may be."""
        for at in range(3):
            headers = [("Authorization", "Bearer " + self.marker()), ("X-Api-Key", self.marker()),
                       ("Cookie", "sid=" + self.marker()), ("X-Request-Id", str(uuid.UUID(int=self.random.getrandbits(128))))]
            self.call("/account", body={"owner": self.marker(), "plan": "free"}, headers=headers, query=[("fields", "all"), ("offset", at)])


def tree(traps, depth):
    return {"name": traps.marker(), "children": [tree(traps, depth - 1)] if depth else []}


def named(template):
    """Returns a template with a name in each pair of braces, as the document of exercised operations has it."""
    for at in range(template.count("{}")):
        template = template.replace("{}", "{p%d}" % at, 1)
    return template


# Each group is a capture of its own, since no API has all of them: customers or languages are first segments.
GROUPS = {
    "traps": (
        "odata", "handles", "matrix", "latest", "dates", "partial_segments", "odd_ids", "single_ids", "me", "literals_like_ids",
        "same_shapes", "procedures", "one_path", "single_page_app", "files", "shapes", "variants", "failures", "media", "few_people",
        "secrets",
    ),
    "tenants": ("tenants",),
    "locales": ("locales",),
}


def generate(binary, folder, group):
    """Captures the cases of a group. Returns what was exercised, and the origin's host."""
    with Capture(binary, os.path.join(folder, "capture.zip")) as capture:
        traps = Traps(capture)
        for case in GROUPS[group]:
            getattr(traps, case)()
    traps.exercised.markers = traps.values.markers
    return traps.exercised, capture.host
