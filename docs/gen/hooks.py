"""What mkdocs cannot know: the reference pages, made from the command line and the docstrings as it builds.

Nothing is written into the source tree; the pages exist in the built site only.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
from collections.abc import Mapping
from typing import Any

import typer
from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

from overt.cli import app
from overt.policies.load import policy_json_schema
from overt.policies.schema import Category, Policy
from overt.policies.topics import topic_names
from overt.registry import POINTS, builtin

# Each page of the Python reference: title, one line, modules in the order of reading.
PYTHON = {
    "targets": ("Targets", "What is tested, and what it hands over.", ["overt.data.targets"]),
    "filters": ("Filters and checkers", "Bare text filters and image checkers.", ["overt.data.filters"]),
    "chat": ("Chat models", "Writers, judges, surrogates, language models.", ["overt.data.chat"]),
    "judges": ("Refusal judges", "Who tells a refusal in words.", ["overt.data.refusal_judges"]),
    "scorers": ("Rewordings and scorers", "How much of the meaning is kept.", ["overt.data.rewrites"]),
    "records": ("Records", "What a run is made of.", ["overt.data.records", "overt.data.outcomes"]),
    "policy": ("The policy schema", "The fields of a policy file.", ["overt.policies.schema"]),
    "summary": (
        "Summaries",
        "The figures of a run as typed records.",
        ["overt.data.results.summary", "overt.scoring.summary.metrics", "overt.scoring.summary.summarize",
         "overt.scoring.summary.rates", "overt.scoring.summary.layers",
         "overt.scoring.remedy", "overt.scoring.compare", "overt.scoring.gating",
         "overt.scoring.judge_agreement"],
    ),
    "stats": (
        "Statistics",
        "Pure functions over plain sequences.",
        [f"overt.scoring.stats.{name}" for name in
         ("rates", "paired", "ranks", "agreement", "sweep", "gates", "power", "two_phase", "means",
          "clusters")],
    ),
    "registry": ("Names", "How a name becomes an object.", ["overt.registry", "overt.data.plugins.names"]),
    "errors": ("Errors", "What a person is told, and the exit codes.", ["overt.data.errors"]),
}  # fmt: skip

# Each part of a policy file: its name in the schema ("" is the file), title, what it is, and the effective
# model, whose required fields a file may inherit.
POLICY_PARTS = {
    "": ("The file", "The fields that stand at the left edge.", Policy),
    "CategorySource": ("A category", "An entry of `categories`. A known id changes that category.", Category),
    "Trigger": (
        "A trigger",
        "An entry of `triggers`: a term alone, as a plain text, or with these fields.",
        None,
    ),
    "Scene": ("A scene", "An entry of `scenes`; one side is enough.", None),
    "Defaults": ("Defaults", "`defaults` of the file: for every category that does not set them.", None),
    "Additions": ("Add", "`add` of a category: what an inherited list has more.", None),
    "Removals": ("Drop", "`drop` of a category: what an inherited list has less.", None),
}

GROUPS = {
    "overt.targets": ("Targets", "own-model.md"),
    "overt.filters": ("Text filters", "own-filter.md"),
    "overt.checkers": ("Image checkers", "own-filter.md"),
    "overt.refusal_judges": ("Refusal judges", "own-judge.md"),
    "overt.chat_models": ("Chat models", "own-model.md"),
    "overt.scorers": ("Faithfulness scorers", "rewrite.md"),
    "overt.rewriters": ("Rewriters", "rewrite.md"),
    "overt.writers": ("Writers", "own-policy.md"),
    "overt.judges": ("Audit judges", "own-judge.md"),
}


# -- mkdocs calls these -----------------------------------------------------------------------------------


def on_config(config: Any) -> Any:
    """The menu of the reference, and formulas: a `math` fence becomes MathML, which browsers draw alone."""
    config.nav.append({
        "Reference": [
            "reference/index.md",
            {"Names": "reference/names.md"},
            {"Every policy field": "reference/policy.md"},
            {"Commands": [f"reference/cli/{name}.md" for name in commands()]},
            {"Python": [{title: f"reference/python/{name}.md"} for name, (title, _, _) in PYTHON.items()]},
        ]
    })  # fmt: skip
    fences = config.mdx_configs.setdefault("pymdownx.superfences", {}).setdefault("custom_fences", [])
    fences.append({"name": "math", "class": "math", "format": formula})
    return config


def on_files(files: Files, config: Any) -> Files:
    pages = {"reference/index.md": index_page(), "reference/names.md": names_page()}
    pages["reference/policy.md"] = policy_page()
    pages |= {f"reference/cli/{name}.md": command_page(name, command) for name, command in commands().items()}
    pages |= {f"reference/python/{name}.md": python_page(*page) for name, page in PYTHON.items()}
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    return files


def formula(source: str, *_: Any, **__: Any) -> str:
    """LaTeX as MathML, so that no script has to be fetched."""
    return f'<div class="math">{convert(source.strip(), display="block")}</div>'


# -- the command line -------------------------------------------------------------------------------------


def commands() -> dict[str, Any]:
    """Every command of the Typer app by name, in the order of `overt --help`."""
    return dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def command_page(name: str, command: Any) -> str:
    parts = [f"# overt {name}", *_command(f"overt {name}", command)]
    for sub, one in getattr(command, "commands", {}).items():
        parts += [f"## overt {name} {sub}", *_command(f"overt {name} {sub}", one)]
    return "\n\n".join(parts) + "\n"


def _command(spelled: str, command: Any) -> list[str]:
    context = typer.Context(command, info_name=spelled)
    usage = context.get_usage().removeprefix("Usage: ")
    parts = [*_prose(command.help or ""), f"```text\n{' '.join(usage.split())}\n```"]
    records = [r for p in command.get_params(context) if (r := p.get_help_record(context)) is not None]
    for title, rows in (
        ("Arguments", [r for r in records if not r[0].startswith("-")]),
        ("Options", [r for r in records if r[0].startswith("-")]),
    ):
        if rows:
            # Within code a bar is no border.
            table = [f"| `{left}` | {_cell(_escaped(' '.join(right.split())))} |" for left, right in rows]
            parts.append("\n".join([f"| {title} | |", "| --- | --- |", *table]))
    return parts


def _prose(text: str) -> list[str]:
    """The help's paragraphs; examples (indented, or a command alone) become code."""
    parts: list[str] = []
    for block in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        if block.startswith((" ", "overt ")):
            # One command over several lines, as the help has it, can be pasted with these.
            lines = " \\\n    ".join(line.strip() for line in block.splitlines())
            parts.append(f"```bash\n{lines}\n```")
        else:
            parts.append(_escaped(" ".join(block.split())))
    return parts


