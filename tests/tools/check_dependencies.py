#!/usr/bin/env python3
"""The checks "bans", "licenses" and "sources" of `cargo deny`, by the rules in deny.toml, for the crates of the binary.

cargo-deny itself has no package for this machine and takes minutes to build. Only the keys that deny.toml has are read; an unknown
key is an error.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"
KNOWN = {"licenses": {"allow"}, "bans": {"multiple-versions", "deny"}, "sources": {"unknown-registry", "unknown-git"}}


def main():
    rules = tomllib.loads((ROOT / "deny.toml").read_text())
    for section, keys in rules.items():
        if set(keys) - KNOWN.get(section, set()):
            sys.exit(f"deny.toml: unknown keys in [{section}]: {sorted(set(keys) - KNOWN.get(section, set()))}")
    metadata = json.loads(
        subprocess.run(["cargo", "metadata", "--format-version=1", "--locked"], cwd=ROOT, check=True, capture_output=True).stdout
    )
    used = crates_of_the_binary(metadata)
    problems = problems_of([package for package in metadata["packages"] if package["id"] in used], rules)
    print("\n".join(problems) or f"{len(used)} crates: licenses, bans and sources are as deny.toml allows")
    return bool(problems)


def crates_of_the_binary(metadata):
    """Returns the ids of the crates that the package depends on, on any platform, without development dependencies."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    found, todo = set(), [metadata["resolve"]["root"]]
    while todo:
        number = todo.pop()
        if number not in found:
            found.add(number)
            for dependency in nodes[number]["deps"]:
                if any(kind["kind"] != "dev" for kind in dependency["dep_kinds"]):
                    todo.append(dependency["pkg"])
    return found


def problems_of(packages, rules):
    banned = {ban["name"]: ban.get("reason", "") for ban in rules["bans"]["deny"]}
    allowed = set(rules["licenses"]["allow"])
    problems = []
    for package in packages:
        name = f"{package['name']} {package['version']}"
        if package["name"] in banned:
            problems.append(f"{name} is banned: {banned[package['name']]}")
        if not is_allowed(package["license"] or "", allowed):
            problems.append(f"{name} has the license {package['license']!r}, which is not allowed")
        if package["source"] not in (None, REGISTRY):
            problems.append(f"{name} is from {package['source']}")
    return problems


def is_allowed(expression, allowed):
    """Returns true if the SPDX expression can be satisfied with allowed licenses. A slash is an old form of OR."""
    tokens = re.findall(r"[()]|[^\s()]+", expression.replace("/", " OR "))

    def either():
        result = both()
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            other = both()
            result = result or other
        return result

    def both():
        result = one()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            other = one()
            result = result and other
        return result

    def one():
        if not tokens:
            return False
        token = tokens.pop(0)
        if token == "(":
            result = either()
            if tokens:
                tokens.pop(0)
            return result
        if tokens and tokens[0] == "WITH":
            # An exception grants more than the license alone.
            del tokens[:2]
        return token in allowed

    return either() and not tokens


def test():
    """Runs on each call: the rules reject what they should."""
    allowed = {"MIT", "ISC"}
    for text, expected in [
        ("MIT", True), ("MIT OR GPL-3.0", True), ("MIT AND GPL-3.0", False), ("MIT/Apache-2.0", True), ("", False),
        ("(GPL-3.0 OR ISC) AND MIT", True), ("GPL-3.0", False), ("GPL-3.0 OR (MIT AND ISC)", True), ("MIT MIT", False),
    ]:
        assert is_allowed(text, allowed) == expected, text
    rules = {"bans": {"deny": [{"name": "openssl", "reason": "C"}]}, "licenses": {"allow": ["MIT"]}}
    package = {"name": "openssl", "version": "1", "license": "GPL-3.0", "source": "git+https://example.com"}
    assert len(problems_of([package], rules)) == 3
    assert not problems_of([{**package, "name": "a", "license": "MIT", "source": None}], rules)


if __name__ == "__main__":
    test()
    sys.exit(main())
