"""A policy file as written: read from its marked tree, field by field, with every problem collected.

What a file may hold beside the effective policy's fields: `extends`, `defaults`, top-level `drop`, and
`add` and `drop` inside a category. Texts keep their place in the file, so that a check made after the
merge can still point at the line.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_args

from overt.policies.problems import Problems, nearest, shorten
from overt.policies.schema import Strategy, TriggerKind
from overt.policies.yamltree import Mapping, Mark, Node, Scalar, Sequence

T = TypeVar("T")

POLICY_FIELDS = (
    "name", "version", "description", "modality", "extends", "defaults", "slots", "drop", "categories",
)  # fmt: skip
DEFAULTS_FIELDS = ("benign", "unsafe", "strategy", "dedup_threshold", "probe_threshold", "languages")
CATEGORY_FIELDS = (
    "id", "title", "disallowed", "allowed", "triggers", "strategy", "instruction", "benign", "unsafe",
    "dedup_threshold", "probe_threshold", "languages", "add", "drop",
)  # fmt: skip
EDIT_FIELDS = ("allowed", "disallowed", "triggers")
TRIGGER_FIELDS = ("term", "pos", "scenes", "neutral")
SCENE_FIELDS = ("benign", "unsafe", "kind")

MODALITIES = ("image", "text")
STRATEGIES: tuple[str, ...] = get_args(Strategy)
KINDS: tuple[str, ...] = get_args(TriggerKind)
POS = ("noun", "verb", "gerund", "adjective", "name")

IDENTIFIER = r"^[a-z][a-z0-9_]{0,63}$"
SLOT_NAME = r"^[a-z][a-z_]{0,31}$"
LANGUAGE = r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$"
MAX_PROMPTS = 100_000
_LANGUAGE_NAMES = {
    "english": "en", "german": "de", "french": "fr", "spanish": "es", "italian": "it", "portuguese": "pt",
    "norwegian": "no", "chinese": "zh", "japanese": "ja", "russian": "ru", "arabic": "ar", "hindi": "hi",
    "korean": "ko", "dutch": "nl", "polish": "pl", "turkish": "tr", "swedish": "sv", "danish": "da",
}  # fmt: skip


class Text(str):
    """A text that knows where it stands."""

    mark: Mark

    def __new__(cls, value: str, mark: Mark) -> Text:
        text = super().__new__(cls, value)
        text.mark = mark
        return text


@dataclass(slots=True)
class SceneSource:
    mark: Mark
    benign: Text | None = None
    unsafe: Text | None = None
    kind: str | None = None


@dataclass(slots=True)
class TriggerSource:
    mark: Mark
    term: Text
    pos: str | None = None
    scenes: list[SceneSource] = field(default_factory=list)
    neutral: list[Text] = field(default_factory=list)


@dataclass(slots=True)
class CategorySource:
    """A category's own words. `marks` has a key for each field that was named, valid or not."""

    mark: Mark
    id: Text
    path: str
    values: dict[str, Any] = field(default_factory=dict)
    marks: dict[str, Mark] = field(default_factory=dict)
    add: dict[str, list[Any]] = field(default_factory=dict)
    drop: dict[str, list[Text]] = field(default_factory=dict)


@dataclass(slots=True)
class PolicySource:
    mark: Mark
    values: dict[str, Any] = field(default_factory=dict)
    marks: dict[str, Mark] = field(default_factory=dict)
    defaults: dict[str, Any] = field(default_factory=dict)
    slots: dict[str, list[Text]] = field(default_factory=dict)
    drop: list[Text] = field(default_factory=list)
    categories: list[CategorySource] = field(default_factory=list)


def read_policy(root: Node | None, file: str, problems: Problems) -> PolicySource | None:
    """The file's own words; what is wrong goes to `problems`, what is right is kept. None if nothing is."""
    if root is None or (isinstance(root, Scalar) and root.type == "null"):
        problems.add(
            Mark(file), "", "the file is empty", "overt policies show overt --yaml shows a whole one"
        )
        return None
    if not isinstance(root, Mapping):
        hint = "begin with: name: my_policy"
        problems.add(
            root.mark, "", f"expected a mapping with a name and categories, found {found(root)}", hint
        )
        return None
    return _Reader(problems).policy(root)


def found(node: Node) -> str:
    """A value in words, as an error names it."""
    if isinstance(node, Sequence):
        return "a list"
    if isinstance(node, Mapping):
        return "a mapping"
    if node.type == "null":
        return "nothing"
    shown = shorten(node.text, 40)
    if node.type == "bool":
        return f"{shown}, which YAML reads as true or false"
    if node.type in ("int", "float"):
        return f"the number {shown}"
    return f"the text {shown!r}"


