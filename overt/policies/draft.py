"""The first draft of a policy, from what a product's maker says: commented YAML with scenes to edit.

Triggers that were not named, and scenes, are proposals of the bank of scenes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Literal

from overt.policies.bank import readings_of, scenes_for, topics_by_cues
from overt.policies.floor import floor_reason
from overt.policies.schema import Category, Trigger
from overt.policies.topics import topics

Modality = Literal["image", "text"]

_TITLED = re.compile(r"(?P<title>[^:]{2,60}):\s+(?P<line>\S.*)", re.DOTALL)
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_SMALL = frozenset(
    _WORD.findall(
        """about above after against also and any are because been before being below between both can content
        does doing during each every explicit from have having image images into just like made make making
        more most never not nothing only other ours over people person persons picture pictures real same
        shall should show showing shown some such text than that the their them then there these they things
        this those through under until very what when where which while who whom will with without your"""
    )
)
_TERMS = 8  # proposed for a category
_SCENES = 2  # proposed for a trigger


@dataclass(frozen=True, slots=True)
class Answers:
    """What was said of the product. Lines and terms may begin with the title of their category, as in
    "Weapons: guns pointed at people"."""

    name: str
    modality: Modality
    product: str
    forbidden: tuple[str, ...]
    allowed: tuple[str, ...] = ()
    terms: tuple[str, ...] = ()


@dataclass
class Part:
    """One category of the draft; `proposed` of its terms were not named by anybody."""

    id: str
    title: str
    disallowed: list[str] = field(default_factory=list)
    allowed: list[str] = field(default_factory=list)
    terms: list[str] = field(default_factory=list)
    proposed: list[str] = field(default_factory=list)

    def category(self) -> Category:
        """It as a category of a policy."""
        triggers = tuple(Trigger(term=term) for term in (*self.terms, *self.proposed) or ("none",))
        return Category(id=self.id, title=self.title, disallowed=tuple(self.disallowed), triggers=triggers)


def parts_of(answers: Answers) -> list[Part]:
    """The categories: one for each title; a line without one goes to that of its topic, or has its own. An
    allowed line without a title goes to all. A term without one goes to the category of its topic, else to
    the first. A category without terms gets words of its lines and of its topic."""
    parts, topic_of = _by_title(answers.forbidden)
    made = list(parts.values())
    for said in answers.allowed:
        title, line = split_title(said)
        known = parts.get(title.casefold())
        for part in [known] if known else made:
            _add(part.allowed, line if known else said)
    for said in answers.terms:
        title, term = split_title(said)
        spoken = {r.topic for r in readings_of(term)}
        fits = next((p for p in made if topic_of[p.id] in spoken), made[0])
        _add(parts.get(title.casefold(), fits).terms, term)
    for part in made:
        if not part.terms:
            part.proposed = proposed_terms(part.disallowed, topic_of[part.id])
    return made


def strays(answers: Answers) -> list[str]:
    """What was said of allowed lines and terms whose title is that of no category, with where they went."""
    parts, _ = _by_title(answers.forbidden)
    known = ", ".join(repr(part.title) for part in parts.values())
    found = []
    for said, where in [
        *((line, "it stands in every category as it is") for line in answers.allowed),
        *((term, "its title is left out") for term in answers.terms),
    ]:
        title, _ = split_title(said)
        if title and title.casefold() not in parts:
            found.append(f"{said!r} begins with the title of no category ({known}): {where}")
    return found


def _by_title(forbidden: Sequence[str]) -> tuple[dict[str, Part], dict[str, str]]:
    """The categories by folded title, with their forbidden lines; and the topic of each by its id."""
    parts: dict[str, Part] = {}
    topic_of: dict[str, str] = {}
    for said in forbidden:
        title, line = split_title(said)
        topic = _topic(title, line)
        found = parts.get(title.casefold()) if title else _by_topic(parts, topic_of, topic)
        if found is None:
            title = title or _as_title(topic, line)
            found = Part(_free_id(title, parts.values()), title)
            parts[title.casefold()] = found
            topic_of[found.id] = topic
        _add(found.disallowed, line)
    return parts, topic_of


def split_title(said: str) -> tuple[str, str]:
    """The title before a colon, "" without one, and the rest."""
    said = " ".join(said.split())
    found = _TITLED.fullmatch(said)
    return (found["title"].strip(), found["line"]) if found else ("", said)


def proposed_terms(lines: Sequence[str], topic: str) -> list[str]:
    """Terms that people type: the words of the lines that the bank knows, then words of their topic; without
    a topic the longer words of the lines."""
    words = list(dict.fromkeys(w.casefold() for line in lines for w in _WORD.findall(line)))
    telling = [w for w in words if w not in _SMALL]
    found = [w for w in telling if readings_of(w)] + _words_of(topic)
    found = found or [w for w in telling if len(w) > 3] or words
    return list(dict.fromkeys(found))[:_TERMS]


def _words_of(topic: str) -> list[str]:
    """The words of a topic, those of each part of speech in turn, so that verbs are among them too."""
    rows = list(topics()[topic].words.values()) if topic else []
    return [word for turn in zip_longest(*rows) for word in turn if word]


def drafted(answers: Answers) -> str:
    """The draft as commented YAML. It is not checked: read it with `overt.policies.load.read_policy`."""
    lines = [
        "# A first draft. Read every line: what is right for your product only you know.",
        "#   overt policies validate FILE     all problems, with line and column",
        "#   overt generate --policy FILE     a data set",
        f"name: {_plain(answers.name)}",
        'version: "1"',
        f"description: {_quoted(answers.product)}",
        f"modality: {answers.modality}  # what the prompts ask for: image or text",
        "defaults:  # of every category",
        "  benign: 30  # prompts that sound dangerous and are allowed",
        "  unsafe: 30  # their twins that break the policy",
        "categories:",
    ]
    used: set[str] = set()
    for part in parts_of(answers):
        lines += ["", *_written(part, answers.modality, used)]
    return "\n".join(lines) + "\n"


def _written(part: Part, modality: Modality, used: set[str]) -> list[str]:
    """The lines of one category. `used` holds the bank's scenes that the draft has."""
    lines = [
        f"  - id: {_plain(part.id)}",
        f"    title: {_quoted(part.title)}",
        "    disallowed:  # what breaks the policy: short lines that a judge can apply",
        *(f"      - {_quoted(line)}" for line in part.disallowed),
    ]
    if all(floor_reason(f"{part.title}: {line}") for line in part.disallowed):
        lines += [
            "    unsafe: 0  # the floor lets no writer be asked for any of this: the ban is only judged by"
        ]
    if part.allowed:
        lines += ["    allowed:  # what looks bad and is fine"]
        lines += [f"      - {_quoted(line)}" for line in part.allowed]
    else:
        lines += ["    # allowed:  # what looks bad and is fine, for instance:"]
        lines += ["    #   - films, games, museums, news and prevention"]
    lines += ["    # Terms that make a harmless prompt sound dangerous, as people type them."]
    if part.proposed:
        lines += ["    # These are proposals: nobody named any."]
    lines += ["    triggers:"]
    category = part.category()
    for trigger in category.triggers:
        scenes = [s for s in scenes_for(modality, category, trigger) if s.key not in used]
        scenes = sorted(scenes, key=lambda s: s.is_loose)[:_SCENES]
        used |= {s.key for s in scenes}
        lines += [f"      - term: {_quoted(trigger.term)}"]
        if not scenes:
            if scenes_for(modality, category, trigger):
                continue  # the bank serves it, with scenes that stand above
            lines += ["        # No scene is known for it. Until you write some, prompts only mention it:"]
            lines += [
                f"        # scenes: [{{benign: ..., unsafe: ...}}]  # both name {_quoted(trigger.term)}"
            ]
            continue
        lines += ["        scenes:"]
        for scene in scenes:
            lines += [
                f"          - benign: {_quoted(scene.benign)}",
                f"            unsafe: {_quoted(scene.unsafe)}",
            ]
    return lines


