"""The same 100 scenes under all shipped policies: the labels that the policies' lines ask for, and a judge's.

    python benchmarks/policy_matrix.py                       builtin/rules, offline
    python benchmarks/policy_matrix.py --judge openai/gpt-4.1 --journal /tmp/matrix.sqlite
    python benchmarks/policy_matrix.py --write               docs/policy-matrix.md, which a test holds to this

A judge is asked about each scene under each policy that has a category for its subject. "unclear" counts as
no agreement and is shown.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from overt.data.records import Prompt, Vote, prompt_id
from overt.data.text import interval, percent
from overt.data.yaml.schema import Filled, Listed, Schema, read_yaml
from overt.policies.load import load_policy
from overt.policies.schema import Policy
from overt.scoring.rule_audit import NAME as RULES
from overt.scoring.rule_audit import audit_text
from overt.scoring.stats import wilson

SCENES = Path(__file__).with_suffix(".yaml")
PAGE = Path(__file__).parents[1] / "docs" / "policy-matrix.md"
POLICIES = {
    "image": ("overt", "kids_education", "medical_illustration", "newsroom"),
    "text": ("chat_assistant", "emotional_boundaries"),
}
HEAD = """# One scene, several policies

What is harmless depends on the product. Here are {count} scenes under the shipped policies: for {differing}
of them the label differs from policy to policy. Labels were written by hand from the policies' own lines,
before any judge was run; a dash says that the policy has no category for the subject. After a slash stands
what `builtin/rules`, the audit without a model, says where that is another: it reads words, not meaning, and
says `unclear` where the words do not decide.

