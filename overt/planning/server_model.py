"""What a server draws and how fast it is: by the tokens of its prompts, its batch and its clock.

The measured part is BLOOM-176B on eight A100-80GB with tensor parallelism (Mutinifni/splitwise-sim, MIT,
data/perf_model.csv: means of five runs that write 128 tokens). Power is a share of the GPUs' TDP; the table
does not say so, but no other unit gives numbers below 1.03. Its column `peak_power` is taken for the draw of
the prompt phase. Whether `average_power` is the mean of the token phase or of the whole run is not said;
`prompt_in_average` is how much of the prompt phase, at its peak, it holds. Several prompts that are read
together take as long, and draw as much, as one of their length (in it 4 x 512 as 2048, 16 x 512 as 8192).

The table has one clock only. How power and speed follow the clock is assumed:

    GPU power = idle + (power at the top clock - idle) * (MHz / top MHz) ** power_exponent
    time      = time at the top clock * (top MHz / MHz) ** exponent of the phase
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

# BLOOM-176B, batch of 1, by tokens of the prompt: shares of the TDP, milliseconds.
PROMPT_TOKENS = (128, 256, 512, 1024, 2048, 4096, 8192)
PROMPT_POWER = (0.691, 0.723, 0.876, 1.007, 1.021, 1.016, 1.026)
TOKEN_POWER = (0.637, 0.636, 0.635, 0.624, 0.614, 0.581, 0.544)
PROMPT_MS = (77.3, 99.2, 173.9, 289.7, 540.2, 1354.9, 3601.7)
TOKEN_MS = (47.6, 47.8, 48.8, 48.8, 49.3, 50.1, 51.4)
# The same with prompts of 512 tokens, by the batch.
BATCH = (1, 2, 4, 8, 16)
BATCH_PROMPT = 512  # tokens of each prompt
BATCH_TOKEN_POWER = (0.635, 0.630, 0.632, 0.643, 0.656)
BATCH_TOKEN_MS = (48.8, 50.1, 51.0, 52.9, 57.3)

WRITTEN = 128  # tokens of the answers in all of these

MOST_TOKENS = 16384  # beyond, a prompt counts as that long
MOST_SLOTS = BATCH[-1]  # beyond, no power was measured


@dataclass(frozen=True, slots=True)
class AtFrequency:
    """The tables of one clock; lists, since the simulation reads single numbers of them.

    By tokens (index 0..MOST_TOKENS): `prompt_s` seconds and `prompt_w` watts of reading, `token_s` seconds a
    token and `token_w` watts of writing in a batch of one above `token_base_w`. By batch: `batch_s` and
    `batch_w`, the factors of these.
    """

    mhz: float
    idle_w: float
    prompt_s: list[float]
    prompt_w: list[float]
    token_s: list[float]
    token_w: list[float]
    token_base_w: float
    batch_s: list[float]
    batch_w: list[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerModel:
    """A server with `gpus` GPUs of `tdp_w` watts; everything else in it draws `other_w`, whatever it does.

    Defaults: DGX-A100 (arXiv 2308.12908: 6.5 kW rated, at most 5.7 kW seen, a GPU idles at about 20% of its
    TDP; `other_w` is what remains of 5.7 kW where all GPUs read long prompts).
    """

    gpus: int = 8
    tdp_w: float = 400.0
    other_w: float = 2417.0
    idle_share: float = 0.2
    top_mhz: float = 1410.0
    slots: int = 1
    power_exponent: float = 1.2
    prompt_exponent: float = 0.75
    token_exponent: float = 0.2
    prompt_in_average: float = 0.0

    @property
    def at_top(self) -> ServerModel:
        """The same server where its clock never changes, so that the exponents do not matter."""
        return replace(self, power_exponent=0.0, prompt_exponent=0.0, token_exponent=0.0)

    def at(self, mhz: float) -> AtFrequency:
        """The tables of one clock, made once."""
        return _tables(self, mhz)


@lru_cache(maxsize=64)
def _tables(model: ServerModel, mhz: float) -> AtFrequency:
    clock = mhz / model.top_mhz
    dynamic = clock**model.power_exponent
    gpu_w = model.gpus * model.tdp_w
    idle_w = model.other_w + gpu_w * model.idle_share
    tokens = np.arange(MOST_TOKENS + 1)
    slower = clock**-model.prompt_exponent / 1000
    prompt_ms = np.interp(tokens, PROMPT_TOKENS, PROMPT_MS)
    last = (PROMPT_MS[-1] - PROMPT_MS[-2]) / (PROMPT_TOKENS[-1] - PROMPT_TOKENS[-2])
    prompt_ms += np.maximum(0, tokens - PROMPT_TOKENS[-1]) * last  # as between the last two
    prompt = np.interp(tokens, PROMPT_TOKENS, PROMPT_POWER)
    writing = np.interp(tokens, PROMPT_TOKENS, _token_power(model, PROMPT_TOKENS, TOKEN_POWER, TOKEN_MS))
    batch = np.arange(MOST_SLOTS + 1)
    read_together = [BATCH_PROMPT * count for count in BATCH]
    batch_power = _token_power(model, read_together, BATCH_TOKEN_POWER, BATCH_TOKEN_MS)
    return AtFrequency(
        mhz,
        idle_w,
        (prompt_ms * slower).tolist(),
        (idle_w + gpu_w * dynamic * (prompt - model.idle_share)).tolist(),
        (np.interp(tokens, PROMPT_TOKENS, TOKEN_MS) * clock**-model.token_exponent / 1000).tolist(),
        (gpu_w * dynamic * writing).tolist(),
        idle_w - gpu_w * dynamic * model.idle_share,
        (np.interp(batch, BATCH, BATCH_TOKEN_MS) / BATCH_TOKEN_MS[0]).tolist(),
        (np.interp(batch, BATCH, batch_power) / batch_power[0]).tolist(),
    )


def _token_power(
    model: ServerModel, tokens: Sequence[int], average: Sequence[float], token_ms: Sequence[float]
) -> NDArray[np.float64]:
    """What the token phase draws where the average of the table holds a part of the prompt phase, after so
    many tokens of prompts: shares of the TDP, not below idling."""
    read_ms, read_power = (np.interp(tokens, PROMPT_TOKENS, row) for row in (PROMPT_MS, PROMPT_POWER))
    held_ms = model.prompt_in_average * read_ms
    written_ms = WRITTEN * np.asarray(token_ms)
    power = np.asarray(average) + held_ms * (np.asarray(average) - read_power) / written_ms
    least: NDArray[np.float64] = np.maximum(power, model.idle_share)
    return least
