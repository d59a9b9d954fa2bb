"""The configuration of `overt run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from overt.data.prompts import Side
from overt.data.suites.episodes.load import EpisodeSuite, find_episode_suite
from overt.data.suites.load import load_suite, settled_name
from overt.data.tables.attacks import AttackNames
from overt.tasks.config import RUN, Option, OutputConfig, Resume, TrustAddresses
from overt.tasks.target_config import TARGET, TargetConfig

_DATA = "What goes in"


class RunConfig(TargetConfig, OutputConfig):
    kind: ClassVar[str] = "run"

    dataset: Annotated[
        tuple[str, ...],
        Option(
            "Runs of `overt generate`, CSV/JSONL/Parquet files (FILE:COLUMN), OVERT's csv files, or "
            "Hub ids. Benign and unsafe ones together.",
            metavar="DATASET...",
            decides="value",
            is_argument=True,
            is_source=True,
        ),
    ] = ()
    policy: Annotated[
        str | None,
        Option(
            "Policy to judge by. Default: that of the run given as DATASET, else overt.",
            _DATA,
            decides="policy",
            completes="policy",
        ),
    ] = None
    label: Annotated[
        Side | None,
        Option(
            "What the prompts are, where the file does not say it.",
            _DATA,
            metavar="benign|unsafe",
            decides="value",
        ),
    ] = None
    attack: Annotated[
        str | None,
        Option(
            "The attack that dresses the prompts (pair, gptfuzzer ...), where the file does not name it.",
            _DATA,
            metavar="NAME",
            decides="value",
        ),
    ] = None
    attack_column: Annotated[
        str | None,
        Option("The column of the attacks' names.", _DATA, metavar="NAME", decides="value"),
    ] = None
    vanilla_column: Annotated[
        str | None,
        Option(
            "The column of what was asked before an attack dressed it: harm is judged on that.",
            _DATA,
            metavar="NAME",
            decides="value",
        ),
    ] = None
    category: Annotated[
        tuple[str, ...], Option("Only these categories. Repeatable.", _DATA, decides="value")
    ] = ()
    suite: Annotated[
        str | None,
        Option(
            "A suite of text, of pictures or of many turns (overt suites list), or a YAML of your own. "
            "DATASET then names its local files; without any it comes from the Hub.",
            _DATA,
            decides="value",
            is_source=True,
            completes="suite of any kind",
        ),
    ] = None
    of: Annotated[
        str | None,
        Option(
            "The published suite whose prompts are asked, where --suite is one of many turns that works on a "
            "data set (after-refusal). DATASET then names its local files.",
            _DATA,
            metavar="SUITE",
            decides="value",
            is_source=True,
            completes="suite",
        ),
    ] = None
    setting: Annotated[
        tuple[str, ...],
        Option(
            "A setting of a suite of many turns, such as scenario=s1 (overt suites show NAME). Repeatable.",
            _DATA,
            metavar="NAME=VALUE",
            decides="value",
        ),
    ] = ()
    turns: Annotated[
        int | None,
        Option(
            "The most turns of an episode, of a suite of many turns. Default: the suite's.",
            _DATA,
            min=1,
            max=1000,
            decides="value",
        ),
    ] = None
    limit: Annotated[
        int | None,
        Option(
            "At most so many prompts of each label, evenly over the categories.",
            _DATA,
            min=1,
            decides="value",
        ),
    ] = None
    samples: Annotated[
        int | None,
        Option(
            "Draws per prompt, or trials per task. Default: 1, or the suite's trials.",
            TARGET,
            min=1,
            max=100,
            decides="value",
        ),
    ] = None
    shard: Annotated[
        str | None,
        Option(
            "Only this part of the prompts, such as 3/8, for a job of its own; `overt merge` puts the shards "
            "together.",
            _DATA,
            metavar="I/N",
            decides="value",
        ),
    ] = None
    trust_addresses: TrustAddresses = False
    min_coverage: Annotated[
        float,
        Option(
            "Share of prompts that must have been answered; below it the exit code is 3.",
            RUN,
            min=0.0,
            max=1.0,
            decides="value",
        ),
    ] = 0.95
    out: Annotated[Path | None, Option("Folder of the run. Default: runs/run-HASH.", RUN)] = None
    resume: Resume = None

    @property
    def attacks(self) -> AttackNames:
        """What is said of adversarial prompts in the data sets."""
        return AttackNames(self.vanilla_column, self.attack_column, self.attack)

    @property
    def played(self) -> EpisodeSuite | None:
        """The suite of many turns that is played; None where prompts are asked one by one.

        Raises:
            InputError: its file has problems.
        """
        return find_episode_suite(self.suite) if self.suite else None

    def settled(self) -> RunConfig:
        played = self.played
        suite = played or (load_suite(self.suite) if self.suite else None)
        judge = self.judge or (suite.judge if suite else "judge/rules")
        target, filters = self.asked
        known = {
            "judge": judge,
            "target": target,
            "filter": filters,
            "samples": self.samples or (played.trials if played else 1),
            "suite": self.suite and settled_name(self.suite),
            "of": self.of and settled_name(self.of),
        }
        return self.model_copy(update=known)
