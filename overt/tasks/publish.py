"""`overt publish`: splits a run into an open and a gated part, scans it, and writes the files to upload."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from overt.data.errors import InputError
from overt.data.hub import is_hub_id
from overt.policies.load import load_policy, shipped_policies
from overt.publish.benchmark import measuring
from overt.publish.card import Facts
from overt.publish.dataset import Layout
from overt.publish.folder import Prepared, claim, contains_any, mark, write_repo
from overt.publish.model_results import ModelPage
from overt.publish.parquet import SHARD_BYTES
from overt.publish.pictures import Pictures
from overt.publish.scan import (
    FINDING_KINDS,
    Finding,
    FindingKind,
    in_words,
    scan_repo,
    scan_text,
    secrets_here,
)
from overt.publish.tables import Repo
from overt.tasks.config import Config, Option
from overt.tasks.publish_draft import Draft, read_draft
from overt.tasks.publish_models import unsafe_of
from overt.tasks.rebuild import POLICY

UNSAFE_OPEN = (
    "--unsafe-open puts the unsafe prompts, and pictures made from them, where anyone and any crawler can "
    "take them without asking: they can be used against systems without a filter, they end up in training "
    "data, and they cannot be called back. Without it they go to a repository of their own, where you answer "
    "each request for access."
)
_HUB = "The Hub"


class PublishConfig(Config):
    kind: ClassVar[str] = "publish"

    run: Annotated[Path, Option("Folder of a run of `overt generate` or `overt run`.", is_argument=True)]
    repo: Annotated[str, Option("Repository. What is unsafe goes to ORG/NAME-unsafe.", metavar="ORG/NAME")]
    dry_run: Annotated[bool, Option("Write the folder and show the card; send nothing.")] = False
    out: Annotated[Path | None, Option("Folder to write. Default: RUN/publish.")] = None
    layout: Annotated[
        Layout,
        Option(
            "Columns of a data set: overt's own, or those of the published OVERT files.",
            metavar="own|overt",
        ),
    ] = "own"
    benchmark: Annotated[
        tuple[str, ...],
        Option(
            "Of results: the data set on the Hub that was asked, where the run read it from files; what is "
            "unsafe is taken for ORG/NAME-unsafe. Its models' results are then written for their pages.",
            metavar="[LABEL=]ORG/NAME",
        ),
    ] = ()
    license: Annotated[str, Option("Licence as the Hub names it, such as cc-by-4.0.", metavar="ID")] = ""
    unsafe_open: Annotated[bool, Option("Put the unsafe side into the same repository, open to all.")] = False
    allow: Annotated[
        tuple[FindingKind, ...],
        Option("Let findings of the scan pass: key, email, phone, path. Repeatable.", metavar="KIND"),
    ] = ()
    private: Annotated[bool, Option("Make new repositories private.", _HUB)] = False
    update: Annotated[bool, Option("The repository may hold another run: replace its data.", _HUB)] = False
    yes: Annotated[bool, Option("Do not ask before sending.", _HUB, flag="--yes/-y")] = False


@dataclass(frozen=True)
class Publication:
    """A prepared publication in `folder`, with notes for the publisher. `pages` are results for the pages of
    models, in the folder of each repository."""

    folder: Path
    prepared: tuple[Prepared, ...]
    notes: tuple[str, ...]
    findings: tuple[Finding, ...] = ()
    pages: tuple[ModelPage, ...] = ()


def prepare(config: PublishConfig, *, shard_bytes: int = SHARD_BYTES) -> Publication:
    """Writes a publication to a folder; nothing is sent.

    Args:
        shard_bytes: approximate size of a Parquet file.

    Raises:
        InputError: the run is not complete, the name is invalid, a finding is not allowed, or the folder is
            in use.
        RunError: it cannot be written.
    """
    if not is_hub_id(config.repo):
        raise InputError(f"--repo {config.repo!r} is no ORG/NAME", fix="For instance: my-org/news-prompts")
    draft = read_draft(
        config.run,
        repo=config.repo,
        layout=config.layout,
        unsafe_open=config.unsafe_open,
        benchmark=config.benchmark,
    )
    repos = _repos(draft, config)
    findings = _scanned(repos, draft, config.allow)
    out = config.out or config.run / "publish"
    claim(out, repos, is_default=config.out is None)
    notes = list(draft.notes)
    prepared = []
    for repo in repos:
        pictures = Pictures(config.run)
        facts = dataclasses.replace(
            _facts_for(repo, draft), license=config.license, checks=_checks(repo, findings)
        )
        one, told = write_repo(repo, facts, out, pictures, unsafe=draft.unsafe_texts, shard_bytes=shard_bytes)
        prepared.append(one)
        if words := pictures.count.words():
            notes.append(f"{repo.id}: {words}")
        notes += [note for note in told if note not in notes]
    mark(out, repos, prepared)
    return Publication(out, tuple(prepared), tuple(notes), tuple(findings), tuple(draft.pages))


def _repos(draft: Draft, config: PublishConfig) -> list[Repo]:
    """Splits the draft into an open and a gated repository, or makes one of both with --unsafe-open."""
    if not draft.open_ and not draft.unsafe:
        raise InputError("there is nothing to publish: the run holds no prompts")
    if config.unsafe_open:
        tables = (*draft.open_, *draft.unsafe)
        unsafe = bool(draft.unsafe) or any(r.get("label") == "unsafe" for t in tables for r in t.rows)
        return [Repo(config.repo, tables, holds_unsafe=unsafe, texts=draft.texts)]
    side = unsafe_of(config.repo)
    repos = []
    open_texts = dict(draft.texts)
    if contains_any(open_texts.get(POLICY, ""), draft.unsafe_texts):
        # A policy may give an unsafe prompt as an example, word for word.
        del open_texts[POLICY]
        draft.notes.append(f"{POLICY} holds an unsafe prompt of the data set: it goes to the gated side only")
    if draft.open_:
        sibling = side if draft.unsafe else ""
        repos.append(Repo(config.repo, tuple(draft.open_), sibling=sibling, texts=open_texts))
    if draft.unsafe:
        sibling = config.repo if draft.open_ else ""
        tables = tuple(draft.unsafe)
        gated = Repo(side, tables, is_gated=True, holds_unsafe=True, sibling=sibling, texts=draft.texts)
        repos.append(gated)
    return repos


def _checks(repo: Repo, findings: Sequence[Finding]) -> list[str]:
    """The checks before publishing, as the card lists them."""
    found = f"{in_words(findings)} are in it, and whoever published it says so." if findings else "none."
    checks = [f"Scanned for keys, e-mail addresses, phone numbers and paths with a user's name: {found}"]
    if any(table.columns_of("image") for table in repo.tables):
        checks.append("Pictures were encoded anew, without EXIF or any other metadata.")
    return checks


def _facts_for(repo: Repo, draft: Draft) -> Facts:
    """The card's facts for one repository."""
    facts = draft.facts
    if repo.is_gated:
        facts = dataclasses.replace(facts, title=f"{facts.title} (gated part)")
    if not repo.holds_unsafe:
        # A benign prompt may repeat its unsafe twin word for word.
        samples = [row for row in facts.samples if not contains_any(row[1], draft.unsafe_texts)]
        facts = dataclasses.replace(facts, samples=samples)
    if any(table.side for table in repo.tables):
        facts = dataclasses.replace(facts, measuring=measuring(repo, facts, *_policy_for(repo, facts)))
    if POLICY not in repo.texts:
        return dataclasses.replace(facts, command="")
    return dataclasses.replace(facts, notes=[*facts.notes, *filter(None, [draft.rebuild_note])])


def _policy_for(repo: Repo, facts: Facts) -> tuple[str, str]:
    """The policy to measure by, and which repository has its file; "" for one that comes with overt."""
    name = facts.policy["name"]
    if name in shipped_policies() and load_policy(name).hash == facts.policy["hash"]:
        return name, ""
    return POLICY, "this repository" if POLICY in repo.texts else f"`{repo.sibling}`"


def _scanned(repos: Sequence[Repo], draft: Draft, allowed: Sequence[FindingKind]) -> list[Finding]:
    """Returns the findings of the scan, all of which the user allows.

    Raises:
        InputError: a finding is not allowed.
    """
    from huggingface_hub import get_token

    secrets = secrets_here(None, get_token())
    card = "\n".join(str(getattr(draft.facts, field.name)) for field in dataclasses.fields(draft.facts))
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


def publish(
    publication: Publication,
    *,
    token: str | None = None,
    private: bool = False,
    update: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> list[str]:
    """Uploads a publication. Returns the addresses of the commits; errors are as in
    `overt.publish.upload`."""
    from overt.publish.upload import upload

    return upload(publication.prepared, token=token, private=private, update=update, say=say)
