"""The gold items of `overt generate`: where they come from, how they reach the judges, what is said of it.

Every judge gets prompts whose label is known, mixed among the candidates: the same instruction, the same
settings, the same journal. They are the prompts of `--gold`, else the policy's own scenes, worded like
prompts; those scenes are then left out of what the judges' instruction is given. Terms without scenes get
those of the bank, where the category speaks of their topic.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, tee
from pathlib import Path, PurePath

from overt.data.errors import InputError
from overt.data.gold_table import gold_table
from overt.data.json_types import Json
from overt.data.prompts import PROMPT, read_prompts
from overt.data.records import Audit, Failure, Prompt, Vote, content_id
from overt.data.results.gold import LEAST, Gold, JudgeOnGold
from overt.data.run.finished import open_run
from overt.data.tables.columns import Table
from overt.data.tables.sources import parse_source
from overt.data.text import interval, percent
from overt.policies.bank import reading, scenes_for, topics_by_cues
from overt.policies.floor import floor_reason
from overt.policies.load import load_policy
from overt.policies.schema import Category, Policy, Scene, Trigger
from overt.scoring import gold as pure
from overt.scoring.audit import Judge
from overt.tasks.roles import Roles

PURPOSE = "audit of gold items"  # under which their calls are counted
OWN = "the policy's own scenes"
BANK = "scenes of the bank"
RULES = "builtin/rules"
_PUBLISHED = "overt"  # the shipped policy under whose categories OVERT's files are labelled
_WHY_NONE = {
    "rules": "it recognises scenes of the policy and of the bank; --gold FILE tests it",
    "off": "--gold-items 0",
    "none": "neither the policy nor the bank has a pair of scenes for its terms; --gold FILE tests it",
    "idle": "there was nothing to audit",
}

# -- the stage's state -----------------------------------------------------------------------------------


@dataclass
class GoldItems:
    """The gold items of a run and what the judges said of them.

    Attributes:
        items: in an order in which every beginning has both labels.
        sources: category -> where its items come from.
        shown: the policy as the judges' instruction is given it.
        waiting: stage -> the items that are mixed into its first candidates.
        said: judge -> item id -> its answer; by the place of the judge.
    """

    policy: Policy
    seed: int
    items: list[Prompt] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)
    shown: Policy | None = None
    waiting: dict[str, list[Prompt]] = field(default_factory=dict)
    said: dict[int, dict[str, Vote | Failure]] = field(default_factory=dict)
    audits: dict[str, Audit] = field(default_factory=dict)
    off: bool = False

    @cached_property  # `items` are complete before the first prompt is judged
    def ids(self) -> frozenset[str]:
        return frozenset(item.id for item in self.items)

    @property
    def judged(self) -> list[Prompt]:
        """The items that were given to the judges."""
        return [item for item in self.items if item.id in self.audits]

    def keep(self, categories: Collection[str]) -> None:
        """Leaves the items of other categories to other shards."""
        self.waiting = {
            stage: [item for item in items if item.category in categories]
            for stage, items in self.waiting.items()
        }

    def mixed(self, prompts: Iterable[Prompt], count: int, stage: str) -> tuple[Iterator[Prompt], int]:
        """The prompts, with the items of this stage among them the first time, and how many that may be.

        Args:
            prompts: about `count` of them; they are read as they come.
        """
        items = self.waiting.get(stage, [])

        def with_items() -> Iterator[Prompt]:
            source = iter(prompts)
            first = next(source, None)
            if first is not None:  # without a prompt the items wait on
                self.waiting.pop(stage, None)
                yield from pure.mixed(chain([first], source), count, items, self.seed, stage)

        return with_items(), count + len(items)

    def left(self) -> list[Prompt]:
        """The items that no stage has taken though there was something to audit."""
        rest = [item for items in self.waiting.values() for item in items] if self.audits else []
        self.waiting = {}
        return rest

    def watched(self, number: int, judge: Judge) -> Judge:
        """The judge, whose answers on gold items are noted."""
        ids, book = self.ids, self.said.setdefault(number, {})

        def watching(prompts: Iterable[Prompt]) -> Iterator[Vote | Failure]:
            mine, asked = tee(prompts)  # both are read by this judge's thread
            for answer, prompt in zip(judge(asked), mine, strict=False):
                if prompt.id in ids:
                    book[prompt.id] = answer
                yield answer

        return watching

    def take(self, prompt: Prompt, audit: Audit) -> bool:
        """Whether this was a gold item; its audit is kept."""
        if prompt.id not in self.ids:
            return False
        self.audits[prompt.id] = audit
        return True

    def result(self, judges: Sequence[str], least: float) -> Gold:
        """The figures of every judge, and the verdict.

        Args:
            least: the accuracy that each must reach, 0 to 1.
        """
        found = [self._of(number, name) for number, name in enumerate(judges)]
        return pure.verdict(found, self.judged, self.sources if self.judged else {}, least)

    def _of(self, number: int, name: str) -> JudgeOnGold:
        items, why = self.judged, _WHY_NONE["off" if self.off else "none" if not self.items else "idle"]
        if name == RULES:  # on scenes that it knows it would be right by its making
            items = [item for item in items if item.writer not in (OWN, BANK)]
            why = why if self.off else _WHY_NONE["rules"]
        return pure.judge_figures(name, items, self.said.get(number, {}), seed=self.seed, why_none=why)


def open_gold(policy: Policy, roles: Roles, files: Sequence[str], count: int, seed: int) -> GoldItems:
    """The gold items for the judges of a run, at most `count` a category.

    Raises:
        InputError: a file cannot be read, or none of its rows has a category of the policy.
    """
    gold = GoldItems(policy, seed, off=count == 0)
    given = _given(policy, files) if files and count else {}
    own = any(judge.name != RULES for judge in roles.judges)  # whom scenes can test
    hidden: set[Scene] = set()
    for category in policy.categories:
        rows = pure.choose(given.get(category.id, ()), count, seed)
        if rows:
            gold.sources[category.id] = ", ".join(sorted({PurePath(row.writer).name for row in rows}))
        elif own and count:
            rows, scenes = _own(policy, category, count, seed)
            hidden |= scenes
            if rows:
                gold.sources[category.id] = " and ".join(dict.fromkeys(row.writer for row in rows))
        gold.items += rows
    gold.shown = without_scenes(policy, hidden) if hidden else policy
    _share_out(gold)
    return gold


def _share_out(gold: GoldItems) -> None:
    """Half of the items of each category are asked among the candidates and half among the twins, so that
    neither stage is without them; pairs stay together."""
    first, second = gold.waiting.setdefault("audit", []), gold.waiting.setdefault("pair", [])
    for category in gold.policy.categories:
        mine = [item for item in gold.items if item.category == category.id]
        pairs = list(dict.fromkeys(item.pair_id or item.id for item in mine))
        early = set(pairs[: len(pairs) - len(pairs) // 2]) if category.unsafe else set(pairs)
        for item in mine:
            (first if (item.pair_id or item.id) in early else second).append(item)


# -- items of a file -------------------------------------------------------------------------------------


def _given(policy: Policy, files: Sequence[str]) -> dict[str, list[Prompt]]:
    """The labelled prompts of files whose labels hold in a category, by category."""
    specs, published = [], set()
    for spec in files:
        columns, is_published = _sides(spec)
        specs += columns
        if is_published:
            published.add(parse_source(spec).name)
    standard = {category.id: category for category in load_policy(_PUBLISHED).categories}
    found: dict[str, list[Prompt]] = {}
    other: set[str] = set()
    for prompt in read_prompts(specs).prompts:
        mine = next((c for c in policy.categories if c.id == prompt.category), None)
        base = standard.get(prompt.category) if prompt.writer in published else mine
        if mine is None or base is None or not pure.holds(mine, base):
            other.add(prompt.category)
        elif not floor_reason(prompt.text):
            found.setdefault(mine.id, []).append(prompt)
    if not found:
        names = ", ".join(sorted(other)[:8])
        raise InputError(
            f"no gold item has a category of the policy {policy.name}; it has {names}",
            where=", ".join(files),
            fix="Its column 'category' must name this policy's categories: "
            f"{', '.join(c.id for c in policy.categories[:8])}. OVERT's own files hold for policies that "
            "extend overt and keep its lines.",
        )
    return found


def _sides(spec: str) -> tuple[list[str], bool]:
    """The sources to read for a file, one for each side that a published table has, and whether it is one of
    OVERT's tables, whose labels hold under the shipped policy."""
    source = parse_source(spec)
    part = source.tables()[0]
    first = next(iter(part.rows()), None)
    if first is None or source.column is not None:
        return [spec], False
    table = Table(first, part.name)
    columns = table.having(["benign_image_prompt", "unsafe_image_prompt"])
    is_published = bool(table.having(["seed_prompt"])) and any(
        table.label(column) for column in (*columns, *table.columns(PROMPT))
    )
    if is_published and len(columns) == 2:
        return [f"{spec}:{column.name}" for column in columns], True
    return [spec], is_published


