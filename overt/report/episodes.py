"""The episodes that a page has room for, turn by turn: dealt over targets, states, categories and labels.

The episodes of one target, state, category and label are a pile. Round by round each pile gives one, until
the room is spent, so that no target and no state takes it all. In a pile the order is that of the episodes'
ids, which are hashes: a random one, yet the same each time.
"""

from __future__ import annotations

import base64
import heapq
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from overt.data.episodes import Episode
from overt.data.records import Prompt
from overt.data.run import brief
from overt.data.run import episodes as stored
from overt.data.svg import MOST_BYTES, why_unsafe
from overt.report.cases import NO_PICTURES, Thumbnails, thumbnails
from overt.report.episode_data import packed_episode

MOST = 400  # episodes of a page
TEXT_BUDGET = 4_000_000  # bytes of JSON
PAGE_BUDGET = 8_000_000  # bytes with replays and pictures
REPLAYS = "replays"  # the folder of replays, within results/
MOST_REPLAYS = 24  # of a run


@dataclass(frozen=True, slots=True)
class EpisodeCase:
    """One episode with its prompt. `replay`: a picture of it as a data URI, "" for none. `pictures`: those
    that came in each of its turns."""

    prompt: Prompt
    episode: Episode
    replay: str = ""
    pictures: tuple[Thumbnails, ...] = ()


@dataclass(frozen=True, slots=True)
class Episodes:
    """The episodes that are shown, and how many had no room."""

    cases: tuple[EpisodeCase, ...] = ()
    left_out: int = 0

    def __iter__(self) -> Iterator[EpisodeCase]:
        return iter(self.cases)


def dealt(found: Iterable[tuple[int, stored.Episode]], most: int) -> tuple[list[int], int]:
    """The places of the first `most` episodes in the order in which they are dealt, and how many there are.

    Args:
        found: each episode with its place, as `Stored.placed` gives them.
    """
    piles: dict[tuple[str, ...], list[tuple[_Last, int]]] = defaultdict(list)
    count = 0
    for place, episode in found:
        count += 1
        pile = piles[episode.state, episode.target, episode.category, episode.label]
        if len(pile) < most:
            heapq.heappush(pile, (_Last(episode.id), place))
        else:
            heapq.heappushpop(pile, (_Last(episode.id), place))
    in_order = [
        (turn, name, place)
        for name, pile in piles.items()
        for turn, (_, place) in enumerate(sorted(pile, reverse=True))
    ]
    return [place for _, _, place in sorted(in_order)[:most]], count


class _Last(str):
    """A text that is the smaller the later it comes, so that a heap drops the last."""

    __slots__ = ()

    def __lt__(self, other: str) -> bool:
        return str.__gt__(self, other)


def build_episodes(
    run: Path,
    names: Mapping[str, str],
    *,
    images: bool = True,
    most: int = MOST,
    text_budget: int = TEXT_BUDGET,
    page_budget: int = PAGE_BUDGET,
) -> Episodes:
    """The episodes of a run that fit, in the order of the run, with their replays and pictures as far as
    those fit.

    Args:
        run: the folder of the run.
        names: new names of targets by those that stand in the records.
        images: False leaves pictures and replays out.
    """
    records = stored.stored_episodes(run)
    places, count = dealt(records.placed(), most)
    kept: list[tuple[int, Episode]] = []
    spent = 0
    for place, episode in zip(places, records.at(places), strict=True) if places else ():
        cost = len(json.dumps(packed_episode(episode, (), "")))
        if spent + cost > text_budget:
            break
        spent += cost
        kept.append((place, episode))
    kept.sort(key=lambda one: one[0])
    prompts = _prompts(run, {episode.prompt_id for _, episode in kept})
    shown = [one for _, one in kept if one.prompt_id in prompts]
    replays = _replays(run, shown, page_budget - spent) if images else [""] * len(shown)
    spent += sum(map(len, replays))
    pictures = _pictures(run, shown, page_budget - spent) if images else [()] * len(shown)
    cases = tuple(
        EpisodeCase(
            prompts[one.prompt_id], replace(one, target=names.get(one.target, one.target)), replay, theirs
        )
        for one, replay, theirs in zip(shown, replays, pictures, strict=True)
    )
    return Episodes(cases, count - len(cases))


def _prompts(run: Path, wanted: set[str]) -> dict[str, Prompt]:
    found = brief.prompts_of(run)
    places = [at for at, prompt in found.placed() if prompt.id in wanted] if wanted else []
    return {prompt.id: prompt for prompt in found.at(places)} if places else {}


def _pictures(run: Path, shown: Sequence[Episode], budget: int) -> list[tuple[Thumbnails, ...]]:
    rows = [step.images or () for episode in shown for step in episode.steps]
    made = iter(thumbnails(rows, run, budget=budget) if any(rows) else [NO_PICTURES] * len(rows))
    return [tuple(next(made) for _ in episode.steps) for episode in shown]


# -- replays ---------------------------------------------------------------------------------------------


_ID = re.compile(r"[A-Za-z0-9_-]{1,120}")


def replays_folder(run: Path) -> Path:
    return run / "results" / REPLAYS


def replay_file(run: Path, episode_id: str) -> Path | None:
    """Where the replay of an episode is, or would be; None where its id can be no file's name."""
    if not _ID.fullmatch(episode_id):
        return None
    return replays_folder(run) / f"{episode_id}.svg"


def _replays(run: Path, shown: Sequence[Episode], budget: int) -> list[str]:
    """The replays as data URIs, "" where there is none, it is unsafe, or there is no room."""
    found = []
    for episode in shown:
        uri = _replay(replay_file(run, episode.id))
        budget -= len(uri)
        found.append(uri if budget >= 0 else "")
    return found


def _replay(path: Path | None) -> str:
    try:
        if path is None or not path.is_file() or path.stat().st_size > MOST_BYTES:
            return ""
        svg = path.read_text("utf-8")
    except (OSError, ValueError):
        return ""
    if why_unsafe(svg):
        return ""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode("utf-8")).decode("ascii")
