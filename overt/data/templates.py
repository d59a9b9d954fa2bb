"""Instruction templates: versioned YAML files that a user can override by a folder of their own.

A template has a name, a version, sampling settings and two Jinja texts, `system` and `user`. Values
go in as data, never as template text, and the environment is sandboxed: a prompt that looks like a
template is just a string.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from overt.data.chat import ChatRequest, Message
from overt.data.errors import InputError

_FIELDS = {"name", "version", "temperature", "max_tokens", "system", "user"}


@dataclass(frozen=True)
class Template:
    """One instruction. `label` ("convert@1") goes into every record that the template made."""

    name: str
    version: str
    temperature: float
    max_tokens: int
    system: str
    user: str
    source: str

    @property
    def label(self) -> str:
        return f"{self.name}@{self.version}"

    @cached_property
    def hash(self) -> str:
        """BLAKE2b of what the model is told and how it is sampled: 16 hex digits."""
        blob = repr((self.name, self.version, self.temperature, self.max_tokens, self.system, self.user))
        return hashlib.blake2b(blob.encode(), digest_size=8).hexdigest()

    @cached_property
    def _compiled(self) -> tuple[Any, Any]:
        from jinja2 import StrictUndefined
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        env = ImmutableSandboxedEnvironment(
            undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
        )
        # Jinja's own `tojson` escapes for HTML; a model should read plain quotes and letters.
        env.filters["quote"] = _quote
        return env.from_string(self.system), env.from_string(self.user)

    def request(
        self,
        values: dict[str, Any],
        *,
        seed: int,
        sample: int = 0,
        schema: dict[str, Any] | None = None,
    ) -> ChatRequest:
        """The request that this template and these values make.

        Raises:
            InputError: the template names a value that this stage does not give.
        """
        from jinja2 import TemplateError

        try:
            system, user = (t.render(values).strip() for t in self._compiled)
        except TemplateError as error:
            raise InputError(
                f"template {self.label} cannot be filled: {error}",
                where=self.source,
                fix=f"values it may use: {', '.join(sorted(values))}",
            ) from error
        messages = [Message("user", user)]
        if system:
            messages.insert(0, Message("system", system))
        # A seed of its own for every request and sample: a server that honours seeds would otherwise
        # answer eight samples of a prompt with eight copies.
        digest = hashlib.blake2b(repr((seed, sample, system, user)).encode("utf-8", "surrogatepass")).digest()
        own_seed = int.from_bytes(digest[:4], "big") >> 1
        return ChatRequest(tuple(messages), self.temperature, self.max_tokens, own_seed, sample, schema)


def _quote(value: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)


def load_template(room: str, name: str, folder: Path | None = None) -> Template:
    """The template `name` of a room ("generation" or "scoring"), or the user's own file of that name.

    Raises:
        InputError: the user's file cannot be read, misses a field or is not a valid template.
    """
    own = folder / f"{name}.yaml" if folder else None
    if own and own.is_file():
        try:
            return _parse(own.read_text("utf-8"), str(own))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read the template: {error}", where=str(own)) from error
    packaged = resources.files("overt") / room / "templates" / f"{name}.yaml"
    return _parse(packaged.read_text("utf-8"), f"{room}/templates/{name}.yaml")


def _parse(text: str, source: str) -> Template:
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        raise InputError(f"not valid YAML: {getattr(error, 'problem', error)}", where=where) from error
    if not isinstance(data, dict) or not {"name", "version", "user"} <= set(data):
        raise InputError(
            "a template is a mapping with name, version, user (and system, temperature, max_tokens)",
            where=source,
        )
    if unknown := sorted(set(map(str, data)) - _FIELDS):
        raise InputError(
            f"unknown field {unknown[0]!r}", where=source, fix=f"known: {', '.join(sorted(_FIELDS))}"
        )
    try:
        template = Template(
            name=str(data["name"]),
            version=str(data["version"]),
            temperature=float(data.get("temperature", 1.0)),
            max_tokens=int(data.get("max_tokens", 1024)),
            system=str(data.get("system", "")),
            user=str(data["user"]),
            source=source,
        )
    except (TypeError, ValueError) as error:
        raise InputError(f"temperature and max_tokens must be numbers: {error}", where=source) from error
    from jinja2 import TemplateSyntaxError

    try:
        template._compiled  # noqa: B018 - a syntax error shows before anything is paid for
    except TemplateSyntaxError as error:
        raise InputError(
            f"Jinja: {error.message}", where=f"{source} (template line {error.lineno})"
        ) from error
    return template
