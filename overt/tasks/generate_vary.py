"""The stage `vary` of `overt generate`: versions of the benign prompts that differ in who is depicted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from overt.data.json_types import Json
from overt.data.records import Drop, Prompt
from overt.generation.groups import NO_PERSON, groups_of, person_in, versions_of
from overt.generation.synthesize import screen
from overt.tasks.generate_stages import Making, audit_prompts

STAGE = "vary"


@dataclass(frozen=True, slots=True)
class Varied:
    """The versions that passed, and how many benign prompts they are of.

    `without_person` counts the prompts without a person whom a word can be said of, `beyond` those that were
    left out since their category had enough (`--vary-prompts`).
    """

    versions: tuple[Prompt, ...]
    of: int
    varied: int
    without_person: int
    beyond: int

    def facts(self) -> dict[str, Json]:
        """What the manifest says of it; nothing where no versions were asked for."""
        if self is NOT_VARIED:
            return {}
        groups = Counter(version.group or "" for version in self.versions)
        said: dict[str, Json] = {
            "prompts": self.of,
            "varied": self.varied,
            "without_person": self.without_person,
            "beyond": self.beyond,
            "versions": len(self.versions),
            "groups": dict(groups.items()),
        }
        return {"vary": said}


NOT_VARIED = Varied((), 0, 0, 0, 0)


def vary_prompts(making: Making, benign: Sequence[Prompt], most: int | None) -> Varied:
    """Writes, screens and audits the versions of the benign prompts.

    A version that the floor forbids, that repeats a prompt, or that the judges don't call benign is dropped;
    its prompt and the other versions stay.

    Args:
        most: how many prompts of a category are varied at most; None is no limit.
    """
    groups = groups_of(making.policy)
    chosen, without, beyond = _chosen(benign, most)
    fresh: list[Prompt] = []
    seen = {prompt.id for prompt in benign}
    for prompt in chosen:
        versions = versions_of(prompt, groups)
        making.account.enter(STAGE, prompt.category, len(versions))
        for version in screen(versions, STAGE):
            if isinstance(version, Prompt) and version.id in seen:
                version = Drop(version.id, STAGE, version.category, "exact repeat", prompt.id, version.text)
            if isinstance(version, Drop):
                making.account.lose(version)
                continue
            seen.add(version.id)
            fresh.append(version)
    kept = audit_prompts(making, fresh, STAGE) if fresh else []
    for version in kept:
        making.account.leave(STAGE, version.category)
    making.work.folder.write_stage(STAGE, kept)
    found = Varied(tuple(kept), len(benign), len({v.variant_of for v in kept}), without, beyond)
    making.work.note(_said(found))
    return found


def _chosen(benign: Sequence[Prompt], most: int | None) -> tuple[list[Prompt], int, int]:
    """The prompts to vary, how many name no person, and how many are more than asked for."""
    people = [prompt for prompt in benign if person_in(prompt.text) is not None]
    taken: Counter[str] = Counter()
    chosen = []
    for prompt in people:
        taken[prompt.category] += 1
        if most is None or taken[prompt.category] <= most:
            chosen.append(prompt)
    return chosen, len(benign) - len(people), len(people) - len(chosen)


def _said(found: Varied) -> str:
    said = (
        f"{found.varied} of {found.of} benign prompts have {len(found.versions)} versions that differ "
        f"only in who is depicted; {found.without_person} name {NO_PERSON}"
    )
    said += f"; {found.beyond} are more than --vary-prompts asks for" if found.beyond else ""
    left = found.of - found.varied - found.without_person - found.beyond
    return said + (f"; of {left} no version fits or passed the audit" if left else "")