# -- the policy's own scenes, and those of the bank ------------------------------------------------------


def _own(policy: Policy, category: Category, count: int, seed: int) -> tuple[list[Prompt], set[Scene]]:
    """At most `count` prompts made of pairs of scenes, as many terms as possible, and the policy's scenes
    among them. The bank's scenes come after all of the policy's."""
    rows: list[Prompt] = []
    used: set[Scene] = set()
    own = {trigger: trigger.scenes for trigger in category.triggers}
    bank = {trigger: _banked(policy, category, trigger) for trigger in category.triggers}
    keys = {scene: key for found in bank.values() for scene, key in found.items()}
    banked = _by_turns(bank, seed)
    # One scene does not come again with another term before the others have come.
    first = {keys[scene]: scene for _, scene in reversed(banked)}
    banked.sort(key=lambda turn: first[keys[turn[1]]] != turn[1])
    for writer, turns in ((OWN, _by_turns(own, seed)), (BANK, banked)):
        for trigger, scene in turns:
            if len(rows) + 2 > count:
                return rows, used
            if pair := _worded(policy, category, trigger, scene, seed):
                rows += [dataclasses.replace(prompt, writer=writer) for prompt in pair]
                used |= {scene} if writer == OWN else set()
    return rows, used


def _banked(policy: Policy, category: Category, trigger: Trigger) -> dict[Scene, str]:
    """The bank's scenes for a term without scenes, with their keys. Its labels are general, so they count
    where the policy names the topic or the category speaks of it. Those for any form of a term do not."""
    if trigger.scenes or (read := reading(category, trigger)) is None:
        return {}
    spoken = topics_by_cues(f"{category.id.replace('_', ' ')}. {category.title}", category.disallowed)
    if read.topic not in (trigger.topic, category.topic, *spoken):
        return {}
    filled = scenes_for(policy.modality, category, trigger)
    return {Scene(benign=f.benign, unsafe=f.unsafe): f.key for f in filled if not f.is_loose}


