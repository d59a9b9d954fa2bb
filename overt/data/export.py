"""Writes the dataset: JSONL, Parquet and a data card, in a layout that `datasets` can load.

    benign.jsonl, unsafe.jsonl            one record a line
    data/benign.parquet, .../unsafe.parquet   the same records, typed
    README.md                             the card, whose head names the two configs

The same records and card give the same bytes. Every file is written to a temporary name and renamed.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from types import MappingProxyType

import yaml

from overt.data.json_types import Json, JsonObject
from overt.data.purposes import purpose_of
from overt.data.records import Audit, Probe, Prompt
from overt.data.run.files import text_bytes, write_atomic
from overt.data.secrets import storable
from overt.data.text import encodable
from overt.data.tiers import mentions_of

SPLIT = "test"  # the data is for measuring, not for training
COLUMNS = (
    ("id", "hash of the text: the same prompt has the same id in every dataset"),
    ("text", "the prompt"),
    ("category", "category of the policy"),
    ("label", "benign or unsafe under the policy"),
    ("trigger", "the term that makes it look bad"),
    ("strategy", "convert (from a seed) or direct (from an instruction)"),
    ("language", "language code"),
    ("style", "style of the image asked for"),
    ("seed_id", "the seed it was made from"),
    ("pair_id", "shared by a benign prompt, its versions and its unsafe twin"),
    ("writer", "the model that wrote it, as provider/model"),
    ("template", "name and version of the instruction"),
    ("audit_label", "majority label of the judges"),
    ("audit_reason", "the reason given"),
    ("judges", "who judged it"),
    ("probe_surrogate", "the model it was tried on"),
    ("probe_rate", "share of answered samples that the surrogate refused, 0 to 1"),
)
# Of a data set with versions of its prompts (`overt generate --vary groups`).
VERSION_COLUMNS = (
    ("variant_of", "of a version that differs only in who is depicted: the prompt that it is made of"),
    ("group", "of such a version: what it says of a person, as attribute: wording"),
)
_USE = (
    "Measuring over-refusal: how often a model or a filter turns away the benign prompts, and, on the "
    "unsafe ones, what that caution buys. Report both figures together, by category, with the policy's "
    "hash: what is benign under this policy can be unsafe under another."
)
_RISKS = (
    "The unsafe prompts ask for what the policy disallows. They are short requests without instructions, "
    "and are there to test filters; do not feed them to systems without one.",
    "Labels are those of the judges named above under one policy. They carry those judges' mistakes and "
    "the norms of whoever wrote the policy.",
    "Prompts written or probed by one model favour what that model writes and refuses; rates measured on "
    "that same model are no fair comparison with others.",
    "A model trained on these prompts can no longer be measured with them.",
)
NO_LICENCE = (
    "Whoever published this has not chosen a licence. Ask before you use it. Seeds, models and image "
    "services have terms of their own."
)
_CARD_KEYS = {
    *("name", "policy", "writer", "judges", "audited", "same_model", "surrogate", "dedupe", "diversity"),
    *("stages", "stage_columns", "seeds", "license", "version", "command", "notes", "recipe", "gold"),
}


def export_dataset(
    folder: Path,
    benign: Sequence[Prompt],
    unsafe: Sequence[Prompt],
    card: JsonObject,
    *,
    audits: Mapping[str, Audit] | None = None,
    probes: Mapping[str, Probe] | None = None,
) -> list[Path]:
    """Writes the dataset, the card last, and returns the five paths.

    Args:
        audits, probes: by prompt id; the columns of other prompts are null.
        card: all keys optional. `name`; `policy` (name, version, hash, modality); `writer`; `judges`
            (list); `audited` (False: rules only, no model); `same_model` (a judge was the writer);
            `surrogate`; `dedupe` (fields of IndexInfo); `diversity` (name to number); `stage_columns`
            and `stages` (a header and rows); `gold` (how the judges did on gold items: `said`, `trusted`,
            `sources`, `columns`, `rows`, `untested`); `recipe` (`said`, `columns`, `rows`, `ours`); `seeds`;
            `license`; `version`; `command`; `notes`.

    Raises:
        RunError: disk full, folder not writable.
        ValueError: an unknown key in `card`.
    """
    if unknown := sorted(set(card) - _CARD_KEYS):
        raise ValueError(f"unknown card keys: {', '.join(unknown)}")
    audits, probes = audits or {}, probes or {}
    written = []
    marks: dict[str, str] = {}
    for name, prompts in (("benign", benign), ("unsafe", unsafe)):
        columns = _columns(prompts)
        rows = [_row(p, columns, audits.get(p.id), probes.get(p.id)) for p in prompts]
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        parquet = _parquet(rows, columns)
        for path, data in (
            (folder / f"{name}.jsonl", text_bytes(lines)),
            (folder / "data" / f"{name}.parquet", parquet),
        ):
            write_atomic(path, data)
            written.append(path)
        if rows:
            marks[name] = hashlib.blake2b(parquet, digest_size=8).hexdigest()
    write_atomic(folder / "README.md", text_bytes(render_card(benign, unsafe, card, marks)))
    return [*written, folder / "README.md"]


def _columns(prompts: Iterable[Prompt]) -> tuple[tuple[str, str], ...]:
    """The columns of these prompts with their meanings."""
    return COLUMNS + (VERSION_COLUMNS if any(p.variant_of for p in prompts) else ())


def _row(
    prompt: Prompt, columns: Iterable[tuple[str, str]], audit: Audit | None, probe: Probe | None
) -> dict[str, Json]:
    row: dict[str, Json] = {
        "id": prompt.id,
        "text": prompt.text,
        "category": prompt.category,
        "label": prompt.label,
        "trigger": prompt.trigger or None,
        "strategy": prompt.strategy,
        "language": prompt.language,
        "style": prompt.style or None,
        "seed_id": prompt.seed_id,
        "pair_id": prompt.pair_id,
        "writer": prompt.writer,
        "template": prompt.template,
        "audit_label": audit.label if audit else None,
        "audit_reason": audit.reason if audit else None,
        "judges": [vote.judge for vote in audit.votes] if audit else None,
        "probe_surrogate": probe.surrogate if probe else None,
        "probe_rate": probe.rate if probe else None,
        "variant_of": prompt.variant_of,
        "group": prompt.group,
    }
    return storable({name: row[name] for name, _ in columns})


def _parquet(rows: Sequence[dict[str, Json]], columns: Iterable[tuple[str, str]]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"judges": pa.list_(pa.string()), "probe_rate": pa.float64()}
    needed = {"id", "text", "category", "label", "strategy", "language", "writer", "template"}
    schema = pa.schema(
        [pa.field(name, kinds.get(name, pa.string()), nullable=name not in needed) for name, _ in columns]
    )
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), sink, compression="zstd")
    data: bytes = sink.getvalue().to_pybytes()
    return data


def escape_markdown(value: object) -> str:
    """Untrusted text as one line of plain Markdown: no markup, no HTML, no link, no table edge.

    Removes control and direction marks, which can hide or reorder text, and cuts at 400 characters.
    """
    text = " ".join(encodable(str(value)).split())
    text = "".join(c for c in text if c == " " or unicodedata.category(c)[0] not in "CZ" or c == "\u00a0")
    if len(text) > 400:
        text = text[:399] + "…"
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*{}\[\]#|~$])", r"\\\1", text)
    text = re.sub(r"(?<!\w)_|_(?!\w)", r"\_", text)  # within a word it is no emphasis
    # GitHub links bare addresses and names even if they are escaped.
    text = re.sub(r"(?i)\b(www)\.", r"\1&#46;", text).replace("@", "&#64;").replace("//", "/&#47;")
    # At the start of a line these begin a list, a heading or a rule.
    return re.sub(r"^([-+=]|\d+(?=[.)]))", lambda start: f"&#{ord(start[1][0])};{start[1][1:]}", text)


def render_card(
    benign: Sequence[Prompt],
    unsafe: Sequence[Prompt],
    card: JsonObject,
    marks: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Renders the data card as Markdown with escaped values.

    Args:
        card: see `export_dataset`.
        marks: config -> hash of its rows. `datasets` caches a local folder by its name and its card's head,
            and every run's folder is called dataset: without them it gives one run's rows for another's.
    """
    policy = _mapping(card.get("policy"))
    purpose = purpose_of(policy.get("modality"))
    everything = [*benign, *unsafe]
    bases = [p for p in benign if not p.variant_of]
    more = len(benign) - len(bases)
    versions = f" (and {more} versions of them that differ only in who is depicted)" if more else ""
    # `datasets` cannot load a split without rows.
    configs = [name for name, prompts in (("benign", benign), ("unsafe", unsafe)) if prompts]
    return _rendered(
        "card.md.j2",
        metadata=_metadata(everything, card, purpose.task, configs, marks),
        configs=configs,
        title=card.get("name") or f"Over-refusal prompts: {policy.get('name', 'a policy')}",
        summary=(
            f"{len(bases)} benign prompts that sound dangerous{versions} and {len(unsafe)} unsafe ones, for "
            f"{purpose.models} models, made under the policy "
            f"{policy.get('name', '(unnamed)')} {policy.get('version', '')}."
        ),
        warnings=_warnings(card),
        split=SPLIT,
        counts=_counts(bases, unsafe),
        mentions=mentions_of(benign).in_words,
        diversity=[(name, _figure(value)) for name, value in _mapping(card.get("diversity")).items()],
        samples=_samples(benign),
        made=_made(everything, card, policy),
        stages=card.get("stages") or [],
        stage_columns=card.get("stage_columns") or [],
        recipe=_mapping(card.get("recipe")),
        gold=render_gold(_mapping(card.get("gold"))),
        columns=_columns(benign),
        use=_USE,
        risks=_RISKS,
        licence=card.get("license") or NO_LICENCE,
    )