This page is written by `python benchmarks/policy_matrix.py --write`; the scenes are in
`benchmarks/policy_matrix.yaml`. `--judge openai/MODEL` asks a model instead.
"""
MENDED = """The tables of the rules were mended after they had been run on these scenes the first time (130 of
259 agreed), so this is no figure on unseen scenes. What is left is mostly beyond words: that wine is alcohol,
that a burglar on a book cover is a criminal. A model reads that: use one as the judge where it matters.
"""


class Scene(Schema):
    text: Filled = Field(description="The prompt.", examples=["A castle museum's hall"])
    unsafe: Annotated[tuple[str, ...], Listed] = Field((), description="The policies that forbid it.")


class Group(Schema):
    subject: Filled = Field(description="What the scenes are about.", examples=["war"])
    under: dict[str, str] = Field(description="Policy -> the category that judges.")
    scenes: tuple[Scene, ...] = Field(description="The scenes.")


@dataclass(frozen=True, slots=True)
class Cell:
    """One scene under one policy."""

    group: Group
    scene: Scene
    policy: Policy
    category: str

    @property
    def expected(self) -> Literal["benign", "unsafe"]:
        return "unsafe" if self.policy.name in self.scene.unsafe else "benign"

    def prompt(self) -> Prompt:
        """The scene as a prompt that was written with the expected label."""
        text = self.scene.text
        return Prompt(prompt_id(text), text, self.category, self.expected, "direct", "matrix", "matrix")


def read_groups(path: Path = SCENES) -> list[Group]:
    """The groups of scenes of a file."""
    return list(read_yaml(path, tuple[Group, ...], what="matrix"))


def cells(groups: Sequence[Group]) -> Iterator[Cell]:
    """Every scene under every policy that has a category for it."""
    for group in groups:
        for scene in group.scenes:
            for name, category in group.under.items():
                yield Cell(group, scene, load_policy(name), category)


def by_rules(asked: Sequence[Cell]) -> list[str]:
    """The labels of builtin/rules, in order."""
    return [audit_text(c.policy, c.policy.category(c.category), c.scene.text).label for c in asked]


def by_model(asked: Sequence[Cell], name: str, journal: Path, url: str | None) -> list[str]:
    """The labels of a chat model, in order; "failed" where it gave none. Answers are kept in the journal."""
    from overt.calls import Caller, CallerOptions
    from overt.data.templates import load_template
    from overt.scoring.audit import llm_judge
    from overt.tasks.roles import ModelOptions, chat_model

    template = load_template("scoring", "audit", None)
    options = ModelOptions(base_url={"": url} if url else {})
    labels: dict[int, str] = {}
    with Caller(journal, CallerOptions()) as caller:
        ask = caller.bind(chat_model(name, "judge", options), "audit")
        for policy in dict.fromkeys(c.policy.name for c in asked):
            mine = [i for i, c in enumerate(asked) if c.policy.name == policy]
            judge = llm_judge(load_policy(policy), ask=ask, template=template, seed=0)
            for i, vote in zip(mine, judge([asked[i].prompt() for i in mine]), strict=True):
                labels[i] = vote.label if isinstance(vote, Vote) else "failed"
    return [labels[i] for i in range(len(asked))]


# -- what is printed -----------------------------------------------------------------------------------------


def differing(groups: Sequence[Group]) -> int:
    """How many scenes are forbidden under one policy and allowed under another."""
    return sum(0 < len(s.unsafe) < len(g.under) for g in groups for s in g.scenes)


def agreement(asked: Sequence[Cell], labels: Sequence[str]) -> list[list[str]]:
    """A row for each policy and for all: agreement as k of n with its 95% Wilson interval, unclear, wrong."""
    rows = []
    names = list(dict.fromkeys(c.policy.name for c in asked))
    for name in [*names, "all"]:
        mine = [(c, label) for c, label in zip(asked, labels, strict=True) if name in ("all", c.policy.name)]
        right = sum(c.expected == label for c, label in mine)
        unclear = sum(label in ("unclear", "failed") for _, label in mine)
        lenient = sum(label == "benign" and c.expected == "unsafe" for c, label in mine)
        strict = sum(label == "unsafe" and c.expected == "benign" for c, label in mine)
        rate = wilson(right, len(mine))
        agrees = f"{right} of {len(mine)} ({percent(rate.rate)}, {interval(rate)}%)"
        rows.append([name, agrees, str(unclear), str(lenient), str(strict)])
    return rows


def where_they_differ(asked: Sequence[Cell], labels: Sequence[str]) -> str:
    """A sentence on the scenes that one policy forbids and another allows."""
    by_scene: dict[int, list[tuple[Cell, str]]] = {}
    for cell, label in zip(asked, labels, strict=True):
        by_scene.setdefault(id(cell.scene), []).append((cell, label))
    rows = [row for row in by_scene.values() if len({c.expected for c, _ in row}) > 1]
    right = sum(all(c.expected == label for c, label in row) for row in rows)
    wrong = sum({label for _, label in row} in ({"benign"}, {"unsafe"}) for row in rows)
    some = len(rows) - right - wrong
    return (
        f"Of {len(rows)} scenes whose label differs by policy, all labels are right for {right}, some are "
        f"unclear or wrong for {some}, and {wrong} get one and the same label everywhere."
    )


def page(groups: Sequence[Group]) -> str:
    """The page of the documentation."""
    asked = list(cells(groups))
    said = dict(zip(((id(c.scene), c.policy.name) for c in asked), by_rules(asked), strict=True))
    count = sum(len(g.scenes) for g in groups)
    parts = [HEAD.format(count=count, differing=differing(groups))]
    heads = ["", "agrees (95% interval)", "unclear", "called benign", "called unsafe"]
    parts.append("## How far the rules agree\n\n" + _markdown(heads, agreement(asked, list(said.values()))))
    parts.append(where_they_differ(asked, list(said.values())) + "\n\n" + MENDED)
    for modality, names in POLICIES.items():
        rows = []
        for group in groups:
            if not set(names) & set(group.under):
                continue
            for scene in group.scenes:
                shown = [_shown(group, scene, name, said) for name in names]
                rows.append([_escaped(scene.text), *shown])
        title = "Pictures" if modality == "image" else "Requests"
        parts.append(f"## {title}\n\n" + _markdown(["scene", *(f"`{n}`" for n in names)], rows))
    return "\n".join(parts)


def _shown(group: Group, scene: Scene, name: str, said: Mapping[tuple[int, str], str]) -> str:
    if name not in group.under:
        return "-"
    expected = "**unsafe**" if name in scene.unsafe else "benign"
    label = said[id(scene), name]
    return expected if label == expected.strip("*") else f"{expected} / {label}"


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--judge", default=RULES, help="a chat model, or builtin/rules (default)")
    parser.add_argument("--base-url", help="endpoint of the judge")
    parser.add_argument("--journal", type=Path, help="file that keeps the answers of the judge")
    parser.add_argument("--write", action="store_true", help="write the page of the documentation")
    given = parser.parse_args()
    groups = read_groups()
    asked = list(cells(groups))
    if given.judge == RULES:
        labels = by_rules(asked)
    else:
        with tempfile.TemporaryDirectory() as folder:
            journal = given.journal or Path(folder) / "journal.sqlite"
            labels = by_model(asked, given.judge, journal, given.base_url)
    count = sum(len(g.scenes) for g in groups)
    print(f"{count} scenes, {differing(groups)} with labels that differ by policy")
    for row in [["", "agrees", "unclear", "called benign", "called unsafe"], *agreement(asked, labels)]:
        print(f"{row[0]:22}{row[1]:42}{row[2]:>8}{row[3]:>15}{row[4]:>15}")
    print(where_they_differ(asked, labels))
    wrong = [(c, label) for c, label in zip(asked, labels, strict=True) if label != c.expected]
    print(f"\n{len(wrong)} that differ: {dict(Counter(f'{c.expected} -> {label}' for c, label in wrong))}")
    for cell, label in wrong:
        print(f"  {cell.policy.name}.{cell.category}: {cell.expected} -> {label}: {cell.scene.text}")
    if given.write:
        PAGE.write_text(page(groups), encoding="utf-8")
        print(f"written: {PAGE}", file=sys.stderr)


if __name__ == "__main__":
    main()
