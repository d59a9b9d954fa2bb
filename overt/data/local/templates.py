"""What a chat template reads, opens and ends with.

Templates are jinja2 programs that come with a model. They are rendered by transformers; here they are only
read: which values they take, and what they say around an assistant's turn.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from overt.data.errors import InputError
from overt.data.plugins.names import no_such_option
from overt.data.thinking import opened_thinking

Render = Callable[..., str]  # (turns, add_generation_prompt=...) -> the prompt's text

# What transformers gives to every template; the rest is the user's.
_GIVEN = {
    "messages", "tools", "documents", "add_generation_prompt", "continue_final_message", "raise_exception",
    "strftime_now", "range", "dict", "lipsum", "cycler", "joiner", "namespace", "loop", "caller", "varargs",
    "kwargs", "true", "false", "none", "bos_token", "eos_token", "pad_token", "unk_token", "sep_token",
    "cls_token", "mask_token",
}  # fmt: skip
_GENERATION_TAG = re.compile(r"{%-?\s*(?:end)?generation\s*-?%}")  # marks that only training reads
_WORDS = 40  # characters; more behind an answer is no end of a turn
_ANY_TEXT = "overt-writes-this"
_BEGIN, _END = "overt writes this answer", "overt asks once more"


def template_of(tokenizer: Any, chosen: str | None, name: str) -> str | None:
    """The text of a tokenizer's chat template; None if it has none.

    Args:
        chosen: the name of one of several templates; None: the default one.
        name: the model, for messages.

    Raises:
        InputError: there are several and no such one, or none is the default.
    """
    templates = getattr(tokenizer, "chat_template", None)
    if not isinstance(templates, Mapping):
        if chosen is not None:
            brings = "one, without a name" if templates else "none"
            raise InputError(
                f"{name} has no chat template {chosen!r}: it brings {brings}", fix="Leave it out."
            )
        return str(templates) if templates else None
    if (wanted := chosen or "default") not in templates:
        listed = ", ".join(sorted(templates))
        raise InputError(
            f"{name} has several chat templates, and {f'no {chosen!r}' if chosen else 'none is the default'}",
            fix=f"Choose one with ?chat_template=NAME. There are: {listed}.",
        )
    return str(templates[wanted])


def values_read(template: str | None, tokenizer: Any) -> list[str]:
    """The names of the values that a template takes besides the messages, in order of the alphabet."""
    if not template:
        return []
    from jinja2 import Environment, TemplateSyntaxError

    environment = Environment(extensions=["jinja2.ext.loopcontrols"], autoescape=False)
    try:
        tree = environment.parse(_GENERATION_TAG.sub("", template))
    except TemplateSyntaxError:  # rendering it will say so
        return []
    read: set[str] = set()
    _read(tree.body, _GIVEN | set(getattr(tokenizer, "special_tokens_map", {})), read)
    return sorted(read)


def _read(nodes: Iterable[Any], known: set[str], read: set[str]) -> None:
    """Adds the names that a part of a template takes from outside: those it reads before it sets them itself.

    jinja2's own `meta.find_undeclared_variables` also gives names that are set in a branch and read there.

    Args:
        known: names with a value so far; names that are set for certain are added.
    """
    from jinja2 import nodes as kinds

    for node in nodes:
        if isinstance(node, kinds.Name) and node.ctx == "load" and node.name not in known:
            read.add(node.name)
        elif isinstance(node, kinds.Assign):
            _read([node.node], known, read)
            known |= _targets(node)
        elif isinstance(node, kinds.If):
            _read([node.test, *(way.test for way in node.elif_)], known, read)
            ways: list[Any] = [node.body, *(way.body for way in node.elif_), node.else_]
            _read_ways(ways, known, read)
        elif isinstance(node, (kinds.For, kinds.Macro, kinds.CallBlock, kinds.With)):
            outer = [node.iter] if isinstance(node, kinds.For) else getattr(node, "values", [])
            _read(outer, known, read)
            inner = known | _targets(node)
            _read((child for child in node.iter_child_nodes() if child not in outer), inner, read)
            known |= {node.name} if isinstance(node, kinds.Macro) else set()
        else:
            _read(node.iter_child_nodes(), known, read)
            known |= _targets(node) if isinstance(node, kinds.AssignBlock) else set()


def _read_ways(ways: Sequence[Sequence[Any]], known: set[str], read: set[str]) -> None:
    """As `_read`, for the ways that an `if` may take; only what each of them sets is set for certain."""
    sets = []
    for way in ways:
        inner = set(known)
        _read(way, inner, read)
        sets.append(inner)
    known |= set.intersection(*sets)


def _targets(node: Any) -> set[str]:
    """The names that a statement gives a value: of an assignment, a loop, a macro's arguments."""
    from jinja2 import nodes as kinds

    places = [getattr(node, "target", None), *getattr(node, "targets", []), *getattr(node, "args", [])]
    return {
        name.name
        for place in places
        if place is not None
        for name in ([place] if isinstance(place, kinds.Name) else place.find_all(kinds.Name))
        if name.ctx != "load"
    }