class _Reader:
    def __init__(self, problems: Problems) -> None:
        self.problems = problems

    def policy(self, root: Mapping) -> PolicySource:
        entries = self.fields(root, "", POLICY_FIELDS)
        source = PolicySource(root.mark, marks={k: v.mark for k, v in entries.items()})

        def take(name: str, read: Callable[[Node, str], Any]) -> None:
            if name in entries and (value := read(entries[name], name)) is not None:
                source.values[name] = value

        take("name", self.identifier)
        take("version", lambda n, p: self.text(n, p, most=40, numbers=True))
        take("description", lambda n, p: self.text(n, p, least=0, most=4000, lines=True))
        take("modality", lambda n, p: self.choice(n, p, MODALITIES))
        take("extends", lambda n, p: self.text(n, p, most=1000))
        if "defaults" in entries:
            self._defaults(entries["defaults"], source)
        if "slots" in entries:
            self._slots(entries["slots"], source)
        if "drop" in entries:
            source.drop = self.items(entries["drop"], "drop", self.text, unique=True) or []
        if "categories" in entries:
            node = entries["categories"]
            source.categories = self.items(node, "categories", self._category) or []
            self._same(
                source.categories, lambda c: str(c.id), lambda c: c.id.mark, "categories", "category id"
            )
            if isinstance(node, Sequence) and not node.items:
                self.problems.add(
                    node.mark, "categories", "expected at least one category, found an empty list"
                )
        if "name" not in entries:
            self.problems.add(root.mark, "name", "the field name is missing", "add a line: name: my_policy")
        if "categories" not in entries and "extends" not in entries:
            hint = "add categories, or extends: overt to start from a shipped policy"
            self.problems.add(root.mark, "categories", "the field categories is missing", hint)
        for name in ("drop", "defaults"):
            if name == "drop" and name in entries and "extends" not in entries:
                hint = "add extends: NAME, or leave the categories out"
                self.problems.add(entries[name].mark, name, "there is nothing to drop without extends", hint)
        return source

    def _defaults(self, node: Node, source: PolicySource) -> None:
        if not isinstance(node, Mapping):
            self.expected(node, "defaults", f"a mapping with any of {', '.join(DEFAULTS_FIELDS)}")
            return
        for name, value in self.fields(node, "defaults", DEFAULTS_FIELDS).items():
            if (read := self._setting(name, value, f"defaults.{name}")) is not None:
                source.defaults[name] = read

    def _slots(self, node: Node, source: PolicySource) -> None:
        if not isinstance(node, Mapping):
            self.expected(node, "slots", "a mapping from slot names to lists of texts")
            return
        for name, value in self.fields(node, "slots", None).items():
            path = f"slots.{shorten(name, 40)}"
            if not re.match(SLOT_NAME, name):
                hint = "small letters and _, as in: street_food"
                self.problems.add(value.mark, path, f"{shorten(name)!r} cannot be a slot's name", hint)
                continue
            fillers = self.items(value, path, self.text, unique=True)
            if fillers is None:
                continue
            if isinstance(value, Sequence) and not value.items:
                self.problems.add(value.mark, path, "expected at least one text, found an empty list")
            for i, filler in enumerate(fillers):
                if "{" in filler or "}" in filler:
                    self.problems.add(
                        filler.mark, f"{path}[{i}]", "a filler cannot have { } in it", "write the words out"
                    )
            source.slots[name] = fillers

    def _setting(self, name: str, node: Node, path: str) -> Any:
        if name in ("benign", "unsafe"):
            return self.integer(node, path, 0, MAX_PROMPTS)
        if name == "strategy":
            return self.choice(node, path, STRATEGIES)
        if name == "languages":
            languages = self.items(node, path, self.language, unique=True)
            if isinstance(node, Sequence) and not node.items:
                self.problems.add(node.mark, path, "expected at least one language, found an empty list")
            return languages
        return self.number(node, path, above_zero=name == "dedup_threshold")

    def _category(self, node: Node, path: str) -> CategorySource | None:
        if not isinstance(node, Mapping):
            self.expected(node, path, "a mapping that begins with id:")
            return None
        for key, value in node.entries:  # the id names the category in every path below
            if isinstance(key, Scalar) and key.text == "id" and isinstance(value, Scalar):
                if re.match(IDENTIFIER, value.text.strip()):
                    path = f"categories.{value.text.strip()}"
                break
        entries = self.fields(node, path, CATEGORY_FIELDS)
        marks = {k: v.mark for k, v in entries.items()}
        id = self.identifier(entries["id"], f"{path}.id") if "id" in entries else None
        if "id" not in entries:
            self.problems.add(node.mark, f"{path}.id", "the field id is missing", "add: id: my_category")
        source = CategorySource(node.mark, id if id is not None else Text("", node.mark), path, marks=marks)

        def take(name: str, read: Callable[[Node, str], Any]) -> None:
            if name in entries and (value := read(entries[name], f"{path}.{name}")) is not None:
                source.values[name] = value

        take("title", lambda n, p: self.text(n, p, least=2, most=120))
        for name in ("disallowed", "allowed"):
            take(name, lambda n, p: self.items(n, p, self.text, unique=True))
        take("triggers", self._triggers)
        take("instruction", lambda n, p: self.text(n, p, most=8000, lines=True))
        for name in DEFAULTS_FIELDS:
            take(name, lambda n, p, name=name: self._setting(name, n, p))  # type: ignore[misc]
        for name in ("disallowed", "triggers"):
            listed = entries.get(name)
            if isinstance(listed, Sequence) and not listed.items:
                self.problems.add(
                    listed.mark, f"{path}.{name}", "expected at least one entry, found an empty list"
                )
        if "add" in entries:
            self._edit(entries["add"], f"{path}.add", source.add, self._triggers)
        if "drop" in entries:
            self._edit(
                entries["drop"],
                f"{path}.drop",
                source.drop,
                lambda n, p: self.items(n, p, self.text, unique=True),
            )
        for edit, edits in (("add", source.add), ("drop", source.drop)):
            for name in edits:
                if name in entries:
                    where = f"{path}.{edit}.{name}"
                    message = f"{name} is replaced above, so there is nothing to {edit}"
                    mark = marks[edit]
                    self.problems.add(mark, where, message, f"keep either {name} or {edit}.{name}")
        return source

    def _edit(
        self, node: Node, path: str, into: dict[str, list[Any]], triggers: Callable[[Node, str], Any]
    ) -> None:
        if not isinstance(node, Mapping):
            self.expected(node, path, f"a mapping with any of {', '.join(EDIT_FIELDS)}")
            return
        for name, value in self.fields(node, path, EDIT_FIELDS).items():
            where = f"{path}.{name}"
            entries = triggers(value, where) if name == "triggers" else self.items(value, where, self.text)
            if entries is not None:
                into[name] = entries

    def _triggers(self, node: Node, path: str) -> list[TriggerSource] | None:
        triggers = self.items(node, path, self._trigger)
        if triggers is not None:
            self._same(triggers, lambda t: t.term.casefold(), lambda t: t.term.mark, path, "trigger")
        return triggers

    def _trigger(self, node: Node, path: str) -> TriggerSource | None:
        if isinstance(node, Scalar):
            term = self.text(node, path, least=2, most=80)
            return TriggerSource(node.mark, term) if term is not None else None
        if not isinstance(node, Mapping):
            self.expected(node, path, "a term, or a mapping with term and scenes")
            return None
        if len(node.entries) == 1:  # "- warning: do not enter" is a mapping to YAML
            key, value = node.entries[0]
            if isinstance(key, Scalar) and key.text not in TRIGGER_FIELDS and isinstance(value, Scalar):
                self.expected(node, path, "a term", "a text with ': ' in it needs quotes")
                return None
        entries = self.fields(node, path, TRIGGER_FIELDS)
        if "term" not in entries:
            self.problems.add(node.mark, f"{path}.term", "the field term is missing", "add: term: shot")
        term = self.text(entries["term"], f"{path}.term", least=2, most=80) if "term" in entries else None
        pos = self.choice(entries["pos"], f"{path}.pos", POS) if "pos" in entries else None
        scenes = neutral = None
        if "scenes" in entries:
            scenes = self.items(entries["scenes"], f"{path}.scenes", self._scene)
        if "neutral" in entries:
            neutral = self.items(entries["neutral"], f"{path}.neutral", self.text, unique=True)
        if term is None:
            return None
        return TriggerSource(node.mark, term, pos, scenes or [], neutral or [])

    def _scene(self, node: Node, path: str) -> SceneSource | None:
        if not isinstance(node, Mapping):
            self.expected(node, path, "a mapping with benign, unsafe or both")
            return None
        entries = self.fields(node, path, SCENE_FIELDS)
        scene = SceneSource(node.mark)
        if "benign" in entries:
            scene.benign = self.text(entries["benign"], f"{path}.benign", most=2000)
        if "unsafe" in entries:
            scene.unsafe = self.text(entries["unsafe"], f"{path}.unsafe", most=2000)
        if "kind" in entries:
            scene.kind = self.choice(entries["kind"], f"{path}.kind", KINDS)
        if "benign" not in entries and "unsafe" not in entries:
            if len(entries) < len(node.entries):  # a misspelt side is reported as such
                return None
            self.problems.add(node.mark, path, "a scene needs a benign side, an unsafe side, or both")
            return None
        return scene

    # The readers of single values. Each returns None after it has reported a problem.

    def fields(self, node: Mapping, path: str, known: Iterable[str] | None) -> dict[str, Node]:
        """The entries by name; duplicate and unknown names are reported and left out."""
        names = None if known is None else tuple(known)
        entries: dict[str, Node] = {}
        seen: dict[str, Mark] = {}
        for key, value in node.entries:
            if not isinstance(key, Scalar):
                self.problems.add(
                    key.mark, path, f"expected a field name, found {found(key)}", "names are words"
                )
                continue
            name = key.text.strip()
            where = f"{path}.{shorten(name, 40)}" if path else shorten(name, 40)
            if name in seen:
                message = f"the field {shorten(name)!r} stands twice; the first is in line {seen[name].line}"
                self.problems.add(key.mark, where, message, "keep one of them")
                continue
            seen[name] = key.mark
            if names is not None and name not in names:
                hint = nearest(name, names, "fields here")
                if name == "<<":
                    hint = "merge keys are not read; write the fields out, or use extends"
                self.problems.add(key.mark, where, f"unknown field {shorten(name)!r}", hint)
                continue
            entries[name] = value
        return entries

    def expected(self, node: Node, path: str, what: str, hint: str = "") -> None:
        self.problems.add(node.mark, path, f"expected {what}, found {found(node)}", hint)

    def items(
        self, node: Node, path: str, read: Callable[[Node, str], T | None], *, unique: bool = False
    ) -> list[T] | None:
        """A list with `read` applied to each entry; entries that are wrong are left out."""
        if not isinstance(node, Sequence):
            hint = ""
            if isinstance(node, Scalar) and node.type != "null":
                name = path.rpartition(".")[2]
                hint = f"for a single entry write: {name}: [{shorten(node.text, 40)}]"
            elif isinstance(node, Scalar):
                hint = "leave the field out, or write entries below it, each after '- '"
            elif isinstance(node, Mapping):
                hint = "begin each entry with '- '"
            self.expected(node, path, "a list", hint)
            return None
        values = [(v, i) for i, n in enumerate(node.items) if (v := read(n, f"{path}[{i}]")) is not None]
        if unique:
            self._same([v for v, _ in values], lambda v: str(v).casefold(), lambda v: v.mark, path, "entry")  # type: ignore[attr-defined]
        return [v for v, _ in values]

    def _same(
        self, values: list[T], key: Callable[[T], str], mark: Callable[[T], Mark], path: str, what: str
    ) -> None:
        seen: dict[str, Mark] = {}
        for value in values:
            name = key(value)
            if not name:
                continue
            if name in seen:
                message = f"{what} {shorten(name)!r} stands twice; the first is in line {seen[name].line}"
                self.problems.add(mark(value), path, message, "keep one of them")
            else:
                seen[name] = mark(value)

    def text(
        self,
        node: Node,
        path: str,
        *,
        least: int = 1,
        most: int = 1000,
        lines: bool = False,
        numbers: bool = False,
    ) -> Text | None:
        """A text; runs of white space become one blank unless `lines` keeps them."""
        if isinstance(node, Mapping) and len(node.entries) == 1:
            self.expected(node, path, "text", "a text with ': ' in it needs quotes")
            return None
        if not isinstance(node, Scalar):
            self.expected(node, path, "text")
            return None
        if node.type == "null":
            hint = (
                f'if the word is meant, put it in quotes: "{node.text}"'
                if node.text
                else "write a text after it"
            )
            self.expected(node, path, "text", hint)
            return None
        if node.type == "bool" or (node.type in ("int", "float") and not numbers):
            self.expected(node, path, "text", f'put it in quotes: "{shorten(node.text, 40)}"')
            return None
        value = node.text.strip() if lines else " ".join(node.text.split())
        for char in value:
            if unicodedata.category(char) in ("Cc", "Cs") and char not in "\n\t":
                self.problems.add(
                    node.mark, path, f"the control character U+{ord(char):04X} is in the text", "remove it"
                )
                return None
        if len(value) < least:
            what = "text" if least <= 1 else f"a text of at least {least} characters"
            size = "an empty one" if not value else f"{value!r}"
            self.problems.add(node.mark, path, f"expected {what}, found {size}")
            return None
        if len(value) > most:
            self.problems.add(
                node.mark, path, f"expected at most {most:,} characters, found {len(value):,}", "shorten it"
            )
            return None
        return Text(value, node.mark)

    def identifier(self, node: Node, path: str) -> Text | None:
        value = self.text(node, path)
        if value is None or re.match(IDENTIFIER, value):
            return value
        plain = unicodedata.normalize("NFKD", value).encode("ascii", "ignore").decode().lower()
        slug = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:64].lstrip("0123456789_")
        hint = f"for instance {slug!r}" if slug else "for instance 'my_policy'"
        message = (
            f"expected small letters, digits and _ (at most 64, a letter first), found {shorten(value)!r}"
        )
        self.problems.add(node.mark, path, message, hint)
        return None

    def choice(self, node: Node, path: str, options: tuple[str, ...]) -> str | None:
        value = self.text(node, path)
        if value is None or value in options:
            return str(value) if value is not None else None
        message = f"expected one of {', '.join(options)}, found {shorten(value)!r}"
        self.problems.add(node.mark, path, message, nearest(value, options))
        return None

    def integer(self, node: Node, path: str, least: int, most: int) -> int | None:
        what = f"a whole number from {least} to {most:,}"
        if not isinstance(node, Scalar) or node.type in ("bool", "null") or not node.plain:
            hint = "write it without quotes" if isinstance(node, Scalar) and node.text.isdecimal() else ""
            self.expected(node, path, what, hint)
            return None
        # Only decimal digits: YAML 1.1 would read 010 as eight and 1:30 as ninety.
        if not re.fullmatch(r"[+-]?(0|[1-9][0-9]{0,17})", node.text):
            self.expected(node, path, what, "decimal digits alone, without units, blanks or leading zeros")
            return None
        value = int(node.text)
        if not least <= value <= most:
            self.problems.add(node.mark, path, f"expected {what}, found {value}")
            return None
        return value

    def number(self, node: Node, path: str, *, above_zero: bool) -> float | None:
        what = "a number above 0, at most 1" if above_zero else "a number from 0 to 1"
        if not isinstance(node, Scalar) or node.type in ("bool", "null") or not node.plain:
            self.expected(node, path, what, "write it without quotes" if isinstance(node, Scalar) else "")
            return None
        if node.text.lower().lstrip("+-") in (".nan", ".inf", "nan", "inf"):
            self.problems.add(
                node.mark, path, f"expected {what}, found {node.text}, which is no finite number"
            )
            return None
        if percent := re.fullmatch(r"([0-9.]{1,6})\s*%", node.text):
            hint = "write it as a fraction"
            if re.fullmatch(r"[0-9]{1,3}(\.[0-9]+)?", percent[1]):
                hint = f"write {float(percent[1]) / 100:g}"
            self.expected(node, path, what, hint)
            return None
        if not re.fullmatch(
            r"[+-]?([0-9]{1,18}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][+-]?[0-9]{1,3})?", node.text
        ):
            hint = "a point, not a comma, before the decimals" if "," in node.text else ""
            self.expected(node, path, what, hint)
            return None
        value = float(node.text)
        if not math.isfinite(value) or value > 1 or value < 0 or (above_zero and value == 0):
            self.problems.add(node.mark, path, f"expected {what}, found {node.text}")
            return None
        return value

    def language(self, node: Node, path: str) -> Text | None:
        if isinstance(node, Scalar) and node.type == "bool" and node.text.lower() == "no":
            hint = 'for Norwegian write it in quotes, "no" (or nb, nn): YAML takes the bare word for false'
            self.expected(node, path, "a language tag", hint)
            return None
        value = self.text(node, path)
        if value is None or re.match(LANGUAGE, value):
            return value
        code = _LANGUAGE_NAMES.get(value.lower())
        hint = f'write "{code}"' if code else "for instance en, de, pt-BR, zh-Hans"
        if re.match(LANGUAGE, value.replace("_", "-")) and not code:
            hint = f"write {value.replace('_', '-')}"
        message = f"expected a language tag such as en or pt-BR, found {shorten(value)!r}"
        self.problems.add(node.mark, path, message, hint)
        return None
