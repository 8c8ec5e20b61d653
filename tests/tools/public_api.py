#!/usr/bin/env python3
"""Compares the public API with its listing, docs/public-api.txt.

public_api.py           fails if they differ, if a signature has a type of another crate, or if an enum, or a struct with public
                        fields, is exhaustive
public_api.py --write   writes the listing

The API is read from rustdoc's JSON, which is unstable: RUSTC_BOOTSTRAP=1 lets the installed compiler write it.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LISTING = ROOT / "docs/public-api.txt"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
HEAD = """\
The public API, a line for each item. tests/tools/public_api.py compares it in CI and writes it (--write).
A line that is removed or changed is a breaking change, except for added fields, variants and items.
"""
# Implementations of traits of other crates, which are not part of the promise.
OWN = {"std", "core", "alloc", "spectral_capture"}
# A wrapper of one field by its nature.
EXHAUSTIVE = {"text::Base64"}


def main():
    plain = Api([]).lines()
    tools = [line for line in Api(["--features", "tools"]).lines() if line not in set(plain)]
    if exhaustive := exhaustive_types(plain + tools):
        sys.exit("not #[non_exhaustive], although fields or variants may be added: " + ", ".join(exhaustive))
    text = f"{HEAD}\n" + "\n".join(plain) + "\n\nOnly with the feature tools:\n\n" + "\n".join(tools) + "\n"
    if "--write" in sys.argv:
        LISTING.write_text(text)
        return 0
    old = LISTING.read_text().splitlines()
    new = text.splitlines()
    for line in old:
        if line not in set(new):
            print(f"- {line}")
    for line in new:
        if line not in set(old):
            print(f"+ {line}")
    if old != new:
        print("docs/public-api.txt differs: if that is intended, run tests/tools/public_api.py --write")
        return 1
    print(f"{len(new)} lines of public API are as listed")
    return 0


def exhaustive_types(lines):
    """Returns the enums, and the structs with public fields, to which nothing can be added without breaking programs."""
    with_fields = {found[1] for line in lines if (found := re.match(r"([\w:]+)\.\w+: ", line))}
    found = []
    for line in lines:
        declared = re.match(r"(enum|struct) ([\w:]+)", line)
        if declared and not line.endswith("(non_exhaustive)"):
            kind, name = declared.groups()
            if (kind == "enum" or name in with_fields) and name not in EXHAUSTIVE:
                found.append(name)
    return found


class Api:
    """The API of the library with some features."""

    def __init__(self, features):
        command = ["cargo", "rustdoc", "--quiet", "--lib", "--no-default-features", *features]
        command += ["--", "-Zunstable-options", "--output-format=json", "--cap-lints=allow"]
        subprocess.run(command, cwd=ROOT, check=True, env=dict(os.environ, RUSTC_BOOTSTRAP="1"))
        crate = json.loads((TARGET / "doc/spectral_capture.json").read_text())
        self.index, self.paths, self.externals = crate["index"], crate["paths"], crate["external_crates"]
        self.root = crate["root"]
        self.found = []
        self.foreign = set()

    def lines(self):
        self.module(self.index[str(self.root)], "")
        if self.foreign:
            sys.exit("types of other crates in public signatures:\n" + "\n".join(sorted(self.foreign)))
        return sorted(set(self.found))

    def add(self, text):
        self.found.append(" ".join(text.split()))

    def module(self, item, path):
        for child in item["inner"]["module"]["items"]:
            self.item(self.index[str(child)], path)

    def item(self, item, path):
        kind, inner = next(iter(item["inner"].items()))
        if kind == "use":
            target = self.index.get(str(inner["id"]))
            if target is not None:
                self.item({**target, "name": inner["name"]}, path)
            return
        name = f"{path}{item['name']}"
        self.context = name
        if kind == "module":
            self.add(f"mod {name}")
            self.module(item, f"{name}::")
        elif kind == "function":
            self.add(self.function(item, name))
        elif kind == "struct":
            self.struct(item, inner, name)
        elif kind == "enum":
            self.add(f"enum {name}{self.generics(inner['generics'])}{grows(item)}")
            for variant in inner["variants"]:
                self.variant(self.index[str(variant)], name)
            self.impls(inner["impls"], name)
        elif kind == "trait":
            self.add(f"trait {name}")
            for member in inner["items"]:
                self.member(self.index[str(member)], name)
        elif kind == "constant":
            self.add(f"const {name}: {self.type(inner['type'])}")
        elif kind == "type_alias":
            self.add(f"type {name} = {self.type(inner['type'])}")
        else:
            sys.exit(f"{name}: unknown kind {kind}")

    def struct(self, item, inner, name):
        self.add(f"struct {name}{self.generics(inner['generics'])}{grows(item)}")
        kind = inner["kind"]
        if isinstance(kind, dict):
            ((shape, value),) = kind.items()
            fields = value["fields"] if shape == "plain" else value
            for number, field in enumerate(fields):
                if field is None:
                    continue
                field = self.index[str(field)]
                if field["visibility"] == "public":
                    self.context = name
                    self.add(f"{name}.{field['name'] or number}: {self.type(field['inner']['struct_field'])}")
        self.impls(inner["impls"], name)

    def variant(self, variant, name):
        kind = variant["inner"]["variant"]["kind"]
        text = f"{name}::{variant['name']}"
        if isinstance(kind, dict):
            ((shape, value),) = kind.items()
            fields = [self.index[str(field)] for field in (value["fields"] if shape == "struct" else value) if field is not None]
            types = [self.type(field["inner"]["struct_field"]) for field in fields]
            if shape == "struct":
                text += " { " + ", ".join(f"{field['name']}: {type}" for field, type in zip(fields, types)) + " }"
            else:
                text += "(" + ", ".join(types) + ")"
        self.add(text + grows(variant))

    def impls(self, ids, name):
        for number in ids:
            item = self.index.get(str(number))
            if item is None:
                continue
            found = item["inner"]["impl"]
            if found["is_synthetic"] or found["blanket_impl"] is not None:
                # Send and Sync are promises too.
                if found["is_synthetic"] and found["trait"]["path"] in ("Send", "Sync"):
                    self.add(f"impl {'!' if found['is_negative'] else ''}{found['trait']['path']} for {name}")
                continue
            if found["trait"] is None:
                for member in found["items"]:
                    self.member(self.index[str(member)], name)
            elif found["trait"]["path"].split("::")[-1] not in ("StructuralPartialEq",):
                if self.crate_of(found["trait"]["id"]) in OWN:
                    self.add(f"impl {self.path(found['trait'])} for {name}")

    def member(self, item, name):
        kind, inner = next(iter(item["inner"].items()))
        if kind == "function" and item["visibility"] in ("public", "default"):
            self.context = f"{name}::{item['name']}"
            self.add(self.function(item, f"{name}::{item['name']}"))
        elif kind == "assoc_const":
            self.add(f"const {name}::{item['name']}: {self.type(inner['type'])}")

    def function(self, item, name):
        inner = item["inner"]["function"]
        inputs = ", ".join(f"{arg}: {self.type(type)}" for arg, type in inner["sig"]["inputs"])
        output = inner["sig"]["output"]
        result = f" -> {self.type(output)}" if output is not None else ""
        return f"fn {name}{self.generics(inner['generics'])}({inputs}){result}"

    def generics(self, generics):
        parts = []
        for param in generics["params"]:
            kind, value = next(iter(param["kind"].items()))
            if kind == "type" and value.get("is_synthetic"):
                continue
            bounds = self.bounds(value["bounds"]) if kind == "type" and value["bounds"] else ""
            parts.append(param["name"] + (f": {bounds}" if bounds else ""))
        for predicate in generics["where_predicates"]:
            bound = predicate.get("bound_predicate")
            if bound:
                parts.append(f"{self.type(bound['type'])}: {self.bounds(bound['bounds'])}")
        return f"<{', '.join(parts)}>" if parts else ""

    def bounds(self, bounds):
        parts = []
        for bound in bounds:
            if "trait_bound" in bound:
                parts.append(("?" if bound["trait_bound"]["modifier"] == "maybe" else "") + self.path(bound["trait_bound"]["trait"]))
            elif "outlives" in bound:
                parts.append(bound["outlives"])
            elif "use" in bound:
                continue
        return " + ".join(parts)

    def crate_of(self, number):
        found = self.paths.get(str(number))
        if found is None or found["crate_id"] == 0:
            return "spectral_capture"
        return self.externals[str(found["crate_id"])]["name"]

    def path(self, path):
        crate = self.crate_of(path["id"])
        if crate not in OWN:
            self.foreign.add(f"{self.context}: {crate}::{path['path']}")
        return path["path"].split("::")[-1] + self.args(path.get("args"))

    def args(self, args):
        if not args:
            return ""
        if "parenthesized" in args:
            inner = args["parenthesized"]
            output = f" -> {self.type(inner['output'])}" if inner["output"] is not None else ""
            return f"({', '.join(map(self.type, inner['inputs']))}){output}"
        inner = args["angle_bracketed"]
        parts = []
        for arg in inner["args"]:
            if arg == "infer":
                parts.append("_")
                continue
            ((kind, value),) = arg.items()
            parts.append(self.type(value) if kind == "type" else str(value))
        for constraint in inner["constraints"]:
            ((kind, value),) = constraint["binding"].items()
            text = self.type(value["type"]) if kind == "equality" else self.bounds(value)
            parts.append(f"{constraint['name']}{' = ' if kind == 'equality' else ': '}{text}")
        return f"<{', '.join(parts)}>" if parts else ""

    def type(self, type):
        ((kind, value),) = type.items()
        if kind == "resolved_path":
            return self.path(value)
        if kind in ("generic", "primitive"):
            return value
        if kind == "borrowed_ref":
            lifetime = f"{value['lifetime']} " if value["lifetime"] else ""
            return f"&{lifetime}{'mut ' if value['is_mutable'] else ''}{self.type(value['type'])}"
        if kind == "slice":
            return f"[{self.type(value)}]"
        if kind == "array":
            return f"[{self.type(value['type'])}; {value['len']}]"
        if kind == "tuple":
            return f"({', '.join(map(self.type, value))})"
        if kind == "impl_trait":
            return f"impl {self.bounds(value)}"
        if kind == "dyn_trait":
            return "dyn " + " + ".join(self.path(bound["trait"]) for bound in value["traits"])
        if kind == "qualified_path":
            return f"{self.type(value['self_type'])}::{value['name']}"
        if kind == "function_pointer":
            inputs = ", ".join(self.type(type) for _, type in value["sig"]["inputs"])
            return f"fn({inputs})" + (f" -> {self.type(value['sig']['output'])}" if value["sig"]["output"] else "")
        sys.exit(f"{self.context}: unknown type {kind}")


def grows(item):
    """Returns the mark of an item to which fields or variants may be added."""
    marks = [attr if isinstance(attr, str) else json.dumps(attr) for attr in item["attrs"]]
    return " (non_exhaustive)" if any("non_exhaustive" in mark for mark in marks) else ""


if __name__ == "__main__":
    sys.exit(main())