def _escaped(text: str) -> str:
    """Angle brackets and stars as they are, save inside of code."""
    pieces = re.split(r"(`[^`]*`)", text)
    for at in range(0, len(pieces), 2):
        pieces[at] = re.sub(r"([*_\[\]])", r"\\\1", pieces[at].replace("&", "&amp;").replace("<", "&lt;"))
    return "".join(pieces)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


# -- the policy file --------------------------------------------------------------------------------------


def policy_page() -> str:
    """A table for each part of a policy file, from the JSON Schema that `overt policies schema` prints."""
    schema = policy_json_schema()
    parts = [
        "# Every policy field",
        "A policy is a YAML file; [Write a policy](../howto/own-policy.md) shows how. These are all its "
        "fields: one that is not here is an error, which names the nearest. `overt policies validate FILE` "
        "checks a file, `overt policies schema` prints this as a JSON Schema for editors.",
    ]
    for name, (title, line, model) in POLICY_PARTS.items():
        part: Any = schema["$defs"][name] if name else schema
        part = part if "properties" in part else part["anyOf"][-1]  # a trigger may be a plain text, too
        rows = ["| field | what it says | what it takes | left out |", "| --- | --- | --- | --- |"]
        for field, about in part["properties"].items():
            inherited = (
                model is not None and field in model.model_fields and model.model_fields[field].is_required()
            )
            absent = (
                "is an error" if field in part.get("required", ())
                else "is an error, unless it is inherited" if inherited
                else f"`{json.dumps(about['default'], ensure_ascii=False)}`" if "default" in about
                else ""
            )  # fmt: skip
            takes = "one of [these](#topics)" if field == "topic" else _takes(about)
            cells = [f"`{field}`", _escaped(about["description"]), takes, absent]
            rows.append("| " + " | ".join(map(_cell, cells)) + " |")
        parts += [f"## {title} {{#{_anchor(name)}}}", line, "\n".join(rows)]
    parts += [
        "## Topics",
        "What `topic` takes, the topics of the bank of scenes:",
        ", ".join(f"`{name}`" for name in topic_names()) + ".",
    ]
    return "\n\n".join(parts) + "\n"


def _anchor(part: str) -> str:
    return part.lower() or "file"


