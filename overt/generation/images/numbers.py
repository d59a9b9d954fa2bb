"""Watches what comes out of a pipeline's models before it is rounded to 0..255: there NaN becomes black.

Half precision overflows in the decoders of several models, and a picture of NaN looks like a checker's work.
What a decoder spoils in half precision is decoded once more in float32; only that picture, so that a picture
depends on nothing but its prompt and its seed. (Some pipelines do the same for every picture: SDXL's
`force_upcast`. Stable Diffusion 1 and 2, Kandinsky and others have nothing of the kind.)
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from overt.data.local.memory import out_of_memory
from overt.generation.images.pipelines import Pipeline, models_of

if TYPE_CHECKING:
    import torch

_CAST = "invalid value encountered in cast"  # numpy's warning where NaN becomes a whole number
# The parts that draw where nothing decodes (DeepFloyd IF draws pixels), and what a decoder gets from.
DRAWS = ("unet", "transformer", "decoder", "super_res")


@dataclass(frozen=True, slots=True)
class Finding:
    """What was seen of one picture's numbers.

    is_finite: no NaN and no infinity came out of the last model.
    was_decoded_again: half precision overflowed in the decoder, and float32 gave this picture.
    """

    is_finite: bool = True
    was_decoded_again: bool = False


FINE = Finding()


def watch_numbers(pipeline: Pipeline) -> Numbers:
    """Returns the watch of a pipeline's models; it looks on between `__enter__` and `__exit__`.

    Call it once, before a part is compiled or offloaded: both work inside of the methods that are watched.
    """
    numbers = Numbers()
    parts = models_of(pipeline)
    decoders = [part for part in parts.values() if callable(getattr(part, "decode", None))]
    for decoder in decoders:
        # On the object: offloading, slicing and tiling work inside of its own method.
        decoder.decode = _watched(decoder, decoder.decode, numbers)
    if not decoders:  # elsewhere it would only be in the way of compiling
        # A pipeline of one's own may call the model that draws anything.
        others = [name for name in parts if "encoder" not in name and name != "safety_checker"]
        for name in [name for name in parts if name.startswith(DRAWS)] or others:
            parts[name].register_forward_hook(functools.partial(_seen, numbers))
    return numbers


class Numbers:
    """Whether the pictures of one batch are finite.

    A decoder's input and output tell it by picture. Where none was seen decoding (a pipeline that draws
    pixels) the last output of the model that draws and numpy's warning tell it of the batch as a whole.
    """

    def __init__(self) -> None:
        self.latents: list[torch.Tensor] | None = None  # a list keeps what the decoders get
        self._rows: list[Finding] = []
        self._last: dict[int, torch.Tensor] = {}  # by model: whether its last output was finite
        self._warned = False
        self._catching: warnings.catch_warnings[list[warnings.WarningMessage]] | None = None
        self._caught: list[warnings.WarningMessage] = []

    def __enter__(self) -> Numbers:
        self._rows, self._last, self._warned = [], {}, False
        self._catching = warnings.catch_warnings(record=True)
        caught = self._catching.__enter__()
        self._caught = [] if caught is None else caught
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", message=_CAST, category=RuntimeWarning)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._warned = any(_CAST in str(one.message) for one in self._caught)
        if self._catching is not None:
            self._catching.__exit__(kind, error, trace)
        self._catching, self._caught = None, []

    def add(self, findings: list[Finding], source: Any) -> None:
        """Takes in what a decoder gave, by picture, and what it got."""
        self._rows += findings
        if self.latents is not None:
            self.latents += [t.detach().float().cpu() for t in _listed(source) if hasattr(t, "detach")]

    def last_output(self, model: object, is_finite: torch.Tensor) -> None:
        """Takes in whether the last output of a model that draws was finite; of its outputs before only the
        last counts. A tensor, since reading it would halt the device at every step."""
        self._last[id(model)] = is_finite

    def found(self, count: int) -> list[Finding]:
        """Returns the finding of each of `count` pictures.

        Raises:
            ArithmeticError: some picture of several is not finite and cannot be told from the others; drawn
                alone it can.
        """
        as_a_whole = not self._warned
        if not self._rows:
            as_a_whole = as_a_whole and all(bool(one) for one in self._last.values())
        elif len(self._rows) == count and (as_a_whole or not all(row.is_finite for row in self._rows)):
            return list(self._rows)
        are_finite = as_a_whole and all(row.is_finite for row in self._rows)
        if not are_finite and count > 1:
            raise ArithmeticError("NaN or infinity in one of several pictures")
        return [Finding(are_finite, any(row.was_decoded_again for row in self._rows))] * count


# -- decoders ------------------------------------------------------------------------------------------------


def _watched(part: torch.nn.Module, decode: Callable[..., Any], numbers: Numbers) -> Callable[..., Any]:
    @functools.wraps(decode)
    def watched(*args: Any, **more: Any) -> Any:
        output = decode(*args, **more)
        pictures = _pictures(output)
        if not pictures:
            return output
        # A decoder can hide what it gets: a codebook has a finite neighbour for NaN as well.
        source = args[0] if args else more.get("z", more.get("latents", next(iter(more.values()), None)))
        sources = _finite_rows(source, len(pictures))
        finite = [_is_finite(picture) for picture in pictures]
        again = [False] * len(pictures)
        for n, picture in enumerate(pictures):
            if finite[n] or not sources[n]:
                continue
            better = _decode_again(part, decode, args, more, n, len(pictures))
            if better is not None:
                picture.copy_(better)
                finite[n] = again[n] = True
        found = zip(finite, sources, again, strict=True)
        numbers.add([Finding(out and into, anew) for out, into, anew in found], source)
        return output

    return watched


def _pictures(output: Any) -> list[torch.Tensor]:
    """A decoder's output by picture, whatever holds it: a tensor (batch first), a tuple or record with it."""
    import torch

    held = getattr(output, "sample", output)
    if isinstance(held, (tuple, list)):
        tensors = [one for one in held if torch.is_tensor(one) and one.is_floating_point()]
        if len(tensors) > 1 and len(tensors) == len(held) and all(one.dim() == 3 for one in tensors):
            return tensors
        held = held[0] if held else None
    if not torch.is_tensor(held) or held.dim() == 0 or not held.is_floating_point():
        return []
    return list(held) if held.dim() > 3 else [held]


