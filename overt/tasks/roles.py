"""The models of a run (writer, judges, surrogate), each created from its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from overt.data.chat import is_blind
from overt.data.errors import InputError
from overt.data.plugins.wrapped import provider_of
from overt.data.records import Prompt, Vote
from overt.data.secrets import without_keys
from overt.policies.schema import Category, Policy

if TYPE_CHECKING:
    from overt.data.chat import ChatModel
    from overt.data.filters import TextFilter


@dataclass(frozen=True)
class ModelOptions:
    """How models are reached. Keys of the mappings: "model", "judge", "probe", or "" for all roles."""

    base_url: dict[str, str] = field(default_factory=dict)
    api_key_env: dict[str, str] = field(default_factory=dict)
    device: str | None = None
    batch_size: int = 8
    trust_remote_code: bool = False
    timeout: float = 120.0
    workers: str = "1"


class Writer(Protocol):
    """A writer without a chat model, which composes prompts from the policy."""

    name: str

    def compose(
        self, policy: Policy, category: Category, *, count: int, seed: int, start: int = 0
    ) -> Iterable[Prompt]: ...

    def twins(self, policy: Policy, category: Category, prompt: Prompt, *, seed: int) -> list[Prompt]: ...


class TextJudge(Protocol):
    """A judge without a chat model: rules, or a vendor's classifier."""

    name: str

    def audit_text(self, policy: Policy, category: Category, text: str) -> Vote: ...


@dataclass(frozen=True)
class JudgeRole:
    """One judge: a function `label`, or a chat model."""

    name: str
    label: Callable[[Prompt], Vote] | None = None
    chat: ChatModel | None = None


@dataclass(frozen=True)
class ProbeRole:
    """The surrogate: a bare text filter, else a chat model."""

    name: str
    filter: TextFilter | None = None
    chat: ChatModel | None = None


@dataclass(frozen=True)
class Roles:
    """All models of a generation. `chat` is the writing model, None if there is a `writer`."""

    writer: Writer | None
    chat: ChatModel | None
    judges: tuple[JudgeRole, ...]
    probe: ProbeRole | None


# Opens the chat model of a name for a role.
Opener = Callable[[str, str, ModelOptions], "ChatModel"]


def open_roles(
    policy: Policy,
    model: str,
    judges: Iterable[str],
    probe: str | None,
    options: ModelOptions,
    opened: Opener | None = None,
) -> Roles:
    """Creates every model that the run names; one in two roles is loaded once.

    Args:
        opened: opens a chat model; None: `chat_model`.

    Raises:
        InputError: an unknown name, a missing extra, a model that cannot play its role.
    """
    from overt import registry

    made: dict[tuple[str, str, str], ChatModel] = {}

    def chat(spec: str, role: str) -> ChatModel:
        place = (spec, *endpoint_of(role, options))
        if place not in made:
            made[place] = (opened or chat_model)(spec, role, options)
        return made[place]

    writer: Writer | None = registry.find("overt.writers", model)
    if writer is None and model.startswith("builtin/"):
        raise InputError(f"there is no built-in writer {model!r}", fix="builtin/grammar is the one there is.")
    judge_roles = open_judges(policy, judges, lambda name: chat(name, "judge"))
    probe_role = None
    if probe is not None:
        if registry.is_filter(probe):
            probe_role = ProbeRole(probe, filter=registry.load_filter(probe))
        else:
            probe_role = ProbeRole(probe, chat=chat(probe, "probe"))
    return Roles(writer, None if writer else chat(model, "model"), judge_roles, probe_role)


def open_judges(
    policy: Policy, names: Iterable[str], chat: Callable[[str], ChatModel]
) -> tuple[JudgeRole, ...]:
    """Creates the judges of an audit: rules and classes of the user's own, and chat models.

    Args:
        chat: makes the chat model of a name.

    Raises:
        InputError: an unknown name, a missing extra.
    """
    from overt import registry

    roles = []
    for name in names:
        judge: TextJudge | None = registry.find("overt.judges", name)
        if judge is not None:
            roles.append(JudgeRole(name, label=_bind(judge, policy)))
        else:
            roles.append(JudgeRole(name, chat=chat(name)))
    return tuple(roles)


def chat_model(spec: str, role: str, options: ModelOptions) -> ChatModel:
    """The chat model of a name, at the endpoint that its role has.

    Raises:
        InputError: an unknown name, a missing extra.
    """
    from overt.workers.load import load_chat_model

    url, key = endpoint_of(role, options)
    return load_chat_model(spec, options.workers, **_chat_options(spec, url, key, options))


def seeing_model(spec: str, role: str, options: ModelOptions, *, of: str) -> ChatModel:
    """The chat model of a name, for a role in which it is sent pictures.

    Args:
        of: the role in words, such as "judge of pictures", for the message.

    Raises:
        InputError: as `chat_model`; or the model sees no pictures.
    """
    model = chat_model(spec, role, options)
    if is_blind(model):
        why = str(getattr(model, "why_blind", "") or "its class says so")
        raise InputError(
            f"{without_keys(spec)} sees no pictures, so it cannot be the {of}: {why}",
            fix="Name a vision-language model, for instance hf/ with the folder of a Qwen2.5-VL and its "
            "processor's files, or openai/MODEL.",
        )
    return model


def endpoint_of(role: str, options: ModelOptions) -> tuple[str, str]:
    """The address of a role's models and the variable with their key; "" for the provider's own."""
    url = options.base_url.get(role, options.base_url.get("", ""))
    return url, options.api_key_env.get(role, options.api_key_env.get("", ""))


def _bind(judge: TextJudge, policy: Policy) -> Callable[[Prompt], Vote]:
    def label(prompt: Prompt) -> Vote:
        return judge.audit_text(policy, policy.category(prompt.category), prompt.judged_text)

    return label


def _chat_options(spec: str, url: str, key: str, options: ModelOptions) -> dict[str, object]:
    """The options that a provider understands; a vendor's own class is given none."""
    provider = provider_of(spec)
    if provider == "openai":
        found: dict[str, object] = {"timeout": options.timeout}
        if url:
            found["base_url"] = url
        if key:
            found["api_key_env"] = key
        return found
    if provider == "hf":
        return {
            "device": options.device,
            "batch_size": options.batch_size,
            "trust_remote_code": options.trust_remote_code,
        }
    return {}
