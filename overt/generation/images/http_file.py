"""The YAML file that declares an HTTP model: what is sent, and where things stand in the answer.

Read from a tree that knows lines and columns; all problems are reported at once. Values of environment
variables are put in by whoever sends the request, so what is read here holds no secret.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path as File
from typing import Any, TypeVar, get_args

from overt.data.chat import ErrorKind
from overt.data.errors import InputError
from overt.data.jsonpath import Path, PathError, parse_path
from overt.data.targets import RefusalStage
from overt.policies.problems import Problems, nearest, shorten
from overt.policies.source import found
from overt.policies.yamltree import MAX_BYTES, Mapping, Mark, Node, Scalar, Sequence, TreeError, decode, parse

T = TypeVar("T")

FIELDS = (
    "url", "method", "headers", "query", "json", "form", "modality", "timeout", "max_concurrency",
    "image", "body", "text", "revised_prompt", "seed", "message", "refusal", "errors", "poll",
)  # fmt: skip
CONDITIONS = ("status", "path", "header", "equals", "contains", "exists")
REFUSAL_FIELDS = (*CONDITIONS, "stage", "code", "layer")
ERROR_FIELDS = (*CONDITIONS, "kind")
POLL_FIELDS = ("url", "until", "every_s", "max_s", "hosts")
STAGES: tuple[str, ...] = get_args(RefusalStage)
KINDS: tuple[str, ...] = get_args(ErrorKind)
PLACEHOLDERS = ("prompt", "seed")

PLACEHOLDER = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
VARIABLE = re.compile(r"\$\{([^{}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SECRET_HEADER = re.compile(r"authorization|api-?key|^x-?key|token|secret|cookie|password", re.IGNORECASE)
_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})")


@dataclass(frozen=True, slots=True)
class Condition:
    """What an answer must look like; all that is set must hold.

    The value is the one at `path` (any of them, if it finds several), else the header's, else the whole
    body as text. With a place alone it must be there and not be null.
    """

    status: tuple[int, ...] = ()
    path: Path | None = None
    header: str = ""
    equals: tuple[Any, ...] = ()
    contains: str = ""
    exists: bool | None = None


@dataclass(frozen=True, slots=True)
class RefusalRule:
    """When an answer is a refusal. `code` is a fixed word, or the path of the provider's own; None: the
    value that the condition looked at."""

    when: Condition
    stage: RefusalStage
    code: str | Path | None
    layer: str


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """When an answer is an error of a kind that its HTTP status does not tell."""

    when: Condition
    kind: ErrorKind


@dataclass(frozen=True, slots=True)
class Poll:
    """How a job is waited for. `url` is a path, or an address with {{$.path}} in it; `hosts` are those
    besides the request's own that are sent the headers. Times in seconds."""

    url: Path | str
    path: Path
    values: tuple[Any, ...]
    every_s: float
    max_s: float
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HTTPFile:
    """One declared model. `json` and `form` hold placeholders, `headers` ${VARIABLES}."""

    file: str
    url: str
    method: str
    headers: dict[str, str]
    header_marks: dict[str, Mark]
    query: dict[str, str]
    json: Any
    form: dict[str, str]
    modality: str
    timeout: float
    max_concurrency: int | None
    image: Path | None
    encoding: str  # "base64", "url", "body": the answer's body is the picture
    text: Path | None
    revised_prompt: Path | None
    seed: Path | None
    message: Path | None
    refusals: tuple[RefusalRule, ...]
    errors: tuple[ErrorRule, ...]
    poll: Poll | None
    takes_seed: bool


