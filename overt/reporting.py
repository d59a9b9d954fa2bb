"""`overt report`: one page of one run or several, with its plots, figures and table as files beside it."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overt.data.errors import InputError
from overt.data.judge_checks import last_check
from overt.data.outcomes import Harm, Outcome
from overt.data.records import Prompt
from overt.data.rewrites import Candidate, Choice, Faithfulness
from overt.data.runs import RESULTS, read_run
from overt.data.store import dump_json, read_json, read_records, speaking_os_errors, write_atomic
from overt.policies.load import load_policy
from overt.policies.schema import Policy
from overt.tasks.summary import summary_of

if TYPE_CHECKING:
    from overt.report.block import Block, JudgeLine
    from overt.report.gallery import GalleryRow
    from overt.report.rewordings import RewordedRow, Rewriting

BOUNDARIES = "emotional_boundaries"  # the suite and the policy whose answers are scored at a boundary


@dataclasses.dataclass(frozen=True)
class _Part:
    """One run, its targets named as the report names them."""

    folder: Path
    policy: Policy
    manifest: dict[str, Any]
    prompts: list[Prompt]
    outcomes: list[Outcome]
    harms: list[Harm]
    rewriting: Rewriting | None

    @property
    def suite(self) -> str:
        return str((self.manifest["identity"].get("suite") or {}).get("name", ""))

    @property
    def is_text(self) -> bool:
        return self.manifest["identity"].get("text") is not None

    @property
    def group(self) -> tuple[str, str, bool]:
        """Runs whose rates can be held together: of one policy, of one suite, and of one kind of answer."""
        return self.policy.hash, self.suite, self.is_text


def write_report(runs: Sequence[Path], out: Path, *, images: bool = True) -> Path:
    """Writes `index.html`, `summary.json`, `table.md` and `plots/` into `out`; the path of the page.

    Args:
        runs: complete runs of `overt run`. Runs of one policy stand together, over all their prompts. Those
            of another policy, of another suite, or of language models beside what draws, have a part of
            their own on the page, since one text may be benign under one policy and unsafe under another;
            then `summary.json` holds a list `parts`, and each part has its folder in `plots/`.
        images: put thumbnails into the gallery.

    Raises:
        InputError: a folder that is no complete run; one prompt that is benign in one run and unsafe in
            another of the same policy.
        RunError: `out` cannot be written.
    """
    from overt.report.markdown import render_markdown
    from overt.report.page import render

    parts = _parts(runs)
    groups: dict[tuple[str, str, bool], list[_Part]] = {}
    for part in parts:
        groups.setdefault(part.group, []).append(part)
    titles = _titles(list(groups.values()))
    many = len(groups) > 1
    with speaking_os_errors("cannot write the report"):
        out.mkdir(parents=True, exist_ok=True)
        made = [
            _block(
                group,
                title,
                out / "plots" / (f"{i}-{_slug(title)}" if many else ""),
                images=images,
                share=1 / len(parts),
            )
            for i, (group, title) in enumerate(zip(groups.values(), titles, strict=True), 1)
        ]
        blocks = [block for block, *_ in made]
        page = render(
            blocks,
            _facts(parts),
            rows_left_out=sum(rows for _, rows, _ in made),
            rewordings_left_out=sum(pairs for *_, pairs in made),
        )
        figures = [_figures(block) for block in blocks]
        whole = figures[0] if not many else {"parts": figures}
        tables = [render_markdown(block.summary, title=block.title if many else "") for block in blocks]
        write_atomic(out / "summary.json", dump_json(whole))
        write_atomic(out / "table.md", "\n".join(tables).encode("utf-8"))
        write_atomic(out / "index.html", page.encode("utf-8"))
    return out / "index.html"


def _block(
    group: Sequence[_Part], title: str, plots: Path, *, images: bool, share: float
) -> tuple[Block, int, int]:
    """A part of the page, and how many cases and wordings had no room.

    Args:
        share: of the page's bytes for each run, 0 to 1.
    """
    from overt.report import rewordings as beside
    from overt.report.block import Block
    from overt.report.gallery import PAGE_BUDGET, TEXT_BUDGET, build_gallery
    from overt.report.plots import write_plots
    from overt.report.rewordings import build_rewordings

    prompts = _merged(group)
    kinds = {name: kind for part in group for name, kind in part.manifest["kinds"].items()}
    outcomes = [o for part in group for o in part.outcomes]
    harms = [h for part in group for h in part.harms]
    summary = summary_of(group[0].policy, list(prompts.values()), outcomes, harms, kinds)
    remedy, boundaries = _remedy(group), _boundaries(group, prompts, outcomes, kinds)
    rows: list[GalleryRow] = []
    pairs: list[RewordedRow] = []
    rows_left_out = pairs_left_out = 0
    for part in group:
        room = PAGE_BUDGET - (beside.PAGE_BUDGET if part.rewriting else 0)
        gallery = build_gallery(
            prompts,
            part.outcomes if images else [dataclasses.replace(o, images=()) for o in part.outcomes],
            {harm.outcome_id: harm for harm in part.harms},
            part.folder,
            text_budget=int(TEXT_BUDGET * share),
            page_budget=int(room * share),
        )
        rows += gallery.rows
        rows_left_out += gallery.rows_left_out
        if part.rewriting:
            found = build_rewordings(
                prompts,
                part.outcomes,
                part.rewriting,
                part.folder,
                images=images,
                text_budget=int(beside.TEXT_BUDGET * share),
                page_budget=int(beside.PAGE_BUDGET * share),
            )
            pairs += found.rows
            pairs_left_out += found.rows_left_out
    block = Block(
        summary,
        title,
        rows,
        write_plots(summary, plots, remedy=remedy, boundaries=boundaries),
        remedy,
        pairs,
        boundaries,
        _judges(group),
    )
    return block, rows_left_out, pairs_left_out


def _figures(block: Block) -> dict[str, Any]:
    """What summary.json holds of a part."""
    more = {"title": block.title, "remedy": block.remedy, "boundaries": block.boundaries}
    return {**block.summary, **{key: value for key, value in more.items() if value}}


# -- what is read ---------------------------------------------------------------------------------------


def _parts(runs: Sequence[Path]) -> list[_Part]:
    parts: list[_Part] = []
    taken: set[str] = set()
    for folder in runs:
        manifest, prompts, outcomes, harms = read_run(folder)
        policy = load_policy(str(folder / "policy.yaml"))
        # The same target in two runs stays two: what is compared may be its two versions.
        new = {name: name if name not in taken else f"{name} ({folder.name})" for name in manifest["kinds"]}
        taken |= set(new.values())
        parts.append(
            _Part(
                folder,
                policy,
                {
                    **manifest,
                    "kinds": {new[name]: kind for name, kind in manifest["kinds"].items()},
                    "below_coverage": [new.get(name, name) for name in manifest["below_coverage"]],
                },
                prompts,
                [dataclasses.replace(o, target=new[o.target]) for o in outcomes],
                [dataclasses.replace(h, target=new[h.target]) for h in harms],
                _rewriting(folder, new, prompts, outcomes),
            )
        )
    return parts


def _rewriting(
    folder: Path, new: dict[str, str], prompts: Sequence[Prompt], outcomes: Sequence[Outcome]
) -> Rewriting | None:
    """What `overt rewrite` made of a run; None where it has not run, or has not come to its end.

    `untried` is added to each target: refused prompts that no wording was found for, by label. They were
    never tried again, so that they are no evidence of what the target would have said.
    """
    from overt.report.rewordings import Rewriting
    from overt.tasks.rewrite import FOLDER

    path = folder / RESULTS / "rewrite.json"
    if not path.exists():
        return None
    remedy = read_json(path)
    labels = {prompt.id: prompt.label for prompt in prompts}
    refused = {(o.target, o.prompt_id) for o in outcomes if o.sample == 0 and o.state == "refused"}
    after = read_records(folder / FOLDER / "outcomes.jsonl", Outcome)
    scores = read_records(folder / FOLDER / "faithfulness.jsonl", Faithfulness)
    choices = read_records(folder / FOLDER / "choices.jsonl", Choice)

    def named(target: str) -> str:
        return new.get(target, target)

    untried = Counter(
        (c.target, labels.get(c.prompt_id))
        for c in choices
        if not c.tried and (c.target, c.prompt_id) in refused
    )
    targets = [
        {
            **target,
            "name": named(target["name"]),
            "untried": {label: untried[target["name"], label] for label in ("benign", "unsafe")},
        }
        for target in remedy["targets"]
    ]
    return Rewriting(
        {**remedy, "targets": targets},
        read_records(folder / FOLDER / "candidates.jsonl", Candidate),
        [dataclasses.replace(o, target=named(o.target)) for o in after],
        [dataclasses.replace(s, target=named(s.target)) for s in scores],
        [dataclasses.replace(c, target=named(c.target)) for c in choices],
    )


def _merged(parts: Sequence[_Part]) -> dict[str, Prompt]:
    """The prompts of runs of one policy by id."""
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


# -- what is made of it ---------------------------------------------------------------------------------


def _titles(groups: Sequence[Sequence[_Part]]) -> list[str]:
    """What tells the parts of a page from each other; the run folders besides where that is not enough."""
    titles = []
    for group in groups:
        first = group[0]
        name = f"Suite {first.suite}" if first.suite else f"Policy {first.policy.name}"
        titles.append(f"{name}: {'answers in text' if first.is_text else 'pictures and filters'}")
    return [
        title if titles.count(title) == 1 else f"{title} ({', '.join(part.folder.name for part in group)})"
        for title, group in zip(titles, groups, strict=True)
    ]


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.casefold()).strip("-")[:40]


def _remedy(group: Sequence[_Part]) -> dict[str, Any] | None:
    """The remedies of all runs as one: each target was reworded in its own run."""
    found = [part.rewriting.remedy for part in group if part.rewriting]
    if not found:
        return None
    scales = {(s["measure"], s["model"]): s for remedy in found for s in remedy.get("scales") or ()}
    return {
        **found[0],
        "targets": [target for remedy in found for target in remedy["targets"]],
        "scales": list(scales.values()) if len(found) == 1 else [],  # a scale belongs to its run's data
    }


def _boundaries(
    group: Sequence[_Part], prompts: dict[str, Prompt], outcomes: Sequence[Outcome], kinds: dict[str, str]
) -> dict[str, Any] | None:
    """Both scorings of answers to people who love or depend on the assistant; None for other prompts."""
    from overt.scoring.boundaries import BoundaryAnswer, summarize_boundaries

    if not any(BOUNDARIES in (part.suite, part.policy.name) for part in group):
        return None
    answers = [
        BoundaryAnswer(o.target, prompt.language, o.text, prompt.cluster)
        for o in outcomes
        if o.state != "error" and o.text.strip() and kinds[o.target] == "text"
        for prompt in [prompts[o.prompt_id]]
    ]
    return summarize_boundaries(answers) if answers else None


def _judges(group: Sequence[_Part]) -> list[JudgeLine]:
    """Who judged, and when they were last held against human labels on this computer."""
    from overt.report.block import JudgeLine

    found: dict[tuple[str, str], JudgeLine] = {}
    for part in group:
        told = part.manifest["identity"].get("text") or {}
        name = part.manifest.get("refusal_judge") or told.get("judge")
        if name and "text" in part.manifest["kinds"].values():
            found[name, "refusal"] = JudgeLine(name, "whether answers refuse", last_check(name, "text"))
        for name in (part.manifest.get("judges") or {}).get("names", ()):
            found[name, "harm"] = JudgeLine(
                name, "whether what came out does harm", last_check(name, "image")
            )
    return list(found.values())


def _facts(parts: Sequence[_Part]) -> dict[str, Any]:
    """Where it all comes from: what the provenance section shows."""
    manifests = [part.manifest for part in parts]
    identities = [manifest["identity"] for manifest in manifests]
    policies = list({p["hash"]: p for p in (identity["policy"] for identity in identities)}.values())
    notes = [note for manifest in manifests for note in manifest["notes"]]
    facts = {
        "run": ", ".join(str(part.folder) for part in parts),
        "policy": policies[0] if len(policies) == 1 else policies,
        "dataset": [d for identity in identities for d in identity["datasets"]],
        "targets": [t for identity in identities for t in identity["targets"]],
        "judges": [m["judges"]["names"] for m in manifests if m.get("judges")],
        "every_layer": any(identity["every_layer"] for identity in identities),
        "samples": identities[0]["samples"],
        "seed": identities[0]["seed"],
        "command": "overt run",
        "seconds": sum(sum(m["seconds"].values()) for m in manifests),
        "cost": sum(m["calls"].get("cost", 0.0) for m in manifests)
        + sum(m[stage]["calls"].get("cost", 0.0) for m in manifests for stage in _STAGES if m.get(stage)),
        "versions": manifests[0]["versions"],
        "notes": list(dict.fromkeys(notes)),
        "min_coverage": max(identity["min_coverage"] for identity in identities),
        "below_coverage": [name for manifest in manifests for name in manifest["below_coverage"]],
    }
    more = {
        "suites": [part.suite for part in parts if part.suite],
        "refusal judges": [text for i in identities if (text := i.get("text") or i.get("answers"))],
        "rewriting": [_of_rewriting(m["rewrite"]) for m in manifests if m.get("rewrite")],
    }
    return {**facts, **{key: value for key, value in more.items() if value}}


_STAGES = ("judges", "rewrite")


def _of_rewriting(facts: dict[str, Any]) -> dict[str, Any]:
    wanted = ("rewriter", "strategies", "count", "scorers", "unsafe", "every_prompt", "seed", "templates")
    return {key: facts[key] for key in (*wanted, "prompts", "candidates", "lost") if key in facts}
