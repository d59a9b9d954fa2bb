"""What keeps the verdicts of checkers and scorers apart in a journal, and how a checker is asked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import overt
from overt.calls import Caller
from overt.calls.local_channel import AnswerChannel, CheckerChannel, answer_checks_of, checks_of
from overt.calls.shelf import Shelf
from overt.data.filters import AnswerChecks, AnswerFilter, Checks, ImageChecker, TextFilter
from overt.data.hub import NotCached, cached_snapshot, is_cached, is_hub_id
from overt.data.plugins.code import code_of
from overt.tasks.targets import files_of


def version_of(name: str, thing: object) -> str:
    """A hash of what decides the verdicts of a checker or scorer, besides what was asked, 16 hex digits.

    It is of its name with the options as the user wrote them, the files and model folders that this points to
    (for a model of the Hub: the commit in the cache), the numbers that it computes in, and overt's version;
    for a class of the user's own, of the class's file, or of its `version` if it has one.
    """
    told = getattr(thing, "version", None)
    head = name.partition("?")[0]
    spelt = [
        name,
        name.replace("templates=", "path="),  # a folder of templates, of checker/vlm
        f"clip/{head.rpartition(':')[2]}",  # clip/MODEL:FILE.safetensors
    ]
    files = {path: digest for text in spelt for path, digest in files_of(text)}
    parts = [name, *(f"{path}\0{digest}" for path, digest in files.items()), _of_hub(name)]
    parts.append(f"version {told}" if isinstance(told, str | int) else code_of(thing))
    parts += [str(getattr(thing, "precision", "")), overt.__version__]
    return hashlib.blake2b("\n".join(parts).encode("utf-8", "replace"), digest_size=8).hexdigest()


def _of_hub(name: str) -> str:
    head = name.partition("?")[0]
    for repo in (head.partition("/")[2], head.split("/", 2)[-1]):
        if is_hub_id(repo) and is_cached(repo):
            try:
                return cached_snapshot(repo).name
            except NotCached:  # without a config.json
                return ""
    return ""


def open_checks(
    caller: Caller,
    name: str,
    checker: ImageChecker,
    load: Callable[[str], bytes],
    purpose: str,
    *,
    hash_of: Callable[[str], str] | None = None,
) -> Checks:
    """How a checker is asked about pictures, through the caller.

    Args:
        name: as the user wrote it.
        hash_of: the hash of the picture at a path; pictures of a run bear theirs as their name.
    """
    threads = caller.options.concurrency
    channel = CheckerChannel(checker, version_of(name, checker), load, threads=threads)
    return checks_of(caller, channel, purpose, **({"hash_of": hash_of} if hash_of else {}))


def open_answer_checks(caller: Caller, name: str, text_filter: TextFilter, purpose: str) -> AnswerChecks:
    """How a filter is asked about answers, through the caller; `name` is as the user wrote it.

    Raises:
        InputError: it does not judge answers.
    """
    if (check := getattr(text_filter, "check_answers", None)) is not None:
        check()
    threads = caller.options.concurrency
    judge = AnswerFilter(text_filter)
    return answer_checks_of(
        caller, AnswerChannel(judge, version_of(name, text_filter), threads=threads), purpose
    )


def shelf_of(caller: Caller, name: str, scorer: object) -> Shelf | None:
    """Where the records of a scorer are kept, case by case; None for one of overt's own, and for one that has
    a scale, which it computes from all cases. CLIP keeps the pictures' vectors by itself, and the models that
    are asked have their answers in the journal.

    Args:
        name: as the user wrote it.
    """
    own = str(getattr(scorer, "name", name))
    if (keep := getattr(scorer, "keep_in", None)) is not None:
        keep(caller.shelf(own, version_of(name, scorer), "faithfulness"))
        return None
    is_own = type(scorer).__module__.partition(".")[0] != "overt"
    if not is_own or hasattr(scorer, "scale"):
        return None
    return caller.shelf(own, version_of(name, scorer), "faithfulness")