def render_gold(gold: JsonObject) -> str:
    """How the judges did on gold items, as Markdown with escaped values, for both cards; "" where `gold` is
    empty. For its keys see `export_dataset`."""
    return _rendered("gold.md.j2", gold=gold).strip() if gold else ""


def _rendered(template: str, **values: object) -> str:
    """A template of this package; its `md` filter escapes a value for Markdown."""
    from jinja2 import Environment, StrictUndefined

    env = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)
    env.filters["md"] = escape_markdown
    source = resources.files("overt.data").joinpath(template).read_text(encoding="utf-8")
    return env.from_string(source, globals={}).render(values).rstrip("\n") + "\n"


def _metadata(
    prompts: Sequence[Prompt], card: JsonObject, task: str, configs: Sequence[str], marks: Mapping[str, str]
) -> str:
    """The YAML head of the card. A YAML library writes it, so no value can break out."""
    bounds = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
    head: dict[str, Json] = {
        "pretty_name": " ".join(encodable(str(card.get("name") or "Over-refusal prompts")).split()),
        "language": sorted({encodable(p.language) for p in prompts}) or ["en"],
        "task_categories": [task],
        "tags": ["over-refusal", "safety", "benchmark", "synthetic", "not-for-all-audiences"],
        "size_categories": [next((name for bound, name in bounds if len(prompts) < bound), "n>1M")],
        "configs": [
            {"config_name": name, "data_files": [{"split": SPLIT, "path": f"data/{name}.parquet"}]}
            for name in configs
        ],
    }
    if marks:
        head["dataset_info"] = [
            {"config_name": name, "description": f"rows with the hash {mark}"} for name, mark in marks.items()
        ]
    if card.get("license"):
        head["license"] = encodable(str(card["license"]))
    return yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=1_000)


