"""The tables of docs/families.md, which tests make: each test measures one family and compares its row.

OVERT_WRITE_TABLES=1 pytest tests/...   # without xdist: writes the rows instead of comparing them
"""

import os
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "families.md"


def check_row(section, family, cells):
    """Compares a measured row with the page's, or writes it.

    section: the heading above the table. cells: column -> text, in the order of the table's columns.
    """
    row = f"| {family} | " + " | ".join(cells.values()) + " |"
    lines = PAGE.read_text("utf-8").splitlines()
    start = lines.index(f"## {section}")
    end = next((n for n in range(start + 1, len(lines)) if lines[n].startswith("## ")), len(lines))
    head = f"| family | {' | '.join(cells)} |"
    if os.environ.get("OVERT_WRITE_TABLES"):
        _write(lines, start, end, head, row, family)
        return
    assert head in lines[start:end], f"the table {section!r} has no head {head!r}"
    there = [line for line in lines[start:end] if line.startswith(f"| {family} |")]
    assert there == [row], f"docs/families.md says {there}, measured was {row}"


def _write(lines, start, end, head, row, family):
    text, rows = [], {}
    for line in lines[start + 1 : end]:
        if line.startswith("| ") and not line.startswith(("| family |", "| --- |")):
            rows[line.split(" | ")[0]] = line
        elif not line.startswith("|"):
            text.append(line)
    rows[f"| {family}"] = row
    rule = "|" + " --- |" * (head.count("|") - 1)
    while text and not text[-1]:
        text.pop()
    table = [*text, "", head, rule, *(rows[key] for key in sorted(rows, key=str.casefold)), ""]
    PAGE.write_text("\n".join([*lines[: start + 1], *table, *lines[end:]]).rstrip() + "\n", "utf-8")