def checked_settings(
    settings: Mapping[str, object], read: Sequence[str], name: str, options: Sequence[str]
) -> dict[str, object]:
    """The values for a template, with texts such as "false", "off" and "512" as what they mean.

    Args:
        read: what the template takes, see `values_read`.
        name: the model, for messages.
        options: what the model's class takes.

    Raises:
        InputError: the template does not read one of them, so it would change nothing; or a value is a
            mistyped true or false.
    """
    for key in settings:
        if key not in read:
            takes = (
                f"Its chat template reads: {', '.join(read)}."
                if read
                else "Its chat template takes no values."
            )
            raise no_such_option(name, key, [*options, *read], f"Its options: {', '.join(options)}. {takes}")
    return {key: _value(value, f"{name}: {key}") for key, value in settings.items()}


_WORDS_OF = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


def _value(value: object, where: str) -> object:
    if not isinstance(value, str):
        return value
    word = value.lower()
    if word in _WORDS_OF:
        return _WORDS_OF[word]
    if number := _NUMBER.fullmatch(value):
        return float(value) if number[1] else int(value)
    # To a template any text is true, so that a mistyped "false" would mean the opposite.
    if near := difflib.get_close_matches(word, ("true", "false"), n=1, cutoff=0.75):
        raise InputError(f"{where} is {value!r}", fix=f"Did you mean {near[0]!r}?")
    return value


def check_switches(
    settings: Mapping[str, object], template: str, render: Callable[[str, object], str], name: str
) -> None:
    """Refuses a text or a number for what a template takes as true or false.

    Templates test such values as they like ("is false", "if thinking"), so that `thinking=0` or
    `thinking=disabled` would change nothing, or mean the opposite.

    Args:
        template: its text; a value that stands there in quotes is one that it knows.
        render: a name and its value -> what the template makes of a conversation.
        name: the model, for messages.

    Raises:
        InputError: any other text does what this value does, and true or false does, too.
    """

    def said(key: str, value: object) -> str | None:
        try:
            return render(key, value)
        except Exception:  # templates raise what they like
            return None

    for key, value in settings.items():
        is_known = value != "" and any(f"{mark}{value}{mark}" in template for mark in "'\"")
        if isinstance(value, bool) or is_known:
            continue
        any_text, on, off, own = (said(key, v) for v in (_ANY_TEXT, True, False, value))
        is_switch = on != off and any_text is not None and any_text in (on, off)
        is_meant = not isinstance(value, str) and own == (on if value else off)  # 0 and 1
        if is_switch and own == any_text and not is_meant:
            raise InputError(
                f"{name}: its chat template takes {key} as true or false, not {value!r}",
                fix=f"Write {key}=true or {key}=false.",
            )


def opened_by(prompt: str, contents: Sequence[str], unanswered: str) -> str:
    """The thinking that a template opens for the answer, see `opened_thinking`.

    Args:
        prompt: what the template makes of a conversation.
        contents: the texts of its messages.
        unanswered: the same without the beginning of an answer, or "".
    """
    if unanswered and len(unanswered) < len(prompt) and prompt.startswith(unanswered):
        return opened_thinking(prompt[len(unanswered) :])
    # This template always begins the answer. What stands behind the last message is the template's.
    last = contents[-1].strip() if contents else ""
    return opened_thinking(prompt.rpartition(last)[2]) if len(last) > 1 and last in prompt else ""


def turn_ends(tokenizer: Any, render: Render, ends: set[int]) -> int | None:
    """The token with which a template ends an assistant's turn, if none of the known ones does so.

    Args:
        render: renders turns by the template.
        ends: the tokens that are known to end an answer.
    """
    added = set(getattr(tokenizer, "added_tokens_decoder", {})) | set(tokenizer.all_special_ids)
    asked, said = {"role": "user", "content": _END}, {"role": "assistant", "content": _BEGIN}
    # Behind the last turn stands what ends it, at the end of all its marks. Some templates end a turn only by
    # beginning the next one.
    for turns, place in (([asked, said], -1), ([asked, said, asked], 0)):
        try:
            text = render(turns, add_generation_prompt=False)
        except Exception:  # a template that takes no answers
            return None
        if _BEGIN not in text:  # it leaves answers out
            return None
        behind = text.rpartition(_BEGIN)[2].partition(_END)[0]
        tokens = [int(token) for token in tokenizer(behind, add_special_tokens=False)["input_ids"]]
        words = tokenizer.decode([token for token in tokens if token not in added])
        if ends.intersection(tokens) or len(str(words).strip()) > _WORDS:
            return None
        if marks := [token for token in tokens if token in added]:
            return marks[place]
    return None
