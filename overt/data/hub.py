"""Access to the Hugging Face Hub and its local cache, with a short check whether the Hub answers."""

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

PATIENCE = 3.0  # seconds to wait for the Hub
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


class NotCached(Exception):
    """The local cache does not hold the model."""


def is_hub_id(text: str) -> bool:
    """Whether the text looks like `org/name`."""
    return _HUB_ID.fullmatch(text) is not None


def hub_answers(patience: float = PATIENCE) -> tuple[bool, str]:
    """Whether the Hub answers within `patience` seconds, and the reason if it does not.

    The request runs in a thread, because a DNS look-up has no timeout.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return False, "HF_HUB_OFFLINE is set"
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    host = urllib.parse.urlsplit(endpoint).netloc or endpoint
    reasons: list[str] = []

    def ask() -> None:
        import urllib.error
        import urllib.request

        try:
            request = urllib.request.Request(endpoint, method="HEAD")
            urllib.request.urlopen(request, timeout=patience).close()
            reasons.append("")
        except urllib.error.HTTPError:
            reasons.append("")  # any HTTP status is an answer
        except Exception as error:
            reason = getattr(error, "reason", None) or error
            reasons.append(f"{host} cannot be reached ({reason})")

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(patience)
    reason = reasons[0] if reasons else f"{host} did not answer within {patience:g} seconds"
    return not reason, reason


def need_hub(missing: str, fix: str) -> None:
    """Goes on only if the Hub answers; call it where the cache lacks something.

    Args:
        missing: what is not there, for the message, which goes on with why the Hub does not give it.

    Raises:
        InputError: the Hub does not answer.
    """
    answers, reason = hub_answers()
    if not answers:
        raise InputError(f"{missing}, and {reason}", fix=fix)


def is_cached(repo: str) -> bool:
    """Whether the local cache holds anything of a model. Sends no request."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}" / "snapshots"
    try:
        return any(folder.iterdir())
    except OSError:
        return False


def cached_snapshot(repo: str) -> Path:
    """The folder of a model in the local cache. Sends no request.

    Raises:
        NotCached: the cache does not hold the model.
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
    """Downloads the files of a model that match the patterns.

    Raises:
        InputError: the model does not exist or is gated, or the network failed.
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
    """Silences progress bars and log messages of the Hub's libraries."""
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
