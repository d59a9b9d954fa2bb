"""Targets by name: models, bare filters, and products composed by a YAML file or by options."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from overt.data.errors import InputError
from overt.data.json_types import Json
from overt.data.secrets import without_keys
from overt.data.targets import Target

# Files of a model's folder that affect its output, unlike logs, notes and pictures.
_OF_MODELS = frozenset(
    {".json", ".safetensors", ".txt", ".model", ".yaml", ".yml", ".py", ".jinja", ".onnx", ".gguf"}
)
# A single file of weights may have many gigabytes.
_WEIGHTS = frozenset({".safetensors", ".gguf"})
# Options whose value is a file or folder that decides the output.
_NAMES_FILE = "path|policy|prompt|lora|transformer|config|refusal_tokens"


@dataclass(frozen=True)
class TargetOptions:
    """How targets are reached. A class gets the options that it accepts; options in a name win."""

    base_url: str | None = None
    api_key_env: str | None = None
    device: str | None = None
    batch_size: int | None = None
    trust_remote_code: bool = False
    timeout: float = 120.0
    concurrency: int = 32
    # Of language models.
    system: str = ""
    max_tokens: int = 512
    temperature: float = 0.0
    workers: str = "1"
    both: bool = False  # of models with refusal tokens

    def for_class(self) -> dict[str, object]:
        return {
            "base_url": self.base_url,
            "api_key_env": self.api_key_env,
            "device": self.device,
            "batch_size": self.batch_size,
            "trust_remote_code": self.trust_remote_code or None,
            "timeout": self.timeout,
            "both": self.both or None,
        }


@dataclass(frozen=True)
class TargetSpec:
    """One target as the user asked for it, with the filters before and the checkers after it."""

    target: str | None
    filters: tuple[str, ...] = ()
    checkers: tuple[str, ...] = ()
    name: str = ""
    files: Mapping[str, str] = field(default_factory=dict)  # path -> hash of what the names point to

    @property
    def is_composed(self) -> bool:
        return bool(self.filters or self.checkers)

    def to_json(self) -> dict[str, Json]:
        return {
            "name": self.name,
            "target": self.target and without_keys(self.target),
            "filters": [without_keys(name) for name in self.filters],
            "checkers": [without_keys(name) for name in self.checkers],
            "files": dict(sorted(self.files.items())),
        }


def specs_from_json(data: Json) -> list[TargetSpec]:
    """Reads the targets of a run.json.

    Raises:
        InputError: they cannot be read.
    """
    specs = []
    for row in data if isinstance(data, list) else []:
        match row:
            case {
                "name": str(name),
                "target": str() | None as target,
                "filters": list(filters),
                "checkers": list(checkers),
                "files": Mapping() as files,
            }:
                parts = (tuple(map(str, filters)), tuple(map(str, checkers)))
                specs.append(TargetSpec(target, *parts, name, {p: str(h) for p, h in files.items()}))
            case _:
                raise InputError(f"run.json holds a target that cannot be read: {row}")
    return specs


def specs_of(names: Sequence[str], filters: Sequence[str], checkers: Sequence[str]) -> list[TargetSpec]:
    """Parses several --target, each with the filters and checkers around it.

    Raises:
        InputError: as `read_spec`; or one is named twice.
    """
    specs = [read_spec(name, filters, checkers) for name in names]
    counts = Counter(spec.name for spec in specs)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise InputError(f"{twice[0]} is named twice", fix="Give each --target once.")
    return specs


def read_spec(text: str, filters: Sequence[str] = (), checkers: Sequence[str] = ()) -> TargetSpec:
    """Parses a --target, with the filters and checkers of --filter and --checker around it.

    Raises:
        InputError: an unreadable YAML, an unknown field, nothing in it.
    """
    from overt.data.plugins.names import check_names

    check_names(text, *filters, *checkers)
    if text.startswith("guarded/"):
        spec = _from_file(Path(text.removeprefix("guarded/")).expanduser(), text)
        check_names(*spec.filters, *spec.checkers, *([spec.target] if spec.target else []))
        spec = TargetSpec(
            spec.target, (*filters, *spec.filters), (*spec.checkers, *checkers), spec.name, spec.files
        )
    elif _is_filter(text) and checkers:
        raise InputError(
            f"{text} draws nothing that a checker could look at", fix="Leave --checker out, or add a model."
        )
    elif _is_filter(text) and filters:
        spec = TargetSpec(None, (*filters, text))
    else:
        spec = TargetSpec(text, tuple(filters), tuple(checkers))
    parts = [*spec.filters, *([spec.target] if spec.target else []), *spec.checkers]
    name = without_keys(spec.name or (f"guarded/{'+'.join(parts)}" if spec.is_composed else text))
    files = {**spec.files, **{p: h for part in parts for p, h in files_of(part)}}
    return TargetSpec(spec.target, spec.filters, spec.checkers, name, files)


def _is_filter(text: str) -> bool:
    from overt import registry

    return registry.is_filter(text)


def _from_file(path: Path, text: str) -> TargetSpec:
    from overt.data.product_schema import read_product

    product, data = read_product(path)
    digest = hashlib.blake2b(data, digest_size=16).hexdigest()
    name = f"guarded/{product.name}" if product.name else text
    return TargetSpec(product.target, product.filters, product.checkers, name, {str(path): digest})


def has_refusal_tokens(name: str) -> bool:
    """Whether a target's name says which refusal tokens it has."""
    return re.search(r"[?&]refusal_tokens=", name) is not None


