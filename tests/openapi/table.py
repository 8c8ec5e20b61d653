#!/usr/bin/env python3
"""Captures made-up traffic of API descriptions, and compares the inferred OpenAPI documents with what was exercised.

    tests/openapi/install           installs the packages; --all for the whole table
    tests/openapi/table.py          prints a line per description
    tests/openapi/table.py --write  writes the table in docs/openapi.md, with two other tools
    tests/openapi/table.py --check  fails if a document is worse than the limits

Each description is served on loopback and called through the binary. Three more captures, of traps, are made-up.
"""
import argparse
import json
import os
import shutil
import sys
import tempfile

# Leaves no folder with compiled modules.
sys.dont_write_bytecode = True

import generate
import tools
import traps
from document import Document, load
from score import Score
from traffic import export, first_half

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TARGET = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
PAGE = os.path.join(ROOT, "docs", "openapi.md")
COLUMNS = ("templates", "made up", "operations", "query", "members", "required", "types", "exchanges", "values leaked")
MIN_F1 = {"description": 0.90, "traps": 0.95}
MIN_PRECISION = 0.90
MIN_REQUIRED = 0.98
# Lines about a document that breaks a limit.
MAX_LISTED = 12


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="descriptions by the names of their files, and groups of traps [default: all]")
    parser.add_argument("--spectral", default=os.path.join(TARGET, "debug", "spectral"))
    parser.add_argument("--packages", default=os.path.join(TARGET, "openapi"), help="folder of the installed packages")
    parser.add_argument("--descriptions", metavar="DIR", help="JSON files [default: descriptions in the folder of the packages]")
    parser.add_argument("--operations", type=int, default=60, help="operations to call of each description")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="also run mitmproxy2swagger and har-to-openapi, and write the table")
    parser.add_argument("--check", action="store_true", help="fail if a limit is broken")
    parser.add_argument("--keep", metavar="DIR", help="keep captures and documents there")
    parser.add_argument("-v", "--verbose", action="store_true", help="list what is wrong")
    options = parser.parse_args()
    tools.restart_with_packages(options.packages)
    descriptions = options.descriptions or os.path.join(options.packages, "descriptions")
    names = options.names or [*traps.GROUPS, *sorted(name[:-5] for name in os.listdir(descriptions) if name.endswith(".json"))]
    folder = options.keep or tempfile.mkdtemp(prefix="openapi-")
    table = ["| traffic | tool | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 2) + "|"]
    problems = []
    for name in names:
        run = Run(options, name, os.path.join(folder, name))
        run.capture(os.path.join(descriptions, f"{name}.json"))
        problems += run.check()
        print(f"{name:18}" + ", ".join(f"{column} {cell}" for column, cell in zip(COLUMNS, cells(run.score))), flush=True)
        for note in run.score.notes if options.verbose else ():
            print("    " + note)
        if options.write:
            table += run.rows()
    files = [os.path.join(folder, name, "spectral.json") for name in names]
    problems += tools.rejected_by_swagger_parser(options.packages, files)
    if not options.keep:
        shutil.rmtree(folder)
    for problem in problems:
        print(problem)
    if options.write:
        write(table)
    sys.exit(1 if options.check and problems else 0)


class Run:
    """The capture of one description or group of traps, and the documents inferred from it."""

    def __init__(self, options, name, folder):
        self.options, self.name, self.folder = options, name, folder
        os.makedirs(folder, exist_ok=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def capture(self, description):
        binary = self.options.spectral
        if self.name in traps.GROUPS:
            exercised, host = traps.generate(binary, self.folder, self.name)
        else:
            exercised, host = generate.generate(binary, description, self.folder, self.options.operations, self.options.seed)
        self.url, self.markers = f"http://{host}", exercised.markers
        self.exercised = exercised.document(host)
        with open(self.path("exercised.json"), "w", encoding="utf-8") as text:
            json.dump(self.exercised, text, indent=1)
        export(binary, self.path("capture.zip"), "har", self.path("capture.har"))
        export(binary, self.path("capture.zip"), "openapi", self.path("spectral.json"))
        with open(self.path("capture.har"), encoding="utf-8") as text:
            self.har = json.load(text)
        first_half(binary, self.path("capture.zip"), self.har, self.path("shorter.zip"))
        export(binary, self.path("shorter.zip"), "openapi", self.path("shorter.json"))
        self.document = load(self.path("spectral.json"))
        self.score = self.scored(self.document, "spectral.json")
        self.score.check_shorter(Document(load(self.path("shorter.json"))))

    def scored(self, document, file):
        score = Score(Document(self.exercised), Document(document))
        score.check_exchanges(self.har, tools.value_validator)
        with open(self.path(file), encoding="utf-8") as text:
            score.check_markers(text.read(), self.markers)
        return score

    def check(self):
        """Returns the limits that our document breaks."""
        score, problems = self.score, []
        least = MIN_F1["traps" if self.name in traps.GROUPS else "description"]
        for what, value, limit in (
            ("F1 of templates", score.templates.f1, least), ("precision of templates", score.templates.precision, MIN_PRECISION),
            ("precision of required", score.required.precision, MIN_REQUIRED), ("recall of required", score.required.recall, MIN_REQUIRED),
            ("exchanges with one operation", score.served.value, 1), ("valid exchanges", score.valid.value, 1),
        ):
            if value is not None and value < limit:
                problems.append(f"{self.name}: {what} {value:.3f}, less than {limit}")
        problems += [f"{self.name}: the value {marker} of the traffic is in the document" for marker in score.leaked[:3]]
        problems += [f"{self.name}: {template} of the shorter capture is lost" for template in score.lost]
        error = tools.document_error(self.document)
        problems += [f"{self.name}: openapi-spec-validator: {error}"] if error else []
        return problems + ["    " + note for note in score.notes[:MAX_LISTED] if problems]

    def rows(self):
        """Returns the rows of the three tools."""
        packages, har = self.options.packages, self.path("capture.har")
        rows = [f"| {self.name} | Spectral | " + " | ".join(cells(self.score)) + " |"]
        failed = {"mitmproxy2swagger": tools.mitmproxy2swagger(packages, har, self.path("mitmproxy2swagger"), self.url),
                  "har-to-openapi": tools.har_to_openapi(packages, har, self.path("har-to-openapi"))}
        for tool, error in failed.items():
            row = [error] + [""] * (len(COLUMNS) - 1) if error else cells(self.scored(load(self.path(tool)), tool))
            rows.append(f"| | {tool} | " + " | ".join(row) + " |")
        return rows


def write(table):
    """Replaces the table in the document."""
    with open(PAGE, encoding="utf-8") as text:
        lines = text.read().splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith("| traffic |"))
    end = next(at for at in range(start, len(lines) + 1) if at == len(lines) or not lines[at].startswith("|"))
    with open(PAGE, "w", encoding="utf-8") as text:
        text.write("\n".join([*lines[:start], *table, *lines[end:]]) + "\n")


def cells(score):
    """Returns the columns of a row: shares in percent, precision and recall where both count."""
    expected = score.templates.found + score.templates.missing
    tallies = score.operations, score.query, score.members, score.required
    both = [f"{percent(tally.precision)} / {percent(tally.recall)}" for tally in tallies]
    return [f"{score.templates.found} of {expected}", str(score.templates.made_up), *both, percent(score.types.value),
            f"{percent(score.served.value)} / {percent(score.valid.value)}", str(len(score.leaked))]


def percent(value):
    # Less than all is never shown as 100.
    return "-" if value is None else f"{int(value * 1000) / 10:g}"


if __name__ == "__main__":
    main()
