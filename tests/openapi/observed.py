"""The traffic that was sent, as an OpenAPI document: the one that a perfect inference would find."""
import re

FORMATS = {
    "date-time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)",
    "date": r"\d{4}-\d\d-\d\d",
    "uuid": r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
    "email": r"[^@\s]+@[^@\s]+\.[a-z]+",
    "uri": r"https?://\S+",
}


class Map(dict):
    """A JSON object whose member names are values, such as ids."""


class Shape:
    """The common shape of the JSON values at one place."""

    def __init__(self):
        self.types, self.count = set(), 0
        self.objects, self.members, self.items, self.values = 0, {}, None, None
        self.formats = None

    def add(self, value):
        self.count += 1
        self.types.add(type_of(value))
        if isinstance(value, str):
            fitting = {name for name, pattern in FORMATS.items() if re.fullmatch(pattern, value)}
            self.formats = fitting if self.formats is None else self.formats & fitting
        elif isinstance(value, list):
            self.items = self.items or Shape()
            for item in value:
                self.items.add(item)
        elif isinstance(value, Map):
            self.values = self.values or Shape()
            for member in value.values():
                self.values.add(member)
        elif isinstance(value, dict):
            self.objects += 1
            for name, member in value.items():
                self.members.setdefault(name, Shape()).add(member)

    def schema(self):
        types = self.types - ({"integer"} if "number" in self.types else set())
        schema = {"type": sorted(types)} if types else {}
        if self.formats:
            schema["format"] = sorted(self.formats)[0]
        if self.items:
            schema["items"] = self.items.schema()
        if self.values:
            schema["additionalProperties"] = self.values.schema()
        if self.objects:
            schema["properties"] = {name: shape.schema() for name, shape in self.members.items()}
            schema["required"] = sorted(name for name, shape in self.members.items() if shape.count == self.objects)
        return schema


class Operation:
    """The calls of one method of one template."""

    def __init__(self):
        self.calls, self.parameters, self.requests, self.responses = 0, {}, {}, {}
        self.successes = 0

    def add(self, path=(), query=(), status=200, sent=None, received=None):
        """Adds a call.

        `path` and `query` are pairs of a name and its text. `sent` and `received` are None, or a media type and its JSON value.
        """
        self.calls += 1
        self.successes += status < 400
        for where, pairs in (("path", path), ("query", query)):
            for name in dict.fromkeys(name for name, _ in pairs):
                values = self.parameters.setdefault((where, name), [])
                values.append([value for other, value in pairs if other == name])
        if sent:
            self.requests.setdefault(sent[0], []).append(sent[1:])
        content = self.responses.setdefault(status, {})
        if received:
            content.setdefault(received[0], []).append(received[1:])

    def document(self):
        parameters = []
        for (where, name), calls in self.parameters.items():
            texts = {text for call in calls for text in call}
            fits = lambda format: all(re.fullmatch(FORMATS[format], text) for text in texts)
            formats = list(filter(fits, ("uuid", "date", "date-time")))
            schema = {"type": types_of(texts), **({"format": formats[0]} if formats else {})}
            parameters.append({"name": name, "in": where, "required": len(calls) == self.calls, "schema": schema})
        document = {"parameters": parameters, "responses": {}}
        if self.requests:
            count = sum(map(len, self.requests.values()))
            document["requestBody"] = {"content": content_of(self.requests), "required": count == self.calls}
        for status, content in self.responses.items():
            document["responses"][str(status)] = {"description": "", "content": content_of(content)}
        return document


class Exercised:
    """All operations that were called, by template and method."""

    def __init__(self, title):
        self.title, self.operations, self.markers = title, {}, set()
        # Other accepted templates by template, templates that may be absent, and prefixes below which any template is accepted.
        self.also, self.optional, self.free = {}, set(), []

    def operation(self, template, method):
        return self.operations.setdefault((template, method.lower()), Operation())

    def document(self, host):
        paths = {}
        for (template, method), operation in self.operations.items():
            # Refused calls alone are not evidence of an endpoint.
            if operation.successes:
                item = paths.setdefault(template, {})
                item[method] = operation.document()
                if template in self.also:
                    item["x-also"] = self.also[template]
                if template in self.optional:
                    item["x-optional"] = True
        return {"openapi": "3.1.0", "info": {"title": self.title, "version": "0"}, "servers": [{"url": f"http://{host}"}],
                "paths": paths, "x-free": self.free}


def content_of(samples):
    content = {}
    for media, values in samples.items():
        shape = Shape()
        for value in values:
            if value:
                shape.add(value[0])
        content[media] = {"schema": shape.schema()} if shape.count else {}
    return content


def type_of(value):
    if value is None:
        return "null"
    return {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}.get(type(value), "object")


def types_of(texts):
    """Returns the types that a parameter with these texts may have; a text is always a string, too, unless it is a number."""
    if all(re.fullmatch(r"-?\d+", text) for text in texts):
        may_be_text = any(len(text) > 15 or text[:1] == "0" and text != "0" for text in texts)
        return ["integer", "number", "string"] if may_be_text else ["integer", "number"]
    if all(re.fullmatch(r"-?\d+(\.\d+)?", text) for text in texts):
        return ["number", "string"]
    if texts <= {"true", "false"}:
        return ["boolean", "string"]
    return ["string"]
