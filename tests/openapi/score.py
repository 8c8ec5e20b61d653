"""Compares an inferred document with the exercised one, and with the captured exchanges."""
import base64
import json
import re
import urllib.parse

# Headers that clients send to every server; a document that lists them describes no API.
EVERYDAY = {"accept", "accept-encoding", "accept-language", "authorization", "connection", "content-length", "content-type", "cookie",
            "host", "origin", "referer", "sec-fetch-mode", "user-agent"}
MAX_DEPTH = 14


class Tally:
    """Counts of expected items that were found, that are missing, and of found items that are not expected."""

    def __init__(self):
        self.found = self.missing = self.made_up = 0

    def add(self, expected, inferred):
        self.found += len(expected & inferred)
        self.missing += len(expected - inferred)
        self.made_up += len(inferred - expected)

    @property
    def precision(self):
        return share(self.found, self.found + self.made_up)

    @property
    def recall(self):
        return share(self.found, self.found + self.missing)

    @property
    def f1(self):
        return share(2 * self.found, 2 * self.found + self.missing + self.made_up)


class Ratio:
    def __init__(self):
        self.right = self.count = 0

    def add(self, is_right):
        self.right += bool(is_right)
        self.count += 1

    @property
    def value(self):
        return share(self.right, self.count)


def share(part, whole):
    return part / whole if whole else None


