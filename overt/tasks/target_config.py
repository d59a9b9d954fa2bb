"""Options of commands that ask targets: which, what stands around them, how they are reached, who judges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from overt.tasks.config import CALLS, ModelConfig, Option, Timeout
from overt.tasks.targets import TargetOptions

TARGET = "What is tested"
TEXT = "Language models"


class TargetConfig(ModelConfig):
    """What `overt run` and `overt try` have in common."""

    roles: ClassVar[frozenset[str]] = frozenset({"target", "judge"})

    target: Annotated[
        tuple[str, ...],
        Option(
            "provider/model, filter/NAME, guarded/PRODUCT.yaml, http/MODEL.yaml, or your own "
            "module:Class. Repeatable.",
            TARGET,
            decides="content",
            completes="target",
        ),
    ] = ()
    picture: Annotated[
        tuple[str, ...],
        Option(
            "A picture, or a folder of pictures, for targets that edit: each prompt that carries none is "
            "given one. A prompt and its twin get the same. Repeatable.",
            TARGET,
            metavar="FILE|FOLDER",
            decides="value",
            is_source=True,
        ),
    ] = ()
    filter: Annotated[
        tuple[str, ...],
        Option(
            "A text filter in front of every target, such as filter/better-profanity. Repeatable.",
            TARGET,
            metavar="NAME",
            decides="content",
            completes="filter",
        ),
    ] = ()
    checker: Annotated[
        tuple[str, ...],
        Option(
            "An image checker behind every target, such as checker/nudenet. Repeatable.",
            TARGET,
            metavar="NAME",
            decides="content",
            completes="checker",
        ),
    ] = ()
    every_layer: Annotated[
        bool,
        Option(
            "Let each layer decide even where an earlier one said no, so that the report can say what "
            "each one adds. Costs more calls.",
            TARGET,
            decides="value",
        ),
    ] = False
    seed: Annotated[int, Option("Seed of every draw.", TARGET, decides="value")] = 0
    device: Annotated[str | None, Option("Device of local models: cuda, mps, cpu.", TARGET)] = None
    batch_size: Annotated[int | None, Option("Batch of local models.", TARGET, min=1, max=1024)] = None
    trust_remote_code: Annotated[bool, Option("Run code that a model's repo brings.", TARGET)] = False
    judge: Annotated[
        str | None,
        Option(
            "Who tells refusals in words: judge/rules or judge/PROVIDER/MODEL. "
            "Default: the suite's own, else judge/rules.",
            TEXT,
            decides="value",
            completes="judge",
        ),
    ] = None
    system: Annotated[str, Option("File with a system prompt.", TEXT, decides="value", reads="text")] = ""
    max_tokens: Annotated[int, Option("Longest answer, in tokens.", TEXT, min=1, decides="value")] = 512
    temperature: Annotated[float, Option("", TEXT, min=0.0, max=2.0, decides="value")] = 0.0
    both: Annotated[
        bool,
        Option(
            "Models with refusal tokens answer each prompt behind respond and behind refuse, for the whole "
            "curve of one run.",
            TEXT,
            decides="value",
        ),
    ] = False
    base_url: Annotated[
        tuple[str, ...],
        Option(
            "Where the API stands; a role is target or judge. For one target alone: NAME?base_url=URL.",
            CALLS,
            metavar="[ROLE=]URL",
        ),
    ] = ()
    api_key_env: Annotated[
        tuple[str, ...],
        Option(
            "Environment variable that holds the key. For one target alone: NAME?api_key_env=NAME.",
            CALLS,
            metavar="[ROLE=]NAME",
        ),
    ] = ()
    timeout: Timeout = 180.0

    @property
    def asked(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The targets, and the filters in front of them: without a target the last filter is it."""
        if not self.target and self.filter:
            return self.filter[-1:], self.filter[:-1]
        return self.target, self.filter

    def targets(self, addresses: Mapping[str, Mapping[str, str]]) -> TargetOptions:
        url, key = (by.get("target", by.get("")) for by in (addresses["base_url"], addresses["api_key_env"]))
        return TargetOptions(
            url,
            key,
            self.device,
            self.batch_size,
            self.trust_remote_code,
            self.timeout,
            self.concurrency,
            self.system,
            self.max_tokens,
            self.temperature,
            self.workers,
            self.both,
        )
