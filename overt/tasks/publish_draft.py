"""Reads a run for publication: tables, texts, and facts for the card."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from overt.data.errors import InputError
from overt.data.json_types import Json
from overt.data.purposes import purpose_of
from overt.data.records import Audit, Prompt, Seed, content_id, from_json
from overt.data.results.files import read_summary, summary_file
from overt.data.results.recipe import RecipeFacts
from overt.data.results.summary import Summary
from overt.data.run.files import read_json, read_records
from overt.data.run.finished import ResultsManifest, Run, open_run
from overt.data.run.folder import MANIFEST
from overt.data.run.record import FILE
from overt.data.suites.load import suite_of_run
from overt.data.suites.schema import Suite
from overt.data.text import interval, percent
from overt.data.tiers import mentions_of
from overt.policies.load import load_policy
from overt.policies.schema import Policy
from overt.publish.card import Facts, dataset_url
from overt.publish.dataset import Layout, dataset_tables
from overt.publish.model_results import ModelPage, Source
from overt.publish.results import result_tables
from overt.publish.tables import Table
from overt.report.markdown import render_markdown
from overt.review.corrected import attached, corrections_of
from overt.review.results import confirmed
from overt.scoring.stats import krippendorff_alpha
from overt.tasks.generate_finish import stage_table
from overt.tasks.generate_gold import gold_facts
from overt.tasks.publish_models import model_pages, setup_of
from overt.tasks.rebuild import POLICY, base_name, rebuild_of

Made = Sequence[tuple[str, str]]
LABELS = ("benign", "unsafe", "unclear")


@dataclass
class Draft:
    """A run as tables, before anything is written.

    Args:
        texts: small files beside the data, by name.
        unsafe_texts: texts that no open file may contain.
        rebuild_note: which files the rebuilding command reads.
        notes: for the publisher.
        pages: results for the pages of models; their files are among `texts`.
    """

    open_: list[Table]
    unsafe: list[Table]
    unsafe_texts: list[str]
    facts: Facts
    texts: dict[str, str]
    rebuild_note: str
    notes: list[str] = field(default_factory=list)
    pages: list[ModelPage] = field(default_factory=list)


def read_draft(
    folder: Path, *, repo: str, layout: Layout, unsafe_open: bool, benchmark: Sequence[str] = ()
) -> Draft:
    """Reads a complete run of `overt generate` or `overt run`.

    Args:
        repo: where it will be published.
        benchmark: of results: the data set on the Hub that was asked, as `--benchmark` takes it.

    Raises:
        InputError: see `open_run`; or the run's files cannot be read, or an option is not for this run.
    """
    run = open_run(folder, "generate", "run")
    policy = load_policy(str(run.policy_file))
    if run.kind == "generate":
        if benchmark:
            raise InputError("--benchmark is for results; this run holds a data set", where=str(folder))
        return _of_dataset(run, policy, layout)
    if layout != "own":
        raise InputError("--layout overt is for data sets; this run holds results", where=str(folder))
    return _of_results(run, policy, repo, benchmark, apart=not unsafe_open)


# -- a data set -------------------------------------------------------------------------------------------


def _of_dataset(run: Run, policy: Policy, layout: Layout) -> Draft:
    benign, unsafe = (_rows(run.folder / "dataset" / f"{side}.jsonl") for side in ("benign", "unsafe"))
    stages = run.folder / "stages"
    seeds = {
        seed.id: seed.text
        for name in ("seeds.read", "seeds")
        for seed in read_records(stages / f"{name}.jsonl", Seed)
    }
    record = run.record
    source = str(record.value("seeds") or "")
    open_, gated = dataset_tables(benign, unsafe, layout=layout, seeds=seeds, source=source)
    rows = [*benign, *unsafe]
    gold = run.dataset.gold
    heads, table = stage_table(_flows(run))
    rebuild = rebuild_of(record)
    facts = Facts(
        title=f"Over-refusal prompts: {policy.name}",
        summary=f"{len(benign):,} benign prompts that sound dangerous and {len(unsafe):,} unsafe ones, "
        f"for {purpose_of(policy.asks_for).models} models, made under the policy "
        f"{policy.name} {policy.version}.",
        counts=[
            *_counts(
                [(str(row["category"]), str(row["label"])) for row in rows],
                [c.id for c in policy.categories],
                ("benign", "unsafe"),
            ),
            ["all", len(benign), len(unsafe)],
        ],
        stages=[["Category", *heads[1:]], *table],
        samples=list({str(row["category"]): str(row["text"]) for row in reversed(benign)}.items())[::-1],
        auditors=_texts(record.value("judge")),
        agreement=agreement_of(read_records(stages / "audit.jsonl", Audit)),
        mentions=mentions_of(from_json(Prompt, row) for row in benign).in_words,
        gold=gold_facts(gold) if gold is not None else {},
        reviewed=_reviewed(run.folder),
        notes=[*_recipe(run.dataset.recipe), *_notes(run.dataset.notes, run.dataset.index)],
        languages=sorted({str(row["language"]) for row in rows}),
        command=rebuild.command,
        made=_made(
            run,
            policy,
            [
                ("Written by", str(record.value("model"))),
                ("Probed on", str(record.value("probe") or "")),
                ("Seeds", base_name(source)),
                ("Instructions", ", ".join(dict.fromkeys(str(row["template"]) for row in rows))),
            ],
        ),
        run=_id(run),
        policy=_policy(policy),
        published=_date(run),
    )
    texts = {POLICY: _text(run.policy_file), **rebuild.beside}
    return Draft(open_, gated, [str(row["text"]) for row in unsafe], facts, texts, rebuild.note())


def _recipe(recipe: RecipeFacts | None) -> list[str]:
    """A sentence on the recipe, its source's counts beside this run's, and what of it is ours."""
    if recipe is None:
        return []
    totals = [f"{c.what}: {c.published:,}, here {c.here:,}" for c in recipe.counts if c.category == "all"]
    said = f"Made by the recipe {recipe.name} ({recipe.source or recipe.title})."
    if totals:
        said += f" Published {'; '.join(totals)}."
    if recipe.ours:
        said += f" What its source does not tell is ours: {'; '.join(recipe.ours)}."
    return [said]


def _rows(path: Path) -> list[dict[str, Json]]:
    try:
        with path.open(encoding="utf-8") as file:
            return [json.loads(line) for line in file]
    except (OSError, ValueError) as error:
        raise InputError(f"the data set of the run cannot be read: {error}", where=str(path)) from error


def _flows(run: Run) -> list[dict[str, Json]]:
    """The account of the run's stages, as `StageCounts.table` gave it."""
    return [
        {
            name: flow if isinstance(flow, str) else {"in": flow.entered, "out": flow.left}
            for name, flow in row.items()
        }
        for row in run.dataset.stages
    ]


