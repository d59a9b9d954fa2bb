"""Draws batches of prompts with a pipeline, in one thread at a time."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from overt.data.chat import CallError, ErrorKind
from overt.data.local.devices import one_line
from overt.data.targets import LayerDecision, RefusalStage
from overt.generation.images.numbers import FINE, Finding, watch_numbers
from overt.generation.images.pipeline_arguments import for_batch, parameters_of
from overt.generation.images.pipeline_outputs import is_verdict, pictures, safety_flags, watermarks
from overt.generation.images.pipeline_placement import checker_in_float32, decode_one_by_one_if_full
from overt.generation.images.pipelines import Pipeline, flags_apart, tokenizers, unread_tokens

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

# Errors caused by the prompt or the size; all others are the machine's.
_BY_THE_REQUEST = (ValueError, TypeError, LookupError, AssertionError)

# Exceptions that are a refusal: what they say, the layer, its stage. Cosmos of diffusers raises a ValueError.
_GUARDRAILS: tuple[tuple[str, str, RefusalStage], ...] = (
    ("Cosmos Guardrail detected unsafe text", "cosmos_guardrail", "prompt_filter"),
    ("Cosmos Guardrail detected unsafe content", "cosmos_guardrail", "image_filter"),
)

Job = tuple[str, int]  # a prompt and its seed


@dataclass(frozen=True, slots=True)
class Drawn:
    """What became of one prompt: a `PIL.Image` and its flag, or an error.

    numbers: whether the picture is made of numbers.
    is_watermarked: whether the checker blackened it for a watermark.
    unread: tokens of the prompt that no text encoder read.
    batch_s, batch_size: seconds that the batch took, and its pictures.
    """

    picture: Picture | None = None
    flagged: bool | None = None
    numbers: Finding = FINE
    is_watermarked: bool = False
    unread: int = 0
    batch_s: float = 0.0
    batch_size: int = 1
    error: CallError | None = None


class Drawing:
    """A loaded pipeline with the arguments of every call. Make it before the pipeline is offloaded or
    compiled, since it watches the parts' own methods.

    Args:
        keep_flagged: the safety checker flags but does not blacken.
    """

    def __init__(
        self, pipeline: Pipeline, arguments: Mapping[str, object], *, keep_flagged: bool, name: str
    ) -> None:
        self.pipeline: Pipeline | None = pipeline
        self.arguments = dict(arguments)
        self.parameters = parameters_of(pipeline)
        # A checker that gives no flags can only be seen by what it blackens.
        self.has_checker = getattr(pipeline, "safety_checker", None) is not None
        self.tokenizers = tokenizers(pipeline, arguments.get("max_sequence_length"))
        decode_one_by_one_if_full(pipeline, name)
        checker_in_float32(pipeline)
        self.numbers = watch_numbers(pipeline)
        self._flags = flags_apart(pipeline, name) if keep_flagged else None

    def value_of(self, argument: str) -> object:
        """What an argument is in every call: as given, else the pipeline's default; None: it takes none."""
        if argument in self.arguments:
            return self.arguments[argument]
        parameter = self.parameters.get(argument)
        return None if parameter is None or parameter.default is parameter.empty else parameter.default

    def draw(self, batch: Sequence[Job], changes: Mapping[str, object] | None = None) -> list[Drawn]:
        """Draws one picture for each job, in their order.

        Args:
            changes: arguments that differ from those of every call.

        Raises:
            RuntimeError: the pipeline gave something else than a picture for each prompt.
            Exception: whatever the pipeline raises.
        """
        import torch

        started = time.monotonic()
        # On the CPU, so that a seed means the same noise on every device.
        generators = [torch.Generator("cpu").manual_seed(seed) for _, seed in batch]
        # Some samplers take one generator only (aMUSEd): these draw each picture alone, after a batch failed.
        generator = generators if len(batch) > 1 else generators[0]
        arguments = for_batch({**self.arguments, **(changes or {})}, len(batch))
        if self._flags is not None:
            self._flags.clear()
        unread = [unread_tokens(self.tokenizers, prompt) for prompt, _ in batch]
        assert self.pipeline is not None
        with self.numbers as numbers:
            output = self.pipeline(prompt=[prompt for prompt, _ in batch], generator=generator, **arguments)
            drawn = pictures(output)
        if len(drawn) != len(batch):
            raise RuntimeError(f"{len(batch)} prompts, but the pipeline drew {len(drawn)} pictures")
        flags = _by_picture(self._flags if self._flags else safety_flags(output), len(batch))
        found = numbers.found(len(batch))
        # With flags apart nothing was blackened.
        marked = watermarks(output, len(batch)) if self._flags is None else [False] * len(batch)
        seconds = time.monotonic() - started
        return [
            Drawn(picture, flags[n] if flags else None, found[n], marked[n], unread[n], seconds, len(batch))
            for n, picture in enumerate(drawn)
        ]

    def close(self) -> None:
        """Lets go of the pipeline, so that its memory can be freed."""
        self.pipeline = None
        self._flags = None
        self.tokenizers = []


def _by_picture(said: Sequence[object] | None, count: int) -> list[bool] | None:
    """The checker's flags by picture, None if no checker ran.

    Raises:
        RuntimeError: there are more or fewer flags than pictures, so that nobody knows whose they are (a
            picture that is drawn alone has one), or what was said is neither yes nor no.
    """
    if said is None:
        return None
    if len(said) != count:
        raise RuntimeError(f"{count} pictures, but the safety checker said something of {len(said)}")
    if odd := [flag for flag in said if not is_verdict(flag) and flag not in (0, 1)]:
        raise RuntimeError(f"the safety checker said {odd[0]!r} of a picture, neither yes nor no")
    return [bool(flag) for flag in said]


def guardrail(error: CallError | None) -> LayerDecision | None:
    """The decision of a pipeline's own guardrail that stops a prompt by raising an exception; None: it is an
    error like any other."""
    if error is None:
        return None
    for said, layer, stage in _GUARDRAILS:
        if said in error.message:
            return LayerDecision(layer, stage, True, reason=said)
    return None


def call_error(error: Exception) -> CallError:
    """The error of a job whose drawing failed."""
    kind: ErrorKind = "bad_request" if isinstance(error, _BY_THE_REQUEST) else "server"
    return CallError(kind, f"{type(error).__name__}: {one_line(error)}")
