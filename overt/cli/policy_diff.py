"""What `overt policies diff` prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from overt.cli.tables import console, print_lines, print_table
from overt.data.table_model import Cell, Table
from overt.data.text import plain
from overt.tasks.policy_diff import Difference, Moved

_SHOWN = 5  # prompts of a reason that are printed


def print_difference(found: Difference, *, everything: bool) -> None:
    """The changed lines, and the prompts that came and went by category and reason."""
    to = console()
    if not found.changes:
        print_lines(to, ["the policies are the same"])
    for change in found.changes:
        print_lines(to, [f"{change.category or 'the policy'}: {plain(change.part)}"], style="bold")
        print_lines(to, [f"  - {plain(line)}" for line in change.gone], style="red", folded=True)
        print_lines(to, [f"  + {plain(line)}" for line in change.new], style="green", folded=True)
    if not found.has_prompts:
        return
    to.print()
    print_table(to, _counts(found))
    for title, moved in (("went", found.gone), ("came", found.came)):
        for (category, why), rows in _by_reason(moved).items():
            print_lines(to, [f"\n{len(rows)} {title}, {category}: {plain(why)}"], style="bold", folded=True)
            shown = rows if everything else rows[:_SHOWN]
            print_lines(to, [f"  {m.label:6}  {plain(m.text)}" for m in shown], folded=True)
            if len(shown) < len(rows):
                print_lines(to, [f"  ... and {len(rows) - len(shown)} more (--all)"])
    stray = len(found.stray)
    print_lines(
        to, [f"\n{stray} prompts came or went in categories that no changed line concerns"],
        style="yellow" if stray else "",
    )  # fmt: skip


def _counts(found: Difference) -> Table:
    gone, came = (Counter(m.category for m in moved) for moved in (found.gone, found.came))
    same = found.same or {}
    rows = [
        [Cell(c), Cell("yes" if c in found.changed else "no"), Cell(str(n)), *_two(gone[c], came[c])]
        for c, n in same.items()
    ]
    total = [Cell("all"), Cell(""), Cell(str(sum(same.values()))), *_two(gone.total(), came.total())]
    return Table("diff", "prompts", ["category", "lines changed", "same", "went", "came"], rows, total=total)


def _two(gone: int, came: int) -> list[Cell]:
    return [Cell(str(gone)), Cell(str(came))]


def _by_reason(moved: Sequence[Moved]) -> dict[tuple[str, str], list[Moved]]:
    found: dict[tuple[str, str], list[Moved]] = {}
    for one in moved:
        found.setdefault((one.category, one.why), []).append(one)
    return found
