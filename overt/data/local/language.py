"""Local language models: loaded, asked in their own chat template, read token by token.

Chat models, guards and judges share this: `LanguageModel` is loaded once, `Turns` turns messages into rows of
tokens, `write` lets the model go on from them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from overt.data.chat import CallError, Message
from overt.data.errors import InputError
from overt.data.local.context import context_of
from overt.data.local.endings import answer_ends, refuse_readers, settle, special_tokens
from overt.data.local.pretrained import control_tokens, load_text_model
from overt.data.local.sharing import Sharing
from overt.data.local.templates import (
    check_switches,
    checked_settings,
    opened_by,
    template_of,
    turn_ends,
    values_read,
)
from overt.data.local.vision import Eyes, Sight, Sighting, Turn
from overt.data.plugins.names import one_line
from overt.data.text import encodable


class LanguageModel:
    """A language model from the Hub or a folder, on its device. Weights are safetensors only.

    tokenizer, model: of transformers. pad: the id that fills rows. ends: the ids that end an answer.
    context: tokens that a prompt and its answer may have together. controls: texts of control tokens.
    template: the text of its chat template. settings: values for it. notes: what a user should know of how
    it is asked, as sentences. eyes: the processor of a vision-language model, else None. why_blind: why it
    sees no pictures, or "".

    Args:
        name: the chat model or filter, for messages.
        model: a Hub id or a local folder.
        device, dtype, trust_remote_code: see `load_text_model`.
        settings: values for the chat template, by name, as a user wrote them.
        options: the names of the options that the model's class takes, for messages.
        chat_template: the name of one of several templates.
        check: called with the tokenizer before the weights are loaded.

    Raises:
        InputError: the device or dtype does not exist, the model cannot be loaded or does not write, or its
            template does not read one of the settings.
        ModuleNotFoundError: torch or transformers is not installed (the registry reports it).
    """

    def __init__(
        self,
        name: str,
        model: str,
        *,
        device: str | None,
        dtype: str | None,
        trust_remote_code: bool,
        settings: Mapping[str, object] | None = None,
        options: Sequence[str] = (),
        chat_template: str | None = None,
        check: Callable[..., None] | None = None,
    ) -> None:
        self.name = name
        self.template: str | None = None
        self.settings: dict[str, object] = {}
        self.eyes: Eyes | None = None
        sighting = Sighting(name, trust_remote_code=trust_remote_code)

        def look(tokenizer: Any, source: str) -> None:
            refuse_readers(name, source, trust_remote_code=trust_remote_code)
            tokenizer = sighting.look(tokenizer, source)
            self.template = template_of(tokenizer, chat_template, name)
            read = values_read(self.template, tokenizer)
            self.settings = checked_settings(settings or {}, read, name, options)
            if check is not None:
                check(tokenizer)

        tokenizer, self.model = load_text_model(
            name,
            model,
            sighting.choose,
            device=device,
            dtype=dtype,
            trust_remote_code=trust_remote_code,
            check=look,
            padding_side="left",
        )
        self.tokenizer: Any = sighting.tokenizer or tokenizer
        self.eyes = sighting.open(self.model, self._rendered)
        self.why_blind = sighting.why_blind
        self.device = str(self.model.device)
        words = self.model.get_input_embeddings()
        self.vocabulary = int(getattr(words, "num_embeddings", 0)) or len(self.tokenizer)
        pad = int(self.tokenizer.pad_token_id or 0)
        self.pad = pad if pad < self.vocabulary else 0  # some tokenizers know one that the model does not
        self.shipped = settle(self.model)
        self.ends, self.message_end = answer_ends(self.model, self.tokenizer)
        self.model.generation_config.eos_token_id = None  # `ends` says it
        self.context = context_of(self.model, self.tokenizer)
        marks = self.eyes.marks if self.eyes else []
        self.controls = sorted({*control_tokens(self.tokenizer), *marks}, key=len, reverse=True)
        self.specials = special_tokens(self.tokenizer)
        self.notes = [*filter(None, [sighting.note]), *self._notes()]
        self.sharing: Sharing | None = None  # see `sharing_of`

    @property
    def has_template(self) -> bool:
        return bool(getattr(self.tokenizer, "chat_template", None))

    @property
    def sees_pictures(self) -> bool:
        return not self.why_blind

    def no_place(self, row: Row) -> CallError | None:
        """Why the model cannot read a row, or None."""
        if not 0 < len(row.tokens) < self.context:
            message = f"the prompt has {len(row.tokens)} tokens, the context holds {self.context}"
            return CallError("too_long" if row.tokens else "bad_request", message)
        if not row.pictures and max(row.tokens) >= self.vocabulary:
            message = f"the tokenizer has the token {max(row.tokens)}, the model knows {self.vocabulary}"
            return CallError("bad_request", message)
        return None

    def render(self, turns: Sequence[Turn], **more: object) -> str:
        """Renders turns by the chat template. Raises what the template raises."""
        return self._rendered(self.eyes.shaped(turns) if self.eyes else turns, **more)

    def _rendered(self, turns: Sequence[Turn], **more: object) -> str:
        if isinstance(self.tokenizer.chat_template, Mapping):
            more = {"chat_template": self.template, **more}
        given = {"tokenize": False, "add_generation_prompt": True, **self.settings, **more}
        return str(self.tokenizer.apply_chat_template(turns, **given))

    def _notes(self) -> list[str]:
        notes = []
        more = turn_ends(self.tokenizer, self.render, self.ends) if self.has_template else None
        if more is not None and more != self.message_end:
            self.ends = self.ends | {more}
            token = str(self.tokenizer.decode([more])).strip()
            notes.append(
                f"Its template ends an answer with {token!r}, and its generation settings do not: "
                "answers end there all the same."
            )
        if self._writes_the_day():
            notes.append(
                "Its chat template writes today's date into the prompt, so answers depend on the day."
            )
        if self.eyes and self.eyes.needs_picture:
            notes.append(f"It answers no text alone: {self.eyes.needs_picture}.")
        if not self.ends and not self.shipped.stop_strings:
            notes.append("Nothing ends its answers but their budget: it names no end token.")
        if self.shipped.applied:
            listed = ", ".join(f"{key}={one_line(value, 60)}" for key, value in self.shipped.applied.items())
            notes.append(f"Its authors' generation settings are applied, and change answers: {listed}.")
        return notes

    def _writes_the_day(self) -> bool:
        if "strftime_now" not in (self.template or ""):
            return False
        turns = [{"role": "user", "content": _MARK}]
        try:
            one, other = (self.render(turns, strftime_now=lambda _, day=day: day) for day in "12")
        except Exception:  # the template needs more than a text
            return True
        return one != other  # not if a value of the user's says the date


@dataclass(frozen=True, slots=True)
class Row:
    """A conversation as the model reads it: token ids.

    opened: the thinking that the template opens for the answer; the model's text goes on from it.
    sight: what the processor of a vision-language model makes the tokens and pictures of; None for others.
    """

    tokens: list[int]
    opened: str = ""
    sight: Sight | None = None

    @property
    def pictures(self) -> int:
        return len(self.sight.pictures) if self.sight else 0


class Turns:
    """Renders conversations by a model's chat template.

    Args:
        language: the model.
        settings: further values for the template, by name.
        in_parts: give the template each content as a list of parts; some drop a plain text silently.
    """

    def __init__(
        self,
        language: LanguageModel,
        settings: Mapping[str, object] | None = None,
        *,
        in_parts: bool = False,
    ) -> None:
        self._language, self._settings, self.in_parts = language, dict(settings or {}), in_parts

    def row(self, messages: Sequence[Message]) -> Row:
        """Returns a conversation as a row, up to where the assistant's answer begins.

        Raises:
            ValueError: there are pictures, and the model sees none.
            Exception: the template does not take these messages; templates raise what they like.
        """
        language = self._language
        pictures = [picture for m in messages for picture in m.images]
        if pictures and not language.sees_pictures:
            raise ValueError(f"{language.name} sees no pictures: {language.why_blind}")
        text, opened = self.render(messages), ""
        if language.has_template:
            opened = opened_by(text, [m.content for m in messages], self._unanswered(messages))
        if language.eyes is not None:
            sight = language.eyes.sight(text, pictures)
            return Row(language.eyes.tokens(sight), opened, sight)
        more = {"add_special_tokens": False} if language.has_template else {}
        return Row(list(language.tokenizer(text, **more)["input_ids"]), opened)

    def render(self, messages: Sequence[Message]) -> str:
        """Returns the text of a conversation's row. Raises as `row`."""
        turns = self._turns(messages)
        if self._language.has_template:
            return self._text(turns)
        if self._language.eyes is not None:
            return self._language.eyes.plain(turns)
        return "".join(f"{t['role'].capitalize()}: {t['content']}\n\n" for t in turns) + "Assistant:"

    def _unanswered(self, messages: Sequence[Message]) -> str:
        """A conversation without the beginning of an answer; "" if the template has no form for it."""
        try:
            return self._text(self._turns(messages), add_generation_prompt=False)
        except Exception:  # templates raise what they like
            return ""

    def _turns(self, messages: Sequence[Message]) -> list[Turn]:
        sees = self._language.eyes is not None
        return [
            {"role": m.role, "content": tame(m.content, self._language)}
            | ({"pictures": len(m.images)} if sees else {})
            for m in messages
        ]

    def _text(self, turns: list[Turn], **more: object) -> str:
        system = "\n\n".join(t["content"] for t in turns if t["role"] == "system").strip()
        try:
            text = self._template(turns, **more)
        except Exception:
            if not system:
                raise
            text = ""
        # Some templates have no system role: they raise, or drop it silently.
        if system and turns[0]["content"].strip() not in text:
            text = self._template(_without_system(turns, system), **more)
        return text

    def _template(self, turns: list[Turn], **more: object) -> str:
        given = turns
        if self.in_parts:
            given = [{**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in turns]
        return self._language.render(given, **self._settings, **more)


_MARK = "overt asks whether this text arrives"


def turns_for(language: LanguageModel) -> Turns:
    """The turns in the form that a model's template takes: texts, or lists of parts.

    Raises:
        InputError: the template takes no text of a user, or leaves it out, or takes a value as true or false
            that is neither.
    """
    turns, complaint = reaching_turns(language, lambda text: [Message("user", text)])
    if turns is not None:
        _check_values(language, turns)
        return turns
    why = f": {complaint}" if complaint else " (it leaves it out)"
    raise InputError(
        f"{language.name}: its chat template does not take a user's text{why}",
        fix=(
            f"Check the values that it is given: {', '.join(language.settings)}. "
            if language.settings
            else "A template that needs a value takes it as an option: ?NAME=VALUE. "
        )
        + "A guard model is a filter: filter/llama-guard/...",
    )


def reaching_turns(
    language: LanguageModel,
    messages: Callable[[str], Sequence[Message]],
    settings: Mapping[str, object] | None = None,
) -> tuple[Turns | None, str]:
    """The turns in the form, texts or lists of parts, in which a text reaches the model: some templates drop
    the other form without a word. None if it arrives in neither, and the template's complaint or "".

    Args:
        messages: a text -> the conversation that holds it.
        settings: further values for the template, by name.
    """
    complaint: Exception | None = None
    for in_parts in (False, True):
        turns = Turns(language, settings, in_parts=in_parts)
        try:
            if _MARK in turns.render(messages(_MARK)):
                return turns, ""
        except Exception as error:  # templates raise what they like
            complaint = complaint or error
    return None, one_line(complaint, 300) if complaint else ""


def _check_values(language: LanguageModel, turns: Turns) -> None:
    def render(key: str, value: object) -> str:
        return Turns(language, {key: value}, in_parts=turns.in_parts).render([Message("user", _MARK)])

    check_switches(language.settings, language.template or "", render, language.name)


def tame(content: str, language: LanguageModel) -> str:
    """Makes a text encodable and breaks its control tokens with a zero-width space, so that a prompt cannot
    speak for another role."""
    text = encodable(content)
    for token in language.controls:
        text = text.replace(token, f"{token[0]}\u200b{token[1:]}")
    return text


def _without_system(turns: list[Turn], system: str) -> list[Turn]:
    """Moves the system text to the start of the first user turn."""
    rest = [dict(t) for t in turns if t["role"] != "system"]
    first = next((t for t in rest if t["role"] == "user"), None)
    if first is None:
        return [{"role": "user", "content": system}, *rest]
    first["content"] = f"{system}\n\n{first['content']}"
    return rest
