"""Makes up values: ids of the kinds that APIs have, and JSON that fits a schema."""
import base64
import datetime
import re
import string
import uuid
import zlib

from observed import Map

WORDS = ("anchor basalt candle dynamo engine falcon garden harbor island jacket kitten ladder magnet needle orchid pepper quiver "
         "rocket saddle tunnel urchin velvet walnut yellow zipper").split()
BASE62 = string.ascii_letters + string.digits
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
MAX_DEPTH = 8
# Kinds of ids without a type in the description. One place in a path always has one kind.
ID_KINDS = ("number", "uuid", "prefixed", "hex", "nano", "ulid", "upper uuid", "key", "word")
ID_NAME = re.compile(r"(^|[_-])(id|uid|uuid|guid|gid|sid|key|token|number|ref)$|[a-z](Id|ID|Sid|Uuid|Key|Ref)$")


class Values:
    def __init__(self, description, random):
        self.description, self.random = description, random
        self.markers, self.pools = set(), {}

    def marker(self):
        """Returns a string that must not be in an inferred document, since it is a value."""
        text = "mark" + "".join(self.random.choices("bcdfghjkmnpqrstvwxz23456789", k=10))
        self.markers.add(text)
        return text

    def name(self):
        """Returns a marker that looks like a name: letters only."""
        text = "".join(self.random.choice("bdfgklmnprtv") + self.random.choice("aeiou") for _ in range(4))
        self.markers.add(text)
        return text

    # Ids.

    def id_kind(self, name, schema, place):
        schema = self.description.schema(schema)
        for several in ("anyOf", "oneOf"):
            if schema.get(several):
                schema = self.description.schema(schema[several][0])
        kind = first_type(schema)
        if schema.get("enum"):
            return "enum"
        if kind in ("integer", "number"):
            return "number"
        if schema.get("format") in ("uuid", "date", "date-time"):
            return schema["format"]
        lower = name.lower()
        if "sha" in lower or "digest" in lower:
            return "sha"
        if lower == "date" or lower.endswith("_date"):
            return "date"
        if ID_NAME.search(name):
            return ID_KINDS[zlib.crc32(f"{place}:{name}".encode()) % len(ID_KINDS)]
        return "word"

    def id(self, kind, name):
        random = self.random
        if kind == "number":
            return str(random.choice((random.randrange(1, 30), random.randrange(100, 9999), random.randrange(10**6, 10**10))))
        if kind in ("uuid", "upper uuid"):
            text = str(uuid.UUID(int=random.getrandbits(128), version=4))
            return text.upper() if kind == "upper uuid" else text
        if kind == "date":
            return str(datetime.date(2026, 1, 1) + datetime.timedelta(days=random.randrange(360)))
        if kind == "date-time":
            return (datetime.datetime(2026, 1, 1) + datetime.timedelta(seconds=random.randrange(3 * 10**7))).isoformat() + "Z"
        if kind == "sha":
            return f"{random.getrandbits(160):040x}"
        if kind == "hex":
            return f"{random.getrandbits(64):016x}"
        if kind == "nano":
            return "".join(random.choices(BASE62 + "-_", k=21))
        if kind == "ulid":
            return "01K" + "".join(random.choices(CROCKFORD, k=23))
        if kind == "prefixed":
            return (re.sub("[^a-z]", "", name.lower()) or "id")[:3] + "_" + "".join(random.choices(BASE62, k=16))
        if kind == "key":
            return random.choice(("APP", "WEB", "OPS")) + f"-{random.randrange(1, 2000)}"
        word = random.choice(WORDS)
        return random.choice((word, f"{word}-{random.choice(WORDS)}", f"{word}{random.randrange(2, 99)}", f"{word}-{self.marker()}", self.name()))

    def pool(self, place, name, schema):
        """Returns the ids of the resources at one place: `place` is the template up to the parameter."""
        if place not in self.pools:
            kind = self.id_kind(name, schema, place)
            if kind == "enum":
                ids = [str(value) for value in self.description.schema(schema).get("enum") or self.first_enum(schema)][:8]
            else:
                ids = []
                while len(ids) < 6:
                    made = self.id(kind, name)
                    ids += [made] if made not in ids else []
            self.pools[place] = ids
        return self.pools[place]

    def first_enum(self, schema):
        schema = self.description.schema(schema)
        return self.description.schema((schema.get("anyOf") or schema["oneOf"])[0])["enum"]

    # JSON.

    def json(self, schema, share=0.6, depth=0):
        """Returns a value that fits a schema. `share` is the share of optional members that are present."""
        random, schema = self.random, self.description.schema(schema)
        for several in ("oneOf", "anyOf"):
            if schema.get(several) and not schema.get("properties"):
                return self.json(random.choice(schema[several]), share, depth + 1)
        if "const" in schema:
            return schema["const"]
        is_nullable = schema.get("nullable") or isinstance(schema.get("type"), list) and "null" in schema["type"]
        if is_nullable and share < 1 and random.random() < 0.25:
            return None
        if schema.get("enum"):
            return random.choice(schema["enum"])
        kind = first_type(schema)
        if kind == "boolean":
            return random.random() < 0.5
        if kind in ("integer", "number"):
            return self.number(schema, kind)
        if kind == "array":
            count = 2 if share == 1 else random.choice((0, 1, 1, 3))
            count = max(count, min(schema.get("minItems", 0), 3)) if depth < MAX_DEPTH else 0
            return [self.json(schema.get("items") or {}, share if at == 0 else min(share, 0.6), depth + 1) for at in range(count)]
        if kind == "object":
            return self.object(schema, share, depth)
        return self.text(schema)

    def object(self, schema, share, depth):
        properties = schema.get("properties")
        if not properties:
            inner = schema.get("additionalProperties")
            if not isinstance(inner, dict) or not inner or depth >= MAX_DEPTH:
                return {}
            kind = self.random.choice(("uuid", "number", "word", "prefixed"))
            return Map({self.id(kind, "key"): self.json(inner, share, depth + 1) for _ in range(3)})
        value, required = {}, schema.get("required") or []
        for name, member in properties.items():
            if name in required and depth < MAX_DEPTH + 2 or depth <= 4 and self.random.random() < share:
                value[name] = self.json(member, share, depth + 1)
        return value

    def number(self, schema, kind):
        low = schema.get("minimum", 0)
        high = max(min(schema.get("maximum", 10**6), 10**9), low + 1)
        # 0.5 keeps JSON from having an integer there.
        return self.random.randint(int(low), int(high)) if kind == "integer" else int(self.random.uniform(low, high)) + 0.5

    def text(self, schema):
        format = schema.get("format")
        if format in ("date", "date-time", "uuid"):
            return self.id(format, "")
        if format == "email":
            return self.marker() + "@example.org"
        if format in ("uri", "url"):
            return "https://example.org/" + self.marker()
        if format == "byte":
            return base64.b64encode(self.marker().encode()).decode()
        text = f"{self.random.choice(WORDS)} {self.marker()}"
        return text[: schema["maxLength"]] if schema.get("maxLength", 0) > 0 else text


def first_type(schema):
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), None)
    if not kind:
        kind = "object" if schema.get("properties") else "array" if schema.get("items") else "string"
    return kind
