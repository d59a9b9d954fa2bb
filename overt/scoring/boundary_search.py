"""The search for prompts that a surrogate refuses: which prompts are edited, which edits are tried, what is
kept.

Nothing here makes an edit or asks a model. The best edit of each prompt takes its place if the surrogate
refuses it more, so that a set keeps one prompt for each that it had before.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from overt.data.records import Probe, content_id
from overt.scoring.diversity import words
from overt.scoring.probe import is_refused

_RIDGE = 1.0  # prompts that speak for a word's weight of 0
# So much more, in log odds, must an edit of this kind promise. A prompt that is refused for its opening or a
# filler shows a quirk of one filter; one with two scenes is long.
DEARER = {"style": 1.0, "slot": 1.0, "side": 1.5}
_CURIOUS = 0.5  # how far the weights of a round stray from what is known

Key = tuple[str, str]  # the kind of an edit, and what it puts in


def closeness(probe: Probe) -> tuple[float, float]:
    """How far a surrogate is on the way to refusing a prompt: the rate of refusals, then the score where it
    gives one, both from 0 to 1. The higher pair is the closer one."""
    return probe.rate or 0.0, probe.score or 0.0


def best(before: Probe, tried: Sequence[Probe]) -> Probe | None:
    """The probe of the edit that takes a prompt's place: the closest one, if it is closer than the prompt."""
    after = max(tried, key=closeness, default=None)
    return after if after is not None and closeness(after) > closeness(before) else None


def to_edit(probes: Sequence[Probe], threshold: float, *, wanted: int) -> list[Probe]:
    """The prompts of a category that can be edited: those that are not refused, the closest first; none when
    `wanted` of all `probes` are refused."""
    refused = sum(is_refused(probe, threshold) for probe in probes)
    open_ = [p for p in probes if not is_refused(p, threshold)]
    return nearest(open_, len(open_)) if refused < wanted else []


def nearest(probes: Sequence[Probe], count: int) -> list[Probe]:
    """The `count` prompts that are closest to being refused. Prompts without an answer are left out."""
    known = [p for p in probes if p.rate is not None]
    return sorted(known, key=lambda p: (closeness(p), p.prompt_id), reverse=True)[: max(count, 0)]


@dataclass(frozen=True, slots=True)
class Edit:
    """An edit that can be tried: the text that it makes, the prompt's text and probe, the kind of edit with
    what it puts in, and whether nothing of the prompt's scene is left."""

    text: str
    parent: str
    before: Probe
    key: Key
    is_new: bool = False


@dataclass
class Guide:
    """What is known of the surrogate so far, to choose the edits that promise most before it is asked.

    A ridge regression on the words of the prompts that it was asked about predicts how close a text is. Its
    weights are drawn anew in each round (Thompson 1933, doi 10.2307/2332286, with independent weights), so
    that words of which little is known are tried too.

    Args:
        most: how often one wording may be kept; more would make a set monotonous.
    """

    most: int
    seed: int
    uses: Counter[Key] = field(default_factory=Counter)
    _rows: dict[frozenset[str], float] = field(default_factory=dict)
    _mean: float = 0.0
    _drawn: dict[str, float] = field(default_factory=dict)
    _fresh: tuple[Random, float] = field(default_factory=lambda: (Random(0), 1.0))

    def note(self, text: str, probe: Probe) -> None:
        """Adds what the surrogate said to a text."""
        if probe.rate is not None:
            self._rows[frozenset(words(text))] = _height(probe)

    def begin(self, number: int) -> None:
        """Fits the regression and draws the weights of a round."""
        import numpy as np

        rng = Random(content_id("guide", self.seed, number))
        places: dict[str, int] = {}
        for row in self._rows:
            for word in sorted(row):
                places.setdefault(word, len(places))
        table = np.zeros((len(self._rows), len(places)))
        for i, row in enumerate(self._rows):
            table[i, [places[word] for word in row]] = 1.0
        heights = np.array(list(self._rows.values()))
        mean = self._mean = float(heights.mean()) if len(heights) else 0.0
        # In the dual form: there are fewer prompts than words.
        kernel = table @ table.T + _RIDGE * np.eye(len(heights))
        weights = table.T @ np.linalg.solve(kernel, heights - mean) if len(heights) else np.zeros(0)
        spread = float(np.std(heights - mean - table @ weights)) if len(heights) else 1.0
        counts = table.sum(axis=0)
        self._drawn = {
            word: float(weights[k]) + _CURIOUS * spread * rng.gauss(0, 1) / math.sqrt(counts[k] + _RIDGE)
            for word, k in places.items()
        }
        self._fresh = rng, _CURIOUS * spread / math.sqrt(_RIDGE)

    def promise(self, edit: Edit) -> float:
        """How close an edited prompt may be; only the order counts. What the words of the prompt do not
        explain of its own height is expected of the edited one too, unless all of its scene is new."""
        level = self._level(edit.text) - DEARER.get(edit.key[0], 0.0)
        return level if edit.is_new else level + _height(edit.before) - self._level(edit.parent)

    def _level(self, text: str) -> float:
        return self._mean + sum(self._weight(word) for word in sorted(set(words(text))))

    def _weight(self, word: str) -> float:
        if word not in self._drawn:
            rng, spread = self._fresh
            self._drawn[word] = rng.gauss(0, spread)
        return self._drawn[word]

    def choose(self, edits: Sequence[Edit], count: int, each: int) -> list[int]:
        """Returns the places of at most `count` edits to try, the most promising first, at most `each` of one
        prompt. Their wordings are counted as used until `settle`."""
        promises = [self.promise(edit) for edit in edits]
        chosen: list[int] = []
        tried: Counter[str] = Counter()
        for place in sorted(range(len(edits)), key=lambda k: (-promises[k], k)):
            if len(chosen) == count:
                break
            edit = edits[place]
            # "" takes something away, which makes nothing monotonous.
            if tried[edit.parent] == each or (edit.key[1] and self.uses[edit.key] >= self.most):
                continue
            tried[edit.parent] += 1
            self.uses[edit.key] += 1
            chosen.append(place)
        return chosen

    def settle(self, kept: Mapping[Key, int]) -> None:
        """Ends a round: only the edits that were kept so far count as used.

        Args:
            kept: how often each was kept.
        """
        self.uses = Counter(kept)


def _height(probe: Probe) -> float:
    """What the regression predicts: log odds of the score, or else the rate of refusals."""
    if probe.score is None:
        return probe.rate or 0.0
    score = min(max(probe.score, 1e-4), 1 - 1e-4)
    return math.log(score / (1 - score))


def fresh_scenes(uses: Mapping[str, Collection[str]], root: str, scenes: Collection[str]) -> bool:
    """Whether no other prompt is made of one of these scenes.

    Args:
        uses: the scenes by prompt, under the id that the prompt began with.
        root: the prompt that is edited.
    """
    return not any(scene in used for other, used in uses.items() if other != root for scene in scenes)