def _by_turns(scenes: Mapping[Trigger, Iterable[Scene]], seed: int) -> list[tuple[Trigger, Scene]]:
    """The pairs of scenes: one of each term, then a second of each, in an order fixed by the seed."""
    turns = []
    for trigger, all_of_it in scenes.items():
        pairs = [scene for scene in all_of_it if scene.benign and scene.unsafe]
        pairs.sort(key=lambda s: content_id("gold", seed, s.benign))
        turns += [(turn, trigger, scene) for turn, scene in enumerate(pairs)]
    turns.sort(key=lambda t: (t[0], content_id("gold", seed, t[2].benign)))
    return [(trigger, scene) for _, trigger, scene in turns]


def _worded(policy: Policy, category: Category, trigger: Trigger, scene: Scene, seed: int) -> list[Prompt]:
    """A scene's two sides as whole prompts, as `builtin/grammar` words them; empty if it cannot."""
    from overt.generation.grammar import compose, twins
    from overt.generation.pair import pair_id

    only = trigger.model_copy(update={"scenes": (scene,)})
    alone = category.model_copy(update={"triggers": (only,), "languages": ("en",)})
    own_seed = int(content_id("gold", seed, category.id, scene.benign)[-8:], 16)
    benign = next(iter(compose(policy, alone, count=1, seed=own_seed)), None)
    if benign is None or not _has(benign.text, scene.benign or ""):
        return []
    unsafe = next(iter(twins(policy, alone, benign, seed=own_seed)), None)
    if unsafe is None or not _has(unsafe.text, scene.unsafe or ""):
        return []
    return [dataclasses.replace(p, pair_id=pair_id(benign), template="") for p in (benign, unsafe)]


def _has(text: str, scene: str) -> bool:
    """Whether a prompt has the words of a scene beside its slots, whose articles may differ."""
    wanted = re.sub(r"(?:\b[Aa]n? )?\{[a-z_]+\}", " ", scene).casefold().split()
    words = {word.strip(".,;:!?\"'") for word in text.casefold().split()}
    return all(word.strip(".,;:!?\"'") in words for word in wanted)