class Score:
    """`templates`, `operations`, `query`, `headers`, `statuses`, `members` and `required` are tallies; `types`, `parameters`, `maps`,
    `served` and `valid` are ratios. `notes` lists what is wrong in words."""

    def __init__(self, exercised, inferred):
        self.exercised, self.inferred = exercised, inferred
        self.templates, self.operations, self.query, self.headers = Tally(), Tally(), Tally(), Tally()
        self.statuses, self.members, self.required = Tally(), Tally(), Tally()
        self.types, self.parameters, self.maps, self.served, self.valid = Ratio(), Ratio(), Ratio(), Ratio(), Ratio()
        self.leaked, self.lost, self.notes = [], [], []
        # Leaves of the exercised document are compared with the inferred operation of the accepted template.
        self.names = self.accepted_names()
        self.compare_templates()
        for operation in exercised.operations.values():
            if not self.is_covered_by_others(operation):
                self.compare_operation(operation, inferred.operations.get((self.names[operation.bare], operation.method)))

    def accepted_names(self):
        """Returns the inferred template for each exercised one: the same, or the first other that is accepted instead."""
        names = {}
        for operation in self.exercised.operations.values():
            options = [operation.bare, *operation.also]
            names[operation.bare] = next((name for name in options if name in self.inferred.templates), operation.bare)
        return names

    def is_covered_by_others(self, operation):
        return operation.is_optional and operation.bare not in self.inferred.templates

    def compare_templates(self):
        free = tuple(self.exercised.document.get("x-free") or [])
        is_free = lambda name: bool(free) and name.startswith(free)
        expected, operations, accepted = set(), set(), set()
        for operation in self.exercised.operations.values():
            name = self.names[operation.bare]
            if not operation.is_optional and not is_free(name):
                expected.add(name)
                operations.add((name, operation.method))
            accepted.add(name)
        counts = lambda name: (name in expected or name not in accepted) and not is_free(name)
        inferred = {name for name in self.inferred.templates if counts(name)}
        self.templates.add(expected, inferred)
        self.operations.add(operations, {key for key in self.inferred.operations if counts(key[0])})
        self.notes += [f"missing template {name}" for name in sorted(expected - inferred)]
        self.notes += [f"made-up template {name}" for name in sorted(inferred - expected)]

    def compare_operation(self, expected, inferred):
        """Compares two operations. If there is no inferred one, everything of the expected one is missing."""
        label = f"{expected.method.upper()} {expected.bare}"
        is_found = inferred is not None
        names = expected.path_names()
        found = inferred.path_names() if is_found else []
        if expected.bare == getattr(inferred, "bare", None):
            for one, other in zip(names, found):
                self.compare_parameter(f"{label} {other}", expected.parameters["path", one], inferred.parameters.get(("path", other)))
        query = set(expected.of("query"))
        other = {plain(name) for name in inferred.of("query")} if is_found else set()
        # A security scheme describes a parameter too.
        self.query.add(set(map(plain, query)) - self.secrets("query"), other - self.secrets("query"))
        for name in query if is_found else ():
            parameter = inferred.parameters.get(("query", name))
            if parameter:
                self.compare_parameter(f"{label} ?{name}", expected.parameters["query", name], parameter)
                if bool(parameter.get("required")) != expected.parameters["query", name]["required"]:
                    self.notes.append(f"{label} ?{name}: required is {bool(parameter.get('required'))}")
        headers = {name.lower() for name in inferred.of("header")} if is_found else set()
        self.headers.add(set(), headers & EVERYDAY)
        statuses = set(expected.details["responses"])
        self.statuses.add(statuses, set(map(str, inferred.details.get("responses") or {})) if is_found else set())
        self.compare_bodies(label, expected, inferred)

    def compare_bodies(self, label, expected, inferred):
        pairs = [("request", self.exercised.content(expected.details.get("requestBody")),
                  self.inferred.content(inferred.details.get("requestBody")) if inferred else {})]
        for status, response in expected.details["responses"].items():
            other = self.inferred.response(inferred, status) if inferred else None
            pairs.append((status, self.exercised.content(response), self.inferred.content(other)))
        for name, content, other in pairs:
            for media, schema in content.items():
                if schema:
                    self.compare_schemas(f"{label} {name}", [schema], [other.get(media) or {}] if inferred else [], 0)

    def secrets(self, where):
        schemes = (self.inferred.document.get("components") or {}).get("securitySchemes") or {}
        return {plain(scheme.get("name", "")) for scheme in schemes.values() if scheme.get("in") == where}

    def compare_parameter(self, label, expected, inferred):
        view = self.inferred.flat([(inferred or {}).get("schema") or {}])
        types = view.types - {"null"}
        if "array" in types and expected["in"] == "query":
            types = types - {"array"} | self.inferred.flat(view.items).types
        wanted, formats = set(expected["schema"]["type"]), {expected["schema"]["format"]} if "format" in expected["schema"] else set()
        is_right = bool(types) and types <= wanted and formats <= view.formats
        self.parameters.add(is_right)
        if not is_right:
            self.notes.append(f"parameter {label}: {sorted(types)} {sorted(view.formats)} instead of {sorted(wanted)} {sorted(formats)}")

    def compare_schemas(self, label, expected, inferred, depth):
        one, other = self.exercised.flat(expected), self.inferred.flat(inferred)
        if depth > MAX_DEPTH:
            return
        if one.types:
            types = other.types - ({"integer"} if "number" in other.types else set())
            # Values that are only ever null have no type that could be known.
            is_right = one.types == types or one.types == {"null"} and (not types or "null" in types)
            self.types.add(is_right)
            if not is_right and inferred:
                self.notes.append(f"type {label}: {sorted(types)} instead of {sorted(one.types)}")
        if one.values:
            self.maps.add(other.values and not other.members)
            if inferred and (not other.values or other.members):
                self.notes.append(f"map {label}: not one")
            self.compare_schemas(label + "/*", one.values, other.values, depth + 1)
        elif one.members or other.members:
            self.members.add(set(one.members), set(other.members))
            self.required.add(one.required or set(), other.required or set())
            wrong = (one.required or set()) ^ (other.required or set())
            if wrong and other.members:
                self.notes.append(f"required {label}: {sorted(wrong)[:4]}")
            for name, member in one.members.items():
                self.compare_schemas(f"{label}/{name}", member, other.members.get(name) or [], depth + 1)
        if one.items:
            self.compare_schemas(label + "[]", one.items, other.items, depth + 1)

    # The captured traffic.

    def check_exchanges(self, har, validator):
        """Checks that each exchange of an exercised operation has one inferred operation, and is valid by it.

        `validator` returns a function that returns the first error of a JSON value, for a schema.
        """
        validators = {}
        for entry in har["log"]["entries"]:
            request, response = entry["request"], entry["response"]
            path = urllib.parse.urlsplit(request["url"]).path
            if not self.exercised.operation_of(request["method"], path)[0]:
                continue
            label = f"{request['method']} {path}"
            operation, why = self.inferred.operation_of(request["method"], path)
            self.served.add(operation)
            if not operation:
                self.notes.append(f"exchange {label}: {why}")
                continue
            errors = list(self.errors_of(operation, request, response, validators, validator))
            self.valid.add(not errors)
            self.notes += [f"exchange {label} {response['status']}: {error}" for error in errors[:1]]

    def errors_of(self, operation, request, response, validators, validator):
        described = self.inferred.response(operation, response["status"])
        if described is None:
            yield "its status is not described"
            return
        sent = request.get("postData") or {}
        received = response["content"]
        for holder, media, text in (
            (operation.details.get("requestBody"), sent.get("mimeType", ""), sent.get("text")),
            (described, received.get("mimeType", ""), text_of(received)),
        ):
            media = media.split(";")[0].strip().lower()
            content = self.inferred.content(holder)
            if not text:
                continue
            if media not in content:
                yield f"{media} is not described"
            elif re.fullmatch(r"application/(.*\+)?json", media):
                schema = content[media]
                if id(schema) not in validators:
                    validators[id(schema)] = validator(schema or {}, self.inferred.document.get("components") or {})
                error = validators[id(schema)](json.loads(text))
                if error:
                    yield error
        required = {plain(name) for name, parameter in operation.of("query").items() if parameter.get("required")}
        absent = required - {plain(pair["name"]) for pair in request["queryString"]}
        if absent:
            yield f"query has no {sorted(absent)}"

    def check_markers(self, text, markers):
        self.leaked = sorted(marker for marker in markers if marker in text)

    def check_shorter(self, shorter):
        """Lists templates of a shorter capture that no template of this one covers."""
        for template in sorted(shorter.templates):
            # A parameter may have taken the place of a literal. Words stand for the parameters.
            if not any(covers(other, template) for other in self.inferred.templates):
                self.lost.append(template)


def covers(general, template):
    pairs = list(zip(general.split("/"), template.split("/")))
    same_length = general.count("/") == template.count("/")
    return same_length and all(a == b or "{}" in a and re.fullmatch(".*".join(map(re.escape, a.split("{}"))), b) for a, b in pairs)


def plain(name):
    """Returns the name of a query parameter without the brackets of lists and objects."""
    return re.sub(r"\[.*", "", name)


def text_of(content):
    text = content.get("text")
    return base64.b64decode(text).decode(errors="replace") if text and content.get("encoding") == "base64" else text
