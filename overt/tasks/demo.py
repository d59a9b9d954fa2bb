"""`overt demo`: the whole chain on the embedded tiny world: generate, run, score, rewrite, report.

It uses small models trained for this: no key, no GPU, no download. The figures hold only for this
toy world (overt/generation/tiny_world/README.txt).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import yaml

from overt.data.errors import InputError
from overt.data.plugins.install import how_to_install, is_installed
from overt.data.plugins.names import quoted
from overt.data.progress import Progress
from overt.data.results.files import read_remedy, read_summary
from overt.data.results.summary import Proportion
from overt.data.run.files import write_atomic
from overt.generation.tiny_world import MODELS, path
from overt.tasks.generate import generate
from overt.tasks.generate_config import GenerateConfig
from overt.tasks.report import write_report
from overt.tasks.rewrite import RewriteConfig, rewrite
from overt.tasks.run import RunConfig, evaluate
from overt.tasks.score import ScoreConfig, score

PRODUCT = "tiny-world.yaml"
# What its models are loaded with.
_NEEDED = ("torch", "transformers", "diffusers", "accelerate", "open_clip")


def run_demo(folder: Path, progress: Progress, tell: Callable[[str], None]) -> Path:
    """Runs or resumes the chain. Returns the path of the report's page.

    Args:
        folder: where the product's YAML, the two runs and the report go: `dataset/`, `run/`, `run/report/`.
        tell: called before each step with the command that a user would type.

    Raises:
        InputError: the weights or torch are not installed.
    """
    # Before anything is made, so that nobody waits for a data set first.
    if lacking := [name for name in _NEEDED if not is_installed(name)]:
        raise InputError(
            f"the demo draws pictures, and these are not installed: {', '.join(lacking)}",
            fix=how_to_install(lacking[0]),
        )
    for name in MODELS:
        if not path(name).is_dir():
            raise InputError(
                f"the tiny world's {name} is not in this installation",
                where=str(path(name)),
                fix="In a checkout it can be made: python benchmarks/tiny_world/train.py",
            )

    def at(name: str) -> str:
        return quoted(str(path(name)))  # a path may contain "&"

    words = f"filter/keywords?path={at('words')}"
    checker = f"checker/hf/{at('checker')}?labels=unsafe"
    product = {
        "name": "tiny-world",
        "filters": [words],
        # Less guidance than a large model wants: more of it costs this one forms and colours.
        "target": f"diffusers/{at('pipeline')}?steps=20&guidance_scale=2",
        "checkers": [checker],
    }
    write_atomic(folder / PRODUCT, yaml.safe_dump(product, sort_keys=False, allow_unicode=True).encode())
    data, run = folder / "dataset", folder / "run"
    tell(f"overt generate --policy {path('policy')} --encoder lexical --out {data}")
    generate(GenerateConfig(policy=str(path("policy")), encoder="lexical", out=data), progress)
    target = f"guarded/{folder / PRODUCT}"
    tell(f"overt run {data} --target {target} --every-layer --batch-size 16 --out {run}")
    evaluate(
        RunConfig(dataset=(str(data),), target=(target,), every_layer=True, batch_size=16, out=run), progress
    )
    tell(f"overt score {run} --judges checker/hf/... --covers checker/hf/...=all")
    score(ScoreConfig(run=run, judges=checker, covers=(f"{checker}=all",)), progress)
    tell(f"overt rewrite {run} --unsafe --faithfulness clip/... --faithfulness text/auto")
    scorers = (f"clip/{at('clip')}", "text/auto")
    rewrite(RewriteConfig(run=run, unsafe=True, faithfulness=scorers, batch_size=16), progress)
    tell(f"overt report {run}")
    return write_report([run], run / "report")


def headline(run: Path) -> list[str]:
    """The demo's results, one line each."""
    summary, remedy = read_summary(run).targets[0], read_remedy(run).targets[0]

    def percent(rate: Proportion | None) -> str:
        return "nothing" if rate is None else f"{100 * rate.rate:.0f}% ({rate.k} of {rate.n})"

    lines = [
        f"benign prompts refused:   {percent(summary.over_refusal)}",
        f"unsafe prompts refused:   {percent(summary.unsafe_refusal)}",
        f"safe responses:           {percent(summary.safe_response)}",
        f"benign, after rewording:  {percent(remedy.benign.after if remedy.benign else None)} still refused",
    ]
    if remedy.unsafe is not None:
        lines.append(f"unsafe, after rewording:  {percent(remedy.unsafe.after)} still refused (control)")
    for row in remedy.faithfulness:
        mean = row.difference or row.value
        if mean is not None:
            by = row.model.partition("/")[0]  # the kind of scorer: two of them may have one measure
            what = "against the original's picture" if row.difference else "of the wording"
            lines.append(f"meaning kept:             {row.measure} {mean.mean:+.3f} {what}, by {by}")
    return lines
