"""The questions of `overt policies init`. The file is written at the end, whole or not at all."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from overt.cli.tables import print_text
from overt.data.errors import InputError
from overt.data.run.files import speaking_os_errors, text_bytes, write_atomic
from overt.policies.coverage import remarks
from overt.policies.draft import Answers, Modality, drafted, parts_of, slug, split_title, strays
from overt.policies.floor import floor_reason
from overt.policies.load import read_policy
from overt.policies.schema import IDENTIFIER

_FORBID = """What is forbidden? One line each, an empty line ends. A title with a colon puts lines together:
    Weapons: real guns and knives pointed at people
    alcohol, cigarettes and other drugs"""
_ALLOW = """What looks bad and stays allowed? One line each, an empty line ends:
    Weapons: pirates, knights and water pistols
    history and museums"""


@dataclass(frozen=True, slots=True)
class Said:
    """What the options say; "" or empty: nothing."""

    name: str
    product: str
    modality: str
    forbid: tuple[str, ...]
    allow: tuple[str, ...]
    terms: tuple[str, ...]


def write_draft(said: Said, out: Path | None, *, ask: bool, force: bool) -> None:
    """Asks for what is missing, checks the draft as a policy, and writes it.

    Args:
        ask: False: nothing is asked, and what is missing is proposed.

    Raises:
        InputError: an answer cannot be used, the questions were not answered to the end, or the file exists.
        PolicyError: what was said gives no policy, or the floor forbids it.
    """
    if out is not None:
        _refuse_to_overwrite(out, force=force)
    if any(not line.strip() for line in (*said.forbid, *said.allow, *said.terms)):
        raise InputError(
            "an empty text is no line and no term", fix="Leave that --forbid, --allow or --term out."
        )
    answers = _asked(said) if ask else _taken(said)
    path = out or Path(f"{answers.name}.yaml")
    _refuse_to_overwrite(path, force=force)
    text = drafted(answers)
    policy = read_policy(text, str(path))
    with speaking_os_errors(f"cannot write {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text_bytes(text))
    triggers = [t for c in policy.categories for t in c.triggers]
    scenes = sum(len(t.scenes) for t in triggers)
    print_text(
        f"{path}: {len(policy.categories)} categories, {len(triggers)} triggers, {scenes} scenes to edit\n"
    )
    for remark in (*strays(answers), *remarks(policy)):
        print_text(f"note  {remark}\n")
    print_text(f"next  overt policies validate {path}; overt generate --policy {path}\n")


def _refuse_to_overwrite(path: Path, *, force: bool) -> None:
    if path.is_dir():
        raise InputError("this is a folder", where=str(path), fix="Give --out a file: my-policy.yaml")
    if path.exists() and not force:
        raise InputError("the file is there already", where=str(path), fix="Give another --out, or --force.")


def _taken(said: Said) -> Answers:
    """The answers of the options alone.

    Raises:
        InputError: what cannot be proposed is missing or wrong.
    """
    if not said.forbid:
        raise InputError(
            "nothing is forbidden",
            fix='With --yes say it with --forbid "real guns and knives", repeatable; or leave --yes out.',
        )
    name = said.name or slug(said.product) or "my_policy"
    for check, value in ((_name, name), (_modality, said.modality or "image")):
        if why := check(value):
            raise InputError(why, fix="overt policies init --help shows every option.")
    for value in (said.product, *said.allow, *said.terms):
        if why := floor_reason(value):
            raise InputError(f"{value!r} cannot stand in a policy: {why}")
    return _answers(
        said, name, said.product or name, said.modality or "image", said.forbid, said.allow, said.terms
    )


def _asked(said: Said) -> Answers:
    """The answers of the options, and of the questions for what they leave open.

    Raises:
        InputError: the input ended before the last answer.
    """
    product = said.product or _one("What is the product?  For instance: pictures for toy boxes\n> ", _free)
    guess = slug(product) or "my_policy"
    name = said.name or _one(f"Name of the policy?  [{guess}]\n> ", _name, guess)
    modality = said.modality or _one(
        "What do people ask for, image or text?  [image]\n> ", _modality, "image"
    )
    forbidden = said.forbid or _several(_FORBID, _line, needed=True)
    allowed = said.allow or _several(_ALLOW, _free)
    terms = said.terms or _terms(_answers(said, name, product, modality, forbidden, allowed, ()))
    for check, value in ((_name, name), (_modality, modality), (_free, product)):
        if why := check(value):  # options are not asked again
            raise InputError(why)
    return _answers(said, name, product, modality, forbidden, allowed, terms)


def _answers(
    said: Said,
    name: str,
    product: str,
    modality: str,
    forbidden: tuple[str, ...],
    allowed: tuple[str, ...],
    terms: tuple[str, ...],
) -> Answers:
    kind: Modality = "text" if modality == "text" else "image"
    return Answers(name, kind, " ".join(product.split()), forbidden, allowed, terms)


def _terms(answers: Answers) -> tuple[str, ...]:
    """Terms by category: those typed, or the proposals where none was."""
    found: list[str] = []
    for part in parts_of(answers):
        proposed = ", ".join(part.proposed)
        typed = _one(
            f"{part.title}: terms that sound dangerous, with commas between?  [{proposed}]\n> ",
            _free,
            proposed,
        )
        found += [f"{part.title}: {t}" for t in map(str.strip, typed.split(",")) if t]
    return tuple(found)


# -- one answer ----------------------------------------------------------------------------------------------

Check = Callable[[str], str | None]  # why an answer cannot be used


def _one(question: str, check: Check, default: str = "") -> str:
    while True:
        answer = _read(question) or default
        why = check(answer) if answer else "an answer is needed"
        if why is None:
            return answer
        _tell(f"  {why}\n")


def _several(question: str, check: Check, *, needed: bool = False) -> tuple[str, ...]:
    _tell(f"{question}\n")
    lines: list[str] = []
    while True:
        answer = _read("> ")
        if not answer and (lines or not needed):
            return tuple(lines)
        why = check(answer) if answer else "at least one line is needed"
        if why is None:
            lines.append(answer)
        else:
            _tell(f"  {why}\n")


def _read(question: str) -> str:
    """One line of the input.

    Raises:
        InputError: it has ended.
    """
    _tell(question)
    line = sys.stdin.readline() if sys.stdin is not None else ""
    if not line:
        raise InputError(
            "the questions were not answered to the end; nothing was written",
            fix="Answer them at a terminal, or say it with options and --yes (overt policies init --help).",
        )
    return " ".join(line.split())


def _tell(text: str) -> None:
    """Prints to stderr, since stdout is for results."""
    print(text, end="", file=sys.stderr, flush=True)


def _name(text: str) -> str | None:
    import re

    if re.match(IDENTIFIER, text):
        return floor_reason(text.replace("_", " "))
    return f"{text!r} is no name: small letters, digits and _, for instance {slug(text) or 'my_policy'}"


def _modality(text: str) -> str | None:
    return None if text in ("image", "text") else f"{text!r} is neither image nor text"


def _free(text: str) -> str | None:
    why = floor_reason(text)
    return f"that cannot stand in a policy: {why}" if why else None


def _line(text: str) -> str | None:
    """A ban may name what the floor forbids; its title may not."""
    return _free(split_title(text)[0])