def _listed(source: Any) -> list[Any]:
    """A decoder's input by picture."""
    import torch

    by_picture = isinstance(source, (tuple, list)) or (torch.is_tensor(source) and source.dim() > 3)
    return list(source) if by_picture else [source]


def _finite_rows(source: Any, count: int) -> list[bool]:
    """Whether a decoder's input is finite, by picture."""
    said = [_is_finite(row) for row in _listed(source)]
    return said if len(said) == count else [all(said)] * count


def _is_finite(tensor: Any) -> bool:
    import torch

    if not torch.is_tensor(tensor) or not tensor.is_floating_point():
        return True
    return bool(torch.isfinite(tensor).all())


def _decode_again(
    part: torch.nn.Module,
    decode: Callable[..., Any],
    args: tuple[Any, ...],
    more: dict[str, Any],
    number: int,
    count: int,
) -> torch.Tensor | None:
    """One picture of a batch decoded in float32; None if that does not help, or if the decoder is not in half
    precision. The decoder is left as it was: half precision -> float32 -> half precision changes no weight.
    """
    import torch

    kind = next((p.dtype for p in part.parameters() if p.is_floating_point()), torch.float32)
    if kind not in (torch.float16, torch.bfloat16):
        return None
    alone = [_row(value, number, count) for value in args]
    named = {key: _row(value, number, count) for key, value in more.items()}
    try:
        try:
            part.to(torch.float32)
            found = _pictures(decode(*alone, **named))
        finally:
            part.to(kind)
    except (RuntimeError, ValueError, NotImplementedError) as error:
        if out_of_memory(error):  # a smaller batch leaves room for it
            raise
        return None  # quantised, or its weights lie elsewhere
    return found[0] if len(found) == 1 and _is_finite(found[0]) else None


def _row(value: Any, number: int, count: int) -> Any:
    """An argument of a decoder for one picture of a batch, in float32."""
    import torch

    if torch.is_tensor(value):
        if value.dim() > 0 and len(value) == count:
            value = value[number : number + 1]
        return value.float() if value.is_floating_point() else value
    if isinstance(value, (list, tuple)) and len(value) == count:
        return type(value)([_row(value[number], 0, 0)])
    return value


# -- pipelines without a decoder -----------------------------------------------------------------------------


def _seen(numbers: Numbers, model: torch.nn.Module, _: object, output: Any) -> None:
    import torch

    held = getattr(output, "sample", output)
    held = held[0] if isinstance(held, (tuple, list)) and held else held
    if torch.is_tensor(held) and held.is_floating_point():
        numbers.last_output(model, torch.isfinite(held).all())
