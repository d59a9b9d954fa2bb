"""croissant.json: the data set described as JSON-LD (MLCommons Croissant 1.0), for search and for loaders."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from overt.data.json_types import Json, JsonObject, texts_of
from overt.publish.card import CITATION, USE, Facts, dataset_url, risks
from overt.publish.tables import Column, Repo, Table, whole

_TYPES = {"number": "sc:Float", "integer": "sc:Integer", "flag": "sc:Boolean", "image": "sc:ImageObject"}
# The context of the specification, key for key: validators warn of any other.
_CONTEXT: dict[str, Json] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def describe(repo: Repo, facts: Facts, shards: Mapping[str, Sequence[Path]], folder: Path) -> dict[str, Json]:
    """The JSON-LD of a repository.

    Columns that hold structs (`layers`, `harm_votes`) and lists of pictures are left out: Croissant 1.0 has
    no common way to describe them. The Parquet files contain them.

    Args:
        shards: config -> its Parquet files, relative to `folder`.
    """
    url = dataset_url(repo.id)
    # Loaders read the FileSets. Single files are listed too, with their hashes, for verification.
    files: list[Json] = [
        {
            "@type": "cr:FileObject",
            "@id": "repo",
            "name": "repo",
            "description": "The repository on the Hub.",
            "contentUrl": url,
            "encodingFormat": "git+https",
            "sha256": "https://github.com/mlcommons/croissant/issues/80",  # a repository has none: see there
        }
    ]
    records: list[Json] = []
    for table in repo.tables:
        for path in shards[table.config]:
            files.append(_file(folder, path))
        files.append(
            {
                "@type": "cr:FileSet",
                "@id": f"{table.config}-files",
                "name": f"{table.config}-files",
                "containedIn": {"@id": "repo"},
                "encodingFormat": "application/x-parquet",
                "includes": f"data/{table.config}/{table.split}-*.parquet",
            }
        )
        records.append(_record_set(table, {"fileSet": {"@id": f"{table.config}-files"}}))
    described: dict[str, Json] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        # Readers before mlcroissant 1.1 take one specification, so that of RAI is not named beside it.
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": repo.name,
        "description": " ".join([facts.summary, *facts.notes]),
        "url": url,
        "license": facts.license or "unknown",
        "version": "1.0.0",
        "datePublished": facts.published,
        "creator": {"@type": "sc:Organization", "name": repo.id.partition("/")[0]},
        "citeAs": CITATION,
        "isLiveDataset": False,
        **_responsible(repo, facts),
        "distribution": files,
        "recordSet": records,
    }
    found: dict[str, Json] = whole(described)
    return found


def _responsible(repo: Repo, facts: Facts) -> dict[str, Json]:
    """What the RAI extension (Croissant RAI 1.0) asks for and the run knows; the rest is left out."""
    policy = " ".join(filter(None, (facts.policy.get("name"), facts.policy.get("version"))))
    by = ", ".join(facts.auditors)
    labelled = f"Each prompt is labelled benign or unsafe under the policy {policy}"
    gold = facts.gold
    analysis = [
        *(facts.agreement, facts.reviewed, str(gold.get("said") or "")),
        *texts_of(gold.get("untested")),
    ]
    found: dict[str, list[str]] = {
        "rai:dataCollection": ["; ".join(f"{what}: {which}" for what, which in facts.made)],
        "rai:dataAnnotationProtocol": [f"{labelled}; judged by {by}." if by else f"{labelled}."],
        "rai:machineAnnotationTools": list(facts.auditors),
        "rai:dataAnnotationAnalysis": analysis,
        "rai:dataUseCases": list(USE),
        "rai:dataLimitations": [facts.mentions, *facts.notes],
        "rai:dataBiases": list(risks(repo)),
        "rai:personalSensitiveInformation": list(facts.checks),
    }
    kept = {name: [text for text in texts if text] for name, texts in found.items()}
    return {name: texts[0] if len(texts) == 1 else texts for name, texts in kept.items() if texts}


def _file(folder: Path, path: Path) -> dict[str, Json]:
    with (folder / path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "@type": "cr:FileObject",
        "@id": path.as_posix(),
        "name": path.as_posix(),
        "containedIn": {"@id": "repo"},
        "contentUrl": path.as_posix(),
        "encodingFormat": "application/x-parquet",
        "contentSize": f"{(folder / path).stat().st_size} B",
        "sha256": digest,
    }


def _record_set(table: Table, source: JsonObject) -> dict[str, Json]:
    return {
        "@type": "cr:RecordSet",
        "@id": table.config,
        "name": table.config,
        "description": f"Config {table.config}, split {table.split}, {len(table.rows)} rows.",
        "field": [
            _field(table, column, source)
            for column in table.columns
            if column.kind not in ("layers", "votes", "turns", "images")
        ],
    }


def _field(table: Table, column: Column, source: JsonObject) -> dict[str, Json]:
    extract: dict[str, Json] = {**source, "extract": {"column": column.name}}
    if column.kind == "image":
        extract["transform"] = {"jsonPath": "bytes"}
    described: dict[str, Json] = {
        "@type": "cr:Field",
        "@id": f"{table.config}/{column.name}",
        "name": column.name,
        "description": column.meaning,
        "dataType": _TYPES.get(column.kind, "sc:Text"),
        "source": extract,
    }
    if column.kind == "texts":
        described["repeated"] = True
    return described


def problems(described: JsonObject) -> list[str] | None:
    """The errors that mlcroissant, the reference reader, finds; None if it is not installed."""
    try:
        import mlcroissant
    except ImportError:
        return None
    import logging

    loggers = [logging.getLogger(), logging.getLogger("absl")]
    levels = [logger.level for logger in loggers]
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "croissant.json"
        path.write_text(json.dumps(described), encoding="utf-8")
        try:
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            mlcroissant.Dataset(jsonld=str(path))
        except mlcroissant.ValidationError as error:
            lines = [line.strip(" -") for line in str(error).splitlines() if line.strip()]
            return lines[1:] or lines  # the first only counts them
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
    return []