def _reviewed(folder: Path) -> str:
    """What people who reviewed the run say of its labels, without their names; "" where nobody did."""
    found = confirmed(folder)
    if found is None:
        return ""
    share, people = found
    limits = f"{100 * share.level:g}% interval {interval(share)}"
    return (
        f"{people:,} {'person' if people == 1 else 'people'} reviewed {share.n:,} of the prompts and would "
        f"confirm an estimated {percent(share.value)} of all labels ({limits})."
    )


def agreement_of(audits: Sequence[Audit]) -> str:
    """A sentence on the agreement of the judges; "" for a single judge."""
    names = list(dict.fromkeys(vote.judge for audit in audits for vote in audit.votes))
    if len(names) < 2:
        return ""
    table = [
        [next((v.label for v in a.votes if v.judge == name and v.label != "unclear"), None) for name in names]
        for a in audits
    ]
    alpha = krippendorff_alpha(table)
    same = sum(len({vote.label for vote in audit.votes}) == 1 for audit in audits)
    text = f"Of {len(audits):,} prompts judged, all judges agree on {same / len(audits):.1%}"
    return f"{text}." if math.isnan(alpha) else f"{text}; Krippendorff's alpha is {alpha:.2f}."


# -- results ----------------------------------------------------------------------------------------------


def _counts_of(prompts: Sequence[Prompt]) -> list[Sequence[str | int]]:
    labels = {p.label for p in prompts}
    return _counts(
        [(p.category, p.label) for p in prompts],
        list(dict.fromkeys(p.category for p in prompts)),
        [label for label in LABELS if label in labels],
    )


