"""NVIDIA GPUs as their driver's library NVML tells of them: which there are, what they draw.

It is read through `pynvml` (extra `power`), which is imported when a driver is opened. By NVIDIA's reference
of its API (docs.nvidia.com/deploy/nvml-api, device queries):

- The power is that of the whole board, in milliwatts. On Ampere and later it is the mean of the last second;
  on GA100 (A100) and older GPUs it is what is drawn at that moment. The sensor of A100 and H100 looks at a
  quarter of the time (arXiv 2312.02741), so a short peak may be in no reading.
- The counter of energy, of Volta and later, counts millijoules since the driver was loaded, so it begins
  again when that is loaded anew. It moves in steps of some 10 ms or more.
- Both are read of the physical GPU, not of an instance of MIG.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType

from overt.data.plugins.install import how_to_install

_NO_DRIVER = "this machine has no NVIDIA driver that is at work"
# By what NVML calls an error, in words.
_WORDS = {
    "NVMLError_LibraryNotFound": _NO_DRIVER,
    "NVMLError_DriverNotLoaded": _NO_DRIVER,
    "NVMLError_LibRmVersionMismatch": "the NVIDIA driver was updated, and the machine was not started anew",
    "NVMLError_NoPermission": "this user may not read it",
    "NVMLError_NotSupported": "its driver gives no such readings",
    "NVMLError_FunctionNotFound": "its driver is too old for such readings",
    "NVMLError_GpuIsLost": "the driver lost it",
    "NVMLError_ResetRequired": "the driver wants it to be reset",
    "NVMLError_GpuNotFound": "the driver does not find it any more",
}
_FOR_GOOD = frozenset({"NVMLError_NotSupported", "NVMLError_FunctionNotFound", "NVMLError_NoPermission"})
_LOST = frozenset({"NVMLError_GpuIsLost", "NVMLError_ResetRequired", "NVMLError_GpuNotFound"})


class Unread(Exception):
    """A reading that there is not. why: in words. for_good: there is never one. is_lost: the GPU is gone."""

    def __init__(self, why: str, *, for_good: bool = False, is_lost: bool = False) -> None:
        super().__init__(why)
        self.why, self.for_good, self.is_lost = why, for_good, is_lost


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """A GPU that this process may use.

    index: as nvidia-smi counts. handle: NVML's. is_divided: whether MIG divides it. instances: the UUIDs
        of the parts.
    """

    index: int
    name: str
    uuid: str
    handle: object = None
    is_divided: bool = False
    instances: tuple[str, ...] = ()


class Driver:
    """NVML, opened. It is used in one thread.

    Raises:
        Unread: the package or the driver is not there.
    """

    def __init__(self) -> None:
        try:
            import pynvml
        except ImportError:
            raise Unread(
                "the package that reads the power of NVIDIA GPUs is not installed "
                f"({how_to_install('pynvml')})"
            ) from None
        self._nvml: ModuleType = pynvml
        self._ask("nvmlInit")

    def gpus(self) -> list[Gpu]:
        """The GPUs in the order of nvidia-smi, without those that this user may not use or that are lost:
        CUDA does not count them either.

        Raises:
            Unread: there is none.
        """
        found: list[Gpu] = []
        why = "the NVIDIA driver finds no GPU"
        for index in range(self._number("nvmlDeviceGetCount")):
            try:
                found.append(self._gpu(index))
            except Unread as error:
                why = f"GPU {index} cannot be read: {error.why}"
        if not found:
            raise Unread(why)
        return found

    def _gpu(self, index: int) -> Gpu:
        handle = self._ask("nvmlDeviceGetHandleByIndex", index)
        divided, instances = False, list[str]()
        with contextlib.suppress(Unread):  # most GPUs do not know of MIG
            mode = self._ask("nvmlDeviceGetMigMode", handle)
            divided = isinstance(mode, list) and bool(mode and mode[0] == 1)
            most = self._number("nvmlDeviceGetMaxMigDeviceCount", handle) if divided else 0
            for number in range(most):
                with contextlib.suppress(Unread):  # numbers without an instance
                    part = self._ask("nvmlDeviceGetMigDeviceHandleByIndex", handle, number)
                    instances.append(self._text("nvmlDeviceGetUUID", part))
        return Gpu(
            index=index,
            name=self._text("nvmlDeviceGetName", handle),
            uuid=self._text("nvmlDeviceGetUUID", handle),
            handle=handle,
            is_divided=divided,
            instances=tuple(instances),
        )

    def watts(self, gpu: Gpu) -> float:
        """What a GPU draws.

        Raises:
            Unread: it cannot be read.
        """
        return self._number("nvmlDeviceGetPowerUsage", gpu.handle) / 1000

    def joules(self, gpu: Gpu) -> float:
        """A GPU's counter of energy.

        Raises:
            Unread: it cannot be read.
        """
        return self._number("nvmlDeviceGetTotalEnergyConsumption", gpu.handle) / 1000

    def limit(self, gpu: Gpu) -> float | None:
        """The most watts that a GPU may draw now; None where this cannot be read."""
        try:
            return self._number("nvmlDeviceGetEnforcedPowerLimit", gpu.handle) / 1000
        except Unread:
            return None

    def close(self) -> None:
        """Lets go of NVML."""
        with contextlib.suppress(Unread):
            self._ask("nvmlShutdown")

    def _number(self, function: str, *arguments: object) -> int:
        found = self._ask(function, *arguments)
        if not isinstance(found, int):
            raise Unread(f"NVML's {function} gives {found!r}")
        return found

    def _text(self, function: str, *arguments: object) -> str:
        found = self._ask(function, *arguments)
        return found.decode(errors="replace") if isinstance(found, bytes) else str(found)  # of older pynvml

    def _ask(self, function: str, *arguments: object) -> object:
        """What a function of NVML gives.

        Raises:
            Unread: an error of NVML, in words.
        """
        try:
            found: object = getattr(self._nvml, function)(*arguments)
        except self._nvml.NVMLError as error:
            name = type(error).__name__
            why = _WORDS.get(name, f"NVML says {str(error)!r}")
            raise Unread(why, for_good=name in _FOR_GOOD, is_lost=name in _LOST) from None
        return found


# -- which of them a model uses ------------------------------------------------------------------------------

_UNORDERED = (
    "CUDA counts the different GPUs of this machine by their speed, so it is not known which one was used, "
    "and all are measured; with CUDA_DEVICE_ORDER=PCI_BUS_ID it is known"
)


def used(
    gpus: Sequence[Gpu], device: str, workers: int, environment: Mapping[str, str]
) -> tuple[list[Gpu], str]:
    """The GPUs that models on a device use, and a note where this cannot be told.

    Args:
        gpus: all of this machine, as nvidia-smi counts.
        device: as torch names it: "cuda" (the first one), "cuda:1", "auto" (all).
        workers: of a crew, each of which has a GPU of its own as long as there are some; 0 for this process.
        environment: CUDA_VISIBLE_DEVICES says which are visible and in which order, by numbers, by UUIDs or
            their beginnings, or by UUIDs of instances. CUDA_DEVICE_ORDER says how CUDA numbers them
            (CUDA Programming Guide, environment variables).
    """
    said = environment.get("CUDA_VISIBLE_DEVICES")
    seen = _visible(gpus, said)
    number = re.fullmatch(r"cuda(?::(\d+))?", device)
    place = int(number[1] or 0) if number and not workers else None
    chosen = seen if place is None else seen[place : place + 1]
    if workers:
        chosen = seen[:workers]
    is_by_number = said is None or bool(re.search(r"(^|,)\s*\d", said))
    if not is_by_number or environment.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID":
        return chosen, ""
    # Equal GPUs are numbered by their places. Of all of them the order does not matter.
    if len({gpu.name for gpu in gpus}) == 1 or len(chosen) == len(gpus):
        return chosen, ""
    return list(gpus), _UNORDERED


def _visible(gpus: Sequence[Gpu], said: str | None) -> list[Gpu]:
    """The GPUs that CUDA shows, in its order. The first name that means none ends the list, as in CUDA."""
    if said is None:
        return list(gpus)
    found: list[Gpu] = []
    for name in said.split(","):
        gpu = _named(gpus, name.strip())
        if gpu is None:
            break
        if gpu not in found:  # of two instances of one GPU
            found.append(gpu)
    return found


def _named(gpus: Sequence[Gpu], name: str) -> Gpu | None:
    """The GPU of a number, a UUID or its beginning, or an instance: MIG-UUID, or MIG-GPU-UUID/1/0 of older
    drivers."""
    if name.isdecimal():
        return gpus[int(name)] if int(name) < len(gpus) else None
    if old := re.fullmatch(r"MIG-(GPU-[^/]+)/.*", name):
        name = old[1]
    if not name.startswith(("GPU-", "MIG-")):
        return None
    same = [g for g in gpus if any(uuid.startswith(name) for uuid in (g.uuid, *g.instances))]
    return same[0] if len(same) == 1 else None
