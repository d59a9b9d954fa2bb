"""`overt demo`: the whole chain on the embedded tiny world: generate, run, score, rewrite, report.

Real models with weights of their own, trained for this: no key, no GPU, no download. What the figures say
holds for this toy world alone (overt/tinyworld/README.txt).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from overt import cli_options as options

if TYPE_CHECKING:
    from overt.progress import Progress


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the runs and the report.")] = Path("runs/demo-images"),
    quiet: options.Quiet = False,
) -> None:
    """Generate, run, score, rewrite and report on an embedded toy world: no key, no GPU, no download.

        overt demo

    A little policy forbids one drawing, a red blade. A word list in front of a tiny diffusion model refuses
    it, and a blade of grass with it; rewording wins most of those back and costs some faithfulness. The
    models are real and trained for this; what they show is how the tool works, nothing more.

    Needs the extra [local] (PyTorch).
    """
    from overt.progress import make_progress

    page = run_demo(out, make_progress(quiet), lambda line: print(f"$ {line}", flush=True))
    print()
    for line in headline(out / "run"):
        print(line)
    print(f"\nThe report: {page}")


def run_demo(folder: Path, progress: Progress, tell: Callable[[str], None]) -> Path:
    """Runs the chain, or goes on with it; the path of the report's page.

    Args:
        folder: where the two runs and the report go: `dataset/`, `run/`, `run/report/`.
        tell: told what is done next, as the commands that a user would type.

    Raises:
        InputError: the world's weights are not in this installation, or torch is not.
    """
    from overt.calls import CallerOptions
    from overt.data.errors import InputError
    from overt.data.names import quoted
    from overt.evaluate import RunConfig, evaluate
    from overt.judging import ScoreConfig, score
    from overt.models import ModelOptions
    from overt.pipeline import GenerateConfig, generate
    from overt.policies.load import load_policy
    from overt.reporting import write_report
    from overt.rewriting import RewriteConfig, rewrite_run
    from overt.targets import TargetOptions, read_spec
    from overt.tinyworld import MODELS, path

    for name in MODELS:
        if not path(name).is_dir():
            raise InputError(
                f"the tiny world's {name} is not in this installation",
                where=str(path(name)),
                fix="In a checkout it can be made: python benchmarks/tiny_world/train.py",
            )
    policy = load_policy(str(path("policy")))

    def at(name: str) -> str:
        return quoted(str(path(name)))  # whoever installs into "R&D" has a & in every path

    words = f"filter/keywords?path={at('words')}"
    # Less guidance than a large model wants: more of it costs this one forms and colours.
    drawing = "?steps=20&guidance_scale=2"
    pipeline = f"diffusers/{at('pipeline')}{drawing}"
    checker = f"checker/hf/{at('checker')}?labels=unsafe"
    clip = f"clip/{at('clip')}"
    calls, models = CallerOptions(), ModelOptions()

    data, run = folder / "dataset", folder / "run"
    tell(f"overt generate --policy {path('policy')} --out {data}")
    generate(
        GenerateConfig(policy=policy, encoder="lexical"), data, calls=calls, models=models, progress=progress
    )
    layers = "--checker ... --every-layer"
    tell(f"overt run {data} --target {words} --filter ... --target diffusers/...{drawing} {layers}")
    config = RunConfig(
        policy=policy,
        datasets=(str(data),),
        targets=(dataclasses.replace(read_spec(pipeline, (words,), (checker,)), name="guarded/tiny-world"),),
        every_layer=True,
    )
    options = TargetOptions(batch_size=16)
    evaluate(config, run, calls=calls, options=options, models=models, progress=progress)
    tell(f"overt score {run} --judges checker/hf/...")
    score(ScoreConfig((checker,)), run, calls=calls, models=models, progress=progress)
    tell(f"overt rewrite {run} --unsafe --faithfulness clip/... --faithfulness text/auto")
    rewrite_run(
        RewriteConfig(unsafe=True, scorers=(clip, "text/auto")),
        run,
        calls=calls,
        models=models,
        options=options,
        progress=progress,
    )
    tell(f"overt report {run}")
    return write_report([run], run / "report")


def headline(run: Path) -> list[str]:
    """What the demo found, in a few sentences."""
    from overt.data.store import read_json

    summary = read_json(run / "results" / "summary.json")["targets"][0]
    remedy = read_json(run / "results" / "rewrite.json")["targets"][0]

    def percent(rate: dict[str, Any] | None) -> str:
        return "nothing" if not rate else f"{100 * rate['rate']:.0f}% ({rate['k']} of {rate['n']})"

    lines = [
        f"benign prompts refused:   {percent(summary['over_refusal'])}",
        f"unsafe prompts refused:   {percent(summary['unsafe_refusal'])}",
        f"safe responses:           {percent(summary['safe_response'])}",
        f"benign, after rewording:  {percent(remedy['benign']['after'])} still refused",
    ]
    if remedy["unsafe"] is not None:
        lines.append(
            f"unsafe, after rewording:  {percent(remedy['unsafe']['after'])} still refused (control)"
        )
    for row in remedy["faithfulness"]:
        mean = row["difference"] or row["value"]
        if mean is not None:
            what = "against the original's picture" if row["difference"] else "of the wording"
            lines.append(f"meaning kept:             {row['measure']} {mean['mean']:+.3f} {what}")
    return lines