def _takes(schema: Mapping[str, Any]) -> str:
    """In words what a value may be."""
    if "$ref" in schema:
        part = schema["$ref"].rpartition("/")[2]
        return f"[{POLICY_PARTS[part][0].lower()}](#{_anchor(part)})"
    if "enum" in schema:
        return "one of " + ", ".join(f"`{value}`" for value in schema["enum"])
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if kinds == ["array"]:
        least = f" of at least {schema['minItems']}" if "minItems" in schema else ""
        return f"a list{least}, each {_takes(schema['items'])}" + (
            "; no two alike" if schema.get("uniqueItems") else ""
        )
    if kinds == ["object"]:
        ((pattern, inner),) = schema["patternProperties"].items()
        return f"a mapping: names of the form `{pattern}`, for each {_takes(inner)}"
    words = {
        "string": "a text", "integer": "a whole number", "number": "a number", "boolean": "true or false",
    }  # fmt: skip
    limits = [
        f"{said} {schema[key]:,}"
        for key, said in (
            ("minimum", "from"), ("exclusiveMinimum", "above"), ("maximum", "to"),
            ("minLength", "of"), ("maxLength", "to"),
        )
        if key in schema
    ]  # fmt: skip
    letters = " characters" if "maxLength" in schema else ""
    form = f" of the form `{schema['pattern']}`" if "pattern" in schema else ""
    if letters and "minLength" not in schema:
        limits.insert(0, "of 0")
    said = " or ".join(words[kind] for kind in kinds)
    return said + (" " + " ".join(limits) + letters if limits else "") + form


# -- names and Python --------------------------------------------------------------------------------------


def names_page() -> str:
    parts = [
        "# Names",
        "These names can be given on the command line. Options stand behind a question mark: "
        "`filter/keywords?path=words.txt`. Your own class is `module:Class`.",
    ]
    for group, (title, howto) in GROUPS.items():
        table = []
        prefix = f"{POINTS[group].prefix}/" if POINTS[group].prefix else ""
        for name, place in builtin(group).items():
            about = _first(importlib.import_module(place.partition(":")[0]).__doc__)
            table.append(f"| `{prefix}{name}` | {_cell(about)} |")
        parts += [
            f"## {title}",
            "\n".join(["| name | what it is |", "| --- | --- |", *table]),
            f"Entry points: `{group}`. [How to add one](../howto/{howto}).",
        ]
    return "\n\n".join(parts) + "\n"


def python_page(title: str, line: str, modules: list[str]) -> str:
    several = len(modules) > 1
    parts = [f"# {title}", *([line] if several else [])]
    for module in modules:
        if several:
            parts.append(f"## `{module}`")
        parts += _protocols(module)
        parts.append(f"::: {module}\n    options:\n      heading_level: {3 if several else 2}")
    return "\n\n".join(parts) + "\n"


def _protocols(module: str) -> list[str]:
    """What a class of one's own has to have: the bodies of the module's protocols, without their docstrings.

    Their members have none of their own, so they would not be listed below.
    """
    found = []
    for node in ast.parse(inspect.getsource(importlib.import_module(module))).body:
        if isinstance(node, ast.ClassDef) and any(ast.unparse(b).startswith("Protocol") for b in node.bases):
            if ast.get_docstring(node) is not None:
                node.body = node.body[1:]
            node.decorator_list = []
            found.append(ast.unparse(node))
    if not found:
        return []
    return [
        "What a class of your own has (it need not inherit):",
        "```python\n" + "\n\n".join(found) + "\n```",
    ]


def index_page() -> str:
    lines = ["# Reference", "Made from the program itself each time these pages are built.", "## Commands"]
    lines.append("\n".join(f"- [overt {n}](cli/{n}.md): {_first(c.help)}" for n, c in commands().items()))
    lines += ["[All names](names.md) that a command takes: targets, filters, checkers, judges."]
    lines += ["[Every policy field](policy.md): type, bounds and default.", "## Python"]
    lines.append("\n".join(f"- [{t}](python/{n}.md): {line}" for n, (t, line, _) in PYTHON.items()))
    lines += [
        "## Exit codes",
        "| code | meaning |\n| --- | --- |\n| 0 | done |\n"
        "| 1 | a run that cannot go on, a data set of which nothing was kept, or a gate that fails |\n"
        "| 2 | bad input: nothing was started |\n"
        "| 3 | too few prompts were answered, or fewer made than the policy asks for |\n"
        "| 4 | a cap on requests or cost was reached |\n"
        "| 5 | batches are still at the provider, or were cancelled: come back later |\n| 130 | Ctrl-C |",
    ]
    return "\n\n".join(lines) + "\n"


def _first(text: str | None) -> str:
    return _escaped(" ".join(inspect.cleandoc(text or "").split("\n\n")[0].split()))
