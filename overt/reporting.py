"""`overt report`: one page of one run or several, with its plots, figures and table as files beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from overt.data.errors import InputError
from overt.data.outcomes import Harm, Outcome
from overt.data.records import Prompt
from overt.data.store import dump_json, speaking_os_errors, write_atomic
from overt.evaluate import read_run, summary_of
from overt.policies.load import load_policy
from overt.policies.schema import Policy


@dataclasses.dataclass(frozen=True)
class _Part:
    """One run, its targets named as the report names them."""

    folder: Path
    policy: Policy
    manifest: dict[str, Any]
    prompts: list[Prompt]
    outcomes: list[Outcome]
    harms: list[Harm]


def write_report(runs: Sequence[Path], out: Path, *, images: bool = True) -> Path:
    """Writes `index.html`, `summary.json`, `table.md` and `plots/` into `out`; the path of the page.

    Args:
        runs: complete runs of `overt run`. Several make one report over all their prompts; they must be
            of one policy, since one text may be benign under one and unsafe under another.
        images: put thumbnails into the gallery.

    Raises:
        InputError: a folder that is no complete run; runs of different policies; one prompt that is
            benign in one run and unsafe in another.
        RunError: `out` cannot be written.
    """
    from overt.report.gallery import PAGE_BUDGET, TEXT_BUDGET, Gallery, build_gallery
    from overt.report.markdown import render_markdown
    from overt.report.page import render
    from overt.report.plots import write_plots

    parts = _parts(runs)
    prompts = _merged(parts)
    outcomes = [o for part in parts for o in part.outcomes]
    harms = [h for part in parts for h in part.harms]
    kinds = {name: kind for part in parts for name, kind in part.manifest["kinds"].items()}
    summary = summary_of(parts[0].policy, list(prompts.values()), outcomes, harms, kinds)
    with speaking_os_errors("cannot write the report"):
        out.mkdir(parents=True, exist_ok=True)
        plots = write_plots(summary, out / "plots")
        galleries = [
            build_gallery(
                prompts,
                part.outcomes
                if images
                else [dataclasses.replace(outcome, images=()) for outcome in part.outcomes],
                {harm.outcome_id: harm for harm in part.harms},
                part.folder,
                text_budget=TEXT_BUDGET // len(parts),
                page_budget=PAGE_BUDGET // len(parts),
            )
            for part in parts
        ]
        rows = Gallery(
            tuple(row for gallery in galleries for row in gallery),
            sum(gallery.rows_left_out for gallery in galleries),
        )
        page = render(summary, rows, _facts(parts), plots, rows_left_out=rows.rows_left_out)
        write_atomic(out / "summary.json", dump_json(summary))
        write_atomic(out / "table.md", render_markdown(summary).encode("utf-8"))
        write_atomic(out / "index.html", page.encode("utf-8"))
    return out / "index.html"


def _parts(runs: Sequence[Path]) -> list[_Part]:
    parts: list[_Part] = []
    taken: set[str] = set()
    for folder in runs:
        manifest, prompts, outcomes, harms = read_run(folder)
        policy = load_policy(str(folder / "policy.yaml"))
        if parts and policy.hash != parts[0].policy.hash:
            raise InputError(
                f"these runs are of different policies: {parts[0].policy.name} in {parts[0].folder}, "
                f"{policy.name} in {folder}",
                fix="Make one report each; or run both with the same --policy.",
            )
        # The same target in two runs stays two: what is compared may be its two versions.
        new = {name: name if name not in taken else f"{name} ({folder.name})" for name in manifest["kinds"]}
        taken |= set(new.values())
        parts.append(
            _Part(
                folder,
                policy,
                {**manifest, "kinds": {new[name]: kind for name, kind in manifest["kinds"].items()}},
                prompts,
                [dataclasses.replace(o, target=new[o.target]) for o in outcomes],
                [dataclasses.replace(h, target=new[h.target]) for h in harms],
            )
        )
    return parts


def _merged(parts: Sequence[_Part]) -> dict[str, Prompt]:
    """The prompts of all runs by id."""
    prompts: dict[str, Prompt] = {}
    for part in parts:
        for prompt in part.prompts:
            known = prompts.setdefault(prompt.id, prompt)
            if known.label != prompt.label:
                raise InputError(
                    f"a prompt is {known.label} in one run and {prompt.label} here: {prompt.text[:60]!r}",
                    where=str(part.folder),
                    fix="Make one report for each run.",
                )
    return prompts


def _facts(parts: Sequence[_Part]) -> dict[str, Any]:
    """Where it all comes from: what the provenance section shows."""
    manifests = [part.manifest for part in parts]
    identities = [manifest["identity"] for manifest in manifests]
    below = [name for manifest in manifests for name in manifest["below_coverage"]]
    notes = [note for manifest in manifests for note in manifest["notes"]]
    return {
        "run": ", ".join(str(part.folder) for part in parts),
        "policy": identities[0]["policy"],
        "dataset": [d for identity in identities for d in identity["datasets"]],
        "targets": [t for identity in identities for t in identity["targets"]],
        "judges": [m["judges"]["names"] for m in manifests if m.get("judges")],
        "every_layer": any(identity["every_layer"] for identity in identities),
        "samples": identities[0]["samples"],
        "seed": identities[0]["seed"],
        "command": "overt run",
        "seconds": sum(sum(m["seconds"].values()) for m in manifests),
        "cost": sum(m["calls"].get("cost", 0.0) for m in manifests)
        + sum(m["judges"]["calls"].get("cost", 0.0) for m in manifests if m.get("judges")),
        "versions": manifests[0]["versions"],
        "notes": list(dict.fromkeys(notes)),
        "min_coverage": max(identity["min_coverage"] for identity in identities),
        "below_coverage": below,
    }
