"""Reads an OpenAPI document, ours or another tool's: its operations, the one that a request belongs to, and its schemas."""
import json
import re
import urllib.parse

METHODS = ("get", "put", "post", "delete", "patch", "head", "options", "trace")
MAX_DEPTH = 16


class Operation:
    def __init__(self, path, method, details, parameters, item):
        self.path, self.method, self.details, self.parameters = path, method, details, parameters
        self.bare = bare(path)
        self.also = [bare(other) for other in item.get("x-also", [])]
        self.is_optional = item.get("x-optional", False)

    def path_names(self):
        return re.findall(r"\{([^}]*)\}", self.path)

    def of(self, where):
        """Returns the parameters in one place, by name."""
        return {name: parameter for (place, name), parameter in self.parameters.items() if place == where}


class Document:
    """`operations` maps a bare template, in which parameters have no names, and a method to an operation."""

    def __init__(self, document):
        self.document = document
        self.operations = {}
        for path, item in (document.get("paths") or {}).items():
            item = self.resolve(item)
            for method in METHODS:
                details = item.get(method)
                if isinstance(details, dict):
                    base = self.base(details.get("servers") or item.get("servers") or document.get("servers"))
                    parameters = {}
                    for parameter in [*(item.get("parameters") or []), *(details.get("parameters") or [])]:
                        parameter = self.resolve(parameter)
                        if "name" in parameter and "in" in parameter:
                            parameters[parameter["in"], parameter["name"]] = parameter
                    operation = Operation(base + path, method, details, parameters, item)
                    self.operations.setdefault((operation.bare, method), operation)
        self.templates = {template for template, _ in self.operations}
        self.patterns = {template: pattern_of(template) for template in self.templates}

    @staticmethod
    def base(servers):
        url = (servers or [{"url": ""}])[0].get("url", "")
        return urllib.parse.urlsplit(url).path.rstrip("/")

    def resolve(self, value):
        for _ in range(MAX_DEPTH):
            if not isinstance(value, dict) or not isinstance(value.get("$ref"), str):
                break
            target = self.document
            for part in value["$ref"].removeprefix("#/").split("/"):
                part = urllib.parse.unquote(part).replace("~1", "/").replace("~0", "~")
                target = target.get(part, {}) if isinstance(target, dict) else {}
            value = target
        return value if isinstance(value, dict) else {}

    def matching(self, path):
        """Returns the templates that match a path, without those to which OpenAPI prefers another: a literal wins over a parameter."""
        found = [template for template, pattern in self.patterns.items() if pattern.fullmatch(path)]
        return [template for template in found if not any(wins(other, template) for other in found if other != template)]

    def operation_of(self, method, path):
        """Returns the only operation for a request, or the reason why there is none."""
        found = self.matching(path)
        if len(found) > 1:
            return None, "several templates match: " + ", ".join(sorted(found))
        operation = self.operations.get((found[0], method.lower())) if found else None
        return operation, None if operation else "no operation"

    def content(self, holder):
        """Returns the schemas of a request body or response by media type, without parameters."""
        content = self.resolve(holder).get("content") or {}
        return {media.split(";")[0].strip().lower(): (details or {}).get("schema") for media, details in content.items()}

    def response(self, operation, status):
        responses = {str(key): value for key, value in (operation.details.get("responses") or {}).items()}
        return next((responses[key] for key in (str(status), f"{str(status)[0]}XX", "default") if key in responses), None)

    def flat(self, schemas, depth=0):
        """Joins alternatives of a schema into one view of it."""
        view = Flat()
        for schema in schemas:
            schema = self.resolve(schema)
            if depth > MAX_DEPTH or not schema:
                view.is_open = True
                continue
            view.join(self.one(schema, depth))
        return view

    def one(self, schema, depth):
        view = Flat()
        kind = schema.get("type")
        view.types.update(kind if isinstance(kind, list) else [kind] if kind else [])
        if schema.get("nullable"):
            view.types.add("null")
        for value in schema.get("enum") or ([schema["const"]] if "const" in schema else []):
            if not kind:
                view.types.add(name_of(value))
        view.formats.update([schema["format"]] if schema.get("format") else [])
        if "object" in view.types or schema.get("properties"):
            view.types.add("object")
            view.members = {name: [member] for name, member in (schema.get("properties") or {}).items()}
            view.required = set(schema.get("required") or [])
        if isinstance(schema.get("items"), dict):
            view.items = [schema["items"]]
        if isinstance(schema.get("additionalProperties"), dict):
            view.values = [schema["additionalProperties"]]
        for part in schema.get("allOf") or []:
            part = self.flat([part], depth + 1)
            required = (view.required or set()) | (part.required or set())
            view.join(part)
            view.required = required
        alternatives = [*(schema.get("oneOf") or []), *(schema.get("anyOf") or [])]
        if alternatives:
            own = view.required or set()
            part = self.flat(alternatives, depth + 1)
            view.required = None
            view.join(part)
            view.required = None if view.required is None else view.required | own
        return view


class Flat:
    """A schema with its alternatives joined. A member is required if all alternatives that are objects require it."""

    def __init__(self):
        self.types, self.formats, self.members, self.required = set(), set(), {}, None
        self.items, self.values, self.is_open = [], [], False

    def join(self, other):
        self.types |= other.types
        self.formats |= other.formats
        for name, schemas in other.members.items():
            self.members.setdefault(name, []).extend(schemas)
        if other.required is not None:
            self.required = set(other.required) if self.required is None else self.required & other.required
        self.items += other.items
        self.values += other.values


def bare(path):
    return re.sub(r"\{[^}]*\}", "{}", path)


def pattern_of(template):
    return re.compile("[^/]+".join(map(re.escape, template.split("{}"))))


def wins(one, other):
    """True if `one` has a literal, or the longer one, in each segment in which the two differ."""
    pairs = [(a, b) for a, b in zip(one.split("/"), other.split("/")) if a != b]
    return all(("{}" not in a, len(a)) > ("{}" not in b, len(b)) for a, b in pairs)


def name_of(value):
    names = {type(None): "null", bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}
    return names.get(type(value), "object")


def load(file):
    """Reads a document as JSON, or as YAML."""
    with open(file, encoding="utf-8") as text:
        content = text.read()
    if content.lstrip().startswith("{"):
        return json.loads(content)
    import yaml

    return yaml.load(content, yaml.CSafeLoader)
