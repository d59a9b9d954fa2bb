"""What is exported to another harness, and the README that goes along."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count

import overt
from overt.data.export import escape_markdown
from overt.data.json_types import Json
from overt.data.records import Prompt
from overt.harness.answers import SIDES, Side, exported_row

WARNING = (
    "Some of these prompts ask for what the policy disallows. They are there to measure refusals: keep this "
    "folder where it cannot be crawled, do not train on it, and do not send it to a system without a filter."
)


MOST_CATEGORIES = 60  # that have metrics of their own: harnesses print a line for each


@dataclass(frozen=True, slots=True)
class Exported:
    """What a format writes down.

    Attributes:
        name: small letters, digits and _; it becomes a part of the tasks' names.
        sources: where the prompts come from, in words.
        judge: who tells refusals from answers; it needs no calls.
        max_tokens, temperature: how an answer is asked for, as `overt run` does unless told otherwise.
    """

    name: str
    prompts: tuple[Prompt, ...]
    sources: tuple[str, ...]
    judge: str
    max_tokens: int
    temperature: float
    licence: str = ""
    citation: str = ""
    notes: tuple[str, ...] = ()

    def of(self, side: Side) -> list[Prompt]:
        """The prompts of one side."""
        return [prompt for prompt in self.prompts if prompt.label == side.label]

    @property
    def sides(self) -> list[Side]:
        """The sides that have prompts."""
        return [side for side in SIDES if self.of(side)]


def json_lines(rows: Iterable[dict[str, Json]]) -> str:
    """Rows as JSON Lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def data_files(exported: Exported) -> dict[str, str]:
    """The prompts of each side by the name of their file."""
    return {data_file(side): json_lines(map(exported_row, exported.of(side))) for side in exported.sides}


def data_file(side: Side) -> str:
    """The name of the file with the prompts of a side."""
    return f"{side.label}.jsonl"


def category_keys(categories: Iterable[str]) -> dict[str, str]:
    """How each category is called within the name of a metric, which harnesses split at commas and print in
    tables. Empty where there is only one category, or too many to list."""
    names = list(dict.fromkeys(categories))
    if not 1 < len(names) <= MOST_CATEGORIES:
        return {}
    plain = {name: re.sub(r"[^\w.-]+", "_", name).strip("_") or "unnamed" for name in names}
    times = Counter(plain.values())
    keys = {name: key for name, key in plain.items() if times[key] == 1}
    for name in (name for name in names if name not in keys):
        taken = {*plain.values(), *keys.values()}
        keys[name] = next(key for n in count(1) if (key := f"{plain[name]}_{n}") not in taken)
    return {name: keys[name] for name in names}


def readme(exported: Exported, harness: str, usage: Sequence[str]) -> str:
    """The README of an exported folder, as Markdown.

    Args:
        harness: who reads the folder.
        usage: paragraphs of Markdown on how it is run and what is counted.
    """
    counts = " and ".join(f"{len(exported.of(side)):,} {side.label}" for side in exported.sides)
    about = [
        f"From: {escape_markdown(', '.join(exported.sources))}, by overt {overt.__version__}.",
        f"Licence of the prompts: {escape_markdown(exported.licence) or 'not stated, so ask who made them'}.",
    ]
    if exported.citation:
        about.append(f"Cite: {escape_markdown(exported.citation)}")
    about += [f"Note: {escape_markdown(note)}" for note in exported.notes]
    warning = [f"> **Unsafe prompts.** {WARNING}"] if any(s.label == "unsafe" for s in exported.sides) else []
    head = f"# {exported.name}: {counts} prompts for {harness}"
    return "\n\n".join([head, *warning, *usage, *(f"- {line}" for line in about)]) + "\n"
