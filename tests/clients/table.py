"""The table in docs/clients.md: its outcomes, its form, and its comparison with what a run found."""
from programs import NODES, columns, columns_of, commands_of

CAPTURED = "captured"
PARTLY = "captured in part"
PASSES = "works, not captured"
FIRST = "first connection fails"
FIRST_TWO = "first two connections fail"
FAILS = "**fails**"
PRINTS = ", more on stderr"
BROKEN = "fails without Spectral too"
NOT_RUN = "not run"
NO_COMMAND = ""


def write(path, rows, found):
    """Replaces the tables in a document. Clients that did not run, or do not work alone, keep their outcome."""
    with open(path, encoding="utf-8") as file:
        head = file.read().partition("\n## ")[0]
    known = read(path)
    for key, outcome in found.items():
        if outcome != BROKEN and not is_expected(known.get(key), outcome):
            known[key] = outcome
    with open(path, "w", encoding="utf-8") as file:
        file.write(head)
        for section in dict.fromkeys(row.section for row in rows):
            file.write("\n" + "\n".join(render(section, [row for row in rows if row.section == section], known)) + "\n")


def render(section, rows, known):
    """Returns the lines of a section. Versions of Node with equal outcomes share a line."""
    yield f"## {section}"
    yield ""
    yield "| client | " + ("Node | " if section == "Node" else "") + " | ".join(columns(None)) + " |"
    yield "|---|" + ("---|" if section == "Node" else "") + "---|" * len(columns(None))
    for row in rows:
        lines = {}
        for version in NODES if section == "Node" else [None]:
            cells = [known.get((section, row.name, column), NOT_RUN) if commands_of(row, column) else NO_COMMAND
                     for column in columns(version)]
            if any(cells):
                lines.setdefault(" | ".join(cells), []).append(version)
        for cells, versions in lines.items():
            yield f"| {row.name} | " + (", ".join(versions) + " | " if section == "Node" else "") + cells + " |"


def read(path):
    """Returns the outcomes in a document."""
    outcomes, section = {}, None
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.startswith("## "):
                section = line[3:].strip()
            elif section and line.startswith("| ") and not line.startswith("| client "):
                name, *cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
                for version in cells.pop(0).split(", ") if section == "Node" else [None]:
                    for column, cell in zip(columns(version), cells):
                        if cell not in (NO_COMMAND, NOT_RUN):
                            outcomes[section, name, column] = cell
    return outcomes


def is_expected(known, outcome):
    """Returns true if a document has this outcome. Browsers have several connections, so the first one may fail unnoticed."""
    return outcome == known or (known is not None and FIRST in known and outcome.replace(PASSES, FIRST) == known)


def differences(path, rows, found):
    """Returns a line for each outcome that a document does not have, and for each that no row has any more."""
    known = read(path)
    cells = {(row.section, row.name, column) for row in rows for column in columns_of(row)}
    for key, outcome in found.items():
        if not is_expected(known.get(key), outcome):
            yield f"{': '.join(key)}: {outcome}; in docs/clients.md: {known.get(key)}"
    for key in known:
        if key not in cells:
            yield f"{': '.join(key)}: only in docs/clients.md"
