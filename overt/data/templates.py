"""Instruction templates: versioned YAML files that a user can override with a folder.

A template has a name, a version, sampling settings and two Jinja texts, `system` and `user`. The environment
is sandboxed, and values are data: a prompt that looks like a template is not executed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, model_validator

from overt.data.chat import ChatRequest, Message
from overt.data.errors import InputError
from overt.data.yaml.schema import Filled, Label, Number, Schema, fault, parse_yaml, read_yaml

if TYPE_CHECKING:
    from jinja2 import Template as Compiled


class Template(Schema):
    """One instruction. `label` ("convert@1") goes into every record that the template made."""

    name: Filled = Field(description="The stage that uses it.", examples=["audit"])
    version: Annotated[Label, Field(min_length=1)] = Field(
        description="Goes into every record: change it when you change a text.", examples=["1"]
    )
    temperature: Number = Field(1.0, description="The sampling temperature.")
    max_tokens: int = Field(1024, ge=1, description="Tokens that an answer may have at most.")
    system: str = Field("", description="The system message, a Jinja template.")
    user: str = Field(description="The user message, a Jinja template.", examples=["'{{ prompt }}'"])

    @property
    def source(self) -> str:
        """The file of the template."""
        return self.mark_of().file

    @property
    def label(self) -> str:
        return f"{self.name}@{self.version}"

    @cached_property
    def hash(self) -> str:
        """BLAKE2b of the texts and the sampling settings: 16 hex digits."""
        blob = repr((self.name, self.version, self.temperature, self.max_tokens, self.system, self.user))
        return hashlib.blake2b(blob.encode(), digest_size=8).hexdigest()

    @cached_property
    def _compiled(self) -> tuple[Compiled, Compiled]:
        from jinja2 import StrictUndefined
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        env = ImmutableSandboxedEnvironment(
            undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
        )
        # Jinja's own `tojson` escapes for HTML, but a model should read plain quotes and letters.
        env.filters["quote"] = _quote
        return env.from_string(self.system), env.from_string(self.user)

    @model_validator(mode="after")
    def _jinja(self) -> Template:
        """Finds a syntax error before any call is paid."""
        from jinja2 import TemplateSyntaxError

        try:
            self._compiled  # noqa: B018
        except TemplateSyntaxError as error:
            name = "system" if error.source == self.system else "user"
            message = f"Jinja cannot read line {error.lineno} of this text: {error.message}"
            fault(message, "write {{ name }} for a value", (name,))
        return self

    def request(
        self,
        values: Mapping[str, object],
        *,
        seed: int,
        sample: int = 0,
        schema: dict[str, Any] | None = None,
    ) -> ChatRequest:
        """Fills the template and makes a request.

        Raises:
            InputError: the template uses a value that this stage does not have.
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
        # Each request and sample has its own seed, or else a server that honours seeds would answer
        # eight samples of a prompt with eight copies.
        digest = hashlib.blake2b(repr((seed, sample, system, user)).encode("utf-8", "surrogatepass")).digest()
        own_seed = int.from_bytes(digest[:4], "big") >> 1
        return ChatRequest(tuple(messages), self.temperature, self.max_tokens, own_seed, sample, schema)


def _quote(value: object) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)


def load_template(room: str, name: str, folder: Path | None = None) -> Template:
    """Loads the template `name` of a room ("generation" or "scoring"), or the user's file of that name.

    Raises:
        InputError: the user's file cannot be read or is not a valid template.
    """
    own = folder / f"{name}.yaml" if folder else None
    if own and own.is_file():
        return read_yaml(own, Template, what="template")
    packaged = resources.files("overt") / room / "templates" / f"{name}.yaml"
    return parse_yaml(packaged.read_bytes(), f"{room}/templates/{name}.yaml", Template, what="template")
