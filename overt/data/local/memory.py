"""Memory of devices that runs out: how its errors read, how it is freed, and how many items fit at once."""

from __future__ import annotations

import logging

# Pieces of messages, in lower case, as libraries word them. Sources: issues of pytorch (112377 and 185240
# for NVML, 175431 for HIP), of users of cuBLAS (QwenLM/Qwen3 873) and cuDNN (haotian-liu/LLaVA 392).
_WORDINGS = (
    "out of memory",  # CUDA, HIP, MPS, XPU, NCCL, "CUDA driver error: out of memory"
    "out_of_memory",  # cudaErrorOutOfMemory, UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY
    "outofmemory",
    "out_of_device_memory",
    "out_of_resources",  # Level Zero
    "memoryallocation",  # cudaErrorMemoryAllocation
    "alloc_failed",  # CUBLAS_, CUDNN_, CUSOLVER_, CUSPARSE_STATUS_ALLOC_FAILED
    "allocation_failed",  # CUDNN_STATUS_SUBLIBRARY_ALLOCATION_FAILED
    "can't allocate memory",
    "cannot allocate memory",  # Errno 12
    "failed to allocate",
    "unable to allocate",  # NumPy
    "not enough memory",
    "bad_alloc",
    "unable to find an engine",  # cuDNN: no algorithm fits the memory that is left
    "nvml_success == r internal assert",  # the allocator, while it words its own error
    "invalid buffer size",  # MPS
)
# These have other causes as well; they count if the device is nearly full.
_DOUBTFUL = ("status_not_initialized", "status_internal_error", "status_execution_failed", "launch failure")
_NEARLY_FULL = 0.05
_KINDS = (RuntimeError, MemoryError, OSError)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error, or one that it was raised from, means that the device's or the machine's memory is
    full."""
    seen: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in seen:
        if _is_full(at):
            return True
        seen.append(at)
        at = at.__cause__ or at.__context__
    return False


def _is_full(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if not isinstance(error, _KINDS):
        return False
    said = str(error).lower()
    return any(wording in said for wording in _WORDINGS) or (
        any(wording in said for wording in _DOUBTFUL) and _is_nearly_full()
    )


def _is_nearly_full() -> bool:
    import torch

    if not torch.cuda.is_available():
        return False
    try:
        free, total = torch.cuda.mem_get_info()
    except RuntimeError:  # the device does not even answer this
        return True
    return free < _NEARLY_FULL * total


def free_memory() -> None:
    """Frees unused memory. Call it after the error is released, since its traceback holds memory."""
    import gc

    import torch

    gc.collect()
    for device in (torch.cuda, torch.mps, torch.xpu):
        if device.is_available():
            device.empty_cache()


class Room:
    """How many items a model takes at once. It shrinks for good when the memory runs out, and says so.

    Args:
        name: the model as the user wrote it.
        size: the most items of a batch, at least 1.
    """

    def __init__(self, name: str, size: int) -> None:
        self.name, self.size = name, size
        self._known = size  # what was told so far

    def shrink(self, failed: int) -> None:
        """Takes half of a batch of `failed` items that did not fit, for now."""
        self.size = max(1, min(self.size, failed // 2))

    def fitted(self) -> None:
        """A batch fits: the size that was found is kept, and told."""
        if self.size < self._known:
            self._known = self.size
            logging.getLogger("overt").warning(
                "%s: out of memory, at most %d at once from now on", self.name, self.size
            )

    def one_did_not(self) -> None:
        """An item does not fit even alone, so the batches before it were not too large."""
        self.size = self._known
