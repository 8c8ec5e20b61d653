"""Reads an OpenAPI 3 description: its operations, with references resolved and parts of `allOf` joined."""
import json
import re
import urllib.parse

METHODS = ("get", "post", "put", "patch", "delete")
MAX_DEPTH = 12


class Operation:
    def __init__(self, template, method, parameters, body, responses, security):
        self.template, self.method, self.parameters, self.body = template, method, parameters, body
        self.responses, self.security = responses, security

    def path_names(self):
        return re.findall(r"\{([^}]+)\}", self.template)


class Description:
    def __init__(self, file):
        with open(file, encoding="utf-8") as text:
            self.document = json.load(text)
        self.title = self.document.get("info", {}).get("title", "")
        servers = self.document.get("servers") or [{"url": ""}]
        base = urllib.parse.urlsplit(servers[0]["url"]).path.rstrip("/")
        self.base = "" if "{" in base else base

    def resolve(self, value):
        """Follows references to what they name."""
        for _ in range(MAX_DEPTH):
            if not isinstance(value, dict) or "$ref" not in value:
                break
            target = self.document
            for part in value["$ref"].removeprefix("#/").split("/"):
                part = urllib.parse.unquote(part.replace("~1", "/").replace("~0", "~"))
                target = target[int(part)] if isinstance(target, list) else target.get(part, {})
            value = target
        return value if isinstance(value, dict) else {}

    def schema(self, value, depth=0):
        """Returns a schema without references at its top, and with its `allOf` joined."""
        schema = self.resolve(value)
        if not schema.get("allOf") or depth > MAX_DEPTH:
            return schema
        joined = {key: value for key, value in schema.items() if key != "allOf"}
        for part in schema["allOf"]:
            part = self.schema(part, depth + 1)
            properties = {**part.get("properties", {}), **joined.get("properties", {})}
            required = [*joined.get("required", []), *part.get("required", [])]
            joined = {**part, **joined}
            if properties:
                joined["properties"] = properties
            if required:
                joined["required"] = required
        return joined

    def operations(self):
        """Returns the operations that can be called: their path parameters are declared, and each is one segment or a part of one."""
        found = []
        for template, item in self.document.get("paths", {}).items():
            item = self.resolve(item)
            for method in METHODS:
                details = item.get(method)
                if not isinstance(details, dict) or "#" in template or "?" in template:
                    continue
                parameters = {}
                for parameter in [*item.get("parameters", []), *details.get("parameters", [])]:
                    parameter = self.resolve(parameter)
                    if parameter.get("name"):
                        parameters[parameter["in"], parameter["name"]] = parameter
                names = re.findall(r"\{([^}]+)\}", template)
                if any(("path", name) not in parameters or is_several_segments(name) for name in names):
                    continue
                body = self.resolve(details.get("requestBody") or {})
                responses = {str(status): self.resolve(response) for status, response in (details.get("responses") or {}).items()}
                found.append(Operation(template, method, parameters, body, responses, self.security(details)))
        return found

    def security(self, details):
        """Returns the first alternative of the security schemes that an operation requires."""
        alternatives = details.get("security", self.document.get("security")) or []
        schemes = self.document.get("components", {}).get("securitySchemes", {})
        return [self.resolve(schemes[name]) for name in (alternatives[0] if alternatives else {}) if name in schemes]


def is_several_segments(name):
    """True for parameters with slashes in their values, which no template of a document can match."""
    return name.startswith("+") or name.lower() in ("path", "filepath", "file_path", "logpath", "path_info")
