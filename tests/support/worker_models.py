"""Models of a user's own for tests of workers: they need no torch, so that a worker starts within a second.

What a prompt says is done: "die" kills the process that draws it, "once FILE" the first time only.
"""

from __future__ import annotations

import hashlib
import io
import os
import signal
from pathlib import Path

from PIL import Image

from overt.data.errors import InputError, OvertError
from overt.data.filters import FilterDecision
from overt.data.local.batches import Batches
from overt.data.local.memory import Room
from overt.data.targets import Response


class Unreadable(OvertError):
    """It can be sent, and not be made anew by whoever receives it."""

    def __init__(self) -> None:
        super().__init__("nobody sees this")

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return int, ("no number",)


def obey(text: str) -> None:
    """What a text says of the process that reads it."""
    if "die" in text:
        os.kill(os.getpid(), signal.SIGKILL)
    if "once " in text:
        file = Path(text.split("once ")[1])
        if not file.exists():
            file.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    if "unread" in text:
        raise Unreadable
    if "raise" in text:
        raise ValueError("as it was told")


class Painter:
    """A picture target that draws in batches, and writes down which prompts shared one."""

    modality = "image"

    def __init__(self, model: str, *, device: str | None = None, batch_size: int = 4, log: str = "") -> None:
        self.name = f"painter/{model}"
        self.batch_size, self.max_concurrency = batch_size, 2 * batch_size
        self.notes = ("It paints squares.",)
        self.facts = {"paints": "squares"}
        self.blank_is_refusal = False
        self._log = log
        self._batches = Batches(self._draw, room=Room(self.name, batch_size), name="painter", is_steady=True)
        if model == "broken":
            raise InputError("this model cannot be loaded", fix="Take another.")
        if model == "deadly":
            print("about to end", file=os.sys.stderr)  # type: ignore[attr-defined]
            os._exit(7)

    async def respond(self, prompt: str, *, seed: int) -> Response:
        data, size = await self._batches((prompt, seed))
        return Response(images=(data,), seed=seed, batch_size=size)

    async def close(self) -> None:
        await self._batches.close()

    def _draw(self, jobs: list[tuple[str, int]]) -> list[tuple[bytes, int]]:
        if self._log:
            with open(self._log, "a", encoding="utf-8") as file:
                file.write(f"{os.getpid()}\t{'|'.join(prompt for prompt, _ in jobs)}\n")
        for prompt, _ in jobs:
            obey(prompt)
        return [(square(prompt, seed), len(jobs)) for prompt, seed in jobs]


def square(prompt: str, seed: int) -> bytes:
    """A PNG that the prompt and the seed decide."""
    digest = hashlib.blake2b(f"{prompt}/{seed}".encode(), digest_size=48).digest()
    file = io.BytesIO()
    Image.frombytes("RGB", (4, 4), digest).resize((64, 64), Image.Resampling.NEAREST).save(file, "PNG")
    return file.getvalue()


class Watcher:
    """A checker that blocks pictures whose first pixel is dark."""

    def __init__(self, model: str = "", *, device: str | None = None) -> None:
        self.name = f"watcher/{model}"
        self.covers = "all"

    def check(self, image: Image.Image, prompt: str) -> FilterDecision:
        return self.check_many([image], [prompt])[0]

    def check_many(self, images: list[Image.Image], prompts: list[str]) -> list[FilterDecision]:
        for prompt in prompts:
            obey(prompt)
        return [_decision(image.getpixel((0, 0))[0]) for image in images]  # type: ignore[index]


class Reader:
    """A text filter that blocks texts with a "b"."""

    def __init__(self, model: str = "", *, device: str | None = None) -> None:
        self.name = f"reader/{model}"

    def decide(self, text: str) -> FilterDecision:
        obey(text)
        return FilterDecision("b" in text, float("b" in text))


def _decision(level: int) -> FilterDecision:
    return FilterDecision(level < 64, 1 - level / 255, f"level {level} in {os.getpid() > 0}")
