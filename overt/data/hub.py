"""The Hugging Face Hub, asked politely: from the cache first, and a Hub that is away is known in seconds."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading
import urllib.parse
import warnings
from collections.abc import Iterator
from pathlib import Path

from overt.data.errors import InputError

PATIENCE = 3.0  # seconds until a silent Hub counts as away
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


class NotCached(Exception):
    """The Hub's cache on this machine does not hold it."""


def is_hub_id(text: str) -> bool:
    """Whether this looks like `org/name`."""
    return _HUB_ID.fullmatch(text) is not None


def hub_answers(patience: float = PATIENCE) -> tuple[bool, str]:
    """Whether the Hub answers within `patience` seconds; if not, why, in words.

    Asked in a thread: a name look-up on a half-dead network takes no timeout.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return False, "HF_HUB_OFFLINE is set"
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    host = urllib.parse.urlsplit(endpoint).netloc or endpoint
    found: list[str] = []

    def ask() -> None:
        import urllib.error
        import urllib.request

        try:
            request = urllib.request.Request(endpoint, method="HEAD")
            urllib.request.urlopen(request, timeout=patience).close()
            found.append("")
        except urllib.error.HTTPError:
            found.append("")  # it answered, whatever it said
        except Exception as error:
            reason = getattr(error, "reason", None) or error
            found.append(f"{host} cannot be reached ({reason})")

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(patience)
    reason = found[0] if found else f"{host} did not answer within {patience:g} seconds"
    return not reason, reason


def cached_snapshot(repo: str) -> Path:
    """The folder of a model in the Hub's cache; nothing is sent.

    Raises:
        NotCached: it is not there.
    """
    with quiet_hub():
        from huggingface_hub import snapshot_download

        try:
            folder = Path(snapshot_download(repo, local_files_only=True))
        except Exception as error:
            raise NotCached(repo) from error
    if not (folder / "config.json").exists():
        raise NotCached(repo)
    return folder


def snapshot(repo: str, files: list[str]) -> Path:
    """Downloads a model's files of these patterns.

    Raises:
        InputError: no such model, a gate, or a network that gave up.
    """
    with quiet_hub():
        from huggingface_hub import snapshot_download

        try:
            return Path(snapshot_download(repo, allow_patterns=files))
        except Exception as error:
            raise InputError(
                f"the Hub did not give {repo}: {type(error).__name__}: {first_line(error)}",
                fix="Look the id up on the Hub; for a gated one accept its terms, then `hf auth login`.",
            ) from error


def first_line(error: BaseException) -> str:
    """The first line of an error's text, at most 300 characters."""
    text = str(error).strip()
    return text.splitlines()[0][:300] if text else type(error).__name__


@contextlib.contextmanager
def quiet_hub() -> Iterator[None]:
    """No progress bars and no retry chatter from the Hub's libraries inside the block."""
    names = ("huggingface_hub", "datasets", "sentence_transformers", "transformers", "fsspec")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    before = os.environ.get("HF_HUB_DISABLE_PROGRESS_BARS")
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if before is None:
            del os.environ["HF_HUB_DISABLE_PROGRESS_BARS"]
        else:
            os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = before