def read_http_file(path: str) -> HTTPFile:
    """The model that a file declares.

    Raises:
        InputError: no such file, not YAML, or fields that are missing, unknown or wrong: each with line,
            column and what to do.
    """
    try:
        with File(path).expanduser().open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"cannot read the file: {error}", where=path, fix=_like(path)) from error
    problems = Problems()
    try:
        root = parse(decode(data, path), path)
    except TreeError as error:
        # The reader of the tree was written for policies, and says so.
        problems.add(
            error.mark, "", error.message.replace("policy", "target"), error.hint.replace("policy", "target")
        )
        raise _error(problems, path) from error
    if not isinstance(root, Mapping):
        mark = root.mark if root is not None else Mark(path)
        problems.add(mark, "", "expected a mapping with url, json and image", "see examples/http_target.yaml")
        raise _error(problems, path)
    spec = _Reader(problems, path).read(root)
    if problems.found or spec is None:
        raise _error(problems, path)
    return spec


def strings(value: Any) -> list[str]:
    """Every text in a decoded JSON value, names left out."""
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for part in parts for text in strings(part)]


def _like(path: str) -> str:
    folder = File(path).expanduser().parent
    try:
        names = sorted(p.name for p in folder.iterdir() if p.suffix in (".yaml", ".yml"))
    except OSError:
        return f"the folder {folder} cannot be read"
    return nearest(File(path).name, names, "YAML files in that folder")


def _error(problems: Problems, path: str) -> InputError:
    listed = sorted(problems.found, key=lambda p: (p.line, p.column))
    count = len(listed)
    shown = "\n  ".join(str(problem) for problem in listed[:50])
    return InputError(f"{count} problem{'s' if count != 1 else ''} in the HTTP target", where=path, fix=shown)


