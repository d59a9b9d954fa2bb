"""Plain rows beside those of answer-then-check: benign prompts that are answered directly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from overt.data.answer_then_check import has_tags
from overt.data.asked import prompts_to_ask
from overt.data.errors import InputError
from overt.data.records import Prompt, content_id
from overt.data.splits import category_of
from overt.data.tables.sources import digest_source
from overt.data.training import Example, Placed
from overt.scoring.dedupe import repeat_key
from overt.scoring.near_duplicates import jaccard_links
from overt.tasks.export_answers import Said, answered, file_answers
from overt.tasks.export_config import ExportConfig
from overt.tasks.export_making import Making
from overt.tasks.export_placing import NEAR, why_not

PLAIN = "plain"  # the stage's name


def check_plain(config: ExportConfig) -> None:
    """
    Raises:
        InputError: --plain names neither a file nor a suite with a number, or no model answers its prompts.
    """
    if config.plain is None or _is_file(config.plain):
        return
    _suite_and_count(config.plain)
    if config.model is None:
        raise InputError(
            f"--plain {config.plain} needs a chat model that answers the prompts of the suite",
            fix="Name it: --answers PROVIDER/MODEL. Or give --plain a file with answers.",
        )


def plain_digest(config: ExportConfig) -> str | None:
    """The hash of the file that --plain names; None where there is none.

    Raises:
        InputError: it cannot be read.
    """
    return digest_source(config.plain) if config.plain is not None and _is_file(config.plain) else None


def plain_examples(making: Making) -> list[Example]:
    """The prompts of --plain that are answered, all of them to train on.

    One that is also, or nearly, among the prompts of the export is dropped: it could stand in another split.

    Raises:
        InputError: the source cannot be read, or no answer is in the file.
    """
    config = making.config
    if config.plain is None:
        return []
    prompts, said = _read(config.plain, config.seed)
    kept = _apart(making, prompts)
    placed = [
        Placed(prompt, category_of(prompt.category), "", content_id("cluster", PLAIN, prompt.id), "train")
        for prompt in kept
    ]
    return [
        example
        for example in answered(making, placed, said, of=f"{PLAIN} ")
        if _is_without_tags(making, example)
    ]


def _is_without_tags(making: Making, example: Example) -> bool:
    """Whether no tag of the format stands in an answer that is given directly. One with tags is counted."""
    why_not = "tags stand in the answer" if has_tags(example.answer) else ""
    return making.passes(f"{PLAIN} form", example.prompt.id, example.category, why_not)


def _is_file(spec: str) -> bool:
    return Path(spec).exists() or Path(spec.rpartition(":")[0] or spec).exists()


def _suite_and_count(spec: str) -> tuple[str, int]:
    """
    Raises:
        InputError: it is no suite with a number.
    """
    name, _, count = spec.rpartition(":")
    if not name or not count.isdecimal() or not int(count):
        raise InputError(
            f"--plain is {spec!r}: there is no such file, and it is no suite with a number",
            fix="Give a file with prompts and answers, or SUITE:N such as xstest:100.",
        )
    return name, int(count)


def _read(spec: str, seed: int) -> tuple[list[Prompt], dict[str, list[Said]] | None]:
    """The prompts, and by id the answers of a file; None where a model is to answer them."""
    if _is_file(spec):
        found = prompts_to_ask((spec,), suite=None, label="benign", category=(), limit=None).prompts
        said = file_answers([spec])
        if not said:
            raise InputError(
                "nothing says what the answers are",
                where=spec,
                fix="It needs a column 'completion', 'response' or 'answer' beside the prompts.",
            )
        return found, said
    name, count = _suite_and_count(spec)
    found = prompts_to_ask((), suite=name, label=None, category=(), limit=None).prompts
    benign = sorted((p for p in found if p.label == "benign"), key=lambda p: content_id("plain", seed, p.id))
    return benign[:count], None


def _apart(making: Making, prompts: Sequence[Prompt]) -> list[Prompt]:
    """The prompts that may be trained on and are none of the export's, nor nearly one of them."""
    others = [one.prompt.text for one in making.placed]
    links, _ = jaccard_links([*others, *(prompt.text for prompt in prompts)], NEAR)
    near = {b - len(others) for a, b in (sorted(link) for link in links) if a < len(others) <= b}
    keys = {repeat_key(text) for text in others}
    kept = []
    for number, prompt in enumerate(prompts):
        reason = why_not(prompt) if prompt.label == "benign" else "it is not benign"
        if not reason and (number in near or repeat_key(prompt.text) in keys):
            reason = "nearly a prompt of the export"
        if making.passes(PLAIN, prompt.id, prompt.category, reason):
            kept.append(prompt)
    return kept