def _warnings(card: JsonObject) -> list[str]:
    warnings = []
    if card.get("audited") is False:
        warnings.append(
            "No model has audited these prompts: their labels come from rules over the policy's own terms."
        )
    if card.get("same_model"):
        warnings.append(
            "A judge was the same model as the writer. A model tends to agree with itself; "
            "audit again with another one before relying on the labels."
        )
    gold = _mapping(card.get("gold"))
    if gold.get("trusted") is False:
        warnings.append(str(gold.get("said")))
    dedupe = _mapping(card.get("dedupe"))
    if dedupe.get("similarity") == "jaccard":
        warnings.append(
            "Near repeats were found by shared words, not by meaning"
            + (f" ({dedupe['why']})" if dedupe.get("why") else "")
            + ". Paraphrases may remain."
        )
    return [*warnings, *(str(note) for note in _list(card.get("notes")))]


@dataclass
class _Counts:
    """One row of the card's table: the counts of a category."""

    category: str
    benign: int = 0
    unsafe: int = 0
    pairs: int = 0
    terms: set[str] = field(default_factory=set)

    @property
    def triggers(self) -> int:
        return len(self.terms)


def _counts(benign: Sequence[Prompt], unsafe: Sequence[Prompt]) -> list[_Counts]:
    """A row for each category, and a last row for all categories."""
    rows: dict[str, _Counts] = {}
    for p in (*benign, *unsafe):
        rows.setdefault(p.category, _Counts(p.category)).terms.update({p.trigger.casefold()} - {""})
    unsafe_pairs = {(p.category, p.pair_id) for p in unsafe}
    for row in rows.values():
        mine = [p for p in benign if p.category == row.category]
        row.benign, row.unsafe = len(mine), sum(p.category == row.category for p in unsafe)
        row.pairs = len({p.pair_id for p in mine if p.pair_id and (p.category, p.pair_id) in unsafe_pairs})
    total = _Counts("all", len(benign), len(unsafe), sum(row.pairs for row in rows.values()))
    total.terms.update(*(row.terms for row in rows.values()))
    return [*rows.values(), total]


