"""Watches what comes out of a pipeline's decoder, before it is rounded to 0..255: there NaN becomes black.

Half precision overflows in the decoders of several models, and a picture of NaN looks like a checker's work.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from overt.generation.images.pipelines import Pipeline

_CAST = "invalid value encountered in cast"  # numpy's warning where NaN becomes a whole number


def watch_numbers(pipeline: Pipeline) -> Numbers:
    """Returns the watch of a pipeline's decoders; it looks on between `__enter__` and `__exit__`."""
    import torch

    numbers = Numbers()
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module) and callable(getattr(part, "decode", None)):
            # On the object: offloading and tiling work inside of its own method.
            part.decode = _watched(part.decode, numbers)  # type: ignore[assignment, arg-type]
    return numbers


class Numbers:
    """Whether the pictures of one batch are finite.

    A decoder's output tells it by picture. Where none was seen decoding (a pipeline that draws pixels, a
    decoder of another kind) numpy's warning tells it of the batch as a whole.
    """

    def __init__(self) -> None:
        self._rows: list[bool] = []
        self._warned = False
        self._catching: warnings.catch_warnings[list[warnings.WarningMessage]] | None = None
        self._caught: list[warnings.WarningMessage] = []

    def __enter__(self) -> Numbers:
        self._rows, self._warned = [], False
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

    def add(self, output: Any) -> None:
        """Takes in what a decoder gave: a tensor, or a tuple or record that holds it first."""
        import torch

        tensor = getattr(output, "sample", output)
        tensor = tensor[0] if isinstance(tensor, (tuple, list)) and tensor else tensor
        if torch.is_tensor(tensor) and tensor.dim() > 0 and tensor.is_floating_point():
            rows = torch.isfinite(tensor).flatten(1) if tensor.dim() > 1 else torch.isfinite(tensor)[None]
            self._rows += [bool(row) for row in rows.all(dim=1).tolist()]

    def finite(self, count: int) -> list[bool]:
        """Returns for each of `count` pictures whether it is finite.

        Raises:
            ArithmeticError: some picture of several is not, and cannot be told from the others; drawn alone
                it can.
        """
        if len(self._rows) == count:
            return list(self._rows)
        are_finite = all(self._rows) if self._rows else not self._warned
        if not are_finite and count > 1:
            raise ArithmeticError("NaN or infinity in one of several pictures")
        return [are_finite] * count


def _watched(decode: Callable[..., Any], numbers: Numbers) -> Callable[..., Any]:
    @functools.wraps(decode)
    def watched(*args: Any, **more: Any) -> Any:
        output = decode(*args, **more)
        numbers.add(output)
        return output

    return watched
