"""The prompts that are to be asked: of data sets, or of a published suite."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from overt.data.errors import InputError
from overt.data.prompts import LoadedPrompts, Side, read_prompts, spread
from overt.data.records import Prompt
from overt.data.run.shards import Rank, Shard, shard_said
from overt.data.suites.load import load_suite, read_suite
from overt.data.tables.attacks import NOTHING_SAID, AttackNames
from overt.data.tables.extras import illustrated, read_pictures
from overt.data.tables.parquet import SAMPLE
from overt.data.targets import Extra


@dataclass(frozen=True, slots=True)
class ToAsk:
    """The prompts to ask, the encoded pictures that they carry by `Prompt.image`, and notes on prompts that
    are left out. Of a shard, which may hold no prompt, `ranks` has their places in the whole run."""

    prompts: list[Prompt]
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    ranks: tuple[Rank, ...] = ()


def prompts_to_ask(
    dataset: tuple[str, ...],
    *,
    suite: str | None,
    label: Side | None,
    category: tuple[str, ...],
    limit: int | None,
    pictures: tuple[str, ...] = (),
    shard: Shard | None = None,
    attacks: AttackNames = NOTHING_SAID,
) -> ToAsk:
    """Reads the prompts to ask.

    Args:
        dataset: sources, or the files of `suite`.
        label: label of prompts whose source has none.
        category: only these; empty for all.
        limit: at most so many of each label.
        pictures: files and folders of pictures, for the prompts that carry none.
        shard: only the prompts of this shard, of those that all else has chosen.
        attacks: what the user says of adversarial prompts in the sources; a suite says it itself.

    Raises:
        InputError: a source cannot be read, or no prompt is left.
    """
    notes: list[str] = []
    if suite is not None and attacks:
        raise InputError(
            "a suite says itself which of its prompts are attacks",
            fix="Leave --attack, --attack-column and --vanilla-column out, or give the file without --suite.",
        )
    if suite is not None:
        published = load_suite(suite)
        loaded = read_suite(published, dataset)
        if published.disputed:
            notes.append(f"the labels of {published.title} are disputed: {published.disputed}")
    else:
        # A sample may have no prompt of a category that was asked for.
        loaded = read_prompts(dataset, label=label, limit=None if category else limit, attacks=attacks)
    prompts = [p for p in loaded.prompts if not category or p.category in category]
    if limit is not None:
        prompts = list(spread(prompts, limit))
    if not prompts:
        there = sorted({p.category for p in loaded.prompts})
        raise InputError(
            f"no prompt is of category {', '.join(category)}",
            fix=f"There are: {', '.join(there[:20])}",
        )
    given = read_pictures(pictures)
    prompts, same = _each_once(illustrated(prompts, sorted(given)))
    notes += _left_out(replace(loaded, repeated=loaded.repeated + same), limit)
    prompts, ranks = _in_shard(prompts, shard, notes)
    carried = {p.image for p in prompts}
    known = {**loaded.pictures, **given}
    return ToAsk(prompts, {name: data for name, data in known.items() if name in carried}, notes, ranks)


def _in_shard(
    prompts: list[Prompt], shard: Shard | None, notes: list[str]
) -> tuple[list[Prompt], tuple[Rank, ...]]:
    """The prompts of a shard, with their places among all; all prompts where there is none."""
    if shard is None:
        return prompts, ()
    mine = [(rank, prompt) for rank, prompt in enumerate(prompts) if shard.holds(prompt.id)]
    notes.append(shard_said(shard, len(mine), len(prompts)))
    return [prompt for _, prompt in mine], tuple(Rank(prompt.id, rank) for rank, prompt in mine)


def _each_once(prompts: Iterable[Prompt]) -> tuple[list[Prompt], int]:
    """The prompts without those that a picture made equal to an earlier one, and how many these were.

    Raises:
        InputError: two that are equal have different labels.
    """
    found: dict[str, Prompt] = {}
    same = 0
    for prompt in prompts:
        if (earlier := found.setdefault(prompt.id, prompt)) is prompt:
            continue
        same += 1
        if earlier.label != prompt.label:
            raise InputError(
                f"one text with the same picture is labelled {earlier.label} and {prompt.label}: "
                f"{prompt.text[:60]!r}",
                fix="Take it out of one of the two, or give another --picture.",
            )
    return list(found.values()), same


def _left_out(loaded: LoadedPrompts, limit: int | None) -> list[str]:
    """Notes on prompts that are not asked."""
    notes = []
    if loaded.repeated:
        notes.append(f"{loaded.repeated} prompts stand in the data set more than once; each counts once")
    if loaded.empty:
        notes.append(f"{loaded.empty} empty prompts were left out")
    notes += [
        f"{name}: the {limit} prompts of each label were chosen from a sample of about {SAMPLE:,} of its "
        "rows, at even distances over the whole file; a rare category may be missing"
        for name in loaded.sampled
    ]
    return notes


_CARRIED: Mapping[Extra, str] = {
    "picture": "carry a picture that goes with the text",
    "turns": "go on with a conversation",
}
_FIX = (
    "Name a target that does (for pictures one that edits them, or a model that sees), or leave these "
    "prompts out. A class of your own says it by `takes`."
)


def check_batch(name: str, model: object, prompts: Iterable[Prompt]) -> None:
    """Checks that a model takes what its prompts carry in a batch too.

    Raises:
        InputError: it does not.
    """
    fix = "Leave --batch out: the prompts are sent one by one then, at the full price."
    check_extras(f"a batch of {name}", getattr(model, "batch_takes", None), prompts, fix=fix)


def taken(takes: object) -> Collection[object]:
    """What a target says it takes (`Target.takes`); anything but a collection takes nothing."""
    return takes if isinstance(takes, (tuple, list, set, frozenset)) else ()


def check_extras(name: str, takes: object, prompts: Iterable[Prompt], *, fix: str = _FIX) -> None:
    """Checks that a target takes what its prompts carry, before it is asked anything.

    Args:
        takes: what the target says it takes besides the text (`Target.takes`); None: only the loaded model
            knows.
        fix: what to do where it does not.

    Raises:
        InputError: it does not.
    """
    if takes is None:
        return
    known = taken(takes)
    counts = Counter[Extra]()
    total = 0
    for prompt in prompts:
        total += 1
        counts["picture"] += prompt.image is not None
        counts["turns"] += bool(prompt.turns)
    for extra, count in counts.items():
        if count and extra not in known:
            raise InputError(
                f"{count:,} of the {total:,} prompts {_CARRIED[extra]}, and {name} takes none",
                fix=fix,
            )