def check_both(both: bool, specs: Sequence[TargetSpec]) -> None:
    """Checks that --both is of use.

    Raises:
        InputError: no target has refusal tokens.
    """
    if both and not any(has_refusal_tokens(spec.target or "") for spec in specs):
        raise InputError(
            "--both is for models with refusal tokens, and no target names any",
            fix="Leave it out, or name their file: --target hf/MODEL?refusal_tokens=tokens.json",
        )


def files_of(name: str) -> list[tuple[str, str]]:
    """Files and model folders that a name points to, with their hashes: a changed file makes another
    target."""
    from overt.data.plugins.names import unquoted

    head, _, query = name.partition("?")
    head = unquoted(head)
    candidates = [head.partition("/")[2]] if head.startswith("http/") else []
    candidates += map(unquote, re.findall(rf"(?:^|&)(?:{_NAMES_FILE})=([^&]+)", query))
    # provider/FOLDER, and checker/hf/FOLDER
    tails = [tail for tail in (head.partition("/")[2], head.split("/", 2)[-1]) if tail]
    candidates += [tail for tail in dict.fromkeys(tails) if _is_model(Path(tail).expanduser())]
    return [(c, digest) for c in candidates if (digest := _digest(Path(c).expanduser())) is not None]


def _is_model(path: Path) -> bool:
    """Whether it is a model's folder or file, not one that only has a matching name."""
    return (path.is_file() and path.suffix in _WEIGHTS) or any(
        (path / name).is_file() for name in ("model_index.json", "config.json", "open_clip_config.json")
    )


def _digest(path: Path) -> str | None:
    """Hash of a file, or of a model's weights or folder: names, sizes, and the first and last megabyte of
    each file, where retrained weights differ too. None if the path is neither.
    """
    if path.is_file() and path.suffix not in _WEIGHTS:
        return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
    if not path.exists():
        return None
    inside = path if path.is_dir() else path.parent
    files = [path] if path.is_file() else path.rglob("*")
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted(p for p in files if p.is_file() and p.suffix in _OF_MODELS):
        size = file.stat().st_size
        digest.update(f"{file.relative_to(inside).as_posix()}\0{size}\0".encode())
        with file.open("rb") as stream:
            digest.update(stream.read(1 << 20))
            stream.seek(max(1 << 20, size - (1 << 20)))
            digest.update(stream.read(1 << 20))
    return digest.hexdigest()


# The template of the instruction by which a provider asks the model behind it.
_INSTRUCTIONS = {"answer-then-check": "answer_then_check"}


def instructions_of(specs: Sequence[TargetSpec]) -> dict[str, Json]:
    """The hashes of the instructions by which targets are asked, by their names: another instruction makes
    another run. One of the user's own is among the target's files."""
    from overt.data.templates import load_template

    providers = {(spec.target or "").partition("/")[0] for spec in specs}
    names = [_INSTRUCTIONS[provider] for provider in sorted(providers & _INSTRUCTIONS.keys())]
    return {name: load_template("generation", name).hash for name in names}


def check_files(spec: TargetSpec) -> None:
    """Checks that a target's files have not changed since the run.

    Raises:
        InputError: a file was changed or is gone.
    """
    for name, known in spec.files.items():
        found = _digest(Path(name).expanduser())
        if found != known:
            raise InputError(
                f"{spec.name}: {'this has changed' if found else 'this is gone'} since the run was made",
                where=name,
                fix="Put it back as it was, or make a new run with `overt run`. A relative name is looked "
                "for from the folder that you are in.",
            )