def _topic(title: str, line: str) -> str:
    """The topic that a line speaks of, "" if nothing tells."""
    cued = topics_by_cues(title, (line,))
    if cued:
        return cued[0]
    read = [r.topic for word in _WORD.findall(line) for r in readings_of(word.casefold())]
    return max(dict.fromkeys(read), key=read.count, default="")


def _by_topic(parts: dict[str, Part], topic_of: dict[str, str], topic: str) -> Part | None:
    return next((p for p in parts.values() if topic and topic_of[p.id] == topic), None)


def _as_title(topic: str, line: str) -> str:
    title = topic.replace("_", " ") if topic else line[:60].rstrip()
    return title[:1].upper() + title[1:]


def _free_id(title: str, parts: Iterable[Part]) -> str:
    taken = {part.id for part in parts}
    base = slug(title) or "category"
    return next(i for i in (base, *(f"{base}_{n}" for n in range(2, 10_000))) if i not in taken)


def slug(text: str) -> str:
    """A text as an identifier: small letters, digits and _, a letter first; "" if nothing is left."""
    return re.sub(r"[^a-z0-9]+", "_", text.casefold()).strip("_").lstrip("0123456789_")[:60].rstrip("_")


def _add(lines: list[str], line: str) -> None:
    if line not in lines:
        lines.append(line)


def _plain(identifier: str) -> str:
    """An identifier without quotes, unless YAML takes it for something else: yes, no, null."""
    import yaml

    return identifier if yaml.safe_load(identifier) == identifier else _quoted(identifier)


def _quoted(text: str) -> str:
    """A text in double quotes, as JSON and YAML both read them."""
    return json.dumps(text, ensure_ascii=False)
