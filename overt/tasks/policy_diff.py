"""`overt policies diff`: what differs between two policies, and between the prompts made for them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from overt.data.errors import InputError
from overt.data.json_types import Json
from overt.data.records import Drop, Prompt
from overt.data.run.files import read_records
from overt.data.run.finished import Run, open_run
from overt.data.run.record import FILE
from overt.policies.changes import Change, changes, touched
from overt.policies.load import load_policy
from overt.policies.schema import Policy


@dataclass(frozen=True, slots=True)
class Moved:
    """A prompt that only one of two runs has, and why."""

    id: str
    category: str
    label: str
    text: str
    why: str


@dataclass(frozen=True, slots=True)
class Difference:
    """Two policies, and, if both were given as runs, their prompts.

    Attributes:
        changed: categories whose prompts the changed lines may concern.
        same: by category, how many prompts both runs have.
        gone, came: the prompts that only the first, and only the second has.
    """

    changes: tuple[Change, ...]
    changed: frozenset[str]
    has_prompts: bool = False
    same: dict[str, int] | None = None
    gone: tuple[Moved, ...] = ()
    came: tuple[Moved, ...] = ()

    @property
    def stray(self) -> tuple[Moved, ...]:
        """Prompts that came or went in categories that no changed line concerns."""
        return tuple(m for m in (*self.gone, *self.came) if m.category not in self.changed)

    def to_json(self) -> dict[str, Json]:
        """Plain JSON data."""
        return {
            "changes": [asdict(change) for change in self.changes],
            "changed": sorted(self.changed),
            "prompts": {
                "same": dict(self.same or {}),
                "gone": [asdict(moved) for moved in self.gone],
                "came": [asdict(moved) for moved in self.came],
                "stray": len(self.stray),
            }
            if self.has_prompts
            else None,
        }


def difference(old: str, new: str) -> Difference:
    """Compares two policies, each a shipped name, a file, or the folder of a run of `overt generate`. Two
    folders are compared by the ids of their prompts too.

    Raises:
        InputError: one of them cannot be read, or only one of two runs is complete.
    """
    (first, run_a), (second, run_b) = _read(old), _read(new)
    found = changes(first, second)
    concerned = frozenset(touched(found, first, second))
    if run_a is None or run_b is None:
        return Difference(tuple(found), concerned)
    made_a, made_b = _made(run_a), _made(run_b)
    same: dict[str, int] = {}
    for id in made_a.keys() & made_b.keys():
        category = made_a[id].category
        same[category] = same.get(category, 0) + 1
    gone = _moved(made_a, made_b, _drops(run_b), second)
    came = _moved(made_b, made_a, _drops(run_a), first)
    order = [c.id for c in (*first.categories, *second.categories)]
    counts = {c: same.get(c, 0) for c in dict.fromkeys(order)}
    return Difference(tuple(found), concerned, True, counts, gone, came)


def _read(name: str) -> tuple[Policy, Run | None]:
    folder = Path(name)
    if not (folder / FILE).is_file():
        return load_policy(name), None
    run = open_run(folder, "generate")
    return load_policy(str(run.policy_file)), run


def _made(run: Run) -> dict[str, Prompt]:
    folder = run.folder / "dataset"
    rows = [p for label in ("benign", "unsafe") for p in read_records(folder / f"{label}.jsonl", Prompt)]
    if not rows:
        raise InputError("the data set holds no prompt", where=str(folder))
    return {p.id: p for p in rows}


def _drops(run: Run) -> dict[str, Drop]:
    """By id the last drop of a prompt, which decided."""
    return {drop.record_id: drop for drop in read_records(run.folder / "stages" / "drops.jsonl", Drop)}


def _moved(
    here: dict[str, Prompt], there: dict[str, Prompt], drops: dict[str, Drop], other: Policy
) -> tuple[Moved, ...]:
    """The prompts that only `here` has, with why `there` has none of them.

    Args:
        drops: of the other run.
        other: its policy.
    """
    terms = {c.id: {t.term.casefold() for t in c.triggers} for c in other.categories}
    pairs = {p.pair_id for p in there.values() if p.label == "benign"}
    return tuple(
        Moved(
            id,
            prompt.category,
            prompt.label,
            prompt.text,
            _missing_terms(prompt, terms) or _not_made(prompt, drops.get(id), pairs),
        )
        for id, prompt in here.items()
        if id not in there
    )


def _missing_terms(prompt: Prompt, terms: dict[str, set[str]]) -> str:
    """What of a prompt the other policy does not have; "" if it has category and term."""
    if prompt.category not in terms:
        return "the other policy has no such category"
    if prompt.trigger and prompt.trigger.casefold() not in terms[prompt.category]:
        return f"the other policy has no term {prompt.trigger!r}"
    return ""


def _not_made(prompt: Prompt, drop: Drop | None, pairs: set[str | None]) -> str:
    """Why the other run has no such prompt, though its policy could have."""
    if drop is not None:
        return f"{drop.stage}: {drop.reason}" + (f" ({drop.detail})" if drop.detail else "")
    if prompt.variant_of:
        return "a version (--vary groups) that the other set does not have"
    if prompt.label == "unsafe" and prompt.pair_id not in pairs:
        return "its benign side is not in the other set"
    return "not written there"
