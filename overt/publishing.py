"""`overt publish`: a run read, split into what everyone may see and what not, scanned, and laid ready."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from overt.data.account import STAGES
from overt.data.errors import InputError
from overt.data.records import Audit, Seed, content_id
from overt.data.store import RunStore, read_json, read_records
from overt.evaluate import RESULTS, read_run
from overt.policies.load import load_policy
from overt.publish.card import Facts
from overt.publish.commands import base_name, generate_command, run_command
from overt.publish.dataset import LAYOUTS, Layout, dataset_tables
from overt.publish.folder import Prepared, claim, contains_any, mark, write_repo
from overt.publish.parquet import SHARD_BYTES
from overt.publish.pictures import Pictures
from overt.publish.results import result_tables
from overt.publish.scan import (
    FINDING_KINDS,
    Finding,
    FindingKind,
    in_words,
    scan_repo,
    scan_text,
    secrets_here,
)
from overt.publish.tables import Repo, Table

UNSAFE_OPEN = (
    "--unsafe-open puts the unsafe prompts, and pictures made from them, where anyone and any crawler can "
    "take them without asking: they can be used against systems without a filter, they end up in training "
    "data, and they cannot be called back. Without it they go to a repository of their own, where you answer "
    "each request for access."
)


@dataclass(frozen=True)
class Choices:
    """How it is to be published.

    Args:
        repo: `ORG/NAME`; what is unsafe goes to `ORG/NAME-unsafe`.
        unsafe_open: everything into one open repository.
        license: identifier as the Hub knows it, "" for none.
        allow: kinds of findings that may stay.
    """

    repo: str
    layout: Layout = "own"
    unsafe_open: bool = False
    license: str = ""
    allow: tuple[FindingKind, ...] = ()
    shard_bytes: int = SHARD_BYTES


@dataclass(frozen=True)
class Publication:
    """What lies ready in `folder`, with what to tell whoever publishes it."""

    folder: Path
    prepared: tuple[Prepared, ...]
    notes: tuple[str, ...]
    findings: tuple[Finding, ...] = ()


@dataclass
class _Draft:
    """A run as tables, before anything is written."""

    open_: list[Table]
    unsafe: list[Table]
    unsafe_texts: list[str]
    facts: dict[str, Any]
    texts: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def prepare(run: Path, choices: Choices, out: Path | None = None) -> Publication:
    """Writes a publication to a folder; nothing is sent.

    Args:
        run: a complete run of `overt generate` or `overt run`.
        out: default `RUN/publish`.

    Raises:
        InputError: no complete run, a bad name, findings that are not allowed, a folder in use.
        RunError: it cannot be written.
    """
    from overt.data.hub import is_hub_id

    if not is_hub_id(choices.repo):
        raise InputError(f"--repo {choices.repo!r} is no ORG/NAME", fix="For instance: my-org/news-prompts")
    if choices.layout not in LAYOUTS:
        raise InputError(f"there is no layout {choices.layout!r}", fix=f"There are: {', '.join(LAYOUTS)}.")
    for kind in choices.allow:
        if kind not in FINDING_KINDS:
            raise InputError(
                f"--allow {kind!r} is no kind of finding", fix=f"There are: {', '.join(FINDING_KINDS)}."
            )
    draft = _read(run, choices)
    repos = _repos(draft, choices)
    findings = _scanned(repos, draft, choices.allow)
    out = out or run / "publish"
    claim(out)
    notes = list(draft.notes)
    prepared = []
    for repo in repos:
        pictures = Pictures(run)
        checks = [
            "Scanned for keys, e-mail addresses, phone numbers and paths with a user's name: "
            + (f"{in_words(findings)} are in it, and whoever published it says so." if findings else "none.")
        ]
        if any(table.columns_of("image") for table in repo.tables):
            checks.append("Pictures were encoded anew, without EXIF or any other metadata.")
        facts = Facts(license=choices.license, checks=checks, **_facts_for(repo, draft))
        one, told = write_repo(
            repo, facts, out, pictures, unsafe=draft.unsafe_texts, shard_bytes=choices.shard_bytes
        )
        prepared.append(one)
        if words := pictures.count.words():
            notes.append(f"{repo.id}: {words}")
        notes += [note for note in told if note not in notes]
    mark(out, prepared)
    return Publication(out, tuple(prepared), tuple(notes), tuple(findings))


def _read(run: Path, choices: Choices) -> _Draft:
    identity = RunStore.identity(run)
    if identity is None:
        raise InputError(
            "this is not a run of overt (no run.json)",
            where=str(run),
            fix="Give the folder that `overt generate` or `overt run` named with --out.",
        )
    if identity.get("kind") == "generate":
        return _dataset(run, identity, choices)
    if choices.layout != "own":
        raise InputError("--layout overt is for data sets; this run holds results", where=str(run))
    return _results(run, identity, choices)


# -- a data set -------------------------------------------------------------------------------------------


def _dataset(run: Path, identity: Mapping[str, Any], choices: Choices) -> _Draft:
    manifest = RunStore(run).manifest()
    if manifest is None:
        raise InputError(
            "this run is not complete",
            where=str(run),
            fix=f"Go on with it: overt generate --resume {run}",
        )
    benign, unsafe = (_rows(run / "dataset" / f"{side}.jsonl") for side in ("benign", "unsafe"))
    stages = run / "stages"
    seeds = {
        seed.id: seed.text
        for name in ("seeds.read", "seeds")
        for seed in read_records(stages / f"{name}.jsonl", Seed)
    }
    source = identity["seeds"]["spec"] or ""
    open_, gated = dataset_tables(benign, unsafe, layout=choices.layout, seeds=seeds, source=source)
    policy = load_policy(str(run / "policy.yaml"))
    counts = Counter((row["category"], row["label"]) for row in (*benign, *unsafe))
    order = [c.id for c in policy.categories if (c.id, "benign") in counts or (c.id, "unsafe") in counts]
    stage_names = [name for name in STAGES if any(name in row for row in manifest["stages"])]
    made = [
        ("Written by", identity["model"]),
        ("Probed on", identity["probe"] or ""),
        ("Seeds", base_name(source)),
        ("Instructions", ", ".join(dict.fromkeys(row["template"] for row in (*benign, *unsafe)))),
    ]
    facts = {
        "title": f"Over-refusal prompts: {policy.name}",
        "summary": f"{len(benign):,} benign prompts that sound dangerous and {len(unsafe):,} unsafe ones, "
        f"for {'text' if policy.modality == 'text' else 'text-to-image'} models, made under the policy "
        f"{policy.name} {policy.version}.",
        "counts": [
            ["Category", "Benign", "Unsafe"],
            *([c, counts[c, "benign"], counts[c, "unsafe"]] for c in order),
            ["all", len(benign), len(unsafe)],
        ],
        "stages": [
            ["Category", *stage_names],
            *(
                [
                    row["category"],
                    *(f"{row[s]['in']} / {row[s]['out']}" if s in row else "" for s in stage_names),
                ]
                for row in manifest["stages"]
            ),
        ],
        "samples": list({row["category"]: row["text"] for row in reversed(benign)}.items())[::-1],
        "auditors": list(identity["judges"]),
        "agreement": _agreement(read_records(stages / "audit.jsonl", Audit)),
        "notes": _notes(manifest),
        "languages": sorted({row["language"] for row in (*benign, *unsafe)}),
        "command": generate_command(identity),
        **_common(run, identity, manifest, policy, made),
    }
    return _Draft(
        open_,
        gated,
        [row["text"] for row in unsafe],
        facts,
        {"policy.yaml": (run / "policy.yaml").read_text(encoding="utf-8", errors="replace")},
    )


def _agreement(audits: Sequence[Audit]) -> str:
    """How far the judges of the run agree, in words; "" where one judged alone."""
    names = list(dict.fromkeys(vote.judge for audit in audits for vote in audit.votes))
    if len(names) < 2:
        return ""
    import math

    from overt.scoring.stats import krippendorff_alpha

    table = [
        [next((v.label for v in a.votes if v.judge == name and v.label != "unclear"), None) for name in names]
        for a in audits
    ]
    alpha = krippendorff_alpha(table)
    same = sum(len({vote.label for vote in audit.votes}) == 1 for audit in audits)
    text = f"Of {len(audits):,} prompts judged, all judges agree on {same / len(audits):.1%}"
    return f"{text}." if math.isnan(alpha) else f"{text}; Krippendorff's alpha is {alpha:.2f}."


def _notes(manifest: Mapping[str, Any]) -> list[str]:
    notes = [str(note) for note in manifest.get("notes") or ()]
    if (manifest.get("index") or {}).get("similarity") == "jaccard":
        notes.append("Near repeats were found by shared words, not by meaning. Paraphrases may remain.")
    return notes


def _refusal_judge(manifest: Mapping[str, Any]) -> str:
    """Who told refusals in answers in words; "" where nothing answered in words."""
    told = manifest["identity"].get("text") or {}
    return str(manifest.get("refusal_judge") or told.get("judge") or "")


# -- results ----------------------------------------------------------------------------------------------


def _results(run: Path, identity: Mapping[str, Any], choices: Choices) -> _Draft:
    from overt.report.markdown import render_markdown

    manifest, prompts, outcomes, harms = read_run(run)
    summary = read_json(run / RESULTS / "summary.json")
    open_, gated = result_tables(prompts, outcomes, harms, apart=not choices.unsafe_open)
    policy = load_policy(str(run / "policy.yaml"))
    targets = list(manifest["kinds"])
    judges = summary.get("judges") or {}
    counts: Counter[tuple[str, str]] = Counter((p.category, p.label) for p in prompts)
    order = list(dict.fromkeys(p.category for p in prompts))
    labels = [label for label in ("benign", "unsafe", "unclear") if any(p.label == label for p in prompts)]
    agreement = ""
    if judges.get("krippendorff_alpha") is not None:
        agreement = f"Krippendorff's alpha between them is {judges['krippendorff_alpha']:.2f}."
    suite = (identity.get("suite") or {}).get("name") or ""
    sources = [base_name(suite), *(base_name(d["spec"]) for d in identity["datasets"])]
    made = [
        ("Targets", ", ".join(targets)),
        ("Prompts", ", ".join(name for name in sources if name)),
        ("Draws per prompt", str(identity["samples"])),
        ("Refusals in words told by", _refusal_judge(manifest)),
    ]
    who = targets[0] if len(targets) == 1 else f"{len(targets)} targets"
    facts = {
        "title": f"Over-refusal results under {policy.name}: {who}",
        "summary": f"What {who} made of {len(prompts):,} prompts under the policy {policy.name} "
        f"{policy.version}: answers, refusals and the layer that refused, prompt by prompt.",
        "counts": [
            ["Category", *(label.capitalize() for label in labels)],
            *([c, *(counts[c, label] for label in labels)] for c in order),
        ],
        "results": render_markdown(summary),
        "auditors": [f"{name} (harm of what was handed out)" for name in judges.get("names") or ()],
        "agreement": agreement or _label_source(prompts),
        "notes": _notes(manifest)
        + [f"{name}: too few prompts were answered" for name in manifest["below_coverage"]],
        "languages": sorted({p.language for p in prompts}),
        "command": run_command(identity),
        **_common(run, identity, manifest, policy, made),
    }
    texts = {
        "policy.yaml": (run / "policy.yaml").read_text(encoding="utf-8", errors="replace"),
        "summary.json": (run / RESULTS / "summary.json").read_text(encoding="utf-8", errors="replace"),
    }
    unsafe_texts = [] if choices.unsafe_open else [p.text for p in prompts if p.label != "benign"]
    return _Draft(open_, gated, unsafe_texts, facts, texts)


def _label_source(prompts: Sequence[Any]) -> str:
    writers = ", ".join(sorted({base_name(p.writer) for p in prompts if p.writer})[:5])
    return f"Benign and unsafe are the labels of the data set ({writers})." if writers else ""


# -- both -------------------------------------------------------------------------------------------------


def _repos(draft: _Draft, choices: Choices) -> list[Repo]:
    side = f"{choices.repo}-unsafe"
    if choices.unsafe_open:
        tables = (*draft.open_, *draft.unsafe)
        if not tables:
            raise InputError("there is nothing to publish: the run holds no prompts")
        unsafe = bool(draft.unsafe) or any(
            row.get("label") == "unsafe" for table in tables for row in table.rows
        )
        return [Repo(choices.repo, tables, holds_unsafe=unsafe, texts=draft.texts)]
    repos = []
    open_texts = dict(draft.texts)
    policy = open_texts.get("policy.yaml", "")
    if contains_any(policy, draft.unsafe_texts):
        # A policy may give an unsafe prompt as an example, word for word.
        del open_texts["policy.yaml"]
        draft.notes.append(
            "policy.yaml holds an unsafe prompt of the data set: it goes to the gated side only"
        )
    if draft.open_:
        sibling = side if draft.unsafe else ""
        repos.append(Repo(choices.repo, tuple(draft.open_), sibling=sibling, texts=open_texts))
    if draft.unsafe:
        sibling = choices.repo if draft.open_ else ""
        repos.append(
            Repo(
                side,
                tuple(draft.unsafe),
                is_gated=True,
                holds_unsafe=True,
                sibling=sibling,
                texts=draft.texts,
            )
        )
    if not repos:
        raise InputError("there is nothing to publish: the run holds no prompts")
    return repos


def _facts_for(repo: Repo, draft: _Draft) -> dict[str, Any]:
    facts = dict(draft.facts)
    if repo.is_gated:
        facts["title"] = f"{facts['title']} (gated part)"
    if not repo.holds_unsafe:
        # Beside a benign prompt that repeats its unsafe twin word for word.
        facts["samples"] = [
            (category, text)
            for category, text in facts.get("samples", ())
            if not contains_any(text, draft.unsafe_texts)
        ]
    if "policy.yaml" not in repo.texts:
        facts["command"] = ""
    return facts


def _scanned(repos: Sequence[Repo], draft: _Draft, allowed: Sequence[FindingKind]) -> list[Finding]:
    """What the scan found and the user allows.

    Raises:
        InputError: something was found that is not allowed.
    """
    from huggingface_hub import get_token

    secrets = secrets_here(None, get_token())
    card = "\n".join(str(value) for value in draft.facts.values())
    found = [
        *(finding for repo in repos for finding in scan_repo(repo, secrets)),
        *scan_text(card, "the card", secrets),
    ]
    found = list(dict.fromkeys(found))
    bad = [finding for finding in found if finding.kind not in allowed]
    if bad:
        lines = [f"{f.where}: {f.kind} {f.excerpt}" for f in bad[:10]]
        more = f"\n    and {len(bad) - 10} more" if len(bad) > 10 else ""
        kinds = " ".join(f"--allow {kind}" for kind in FINDING_KINDS if any(f.kind == kind for f in bad))
        raise InputError(
            f"{in_words(bad)} are in what would be published:\n    " + "\n    ".join(lines) + more,
            fix=f"Nothing was sent. Take them out; or, if they are made up or everyone may see them: {kinds}",
        )
    return found


def _common(
    run: Path,
    identity: Mapping[str, Any],
    manifest: Mapping[str, Any],
    policy: Any,
    made: Sequence[tuple[str, str]],
) -> dict[str, Any]:
    written = time.strftime("%Y-%m-%d", time.gmtime((run / "manifest.json").stat().st_mtime))
    name = f"{policy.name} {policy.version} (hash {policy.hash})"
    made = [("Policy", name), *made, ("Made with", f"overt {manifest['versions']['overt']}")]
    return {
        "run": content_id("run", dict(identity)),
        "made": [(what, which) for what, which in made if which],
        "policy": {
            "name": policy.name,
            "version": policy.version,
            "hash": policy.hash,
            "modality": policy.modality,
        },
        "published": written,
    }


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8") as file:
            return [json.loads(line) for line in file]
    except (OSError, ValueError) as error:
        raise InputError(f"the data set of the run cannot be read: {error}", where=str(path)) from error


def publish(
    publication: Publication,
    *,
    token: str | None = None,
    private: bool = False,
    update: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> list[str]:
    """Uploads what `prepare` laid ready; the addresses of the commits. See `overt.publish.upload`."""
    from overt.publish.upload import upload

    return upload(publication.prepared, token=token, private=private, update=update, say=say)
