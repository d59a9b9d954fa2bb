"""From a policy's name or file to the effective policy, and back to YAML.

A file is read whole, what it extends is read first, both are merged, and the result is checked. All
problems are reported at once: what a user fixes in one go should not take ten runs to learn.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from overt.policies import floor
from overt.policies.problems import PolicyError, Problem, Problems, nearest, shorten
from overt.policies.schema import BUILTIN_SLOTS, Category, Policy, Scene, Trigger
from overt.policies.source import CategorySource, PolicySource, SceneSource, Text, TriggerSource, read_policy
from overt.policies.yamltree import MAX_BYTES, Mark, TreeError, decode, parse

__all__ = [
    "PolicyError",
    "Problem",
    "Source",
    "dump_policy",
    "load_policy",
    "policy_source",
    "shipped_policies",
]

MAX_EXTENDS = 16
_NOT_POLICIES = {"floor_terms.yaml"}
_SLOT = re.compile(r"\{([^{}]*)\}")
_REQUIRED = ("title", "disallowed", "triggers")
_FIELDS = (
    "title", "disallowed", "allowed", "triggers", "strategy", "instruction", "benign", "unsafe",
    "dedup_threshold", "probe_threshold", "languages",
)  # fmt: skip
# Scripts that write no blanks between words: there, a term need only stand in the text.
_NO_BLANKS = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")


@dataclass(frozen=True, slots=True)
class Source:
    """A policy file as found. `label` names it to a person; `key` tells files apart; `folder` is what
    paths in its `extends` are relative to, None for a shipped policy."""

    label: str
    key: str
    data: bytes
    folder: Path | None


def shipped_policies() -> list[str]:
    """The names of the policies in the package, sorted, `overt` first."""
    folder = resources.files("overt.policies")
    names = [
        entry.name.removesuffix(".yaml")
        for entry in folder.iterdir()
        if entry.name.endswith(".yaml") and entry.name not in _NOT_POLICIES
    ]
    return sorted(names, key=lambda n: (n != "overt", n))


def policy_source(name_or_path: str, folder: Path | None = None) -> Source:
    """The bytes that a name or a path stands for.

    A shipped name wins over a file of that name in the folder; write `./name` for the file. Anything with
    a slash, or ending in .yaml or .yml, is a path, relative to `folder` (default: the working folder).

    Raises:
        PolicyError: there is none, or it cannot be read.
    """
    shipped = shipped_policies()
    is_path = "/" in name_or_path or os.sep in name_or_path or name_or_path.endswith((".yaml", ".yml"))
    if not is_path and name_or_path in shipped:
        entry = resources.files("overt.policies") / f"{name_or_path}.yaml"
        return Source(f"{name_or_path} (shipped)", f"shipped:{name_or_path}", entry.read_bytes(), None)
    try:
        path = (folder or Path()) / Path(name_or_path).expanduser()
        if is_path or path.is_file():
            return _read_file(path)
    except (ValueError, RuntimeError) as error:  # a NUL in the name, a ~user that nobody is
        raise _no_file(shorten(name_or_path), f"this cannot be a path: {error}") from error
    except FileNotFoundError as error:
        raise _no_file(name_or_path, "there is no such file", _similar_file(path, shipped)) from error
    except IsADirectoryError as error:
        raise _no_file(name_or_path, "this is a folder, expected a policy file") from error
    except OSError as error:
        raise _no_file(shorten(name_or_path), f"cannot be read: {error.strerror or error}") from error
    hint = nearest(name_or_path, shipped, "shipped policies")
    raise _no_file(
        shorten(name_or_path) or "''",
        "no shipped policy has this name, and no file",
        f"{hint} A file: ./my.yaml",
    )


def _read_file(path: Path) -> Source:
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    return Source(str(path), str(path.resolve()), data, path.parent)


def _no_file(label: str, message: str, hint: str = "") -> PolicyError:
    return PolicyError([Problem(0, 0, "", message, hint, label)])


def _similar_file(path: Path, shipped: list[str]) -> str:
    try:
        names = [p.name for p in sorted(path.parent.iterdir()) if p.suffix in (".yaml", ".yml")]
    except OSError:
        return f"the folder {path.parent} cannot be read"
    if path.stem in shipped:
        return f"for the shipped policy write its name alone: {path.stem}"
    return (
        nearest(path.name, names, "policy files in that folder")
        or "overt policies list shows the shipped ones"
    )


def load_policy(name_or_path: str) -> Policy:
    """The effective policy of a shipped name or a file: `extends` resolved, all defaults filled in.

    Raises:
        PolicyError: nothing of that name, or a policy that cannot be used; it holds every problem.
    """
    source = policy_source(name_or_path)
    if source.folder is None:
        return _shipped(name_or_path)
    return _effective(source)


@lru_cache(maxsize=32)
def _shipped(name: str) -> Policy:
    return _effective(policy_source(name))


@dataclass(slots=True)
class _Draft:
    """A policy with `extends` resolved whose texts still know their place."""

    values: dict[str, Any]
    slots: dict[str, list[Text]]
    categories: list[_CategoryDraft]


@dataclass(slots=True)
class _CategoryDraft:
    id: Text
    path: str
    mark: Mark
    values: dict[str, Any] = field(default_factory=dict)
    own: bool = True  # named in the file that is being loaded, not only inherited


def _effective(source: Source) -> Policy:
    problems = Problems()
    draft = _resolve(source, problems, ())
    if problems.found or draft is None:
        raise PolicyError(problems.found)
    try:
        return _build(draft)
    except ValidationError as error:  # the checks above are the schema's own; this is their safety net
        raise PolicyError(
            [
                Problem(1, 1, ".".join(map(str, e["loc"])), str(e["msg"]), "", source.label)
                for e in error.errors()
            ]
        ) from error


def _resolve(source: Source, problems: Problems, chain: tuple[Source, ...]) -> _Draft | None:
    """The draft of a file, merged on to what it extends. None when too little of it can be read."""
    try:
        root = parse(decode(source.data, source.label), source.label)
    except TreeError as error:
        problems.add(error.mark, "", error.message, error.hint)
        return None
    own = read_policy(root, source.label, problems)
    if own is None:
        return None
    base: _Draft | None = None
    if "extends" in own.marks:
        base = _base(own, source, problems, (*chain, source))
        if base is None:
            _check(_merge(own, None, Problems()), problems, complete=False)
            return None
    before = len(problems.found)
    draft = _merge(own, base, problems)
    _check(draft, problems, complete=base is None or len(problems.found) == before)
    return draft


def _base(own: PolicySource, source: Source, problems: Problems, chain: tuple[Source, ...]) -> _Draft | None:
    name = own.values.get("extends")
    if name is None:
        return None
    try:
        if source.folder is None and name not in shipped_policies():
            hint = nearest(name, shipped_policies(), "shipped policies")
            problems.add(
                name.mark, "extends", f"a shipped policy can extend only another, found {name!r}", hint
            )
            return None
        base = policy_source(name, source.folder)
    except PolicyError as error:
        problem = error.problems[0]
        problems.add(name.mark, "extends", f"{shorten(name)!r}: {problem.message}", problem.hint)
        return None
    if base.key in {c.key for c in chain}:
        circle = " -> ".join([c.label for c in chain] + [base.label])
        problems.add(
            name.mark,
            "extends",
            f"the policies extend each other in a circle: {circle}",
            "cut it in one place",
        )
        return None
    if len(chain) > MAX_EXTENDS:
        problems.add(name.mark, "extends", f"more than {MAX_EXTENDS} policies extend each other in a row")
        return None
    inner = Problems()
    draft = _resolve(base, inner, chain)
    problems.found += inner.found
    return None if inner.found else draft


def _merge(own: PolicySource, base: _Draft | None, problems: Problems) -> _Draft:
    values = dict(own.values)
    if base is not None and "modality" not in own.marks:
        values.setdefault("modality", base.values.get("modality", "image"))
    slots = {**(base.slots if base else {}), **own.slots}
    inherited = {
        c.id: _CategoryDraft(c.id, c.path, c.mark, dict(c.values), own=False)
        for c in (base.categories if base else [])
    }
    for name, value in own.defaults.items():
        for draft in inherited.values():
            draft.values[name] = value
    for name in own.drop:
        if name not in inherited:
            if "extends" in own.marks and base is not None:
                problems.add(
                    name.mark, "drop", f"no category {shorten(name)!r} to drop", nearest(name, inherited)
                )
        elif any(c.id == name for c in own.categories):
            problems.add(
                name.mark, "drop", f"the category {name!r} is dropped here and changed below", "do one"
            )
    order = dict(inherited)
    for category in own.categories:
        if category.id in inherited:
            draft = order[category.id]
            draft.own, draft.mark, draft.path = True, category.mark, category.path
            draft.values.update(category.values)
            _edit(draft, category, problems)
        elif category.id:
            order[category.id] = _new(category, own, base, problems)
    kept = [d for d in order.values() if d.id not in own.drop]
    if not kept and (inherited or own.categories) and not problems.found:
        problems.add(own.marks.get("drop", own.mark), "drop", "no category is left", "keep at least one")
    return _Draft(values, slots, kept)


def _new(
    category: CategorySource, own: PolicySource, base: _Draft | None, problems: Problems
) -> _CategoryDraft:
    """A category that the base does not have: it must be complete."""
    missing = [name for name in _REQUIRED if name not in category.marks]
    if missing:
        hint = f"add {', '.join(missing)}"
        if base is not None:
            near = nearest(category.id, [c.id for c in base.categories], "categories of the base")
            hint = f"{hint} for a new category, or change one of the base: {near}"
        fields = f"the field{'s' if len(missing) > 1 else ''} {', '.join(missing)}"
        verb = "are" if len(missing) > 1 else "is"
        problems.add(category.mark, f"{category.path}", f"{fields} {verb} missing", hint)
    for name in ("add", "drop"):
        if name in category.marks and not (missing and base is not None):
            why = "the base has no such category" if base is not None else "the file extends nothing"
            problems.add(
                category.marks[name], f"{category.path}.{name}", f"there is nothing to {name}: {why}",
                "write allowed, disallowed and triggers out",
            )  # fmt: skip
    return _CategoryDraft(category.id, category.path, category.mark, {**own.defaults, **category.values})


def _edit(draft: _CategoryDraft, category: CategorySource, problems: Problems) -> None:
    """`drop`, then `add`, on the lists that a category inherits."""
    for name in category.drop.keys() | category.add.keys():
        draft.values[name] = list(draft.values.get(name, ()))
    for name, gone in sorted(category.drop.items()):
        if name in category.marks:  # replaced whole: reported where it was read
            continue
        have: list[Any] = draft.values[name]
        keys = {_key(entry): str(_words_of(entry)) for entry in have}
        for entry in gone:
            if entry.casefold() not in keys:
                what = "trigger" if name == "triggers" else "statement"
                where = f"{category.path}.drop.{name}"
                hint = nearest(entry, keys.values(), "there are")
                problems.add(entry.mark, where, f"no {what} {shorten(entry)!r} to drop", hint)
        dropped = {entry.casefold() for entry in gone}
        draft.values[name] = [entry for entry in have if _key(entry) not in dropped]
    for name, added in sorted(category.add.items()):
        if name in category.marks:
            continue
        have = draft.values[name]
        places = {_key(entry): i for i, entry in enumerate(have)}
        for entry in added:
            at = places.get(_key(entry))
            if at is None:
                have.append(entry)
            elif isinstance(entry, TriggerSource):
                old: TriggerSource = have[at]
                have[at] = TriggerSource(
                    entry.mark,
                    old.term,
                    entry.pos or old.pos,
                    old.scenes + entry.scenes,
                    old.neutral + entry.neutral,
                )
    for name in ("disallowed", "triggers"):
        if name in category.drop and not draft.values[name]:
            mark = category.marks["drop"]
            problems.add(
                mark, f"{category.path}.drop.{name}", f"no {name} are left", "keep or add at least one"
            )


def _words_of(entry: Text | TriggerSource) -> Text:
    return entry.term if isinstance(entry, TriggerSource) else entry


def _key(entry: Text | TriggerSource) -> str:
    return _words_of(entry).casefold()


def _check(draft: _Draft, problems: Problems, *, complete: bool) -> None:
    """What can be said only of the merged policy: slots, scenes and their terms, the floor."""
    known = {*BUILTIN_SLOTS, *draft.slots}
    for category in draft.categories:
        for i, trigger in enumerate(category.values.get("triggers") or ()):
            path = f"{category.path}.triggers[{i}]"
            for side, text in _sides(trigger):
                # Without its base, a file's slots are not all known.
                _check_text(text, f"{path}.{side}", known if complete else None, problems)
                if not side.startswith("neutral") and not _names(trigger.term, text):
                    message = (
                        f"the term {trigger.term!r} does not stand in it as a whole word: {shorten(text)!r}"
                    )
                    hint = "use the term as it is written, or put the scene under the form it uses"
                    problems.add(text.mark, f"{path}.{side}", message, hint)
            _check_repeats(trigger, path, problems)
        _check_floor(category, draft.slots, problems)


def _sides(trigger: TriggerSource) -> Iterator[tuple[str, Text]]:
    for j, scene in enumerate(trigger.scenes):
        for side, text in (("benign", scene.benign), ("unsafe", scene.unsafe)):
            if text is not None:
                yield f"scenes[{j}].{side}", text
    for j, text in enumerate(trigger.neutral):
        yield f"neutral[{j}]", text


def _names(term: str, text: str) -> bool:
    """Whether a fragment has the term as whole words, slots aside, without regard to case."""
    bare = _SLOT.sub(" ", text).casefold()
    escaped = re.escape(term.casefold())
    if _NO_BLANKS.search(term):
        return term.casefold() in bare
    return re.search(rf"(?<!\w){escaped}(?!\w)", bare) is not None


def _check_text(text: Text, path: str, known: set[str] | None, problems: Problems) -> None:
    for name in dict.fromkeys(_SLOT.findall(text)):
        if known is not None and name not in known:
            hint = nearest(name, sorted(known), "slots")
            problems.add(text.mark, path, f"no slot is called {shorten(name)!r}", hint)
    rest = _SLOT.sub("", text)
    if "{" in rest or "}" in rest:
        problems.add(text.mark, path, "a brace without its partner", "a slot is written {person}")


def _check_repeats(trigger: TriggerSource, path: str, problems: Problems) -> None:
    seen: dict[tuple[str, str], Mark] = {}
    for j, scene in enumerate(trigger.scenes):
        pair = ((scene.benign or "").casefold(), (scene.unsafe or "").casefold())
        if pair in seen:
            message = f"this scene stands twice; the first is in line {seen[pair].line}"
            problems.add(scene.mark, f"{path}.scenes[{j}]", message, "keep one of them")
        elif pair[0] and pair[0] == pair[1]:
            message = "the benign and the unsafe side are the same"
            problems.add(scene.mark, f"{path}.scenes[{j}]", message, "change the words that make it unsafe")
        seen.setdefault(pair, scene.mark)


_FLOOR_HINT = (
    "no policy can ask for anything sexual about minors; a ban on it belongs under disallowed, and "
    "a category about sexual content shows adults only"
)


def _check_floor(category: _CategoryDraft, slots: dict[str, list[Text]], problems: Problems) -> None:
    """Nothing that a category asks for may be sexual about minors, alone or in what its parts add up to."""
    values = category.values
    title, instruction = values.get("title"), values.get("instruction")
    id_words = category.id.replace("_", " ")
    core = ". ".join(filter(None, (id_words, title, instruction)))
    triggers: list[TriggerSource] = values.get("triggers") or []
    asked: list[tuple[str, Text, tuple[str, ...]]] = []
    if title is not None:
        asked.append(("title", title, ()))
    if instruction is not None:
        asked.append(("instruction", instruction, ()))
    asked += [(f"allowed[{i}]", text, ()) for i, text in enumerate(values.get("allowed") or ())]
    for i, trigger in enumerate(triggers):
        asked.append((f"triggers[{i}].term", trigger.term, ()))
        for side, text in _sides(trigger):
            asked.append((f"triggers[{i}].{side}", text, tuple(_SLOT.findall(text))))

    def refuse(mark: Mark, path: str, why: str) -> None:
        problems.add(mark, path, why, _FLOOR_HINT)

    start = len(problems.found)
    if reason := floor.floor_reason(id_words):
        refuse(category.id.mark, f"{category.path}.id", reason)
    for path, text, names in asked:
        reason = floor.floor_reason(text)
        if reason is None and names:
            # Fillers that matter, all at once: a slot must not bring in what the fragment may not say.
            hits = [
                f for n in names for f in slots.get(n, ()) if floor.names_minor(f) or floor.names_sexual(f)
            ]
            for filler in hits:
                if reason := floor.floor_reason(f"{text}. {core}. {filler}") or floor.floor_reason(
                    f"{text}. {'. '.join(hits)}"
                ):
                    reason = f"{reason}, once a slot is filled with {shorten(filler)!r}"
                    break
        if reason:
            refuse(text.mark, f"{category.path}.{path}", reason)
    if len(problems.found) == start:
        sexual, minor = floor.names_sexual(core), floor.names_minor(core)
        if sexual and minor:
            mark = title.mark if title is not None else category.mark
            refuse(mark, category.path, floor.floor_reason(core) or "the floor")
        for path, text, _ in asked:
            other = floor.names_minor(text) if sexual else minor and floor.names_sexual(text)
            if other and not (sexual and minor):
                reason = floor.floor_reason(f"{text}. {core}") or "the floor"
                refuse(text.mark, f"{category.path}.{path}", f"{reason}, together with the category's title")
    if len(problems.found) == start:
        terms = ". ".join(t.term for t in triggers)
        if (reason := floor.floor_reason(f"{core}. {terms}")) and triggers:
            refuse(
                triggers[0].mark, f"{category.path}.triggers", f"{reason}, in the category's terms together"
            )
    if title is None or floor.floor_reason(title) is None:
        _check_askable(category, problems)


def _check_askable(category: _CategoryDraft, problems: Problems) -> None:
    disallowed: list[Text] = category.values.get("disallowed") or []
    title = category.values.get("title") or ""
    unsafe = category.values.get("unsafe", Category.model_fields["unsafe"].default)
    if disallowed and unsafe and all(floor.floor_reason(f"{title}: {s}") for s in disallowed):
        problems.add(
            disallowed[0].mark,
            f"{category.path}.disallowed",
            f"the floor: no writer may be asked for any of this, yet {unsafe} unsafe prompts are wanted",
            "set unsafe: 0, so that the ban is only judged by; or add a statement about something else",
        )


def _build(draft: _Draft) -> Policy:
    return Policy.model_validate(
        {
            **{k: str(v) for k, v in draft.values.items() if k != "extends"},
            "slots": {name: [str(f) for f in fillers] for name, fillers in draft.slots.items()},
            "categories": [_build_category(c) for c in draft.categories],
        }
    )


def _build_category(draft: _CategoryDraft) -> Category:
    values: dict[str, Any] = {"id": str(draft.id)}
    for name in _FIELDS:
        value = draft.values.get(name)
        if value is None:
            continue
        if name == "triggers":
            value = tuple(_build_trigger(t) for t in value)
        elif isinstance(value, list):
            value = tuple(str(entry) for entry in value)
        elif isinstance(value, Text):
            value = str(value)
        values[name] = value
    return Category.model_validate(values)


def _build_trigger(source: TriggerSource) -> Trigger:
    scenes = tuple(_build_scene(s) for s in source.scenes)
    neutral = tuple(str(n) for n in source.neutral)
    return Trigger.model_validate(
        {"term": str(source.term), "pos": source.pos, "scenes": scenes, "neutral": neutral}
    )


def _build_scene(source: SceneSource) -> Scene:
    sides = {k: str(v) for k, v in (("benign", source.benign), ("unsafe", source.unsafe)) if v is not None}
    return Scene.model_validate({**sides, "kind": source.kind})


def dump_policy(policy: Policy) -> str:
    """The effective policy as YAML that `load_policy` reads back to an equal policy."""
    data = policy.model_dump(mode="json", exclude_defaults=False)
    for category in data["categories"]:
        category["triggers"] = [_dump_trigger(t) for t in category["triggers"]]
        for name in ("instruction", "dedup_threshold"):
            if category[name] is None:
                del category[name]
    if not data["slots"]:
        del data["slots"]
    text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110, default_flow_style=False)
    return text


def _dump_trigger(trigger: dict[str, Any]) -> Any:
    scenes = [{k: v for k, v in scene.items() if v is not None} for scene in trigger["scenes"]]
    kept = {"term": trigger["term"], "pos": trigger["pos"], "scenes": scenes, "neutral": trigger["neutral"]}
    kept = {k: v for k, v in kept.items() if v}
    return kept if len(kept) > 1 else trigger["term"]
