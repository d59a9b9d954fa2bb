"""The part of `overt score` that tells whether the pictures of benign prompts show what was asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from overt.data.errors import InputError
from overt.data.json_types import Json
from overt.data.outcomes import Outcome
from overt.data.results.likeness import FILE, AsAsked
from overt.data.rewrites import FaithfulnessScorer
from overt.data.run.files import write_records
from overt.data.run.finished import RESULTS, Run
from overt.data.run.images import ImageStore
from overt.data.run.shards import shard_of
from overt.policies.schema import Policy
from overt.scoring.as_asked import drawn_of, score_as_asked
from overt.tasks.rewrite_measure import open_scorers
from overt.tasks.roles import ModelOptions
from overt.tasks.task import Work
from overt.tasks.verdicts import shelf_of

_OF_WORDINGS = ("text", "judge")  # scorers that compare two wordings and see no picture


class PictureOptions(Protocol):
    """The options that are read here."""

    @property
    def faithfulness(self) -> str | None: ...
    @property
    def seed(self) -> int: ...
    @property
    def templates(self) -> Path | None: ...
    @property
    def models(self) -> ModelOptions: ...


def open_scorer(config: PictureOptions, policy: Policy, work: Work) -> FaithfulnessScorer:
    """Opens the scorer of --faithfulness.

    Raises:
        InputError: it is not available, or reads no pictures.
    """
    name = config.faithfulness or ""
    if name.partition("/")[0] in _OF_WORDINGS:
        raise InputError(
            f"{name} compares two wordings and looks at no picture",
            fix="Name one that sees: clip/MODEL:PRETRAINED, vqa/openai/MODEL, or your own module:Class.",
        )
    (scorer,) = open_scorers(
        (name,),
        work,
        config.models,
        modality=policy.modality,
        batch_size=None,
        seed=config.seed,
        templates=config.templates,
    )
    return scorer


def scored(
    config: PictureOptions,
    run: Run,
    outcomes: Sequence[Outcome],
    scorer: FaithfulnessScorer,
    work: Work,
    facts: dict[str, Json],
    folder: Path,
) -> list[AsAsked]:
    """Scores the pictures of the benign prompts and writes the records to a folder. `facts` gets what the
    manifest says. A part of a run may hold no such picture.

    Raises:
        InputError: nothing was drawn for a benign prompt, or the scorer scores no pictures.
    """
    name = config.faithfulness or ""
    drawn = drawn_of(run.prompts, outcomes)
    is_part = shard_of(run.record) is not None or folder != run.folder / RESULTS
    if not drawn and not is_part:
        raise InputError(
            "nothing was drawn for a benign prompt of this run, so there is nothing to hold against it",
            where=str(run.folder),
        )
    rows: list[AsAsked] = []
    with work.progress.stage(scorer.name[:40], len(drawn)) as advance:
        for row in score_as_asked(
            drawn,
            run.prompts,
            scorer,
            ImageStore(run.folder).get,
            seed=config.seed,
            has_scale=name.startswith("vqa/"),
            kept=shelf_of(work.caller, name, scorer),
        ):
            rows.append(row)
            advance(1)
    if drawn and not any(row.measure for row in rows):
        raise InputError(f"{name} gave no score of pictures", fix="It must give text_image or vqa.")
    write_records(folder / FILE, rows)
    facts["faithfulness"] = {
        "scorer": name,
        "seed": config.seed,
        "drawn": len(drawn),
        "scored": sum(row.as_asked is not None for row in rows),
        "calls": work.caller.stats.snapshot(),
    }
    return rows
