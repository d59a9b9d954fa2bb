"""`overt calibrate`: a threshold for a limit on over-refusal, of each target of a finished run that gives
scores.

1. Prompts and outcomes are read line by line into columns; no target is asked anything. 2. Seeds are split;
the threshold is found on one split and tried on the other (overt/scoring/calibration). 3. A linear model on
the prompts' embeddings is fitted on the same split, as a baseline. 4. results/calibration.json is written
whole, then the manifest. A process that is killed leaves what was there.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from overt.data.errors import InputError
from overt.data.progress import Progress
from overt.data.results.calibration import Calibration
from overt.data.results.files import calibration_file, write_calibration
from overt.data.run import brief
from overt.data.run.brief import told
from overt.data.run.finished import RESULTS, Run, open_run
from overt.data.run.folder import RunFolder
from overt.data.run.shards import refuse_empty
from overt.data.text import plain
from overt.tasks.config import Config, Option
from overt.tasks.how_many import read_rate
from overt.tasks.import_log import run_of

if TYPE_CHECKING:
    from overt.scoring.calibration.baseline import Fitted
    from overt.scoring.calibration.columns import Population
    from overt.scoring.summary.rows import Bools

_BASELINE = "The baseline"
NO_BASELINE = "none"  # of --encoder


class CalibrateConfig(Config):
    kind: ClassVar[str] = "calibrate"

    run: Annotated[Path, Option("Folder of a run of `overt run`, or a log of Inspect.", is_argument=True)]
    max_over_refusal: Annotated[
        str, Option("Most benign prompts refused, such as 5%; new ones of the same kind too.", metavar="RATE")
    ]
    target: Annotated[str | None, Option("Only this target. Default: every one that gives a score.")] = None
    by_category: Annotated[bool, Option("A threshold for each category of prompts as well.")] = False
    share: Annotated[
        float, Option("Share of the seeds on the calibration split; the rest is held out.", min=0.1, max=0.9)
    ] = 0.5
    seed: Annotated[int, Option("Draws the splits.", min=0)] = 0
    level: Annotated[float, Option("Confidence level of all intervals.", min=0.5, max=0.999)] = 0.95
    encoder: Annotated[
        str,
        Option(
            "Sentence encoder of the baseline: auto, minilm, a folder, a Hub id; lexical counts words; "
            "none: no "
            "baseline.",
            _BASELINE,
        ),
    ] = "auto"
    as_json: Annotated[bool, Option("Print JSON for programs.", flag="--json")] = False
    quiet: Annotated[bool, Option("No progress.", flag="--quiet/-q")] = False

    @property
    def limit(self) -> float:
        """The limit as a fraction between 0 and 1.

        Raises:
            InputError: it is no such share.
        """
        limit = read_rate(self.max_over_refusal, self.fields()["max_over_refusal"].flag) or 0.0
        if not 0 < limit < 1:
            raise InputError(
                f"--max-over-refusal is {self.max_over_refusal!r}: a limit lies between 0% and 100%",
                fix="Write a share such as 5% or 0.05.",
            )
        return limit


def calibrate(config: CalibrateConfig, progress: Progress) -> tuple[Run, Calibration]:
    """Calibrates, and writes what was found into the run's folder.

    Raises:
        InputError: no complete run, no such target, a limit that is no share, an encoder that is not there.
        RunError: another process works on the run, or its folder is not writable.
    """
    limit = config.limit
    run = open_run(run_of(config.run), "run")
    kinds = run.results.kinds
    refuse_empty(kinds, config.run)
    if config.target is not None and config.target not in kinds:
        raise InputError(
            f"this run has no target {plain(config.target)!r}",
            where=str(run.folder),
            fix=f"It has: {', '.join(map(plain, kinds))}",
        )
    began = time.monotonic()
    found = _calibrated(config, run, limit, progress)
    facts = {
        "limit": limit,
        "share": config.share,
        "seed": config.seed,
        "level": config.level,
        "by_category": config.by_category,
        "target": config.target,
        "encoder": config.encoder,
    }
    with RunFolder(run.folder) as folder:
        calibration_file(run.folder).parent.mkdir(exist_ok=True)
        write_calibration(run.folder, found)
        clock = {**run.results.seconds, "calibrate": round(time.monotonic() - began, 3)}
        folder.finish({**run.manifest_data, "calibrate": facts, "seconds": clock}, RESULTS)
    return run, found


def _calibrated(config: CalibrateConfig, run: Run, limit: float, progress: Progress) -> Calibration:
    from overt.scoring.calibration.calibrate import calibrated, why_not
    from overt.scoring.calibration.columns import population_of, targets_of
    from overt.scoring.calibration.split import split_of
    from overt.scoring.calibration.thresholds import Wanted
    from overt.scoring.summary.rows import Settings

    prompts = brief.prompts_of(run.folder)
    population = population_of(told(prompts, progress))
    targets = targets_of(population, told(brief.scored_of(run.folder), progress), run.results.kinds)
    if config.target is not None:
        targets = [target for target in targets if target.name == config.target]
    calibration = split_of(population, config.share, config.seed)
    is_scored = any(not why_not(target) for target in targets)
    return calibrated(
        population,
        targets,
        calibration,
        Wanted(limit, config.share, Settings(config.level)),
        by_category=config.by_category,
        baseline=_baseline(config, run, population, calibration, progress) if is_scored else "",
        seed=config.seed,
    )


def _baseline(
    config: CalibrateConfig, run: Run, population: Population, calibration: Bools, progress: Progress
) -> Fitted | str:
    """The baseline of the run's prompts, or why there is none."""
    from overt.scoring.calibration.baseline import drawn_for, fitted
    from overt.scoring.encoders import pick_encoder

    if config.encoder == NO_BASELINE:
        return "none was asked for (--encoder none)"
    encoder, why = pick_encoder(config.encoder)
    if encoder is None and config.encoder == "auto":
        progress.note(f"the baseline counts words, since there is no encoder: {why}")
    drawn = drawn_for(population, calibration, config.seed)
    places = population.asked.at[drawn.places].tolist()
    texts = [prompt.text for prompt in brief.prompts_of(run.folder).at(places)]
    with progress.stage("baseline", 1) as advance:
        found = fitted(population, drawn, texts, encoder)
        advance(1)
    return found