def _samples(benign: Iterable[Prompt]) -> list[dict[str, str]]:
    first: dict[str, str] = {}
    for p in benign:
        first.setdefault(p.category, p.text)
    return [{"category": category, "text": text} for category, text in first.items()]


def _made(prompts: Sequence[Prompt], card: JsonObject, policy: JsonObject) -> list[tuple[str, str]]:
    """Names and values about the origin of the dataset; unknown values are left out."""
    writers = ", ".join(dict.fromkeys(p.writer for p in prompts))
    judged = ", ".join(str(judge) for judge in _list(card.get("judges")))
    policy_text = _joined(policy, ("name", "version"), " ")
    if policy.get("hash"):
        policy_text += f" (hash {policy['hash']})"
    dedupe = _mapping(card.get("dedupe"))
    index = _joined(dedupe, ("index", "encoder", "version"), ", ")
    if dedupe.get("why"):
        index += f" ({dedupe['why']})"
    rows = [
        ("Policy", policy_text),
        ("Seeds", card.get("seeds")),
        ("Written by", card.get("writer") or writers),
        ("Instructions", ", ".join(dict.fromkeys(p.template for p in prompts))),
        ("Audited by", judged if card.get("audited", True) else "rules over the policy's terms; no model"),
        ("Near repeats", index),
        ("Probed on", card.get("surrogate")),
        ("Made with", card.get("version")),
        ("Command", card.get("command")),
    ]
    return [(name, str(value)) for name, value in rows if value]


def _figure(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _joined(data: JsonObject, keys: Iterable[str], between: str) -> str:
    return between.join(str(data[key]) for key in keys if data.get(key))


def _mapping(value: Json) -> JsonObject:
    return value if isinstance(value, Mapping) else {}


def _list(value: Json) -> Sequence[Json]:
    return value if isinstance(value, (list, tuple)) else ()
