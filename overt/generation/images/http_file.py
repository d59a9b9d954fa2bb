"""The YAML file that declares an HTTP model: its request, and where to find things in the response.

Environment variables are filled in when a request is sent, so nothing read here holds their values.
"""

from __future__ import annotations

import math
import re
import urllib.parse
from functools import partial
from pathlib import Path as File
from typing import Annotated, ClassVar, Literal

from pydantic import (
    AfterValidator,
    Field,
    JsonValue,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from overt.data.chat import ErrorKind
from overt.data.json_types import Json, texts_of
from overt.data.jsonpath import Path, PathError, parse_path
from overt.data.secrets import VARIABLE
from overt.data.targets import RefusalStage
from overt.data.yaml.problems import Mark, nearest, shorten
from overt.data.yaml.schema import AsNumber, AsWritten, Faults, Listed, Schema, fault, read_yaml
from overt.data.yaml.values import Ambiguous, Entries, Real, Steps, Whole

PICTURES = ("picture", "picture_address")  # as base64, in a form as a file; as a data: address
PLACEHOLDERS = ("prompt", "seed", *PICTURES)
PLACEHOLDER = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SECRET_HEADER = re.compile(r"authorization|api-?key|^x-?key|token|secret|cookie|password", re.IGNORECASE)

Scalar = str | int | float | bool | None


def read_http_file(path: str) -> HTTPFile:
    """Reads a declared model.

    Raises:
        InputError: no such file, not YAML, or fields that are missing, unknown or wrong, each with line,
            column and a fix.
    """
    return read_yaml(File(path), HTTPFile, what="HTTP target")


# -- what is sent -----------------------------------------------------------------------------------------


def _single(value: object, at: Steps, faults: Faults) -> Scalar:
    if isinstance(value, (Entries, tuple)):
        hint = "{{...}} needs quotes" if isinstance(value, Entries) else "write one value"
        faults.add("expected a single value, found {found}", hint, at)
    elif isinstance(value, Ambiguous) or (isinstance(value, Real) and not math.isfinite(value)):
        message = f"the number {shorten(value.node.text, 40)} can be read in two ways"
        faults.add(message, "put a text in quotes", at)
    elif isinstance(value, str):
        return str(value)
    elif isinstance(value, (bool, float)):
        return value if isinstance(value, bool) else float(value)
    elif isinstance(value, int):
        return int(value)
    return None


def _values(value: object) -> tuple[Scalar, ...]:
    faults = Faults()
    if isinstance(value, tuple):
        made = tuple(_single(entry, (n,), faults) for n, entry in enumerate(value))
    else:
        made = (_single(value, (), faults),)
    faults.raise_any()
    return made


def _json(value: object, at: Steps, faults: Faults) -> Json:
    """Returns the request body as decoded JSON, with unfilled placeholders."""
    if isinstance(value, Entries):
        return {name: _json(part, (*at, name), faults) for name, part in value.items()}
    if isinstance(value, tuple):
        return [_json(part, (*at, n), faults) for n, part in enumerate(value)]
    made = _single(value, at, faults)
    if isinstance(made, str):
        _check_placeholders(made, at, faults)
    return made


def _body(value: object) -> Json:
    faults = Faults()
    made = _json(value, (), faults)
    faults.raise_any()
    return made


def _check_placeholders(text: str, at: Steps, faults: Faults, *, takes_variables: bool = False) -> None:
    for name in PLACEHOLDER.findall(text):
        if name not in PLACEHOLDERS:
            hint = nearest(name, PLACEHOLDERS, "placeholders")
            faults.add(f"there is no placeholder {shorten(name)!r}", hint, at)
    if takes_variables:
        _check_variables(text, at, faults)
    elif VARIABLE.search(text):
        faults.add("${...} is filled in headers, url and query alone", "keys belong there", at)


def _check_variables(text: str, at: Steps, faults: Faults) -> None:
    for variable in VARIABLE.findall(text):
        if not _NAME.fullmatch(variable):
            message = f"{shorten(variable)!r} cannot be a variable's name"
            faults.add(message, "letters, digits and _, as in ${VENDOR_KEY}", at)


def _filled(texts: dict[str, str], *, takes_variables: bool = False) -> dict[str, str]:
    faults = Faults()
    for name, text in texts.items():
        _check_placeholders(text, (name,), faults, takes_variables=takes_variables)
    faults.raise_any()
    return texts


def _address(text: str) -> str:
    parts = urllib.parse.urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        fault("expected an http(s) address, found {found}", "as in: https://api.example.com/v1/images")
    if "@" in parts.netloc:
        fault("a user or password in the address", "use a header with ${VARIABLE}")
    faults = Faults()
    _check_variables(text, (), faults)
    faults.raise_any()
    if PLACEHOLDER.search(text):
        fault("{{...}} is not filled in the url", "use query, json or form")
    return text


def _headers(headers: dict[str, str]) -> dict[str, str]:
    faults = Faults()
    for name, text in headers.items():
        if not _HEADER.fullmatch(name):
            message = f"{shorten(name)!r} cannot be a header's name"
            faults.add(message, "letters, digits and -, as in X-Api-Key", (name, "[key]"))
        if PLACEHOLDER.search(text):
            faults.add("{{...}} is not filled in headers", "use query, json or form", (name,))
        _check_variables(text, (name,), faults)
        if _SECRET_HEADER.search(name) and not VARIABLE.search(text):
            # The value may be the secret, so it is not printed.
            hint = f'write {name}: "${{VENDOR_KEY}}" and set that variable'
            faults.add("a secret has no place in a file", hint, (name,))
    faults.raise_any()
    return headers


Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Label = Annotated[Words, AsWritten, WithJsonSchema({"type": ["string", "number"]})]
Labels = Annotated[dict[str, Label], AfterValidator(_filled)]
Query = Annotated[dict[str, Label], AfterValidator(partial(_filled, takes_variables=True))]

# -- what comes back --------------------------------------------------------------------------------------


def _path(value: object) -> Path:
    if not isinstance(value, str):
        fault("expected text, found {found}", "a path is written $.data[0].url")
    try:
        return parse_path(value.strip())
    except PathError as error:
        fault(str(error), "a path is written $.data[0].url")


def _code(value: object) -> str | Path:
    if isinstance(value, (Whole, Real, Ambiguous)):
        return value.node.text
    if not isinstance(value, str) or not value.strip():
        fault("expected text, found {found}", "a word, or the path of the provider's own")
    return _path(value) if value.strip().startswith("$") else value.strip()


def _poll_url(value: object) -> str | Path:
    hint = "as in: https://host/jobs/{{$.id}}"
    if not isinstance(value, str) or value.strip().startswith("$"):
        return _path(value)
    text = value.strip()
    if not text.startswith(("http://", "https://")):
        fault("expected a path or an http(s) address, found {found}", hint)
    for inner in PLACEHOLDER.findall(text):
        try:
            parse_path(inner)
        except PathError as error:
            fault(str(error), hint)
    return text


_ONE_VALUE: dict[str, object] = {"type": ["string", "number", "boolean", "null"]}
_A_TEXT: dict[str, object] = {"type": "string", "minLength": 1}
_VALUES_SCHEMA = {"anyOf": [_ONE_VALUE, {"type": "array", "items": _ONE_VALUE}]}
JsonPath = Annotated[Path, PlainValidator(_path), WithJsonSchema(_A_TEXT)]
Values = Annotated[tuple[Scalar, ...], PlainValidator(_values), WithJsonSchema(_VALUES_SCHEMA)]
Statuses = Annotated[tuple[Annotated[int, Field(ge=100, le=599)], ...], Listed]


class Condition(Schema):
    """What an answer must look like; all that is set must hold.

    The value is the one at `path` (any of them, if it finds several), else the header's, else the whole
    body as text. With a place alone it must be there and not be null.
    """

    status: Statuses = Field((), description="HTTP statuses, 100 to 599: one, or a list.")
    path: JsonPath | None = Field(None, description="Where the value stands in the answer.")
    header: Annotated[Words, StringConstraints(to_lower=True)] = Field(
        "", description="The header whose value is looked at."
    )
    equals: Values = Field((), description="The value, or a list of those that it may have.")
    contains: Label = Field("", description="What the value has in it.")
    exists: bool | None = Field(None, description="Whether it must be there: true or false.")

    @property
    def when(self) -> Condition:
        """The condition of a rule."""
        return self

    @model_validator(mode="after")
    def _one_place(self) -> Condition:
        faults = Faults()
        if not self.model_fields_set & Condition.model_fields.keys():
            hint = f"add one of {', '.join(Condition.model_fields)}"
            faults.add("a rule without a condition would match every answer", hint)
        for name in ("equals", "exists"):
            if name in self.model_fields_set and not {"path", "header"} & self.model_fields_set:
                faults.add(f"{name} of what?", "add path: $.name, or header", (name,))
        if self.path is not None and self.header:
            faults.add("a rule looks at one place", "make it two rules", ("header",))
        faults.raise_any()
        return self


class RefusalRule(Condition):
    """When an answer is a refusal. `code` is a fixed word, or the path of the provider's own; None: the
    value that the condition looked at."""

    stage: RefusalStage = Field(description="Where it was refused.", examples=["prompt_filter"])
    code: Annotated[str | Path | None, PlainValidator(_code), WithJsonSchema(_ONE_VALUE)] = Field(
        None, description="A word for the refusal, or the path of the provider's own."
    )
    layer: Words = Field("", description="The name of the layer that refused; left out: the file's name.")


class ErrorRule(Condition):
    """When an answer is an error of a kind that its HTTP status does not tell."""

    kind: ErrorKind = Field(description="What kind of error it is.", examples=["rate_limit"])


class Until(Schema):
    """What the value at a path is once a job is done."""

    path: JsonPath = Field(description="Where the job's state stands.", examples=["$.status"])
    values: Annotated[Values, Field(min_length=1)] = Field(
        alias="in", description="The states of a job that is done.", examples=["[ready]"]
    )


class Poll(Schema):
    """How a job is waited for. `url` is a path, or an address with {{$.path}} in it; `hosts` are those
    besides the request's own that are sent the headers. Times in seconds."""

    url: Annotated[str | Path, PlainValidator(_poll_url), WithJsonSchema(_A_TEXT)] = Field(
        description="Where the job is asked for: a path, or an address.", examples=["$.polling_url"]
    )
    until: Until = Field(
        title="Done", description="When it is done.", examples=["{path: $.status, in: [ready]}"]
    )
    every_s: Annotated[float, Field(gt=0, le=600), AsNumber] = Field(
        1.0, description="Seconds between two polls, above 0, at most 600."
    )
    max_s: Annotated[float, Field(gt=0, le=86_400), AsNumber] = Field(
        300.0, description="Seconds after which a job is given up, above 0, at most 86,400."
    )
    hosts: tuple[Annotated[Words, StringConstraints(to_lower=True)], ...] = Field(
        (), description="Hosts besides the request's own that are sent the headers."
    )

    @property
    def path(self) -> Path:
        return self.until.path

    @property
    def values(self) -> tuple[Scalar, ...]:
        return self.until.values


class Picture(Schema):
    """Where the picture stands in a JSON answer."""

    path: JsonPath = Field(description="Its place.", examples=["$.data[0].b64_json"])
    encoding: Literal["base64", "url"] = Field("base64", description="How it is written there.")


class HTTPFile(Schema):
    """A model behind plain HTTP. json and form hold placeholders, headers, url and query ${VARIABLES}."""

    how_to_begin: ClassVar[str] = "see examples/http_target.yaml"

    url: Annotated[Words, AfterValidator(_address)] = Field(
        description="Where requests go. A secret in it is written ${VARIABLE}.",
        examples=["https://api.example.com/v1/images"],
    )
    method: Literal["GET", "POST", "PUT", "PATCH"] = Field("POST", description="The HTTP method.")
    headers: Annotated[dict[str, Label], AfterValidator(_headers)] = Field(
        {}, description="HTTP headers. A secret is written ${VARIABLE}."
    )
    query: Query = Field({}, description="Parameters of the address. A secret is written ${VARIABLE}.")
    json_body: Annotated[JsonValue, PlainValidator(_body), WithJsonSchema({})] = Field(
        None,
        alias="json",
        description='The body as JSON; "{{prompt}}", "{{seed}}" and "{{picture}}" are filled.',
    )
    form: Labels = Field({}, description="The body as a form.")
    modality: Literal["image", "text"] = Field("image", description="What it answers with.")
    timeout: Annotated[float, Field(gt=0, le=3600), AsNumber] = Field(
        120.0, description="Seconds that an answer may take, above 0, at most 3,600."
    )
    max_concurrency: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        None, description="Requests at the same time, 1 to 1,000."
    )
    picture: Picture | None = Field(
        None, alias="image", title="Image", description="Where the picture stands."
    )
    body: Literal["", "image"] = Field("", description="image: the answer's body is the picture.")
    blank: Literal["error", "refusal"] = Field(
        "error",
        description="What a black picture or one of another plain colour means: nothing was drawn (error), "
        "or the service refuses so (refusal).",
    )
    text: JsonPath | None = Field(None, description="Where the text stands.")
    revised_prompt: JsonPath | None = Field(None, description="Where the prompt stands as it was drawn.")
    seed: JsonPath | None = Field(None, description="Where the seed stands that was used.")
    message: JsonPath | None = Field(None, description="Where the provider's words stand.")
    refusals: tuple[RefusalRule, ...] = Field(
        (), alias="refusal", description="Which answers are refusals; the first rule that fits counts."
    )
    errors: tuple[ErrorRule, ...] = Field((), description="Which answers are errors, besides HTTP's own.")
    poll: Poll | None = Field(None, title="Waiting", description="How a job is waited for.")

    @property
    def image(self) -> Path | None:
        return self.picture.path if self.picture is not None else None

    @property
    def encoding(self) -> str:
        """How the picture comes: "base64", "url", "body" (the answer's body is it), or "" for none."""
        if self.picture is not None:
            return self.picture.encoding
        return "body" if self.body else ""

    @property
    def header_marks(self) -> dict[str, Mark]:
        """Where each header's value stands in the file."""
        headers = self._entries.get("headers") if self._entries is not None else None
        return {name: headers.mark_of(name) for name in headers} if isinstance(headers, Entries) else {}

    @property
    def placeholders(self) -> set[str]:
        sent = (*texts_of(self.json_body), *self.form.values(), *self.query.values())
        return {name for text in sent for name in PLACEHOLDER.findall(text)}

    @model_validator(mode="after")
    def _whole(self) -> HTTPFile:
        faults = Faults()
        there = {
            info.alias or name
            for name, info in HTTPFile.model_fields.items()
            if name in self.model_fields_set
        }
        if {"json", "form"} <= there:
            faults.add("a request has one body", "keep json or form", ("form",))
        if {"json", "form"} & there and self.method == "GET":
            faults.add("a GET has no body", "use query, or POST", ("method",))
        if {"image", "body"} <= there:
            hint = "keep image if the answer is JSON, body: image if it is the picture itself"
            faults.add("there are two places for the picture", hint, ("body",))
        if self.modality == "image" and not {"image", "body"} & there:
            hint = "add: image: {path: '$.data[0].b64_json', encoding: base64}, or body: image"
            faults.add("the file does not say where the picture stands", hint, ("image",))
        if self.modality == "text" and self.text is None:
            hint = "add: text: $.choices[0].text"
            faults.add("the file does not say where the text stands", hint, ("text",))
        if "prompt" not in self.placeholders:
            faults.add(
                "the prompt is not in the request", 'put "{{prompt}}" into json, form or query', ("json",)
            )
        faults.raise_any()
        return self