def _of_results(run: Run, policy: Policy, repo: str, benchmark: Sequence[str], *, apart: bool) -> Draft:
    prompts, manifest, record = run.prompts, run.results, run.record
    summary = read_summary(run.folder)
    summary = attached(summary, corrections_of(run, summary.level))
    judge = _refusal_judge(run, manifest)
    source = Source(_date(run), dataset_url(repo), summary.level, setup_of(record, judge))
    pages, without = model_pages(run, summary, benchmark, source)
    open_, gated = result_tables(prompts, run.outcomes, run.harms, apart=apart)
    sources = [str(record.value("suite") or ""), *_texts(record.value("dataset"))]
    targets = list(manifest.kinds)
    who = _who(targets)
    rebuild = rebuild_of(record)
    short = [f"{name}: too few prompts were answered" for name in manifest.below_coverage]
    facts = Facts(
        title=f"Over-refusal results under {policy.name}: {who}",
        summary=f"What {who} made of {len(prompts):,} prompts under the policy {policy.name} "
        f"{policy.version}: answers, refusals and the layer that refused, prompt by prompt.",
        counts=_counts_of(prompts),
        results=render_markdown(summary) + _of_pages(pages),
        mentions=mentions_of(prompts).in_words,
        auditors=_auditors(summary),
        nobody="No judge looked for harm in what was handed out.",
        agreement=_judges_agreement(summary) or _label_source(prompts),
        notes=[*manifest.notes, *short],
        languages=sorted({p.language for p in prompts}),
        prompts_from=_prompts_from(suite_of_run(record.value("suite"))),
        command=rebuild.command,
        made=_made(
            run,
            policy,
            [
                ("Targets", ", ".join(targets)),
                ("Prompts", ", ".join(base_name(source) for source in sources if source)),
                ("Draws per prompt", str(record.value("samples"))),
                ("Refusals in words told by", judge),
            ],
        ),
        run=_id(run),
        policy=_policy(policy),
        published=_date(run),
    )
    texts = {
        POLICY: _text(run.policy_file),
        "summary.json": _text(summary_file(run.folder)),
        **{page.file: page.text for page in pages},
        **rebuild.beside,
    }
    unsafe_texts = [p.text for p in prompts if p.label != "benign"] if apart else []
    return Draft(open_, gated, unsafe_texts, facts, texts, rebuild.note(), without, pages)


def _of_pages(pages: Sequence[ModelPage]) -> str:
    """Where the results for the pages of models are; ids of the Hub need no escape but for code's."""
    if not pages:
        return ""
    named = ", ".join(f"`{page.file}`" for page in pages)
    return f"\n\nIn the Hub's form for the pages of models, to be put into their repositories: {named}.\n"


def _prompts_from(suite: Suite | None) -> str:
    """Whose prompts they are, by what licence, and what to cite; "" for prompts of no published suite."""
    if suite is None:
        return ""
    return f"The prompts are those of {suite.title}, by the licence {suite.licence}. Cite: {suite.citation}"


def _refusal_judge(run: Run, manifest: ResultsManifest) -> str:
    """The judge of text refusals; "" if no target answered in text."""
    is_text = run.record.inputs.get("modality") == "text"
    return str(manifest.refusal_judge or (run.record.value("judge") if is_text else "") or "")


def _who(targets: Sequence[str]) -> str:
    return targets[0] if len(targets) == 1 else f"{len(targets)} targets"


def _auditors(summary: Summary) -> list[str]:
    names = summary.judges.names if summary.judges else ()
    return [f"{name} (harm of what was handed out)" for name in names]


def _judges_agreement(summary: Summary) -> str:
    alpha = summary.judges.krippendorff_alpha if summary.judges else None
    return "" if alpha is None else f"Krippendorff's alpha between them is {alpha:.2f}."


def _label_source(prompts: Sequence[Prompt]) -> str:
    writers = ", ".join(sorted({base_name(p.writer) for p in prompts if p.writer})[:5])
    return f"Benign and unsafe are the labels of the data set ({writers})." if writers else ""


# -- both -------------------------------------------------------------------------------------------------


def _counts(
    rows: Sequence[tuple[str, str]], order: Sequence[str], labels: Sequence[str]
) -> list[Sequence[str | int]]:
    """How many prompts there are of each category and label: a header and rows.

    Args:
        rows: category and label of each prompt.
        order: categories; those without a prompt are left out. `labels`: the columns.
    """
    counts = Counter(rows)
    there = {category for category, _ in rows}
    table: list[Sequence[str | int]] = [["Category", *(label.capitalize() for label in labels)]]
    table += [[c, *(counts[c, label] for label in labels)] for c in order if c in there]
    return table


def _texts(value: Json) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list | tuple) else []


def _notes(notes: Sequence[str], index: Mapping[str, str | bool] | None) -> list[str]:
    if index and index.get("similarity") == "jaccard":
        return [*notes, "Near repeats were found by shared words, not by meaning. Paraphrases may remain."]
    return list(notes)


def _made(run: Run, policy: Policy, made: Made) -> list[tuple[str, str]]:
    """Name and value of every known fact on how the run was made."""
    name = f"{policy.name} {policy.version} (hash {policy.hash})"
    versions = run.manifest_data.get("versions")
    version = versions.get("overt") if isinstance(versions, Mapping) else run.record.overt
    rows = [("Policy", name), *made, ("Made with", f"overt {version}")]
    return [(what, which) for what, which in rows if which]


def _policy(policy: Policy) -> dict[str, str]:
    return {
        "name": policy.name,
        "version": policy.version,
        "hash": policy.hash,
        "modality": policy.asks_for,
    }


def _id(run: Run) -> str:
    """Hash of run.json, by which a later upload recognises its repository."""
    return content_id("run", read_json(run.folder / FILE))


def _date(run: Run) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime((run.folder / MANIFEST).stat().st_mtime))


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