def without_scenes(policy: Policy, hidden: set[Scene]) -> Policy:
    """The policy without some of its scenes, for an instruction of the user's that shows scenes."""

    def bare(trigger: Trigger) -> Trigger:
        scenes = tuple(scene for scene in trigger.scenes if scene not in hidden)
        return trigger.model_copy(update={"scenes": scenes})

    categories = tuple(
        c.model_copy(update={"triggers": tuple(map(bare, c.triggers))}) for c in policy.categories
    )
    return policy.model_copy(update={"categories": categories})


# -- what is said of it ----------------------------------------------------------------------------------


def gold_facts(gold: Gold) -> dict[str, Json]:
    """The gold items for the data card: a verdict, where they come from, and the table of figures."""
    table = gold_table(gold)
    cells = [[f"{c.text} ({' to '.join(c.span)})" if c.span else c.text for c in row] for row in table.rows]
    if gold.trusted is None:
        said = "No judge was tested on gold items."
    elif gold.trusted:
        said = f"Every judge that was tested was right on at least {percent(gold.least)} of its gold items."
    else:
        named = ", ".join(judge.judge for judge in gold.below)
        said = f"The audit is not to be trusted: below {percent(gold.least)} of the gold items: {named}."
    sources = list(dict.fromkeys(gold.sources.values()))
    return {
        "said": said,
        "trusted": gold.trusted,
        "sources": ", ".join(sources),
        "columns": list(table.columns),
        "rows": cells,
        "untested": [f"{j.judge} {in_words(j)}" for j in gold.judges if j.untested],
    }


def in_words(judge: JudgeOnGold) -> str:
    """A judge's figures as a sentence without a name: "was right on 171 of 180 gold items (95.0%, ...)"."""
    if judge.overall is None:
        return f"was not tested: {judge.untested}"
    share, kappa = judge.overall.accuracy, judge.overall.kappa
    said = f"was right on {share.k} of {share.n} gold items ({percent(share.rate)}, {interval(share)}"
    said += f"; kappa {kappa.value:.2f})" if kappa else ")"
    return f"{said}, but it was not tested: {judge.untested}" if judge.untested else said


def label_notes(sources: Sequence[str]) -> Iterator[str]:
    """How far the labels of data sets are to be trusted: a sentence for each judge that was tested on gold
    items.

    Args:
        sources: as a run of prompts names them; those that are no folders of `overt generate` say nothing.
    """
    for source in sources:
        try:
            gold = open_run(Path(source), "generate").dataset.gold
        except InputError:  # no such run, or one that this version cannot read: its prompts are what counts
            continue
        for judge in gold.judges if gold is not None else ():
            if not judge.untested and gold is not None:
                below = f", below {gold.least:g}: they are not to be trusted" if judge in gold.below else ""
                yield f"the labels of {PurePath(source).name}: {judge.judge} {in_words(judge)}{below}"


def notes_of(gold: Gold, categories: Sequence[str]) -> Iterator[str]:
    """What a user must know before trusting the labels.

    Args:
        categories: all of the run; there may be no gold item in some.
    """
    banked = any(BANK in source for source in gold.sources.values())
    general = f"; the labels of {BANK} are general, --gold FILE tests with yours" if banked else ""
    for judge in gold.below:
        yield (
            f"the audit is not to be trusted: {judge.judge} {in_words(judge)}, "
            f"below --min-judge-accuracy {gold.least:g}{general}"
        )
    for judge in gold.judges:
        if judge.untested and judge.judge != RULES:
            yield f"{judge.judge} {in_words(judge)}"
        if judge not in gold.below:
            yield from _weak(judge, gold.least)
        counts = {c: judge.categories[c].accuracy.n if c in judge.categories else 0 for c in categories}
        few = [f"{category} ({n})" for category, n in counts.items() if n < LEAST]
        if few and not judge.untested:
            yield (f"{judge.judge} was not tested on {', '.join(few)} alone: fewer than {LEAST} gold items")


def _weak(judge: JudgeOnGold, least: float) -> Iterator[str]:
    weak = [
        f"{category} ({one.accuracy.k} of {one.accuracy.n})"
        for category, one in judge.categories.items()
        if one.accuracy.rate < least
    ]
    if weak:
        yield f"{judge.judge} is below {least:g} on the gold items of {', '.join(weak)}"