class _Reader:
    """Reads single values; each method returns None after it has reported a problem."""

    def __init__(self, problems: Problems, file: str) -> None:
        self.problems, self.file = problems, file

    def read(self, root: Mapping) -> HTTPFile | None:
        entries = self.fields(root, "", FIELDS)
        before = len(self.problems.found)

        def take(name: str, reader: Callable[[Node, str], T | None]) -> T | None:
            return reader(entries[name], name) if name in entries else None

        url = take("url", self.address)
        method = take("method", lambda n, p: self.choice(n, p, ("GET", "POST", "PUT", "PATCH"))) or "POST"
        headers, marks = take("headers", self.headers) or ({}, {})
        query = take("query", self.texts) or {}
        body = take("json", self.json)
        form = take("form", self.texts) or {}
        modality = take("modality", lambda n, p: self.choice(n, p, ("image", "text"))) or "image"
        timeout = take("timeout", lambda n, p: self.seconds(n, p, 3600)) or 120.0
        concurrency = take("max_concurrency", lambda n, p: self.integer(n, p, 1, 1000))
        image, encoding = take("image", self.image) or (None, "body" if "body" in entries else "")
        take("body", lambda n, p: self.choice(n, p, ("image",)))
        places = {n: take(n, self.path) for n in ("text", "revised_prompt", "seed", "message")}
        refusals = take("refusal", lambda n, p: self.items(n, p, self.refusal)) or []
        errors = take("errors", lambda n, p: self.items(n, p, self.error)) or []
        poll = take("poll", self.poll)

        def missing(field: str, message: str, hint: str) -> None:
            self.problems.add(root.mark, field, message, hint)

        if "url" not in entries:
            missing("url", "the field url is missing", "add: url: https://api.example.com/v1/images")
        if "json" in entries and "form" in entries:
            self.problems.add(entries["form"].mark, "form", "a request has one body", "keep json or form")
        if ("json" in entries or "form" in entries) and method == "GET":
            self.problems.add(entries["method"].mark, "method", "a GET has no body", "use query, or POST")
        if "image" in entries and "body" in entries:
            hint = "keep image if the answer is JSON, body: image if it is the picture itself"
            self.problems.add(entries["body"].mark, "body", "there are two places for the picture", hint)
        if modality == "image" and not {"image", "body"} & set(entries):
            hint = "add: image: {path: '$.data[0].b64_json', encoding: base64}, or body: image"
            missing("image", "the file does not say where the picture stands", hint)
        if modality == "text" and "text" not in entries:
            missing("text", "the file does not say where the text stands", "add: text: $.choices[0].text")
        sent = [*strings(body), *form.values(), *query.values()]
        named = {n for text in sent for n in PLACEHOLDER.findall(text)}
        if not self.problems.found[before:] and "prompt" not in named:
            missing("json", "the prompt is not in the request", 'put "{{prompt}}" into json, form or query')
        if self.problems.found[before:] or url is None:
            return None
        return HTTPFile(
            file=self.file,
            url=url,
            method=method,
            headers=headers,
            header_marks=marks,
            query=query,
            json=body,
            form=form,
            modality=modality,
            timeout=timeout,
            max_concurrency=concurrency,
            image=image,
            encoding=encoding,
            text=places["text"],
            revised_prompt=places["revised_prompt"],
            seed=places["seed"],
            message=places["message"],
            refusals=tuple(refusals),
            errors=tuple(errors),
            poll=poll,
            takes_seed="seed" in named,
        )

    # -- what is sent ---------------------------------------------------------------------------------

    def address(self, node: Node, path: str) -> str | None:
        text = self.text(node, path)
        if text is None:
            return None
        parts = urllib.parse.urlsplit(text)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            self.add(node, path, f"expected an http(s) address, found {shorten(text)!r}")
        elif "@" in parts.netloc:
            self.add(node, path, "a user or password in the address", "use a header with ${VARIABLE}")
        elif VARIABLE.search(text):
            self.add(node, path, "${...} is filled in headers alone", "an address is printed and recorded")
        elif PLACEHOLDER.search(text):
            self.add(node, path, "{{...}} is not filled in the url", "use query, json or form")
        else:
            return text
        return None

    def headers(self, node: Node, path: str) -> tuple[dict[str, str], dict[str, Mark]] | None:
        entries = self.mapping(node, path)
        if entries is None:
            return None
        headers: dict[str, str] = {}
        marks: dict[str, Mark] = {}
        for name, value in entries.items():
            where = f"{path}.{shorten(name, 40)}"
            text = self.text(value, where, numbers=True)
            if text is None:
                continue
            if not _HEADER.fullmatch(name):
                self.add(value, where, f"{shorten(name)!r} cannot be a header's name")
            if PLACEHOLDER.search(text):
                self.add(value, where, "{{...}} is not filled in headers", "use query, json or form")
            for variable in VARIABLE.findall(text):
                if not _NAME.fullmatch(variable):
                    hint = "letters, digits and _, as in ${VENDOR_KEY}"
                    self.add(value, where, f"{shorten(variable)!r} cannot be a variable's name", hint)
            if _SECRET_HEADER.search(name) and not VARIABLE.search(text):
                # The value is not shown: it may be the secret.
                hint = f'write {name}: "${{VENDOR_KEY}}" and set that variable'
                self.add(value, where, "a secret has no place in a file", hint)
            headers[name], marks[name] = text, value.mark
        return headers, marks

    def texts(self, node: Node, path: str) -> dict[str, str] | None:
        entries = self.mapping(node, path)
        if entries is None:
            return None
        read = {n: self.text(v, f"{path}.{shorten(n, 40)}", numbers=True) for n, v in entries.items()}
        for name, value in entries.items():
            self.check_placeholders(read[name] or "", value, f"{path}.{shorten(name, 40)}")
        return {name: text for name, text in read.items() if text is not None}

    def json(self, node: Node, path: str) -> Any:
        """The request body as decoded JSON, its placeholders unfilled."""
        if isinstance(node, Mapping):
            entries = self.mapping(node, path) or {}
            return {name: self.json(value, f"{path}.{shorten(name, 40)}") for name, value in entries.items()}
        if isinstance(node, Sequence):
            return [self.json(item, f"{path}[{n}]") for n, item in enumerate(node.items)]
        value = self.scalar(node, path)
        if isinstance(value, str):
            self.check_placeholders(value, node, path)
        return value

    def check_placeholders(self, text: str, node: Node, path: str) -> None:
        for name in PLACEHOLDER.findall(text):
            if name not in PLACEHOLDERS:
                hint = nearest(name, PLACEHOLDERS, "placeholders")
                self.add(node, path, f"there is no placeholder {shorten(name)!r}", hint)
        if VARIABLE.search(text):
            self.add(node, path, "${...} is filled in headers alone", "keys belong there")

    # -- what comes back ------------------------------------------------------------------------------

    def image(self, node: Node, path: str) -> tuple[Path | None, str] | None:
        entries = self.mapping(node, path, ("path", "encoding"))
        if entries is None:
            return None
        if "path" not in entries:
            self.add(node, f"{path}.path", "the field path is missing", "as in: path: $.data[0].b64_json")
            return None
        where = self.path(entries["path"], f"{path}.path")
        encoding: str | None = "base64"
        if "encoding" in entries:
            encoding = self.choice(entries["encoding"], f"{path}.encoding", ("base64", "url"))
        return None if where is None or encoding is None else (where, encoding)

    def refusal(self, node: Node, path: str) -> RefusalRule | None:
        entries = self.mapping(node, path, REFUSAL_FIELDS)
        if entries is None:
            return None
        when = self.condition(entries, node, path)
        if "stage" not in entries:
            self.add(node, f"{path}.stage", "the field stage is missing", f"one of {', '.join(STAGES)}")
            return None
        stage: Any = self.choice(entries["stage"], f"{path}.stage", STAGES)
        code: str | Path | None = None
        if "code" in entries:
            code = self.text(entries["code"], f"{path}.code", numbers=True)
            if code is not None and code.startswith("$"):
                code = self.path(entries["code"], f"{path}.code")
        layer = (self.text(entries["layer"], f"{path}.layer") or "") if "layer" in entries else ""
        return None if when is None or stage is None else RefusalRule(when, stage, code, layer)

    def error(self, node: Node, path: str) -> ErrorRule | None:
        entries = self.mapping(node, path, ERROR_FIELDS)
        if entries is None:
            return None
        when = self.condition(entries, node, path)
        if "kind" not in entries:
            self.add(node, f"{path}.kind", "the field kind is missing", f"one of {', '.join(KINDS)}")
            return None
        kind: Any = self.choice(entries["kind"], f"{path}.kind", KINDS)
        return None if when is None or kind is None else ErrorRule(when, kind)

    def condition(self, entries: dict[str, Node], node: Node, path: str) -> Condition | None:
        before = len(self.problems.found)
        status: list[int] = []
        if "status" in entries:
            listed = entries["status"]
            nodes = listed.items if isinstance(listed, Sequence) else [listed]
            read = [self.integer(n, f"{path}.status", 100, 599) for n in nodes]
            status = [n for n in read if n is not None]
        where = self.path(entries["path"], f"{path}.path") if "path" in entries else None
        header = (self.text(entries["header"], f"{path}.header") or "") if "header" in entries else ""
        equals: list[Any] = []
        if "equals" in entries:
            listed = entries["equals"]
            nodes = listed.items if isinstance(listed, Sequence) else [listed]
            equals = [self.scalar(n, f"{path}.equals") for n in nodes]
        contains = ""
        if "contains" in entries:
            contains = self.text(entries["contains"], f"{path}.contains", numbers=True) or ""
        exists = self.boolean(entries["exists"], f"{path}.exists") if "exists" in entries else None
        if not set(entries) & set(CONDITIONS):
            hint = f"add one of {', '.join(CONDITIONS)}"
            self.add(node, path, "a rule without a condition would match every answer", hint)
        for name in ("equals", "exists"):
            if name in entries and not {"path", "header"} & set(entries):
                self.add(entries[name], f"{path}.{name}", f"{name} of what?", "add path: $.name, or header")
        if "path" in entries and "header" in entries:
            self.add(entries["header"], f"{path}.header", "a rule looks at one place", "make it two rules")
        if self.problems.found[before:]:
            return None
        return Condition(tuple(status), where, header.lower(), tuple(equals), contains, exists)

    def poll(self, node: Node, path: str) -> Poll | None:
        entries = self.mapping(node, path, POLL_FIELDS)
        if entries is None:
            return None
        before = len(self.problems.found)
        for name, hint in (
            ("url", "as in: url: $.polling_url"),
            ("until", "as in: until: {path: $.status, in: [ready]}"),
        ):
            if name not in entries:
                self.add(node, f"{path}.{name}", f"the field {name} is missing", hint)
        url: Path | str | None = None
        if "url" in entries:
            url = self.poll_url(entries["url"], f"{path}.url")
        until = (
            self.mapping(entries["until"], f"{path}.until", ("path", "in")) if "until" in entries else None
        )
        where: Path | None = None
        values: list[Any] = []
        if until is not None:
            for name in ("path", "in"):
                if name not in until:
                    self.add(entries["until"], f"{path}.until.{name}", f"the field {name} is missing")
            if "path" in until:
                where = self.path(until["path"], f"{path}.until.path")
            if "in" in until:
                listed = until["in"]
                nodes = listed.items if isinstance(listed, Sequence) else [listed]
                values = [self.scalar(n, f"{path}.until.in") for n in nodes]
                if not values:
                    self.add(listed, f"{path}.until.in", "expected at least one value")
        every = self.seconds(entries["every_s"], f"{path}.every_s", 600) if "every_s" in entries else 1.0
        most = self.seconds(entries["max_s"], f"{path}.max_s", 86_400) if "max_s" in entries else 300.0
        hosts: list[str] = []
        if "hosts" in entries:
            hosts = self.items(entries["hosts"], f"{path}.hosts", self.text) or []
        if self.problems.found[before:] or url is None or where is None or every is None or most is None:
            return None
        return Poll(url, where, tuple(values), every, most, tuple(h.lower() for h in hosts))

    def poll_url(self, node: Node, path: str) -> Path | str | None:
        text = self.text(node, path)
        if text is None or text.startswith("$"):
            return self.path(node, path) if text is not None else None
        if not text.startswith(("http://", "https://")):
            self.add(node, path, "expected a path or an http(s) address", "as in: https://host/jobs/{{$.id}}")
            return None
        for inner in PLACEHOLDER.findall(text):
            try:
                parse_path(inner)
            except PathError as error:
                self.add(node, path, str(error), "as in: https://host/jobs/{{$.id}}")
                return None
        return text

    # -- single values --------------------------------------------------------------------------------

    def add(self, node: Node, path: str, message: str, hint: str = "") -> None:
        self.problems.add(node.mark, path, message, hint)

    def fields(self, node: Mapping, path: str, known: Iterable[str] | None) -> dict[str, Node]:
        names = None if known is None else tuple(known)
        entries: dict[str, Node] = {}
        for key, value in node.entries:
            name = key.text if isinstance(key, Scalar) else ""
            where = f"{path}.{shorten(name, 40)}" if path else shorten(name, 40)
            if not isinstance(key, Scalar) or not name:
                hint = "" if isinstance(key, Scalar) else "{{...}} needs quotes"  # else it is two mappings
                self.problems.add(key.mark, path, f"expected a field name, found {found(key)}", hint)
            elif name in entries:
                self.problems.add(key.mark, where, f"the field {shorten(name)!r} stands twice", "keep one")
            elif names is not None and name not in names:
                hint = nearest(name, names, "fields here")
                self.problems.add(key.mark, where, f"unknown field {shorten(name)!r}", hint)
            else:
                entries[name] = value
        return entries

    def mapping(self, node: Node, path: str, known: Iterable[str] | None = None) -> dict[str, Node] | None:
        if isinstance(node, Mapping):
            return self.fields(node, path, known)
        what = f" with {', '.join(known)}" if known else ""
        self.add(node, path, f"expected a mapping{what}, found {found(node)}")
        return None

    def items(self, node: Node, path: str, read: Callable[[Node, str], T | None]) -> list[T] | None:
        if not isinstance(node, Sequence):
            self.add(node, path, f"expected a list, found {found(node)}", "begin each entry with '- '")
            return None
        values = [read(item, f"{path}[{n}]") for n, item in enumerate(node.items)]
        return [value for value in values if value is not None]

    def text(self, node: Node, path: str, *, numbers: bool = False) -> str | None:
        if isinstance(node, Scalar) and (node.type == "str" or (numbers and node.type in ("int", "float"))):
            if node.text.strip():
                return node.text.strip()
            self.add(node, path, "expected text, found an empty one")
            return None
        hint = "put it in quotes" if isinstance(node, Scalar) and node.type != "null" else ""
        if isinstance(node, Mapping):  # {{prompt}} without quotes is a mapping to YAML
            hint = "{{...}} needs quotes, and so does a text with ': ' in it"
        self.add(node, path, f"expected text, found {found(node)}", hint)
        return None

    def choice(self, node: Node, path: str, options: tuple[str, ...]) -> str | None:
        text = self.text(node, path)
        if text is None or text in options:
            return text
        self.add(node, path, f"expected {_either(options)}, found {shorten(text)!r}", nearest(text, options))
        return None

    def path(self, node: Node, path: str) -> Path | None:
        text = self.text(node, path)
        if text is None:
            return None
        try:
            return parse_path(text)
        except PathError as error:
            self.add(node, path, str(error))
            return None

    def scalar(self, node: Node, path: str) -> Any:
        if isinstance(node, Mapping):
            # {{prompt}} without quotes is a mapping whose name is a mapping.
            self.add(node, path, "expected a single value, found a mapping", "{{...}} needs quotes")
            return None
        if isinstance(node, Sequence):
            self.add(node, path, "expected a single value, found a list")
            return None
        if node.type == "null":
            return None
        if node.type == "bool":
            return node.text.lower() in ("true", "yes", "on")
        if node.type == "int" and _INTEGER.fullmatch(node.text):
            return int(node.text)
        if node.type == "float":
            try:
                number = float(node.text)
            except ValueError:
                number = float("nan")
            if number - number == 0:  # finite
                return number
        if node.type in ("int", "float"):  # 010, 1:30 and .nan: each reader takes them for something else
            self.add(
                node,
                path,
                f"the number {shorten(node.text, 40)} can be read in two ways",
                "put a text in quotes",
            )
            return None
        return node.text

    def integer(self, node: Node, path: str, least: int, most: int) -> int | None:
        value = int(node.text) if isinstance(node, Scalar) and _INTEGER.fullmatch(node.text) else None
        if value is None or not least <= value <= most:
            self.add(node, path, f"expected a whole number from {least} to {most}, found {found(node)}")
            return None
        return value

    def seconds(self, node: Node, path: str, most: float) -> float | None:
        try:
            value = float(node.text) if isinstance(node, Scalar) else 0.0
        except ValueError:
            value = 0.0
        if not 0 < value <= most:
            self.add(node, path, f"expected seconds above 0, at most {most:g}, found {found(node)}")
            return None
        return value

    def boolean(self, node: Node, path: str) -> bool | None:
        if isinstance(node, Scalar) and node.type == "bool":
            return node.text.lower() in ("true", "yes", "on")
        self.add(node, path, f"expected true or false, found {found(node)}")
        return None


def _either(options: tuple[str, ...]) -> str:
    return options[0] if len(options) == 1 else f"one of {', '.join(options)}"