def resolve_target(spec: TargetSpec, modality: str = "image") -> object:
    """Looks up every class that a spec needs; nothing is made yet. `modality` is that of the policy or the
    suite: of text `openai/MODEL` is a language model. Returns the class of the target, None where there is
    none.

    Raises:
        InputError: an unknown name, a missing extra, a module that cannot be imported, a model of the other
            modality.
    """
    from overt import registry

    for name in spec.filters:
        registry.resolve("overt.filters", name)
    for name in spec.checkers:
        registry.resolve("overt.checkers", name)
    if spec.target is not None:
        group = _group(spec.target, modality)
        provider = registry.parse("overt.targets", spec.target).provider
        if group == "overt.targets" and provider and not registry.offers(group, provider):
            _refuse_language_model(spec.target, provider)
        found = registry.resolve(group, spec.target)
        # A class that says so always draws; what an http/FILE answers with stands in its file.
        if modality == "text" and provider and getattr(found, "modality", "") == "image":
            raise InputError(
                f"{spec.target} draws pictures, and these prompts ask for answers in text",
                fix=f"Name a language model, such as openai/MODEL, {_OTHER_PROMPTS['image']}.",
            )
        return found
    return None


def modality_for(spec: TargetSpec, usual: str) -> str:
    """What a target is asked for: `usual`, or "text" where its provider has language models only."""
    from overt import registry

    provider = registry.parse("overt.targets", spec.target).provider if spec.target else ""
    talks = bool(provider) and provider in registry.providers("overt.chat_models")
    return "text" if talks and not registry.offers("overt.targets", provider) else usual


def is_local(spec: TargetSpec, modality: str) -> bool:
    """Whether a target loads models of this machine, of which several may not fit into its memory.

    Raises:
        InputError: as `resolve_target`.
    """
    from overt.workers.load import loads_here

    names = [("overt.filters", name) for name in spec.filters]
    names += [("overt.checkers", name) for name in spec.checkers]
    names += [(_group(spec.target, modality), spec.target)] if spec.target is not None else []
    return any(loads_here(group, name) for group, name in names)


# Prompts that ask for this, as the hint names them.
_OTHER_PROMPTS = {
    "image": "or a policy or suite of pictures (--policy overt, --suite overt_mini)",
    "text": "or a policy or suite of text (--policy chat_assistant, --suite xstest)",
}


def _refuse_language_model(name: str, provider: str) -> None:
    from overt import registry

    if provider in registry.providers("overt.chat_models"):
        raise InputError(
            f"{name} is a language model, and these prompts ask for pictures",
            fix=f"Name a model that draws, such as openai/gpt-image-1, {_OTHER_PROMPTS['text']}.",
        )


def _group(name: str, modality: str) -> str:
    """The entry-point group of a target's name."""
    from overt import registry

    if _is_filter(name):
        return "overt.filters"
    provider = registry.parse("overt.targets", name).provider
    if modality == "text" and (provider in registry.providers("overt.chat_models")):
        return "overt.chat_models"
    if not provider and registry.is_chat_model(name):  # a class of the user's own
        return "overt.chat_models"
    return "overt.targets"


def open_target(
    spec: TargetSpec, options: TargetOptions, *, every_layer: bool = False, modality: str = "image"
) -> Target:
    """Creates a target and loads its models.

    Raises:
        InputError: an unknown name, a missing extra, a model that cannot be loaded.
    """
    from overt.generation.products import FilterTarget, Guarded
    from overt.workers.load import load_checker, load_filter

    settings = options.for_class()
    if not spec.is_composed:
        assert spec.target is not None
        if _is_filter(spec.target):
            text_filter = load_filter(spec.target, options.workers, **settings)
            return FilterTarget(text_filter, threads=options.concurrency)
        return _model(spec.target, options, settings, modality)
    filters = [load_filter(name, options.workers, **settings) for name in spec.filters]
    checkers = [load_checker(name, options.workers, **settings) for name in spec.checkers]
    target = None
    if spec.target is not None:
        if every_layer:
            settings["keep_flagged"] = True  # the picture behind the pipeline's own checker
        target = _model(spec.target, options, settings, modality)
    return Guarded(spec.name, target, filters, checkers, every_layer=every_layer, threads=options.concurrency)


def _model(name: str, options: TargetOptions, settings: Mapping[str, object], modality: str) -> Target:
    from overt import registry
    from overt.generation.products import ChatTarget
    from overt.workers.load import load_chat_model, load_target

    if _group(name, modality) == "overt.targets":
        return load_target(name, options.workers, **settings)
    taken = registry.taken("overt.chat_models", name, settings)
    if not has_refusal_tokens(name):
        taken.pop("both", None)
    chat = load_chat_model(name, options.workers, **taken)
    return ChatTarget(
        chat, system=options.system, max_tokens=options.max_tokens, temperature=options.temperature
    )
