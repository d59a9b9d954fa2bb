"""The one reader of YAML: the same faults in each kind of file, each with its place, field and remedy."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import jsonschema
import pytest
import yaml
from pydantic import BaseModel, Field

from overt.calls.costs import PriceList, Prices
from overt.data.errors import InputError
from overt.data.product_schema import Product
from overt.data.suites.load import FOLDER as SUITES
from overt.data.suites.schema import Suite, read_suite_file
from overt.data.templates import Template, load_template
from overt.data.yaml import tree
from overt.data.yaml.problems import YamlError, nearest, shorten
from overt.data.yaml.schema import AsNumber, Faults, Label, Listed, Schema, json_schema, parse_yaml, read_yaml
from overt.generation.images.http_file import HTTPFile, read_http_file
from overt.policies.load import load_policy
from overt.policies.source import PolicySource
from overt.tasks.targets import read_spec

PACKAGE = Path(tree.__file__).parents[2]

POLICY = """\
name: mine
categories:
  - id: violence
    title: Violence
    disallowed: [people hurt]
    triggers: [shot, knife]
    benign: 20
"""
TARGET = """\
url: https://api.example.com/v1
json: {prompt: "{{prompt}}"}
image: {path: $.data, encoding: base64}
timeout: 30
"""
PRODUCT = """\
name: shop
filters: [filter/keywords]
target: openai/m
checkers: [checker/nudenet]
"""
SUITE = """\
name: own
title: My suite
measures: Whatever I want to know.
rows: 20
parts:
  - {name: all, label: benign, url: "https://a.b/c.csv"}
columns: {text: prompt}
licence: mine
citation: me
homepage: https://example.org
"""
PRICE = """\
my-model: {input: 0.15, output: 0.6}
my-painter: {image: 0.04}
"""
TEMPLATE = """\
name: audit
version: 1
temperature: 0.5
max_tokens: 20
user: Judge {{ prompt }}
"""


@dataclass(frozen=True)
class Kind:
    """A kind of file: a good one, how it is read, and faults: old, new, place and field, nearest name."""

    what: str
    text: str
    read: Callable[[Path], object]
    faults: tuple[tuple[str, str, str, str], ...]


KINDS = {
    "policy": Kind(
        "policy",
        POLICY,
        lambda path: load_policy(str(path)),
        (
            ("    benign:", "    bening:", "7:5 categories.violence.bening", "benign"),
            ("benign: 20", "benign: '20'", "7:13 categories.violence.benign", ""),
            ("benign: 20", "benign: 020", "7:13 categories.violence.benign", ""),
            ("benign: 20", "benign: 1:30", "7:13 categories.violence.benign", ""),
            ("benign: 20", "benign: yes", "7:13 categories.violence.benign", ""),
            ("benign: 20", "benign:", "7:12 categories.violence.benign", ""),
            ("benign: 20", "strategy: conver", "7:15 categories.violence.strategy", "convert"),
            ("benign: 20", "languages: [no]", "7:17 categories.violence.languages[0]", ""),
            ("knife", "187", "6:22 categories.violence.triggers[1]", ""),
            ("knife", "off", "6:22 categories.violence.triggers[1]", ""),
            ("Violence", "[Violence]", "4:12 categories.violence.title", ""),
        ),
    ),
    "target": Kind(
        "HTTP target",
        TARGET,
        lambda path: read_http_file(str(path)),
        (
            ("timeout:", "timeot:", "4:1 timeot", "timeout"),
            ("timeout: 30", "timeout: '30'", "4:10 timeout", ""),
            ("timeout: 30", "timeout: 1:30", "4:10 timeout", ""),
            ("timeout: 30", "timeout: .inf", "4:10 timeout", ""),
            ("timeout: 30", "timeout: true", "4:10 timeout", ""),
            ("timeout: 30", "timeout:", "4:9 timeout", ""),
            ("base64", "bas64", "3:33 image.encoding", "base64"),
            ("https://api.example.com/v1", "[x]", "1:6 url", ""),
            ('"{{prompt}}"', "{a: '{{prompt}}', b: 0x10}", "2:37 json.prompt.b", ""),
            ('"{{prompt}}"', "'{{prompt}} {{sed}}'", "2:16 json.prompt", "seed"),
            ("timeout: 30", "errors: [{status: 500, kind: timeot}]", "4:30 errors[0].kind", "timeout"),
        ),
    ),
    "product": Kind(
        "product",
        PRODUCT,
        lambda path: read_spec(f"guarded/{path}"),
        (
            ("checkers:", "chekers:", "4:1 chekers", "checkers"),
            ("openai/m", "[openai/m]", "3:9 target", ""),
            ("openai/m", "12", "3:9 target", ""),
            ("shop", "no", "1:7 name", ""),
            ("[checker/nudenet]", "{checker: nudenet}", "4:11 checkers", ""),
            ("[checker/nudenet]", "[on]", "4:12 checkers[0]", ""),
            ("filters: [filter/keywords]\ntarget: openai/m", "filters: []", "2:10 filters", ""),
            ("target: openai/m", "", "4:11 checkers", ""),
        ),
    ),
    "suite": Kind(
        "suite",
        SUITE,
        read_suite_file,
        (
            ("measures:", "measure:", "1:1 measures; 3:1 measure", ""),
            ("rows: 20", "row: 20", "4:1 row", "rows"),
            ("rows: 20", "rows: '20'", "4:7 rows", ""),
            ("rows: 20", "rows: 0", "4:7 rows", ""),
            ("rows: 20", "rows: 020", "4:7 rows", ""),
            ("rows: 20", "rows: 20.5", "4:7 rows", ""),
            ("rows: 20", "language: no", "4:11 language", ""),
            ("rows: 20", "metrics: [by_typ]", "4:11 metrics[0]", "by_type"),
            ("rows: 20", "pairs: {column: id, by: a, offsets: {x: a}}", "4:41 pairs.offsets.x", ""),
            ("label: benign", "label: bening", "6:24 parts[0].label", "benign"),
            ("label: benign", "label: {column: c}", "6:24 parts[0].label.values", ""),
            ("label: benign", "label: {column: c, values: {x: saf}}", "6:48 parts[0].label.values.x", ""),
            ("label: benign", "lable: benign", "6:5 parts[0].label; 6:17 parts[0].lable", ""),
            ("{text: prompt}", "[prompt]", "7:10 columns", ""),
            (', url: "https://a.b/c.csv"', "", "6:5 parts[0]", ""),
        ),
    ),
    "price": Kind(
        "price list",
        PRICE,
        lambda path: PriceList.load(path),
        (
            ("output:", "outptu:", "1:11 my-model.output; 1:25 my-model.outptu", ""),
            ("image:", "imag:", "2:14 my-painter.imag", "image"),
            ("0.6", "'0.6'", "1:33 my-model.output", ""),
            ("0.6", "-1", "1:33 my-model.output", ""),
            ("0.6", "1:30", "1:33 my-model.output", ""),
            ("0.6", ".nan", "1:33 my-model.output", ""),
            ("0.6", "on", "1:33 my-model.output", ""),
            ("{image: 0.04}", "0.04", "2:13 my-painter", ""),
            ("{image: 0.04}", "{}", "2:13 my-painter", ""),
            ("{image: 0.04}", "{input: 1}", "2:13 my-painter.output", ""),
        ),
    ),
    "template": Kind(
        "template",
        TEMPLATE,
        lambda path: load_template("scoring", path.stem, path.parent),
        (
            ("temperature:", "temprature:", "3:1 temprature", "temperature"),
            ("0.5", "'0.5'", "3:14 temperature", ""),
            ("0.5", "0,5", "3:14 temperature", ""),
            ("0.5", "yes", "3:14 temperature", ""),
            ("20", "020", "4:13 max_tokens", ""),
            ("20", "many", "4:13 max_tokens", ""),
            ("Judge {{ prompt }}", "[x]", "5:7 user", ""),
            ("Judge {{ prompt }}", "", "5:6 user", ""),
            ("Judge {{ prompt }}", "'{{ prompt '", "5:7 user", ""),
            ("user: Judge {{ prompt }}", "system: x", "1:1 user", ""),
            ("version: 1\n", "", "1:1 version", ""),
        ),
    ),
}
# Each fault as the last lines of a file whose other lines are right: the text, line and column from there on.
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [*{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}]\n"
    for old, new in zip("abcdefg", "bcdefgh", strict=True)
)
SYNTAX = {
    "alias bomb": (BOMB, (5, None)),
    "alias without an anchor": ("extra: *nobody\n", (0, 8)),
    "alias of itself": ("extra: &a [*a]\n", (0, 12)),
    "python tag": ("extra: !!python/object/apply:os.system [x]\n", (0, 8)),
    "own tag": ("extra: !secret x\n", (0, 8)),
    "deep nesting": ("extra: " + "[" * 30 + "]" * 30 + "\n", (0, 31)),
    "very deep nesting": ("extra: " + "[" * 5000 + "\n", (0, None)),
    "tab": ("extra:\n\tx: 1\n", (1, 1)),
    "bad indentation": ("extra:\n    a: 1\n  b: 2\n", (2, 3)),
    "line that is indented too far": ("extra: x\n   more: y\n", (1, 8)),
    "open quote": ("extra: 'x\n", (0, 8)),
    "open bracket": ("extra: [x\nz: y]]\n", None),
    "percent": ("extra: %x\n", (0, 8)),
    "second document": ("---\nextra: x\n", (0, 1)),
    "latin-1": (b"# caf\xe9\n", (0, 6)),
    "NUL": (b"# a\0b\n", (0, 4)),
}


def problems_of(kind: Kind, folder: Path, data: str | bytes) -> YamlError:
    path = folder / "audit.yaml"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    with pytest.raises(YamlError) as caught:
        kind.read(path)
    assert all(p.message and p.hint and p.file == str(path) for p in caught.value.problems)
    assert caught.value.exit_code == 2
    return caught.value


def others(kind: Kind) -> list[str]:
    return [other.what for other in KINDS.values() if other.what != kind.what]


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_a_good_file_is_read(kind: Kind, tmp_path: Path) -> None:
    path = tmp_path / "audit.yaml"
    path.write_text(kind.text)
    assert kind.read(path) is not None


@pytest.mark.parametrize(
    ("kind", "old", "new", "places", "near"),
    [pytest.param(name, *fault, id=f"{name}-{fault[1]}") for name, k in KINDS.items() for fault in k.faults],
)
def test_a_wrong_value_is_told_with_its_place(
    kind: str, old: str, new: str, places: str, near: str, tmp_path: Path
) -> None:
    assert old in KINDS[kind].text
    error = problems_of(KINDS[kind], tmp_path, KINDS[kind].text.replace(old, new, 1))
    assert "; ".join(f"{p.line}:{p.column} {p.field}" for p in error.problems) == places
    assert not near or error.problems[0].hint == f"did you mean {near!r}?"


@pytest.mark.parametrize("fault", SYNTAX)
@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
@pytest.mark.parametrize("parser", ["CSafeLoader", "SafeLoader"])
def test_what_is_not_plain_yaml_is_told_with_its_place(
    kind: Kind, fault: str, parser: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not hasattr(yaml, parser):
        pytest.skip("this PyYAML has no C parser")
    monkeypatch.setattr(tree, "_PARSER", getattr(yaml, parser))
    text, place = SYNTAX[fault]
    data = text.encode() if isinstance(text, str) else text
    error = problems_of(kind, tmp_path, kind.text.encode() + data)
    [problem] = error.problems
    assert problem.field == ""
    if place is not None:
        line, column = place
        assert problem.line == len(kind.text.splitlines()) + 1 + line
        assert column in (None, problem.column)
    said = error.message()
    assert not any(f"a {other}" in said or f"one {other}" in said for other in others(kind))


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_a_field_that_stands_twice_is_told_at_the_second(kind: Kind, tmp_path: Path) -> None:
    first = kind.text.splitlines()[0]
    error = problems_of(kind, tmp_path, f"{kind.text}{first}\n")
    [problem] = error.problems
    assert (problem.line, problem.column) == (len(kind.text.splitlines()) + 1, 1)
    assert problem.field == first.partition(":")[0]
    assert "line 1" in problem.message


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"- a\n", "mapping"),
        (b"hello\n", "mapping"),
        (b"{a: 1, ? [b] : c}\n", "field name"),
        ("a: é\n".encode("utf-16"), "UTF-16"),
        (b"# " + b"x" * tree.MAX_BYTES, "5,000,000"),
    ],
    ids=["list", "text", "key", "utf-16", "huge"],
)
def test_a_file_that_is_something_else(kind: Kind, data: bytes, word: str, tmp_path: Path) -> None:
    error = problems_of(kind, tmp_path, data)
    assert any(word in p.message for p in error.problems)
    assert {p.line for p in error.problems} == {1}


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_an_empty_file(kind: Kind, tmp_path: Path) -> None:
    if kind.what == "price list":  # the packaged prices stand
        (tmp_path / "audit.yaml").write_text("# nothing\n")
        assert kind.read(tmp_path / "audit.yaml") is not None
        return
    for text in ("", "# nothing\n", "~\n"):
        error = problems_of(kind, tmp_path, text)
        assert "the file is empty" in error.message()


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_a_flood_of_problems_is_counted_not_printed(kind: Kind, tmp_path: Path) -> None:
    flood = "".join(f"field{n}: [1]\n" for n in range(500))
    said = problems_of(kind, tmp_path, kind.text + flood).message()
    assert said.startswith(f"500 problems in the {kind.what}:\n")
    assert said.endswith("... and 400 more")


@pytest.mark.parametrize("kind", ["target", "product", "suite", "price"])
def test_a_file_that_cannot_be_read(kind: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("")
    with pytest.raises(InputError) as caught:
        KINDS[kind].read(tmp_path / "mien.yaml")
    assert KINDS[kind].what in caught.value.what
    assert "mine.yaml" in caught.value.fix
    with pytest.raises(InputError):
        KINDS[kind].read(tmp_path)


# -- the reader itself, on a schema of its own -------------------------------------------------------------


class Leaf(Schema):
    colour: Literal["red", "green"] = Field("red", description="What colour it has.")
    size: int = Field(description="How large it is.", examples=["3"])


class Tree(Schema):
    name: str
    label: Label = ""
    height: Annotated[float, Field(gt=0, le=100), AsNumber] = 1.0
    tags: Annotated[tuple[str, ...], Listed] = ()
    leaves: tuple[Leaf, ...] = ()
    evergreen: bool = False


def tree_of(text: str) -> Tree:
    return parse_yaml(text.encode(), "t.yaml", Tree, what="tree")


def places(text: str) -> list[str]:
    with pytest.raises(YamlError) as caught:
        tree_of(text)
    return [f"{p.line}:{p.column} {p.field}" for p in caught.value.problems]


def test_values_are_plain_python_values() -> None:
    made = tree_of("name: oak\nlabel: 1.10\nheight: 1e1\ntags: big\nleaves: [{size: 3}]\nevergreen: off\n")
    assert (made.name, made.label, made.height, made.tags, made.evergreen) == (
        "oak", "1.10", 10.0, ("big",), False,
    )  # fmt: skip
    assert [type(v) for v in (made.name, made.label, made.height, made.tags[0], made.leaves[0].size)] == [
        str, str, float, str, int,
    ]  # fmt: skip
    assert str(made.leaves[0].mark_of("size")) == "t.yaml:5:17"
    assert str(made.mark_of()) == "t.yaml:1:1"
    assert made.names("tags")
    assert not made.leaves[0].names("colour")


def test_an_alias_stands_for_what_it_names_and_errors_in_it_are_told_where_it_is_written() -> None:
    made = tree_of("name: &n oak\ntags: [*n, *n]\n")
    assert made.tags == ("oak", "oak")
    assert places("name: &n [oak]\ntags: *n\n") == ["1:7 name"]


def test_all_problems_of_a_file_are_told_at_once_and_none_twice() -> None:
    text = "nam: x\nheight: 0\nleaves:\n  - {colour: gren}\n  - {colour: green, size: big, x: 1}\n  - 3\n"
    assert places(text) == [
        "1:1 nam",
        "1:1 name",
        "2:9 height",
        "4:5 leaves[0].size",
        "4:14 leaves[0].colour",
        "5:27 leaves[1].size",
        "5:32 leaves[1].x",
        "6:5 leaves[2]",
    ]


class Pair(Schema):
    first: int
    second: int = 0
    rest: tuple[Leaf, ...] = ()

    def model_post_init(self, context: object) -> None:
        faults = Faults()
        if self.second < self.first:
            faults.add("the second is smaller", "make it larger", ("second",))
        if not self.rest:
            faults.add("there is no rest", "add one", ("rest",))
        faults.raise_any()


def test_a_rule_of_the_whole_is_told_besides_wrong_values_but_not_because_of_them() -> None:
    def told(text: str) -> list[str]:
        with pytest.raises(YamlError) as caught:
            parse_yaml(text.encode(), "p.yaml", Pair, what="pair")
        return [f"{p.line}:{p.column} {p.field}" for p in caught.value.problems]

    assert told("first: 3\nsecond: 2\nrest: [{size: big}]\n") == ["2:9 second", "3:15 rest[0].size"]
    assert told("first: 3\nsecond: two\nrest: [{size: 1}]\n") == ["2:9 second"]
    assert told("first: 3\nsecond: 2\n") == ["1:1 rest", "2:9 second"]
    assert told("first: three\nsecond: 2\n") == ["1:8 first"]


def test_texts_of_the_file_are_shown_short_and_without_control_characters() -> None:
    with pytest.raises(YamlError) as caught:
        tree_of('name: x\nheight: "\\e[31m' + "y" * 500 + '"\n')
    assert caught.value.message().replace("\n", "").isprintable()
    assert len(caught.value.message()) < 300
    assert shorten("a\x1b[31m\nb" + "c" * 100, 10) == "a [31m ..."
    assert nearest("rde", ["red", "green"]) == "did you mean 'red'?"


def test_any_type_can_be_read_and_the_error_names_the_file_and_its_kind(tmp_path: Path) -> None:
    path = tmp_path / "n.yaml"
    path.write_text("a: 1\nb: 2\n")
    assert read_yaml(path, dict[str, int], what="table of numbers") == {"a": 1, "b": 2}
    path.write_text("a: x\nb: y\n")
    with pytest.raises(YamlError, match="2 problems in the table of numbers") as caught:
        read_yaml(path, dict[str, int], what="table of numbers")
    assert caught.value.where == str(path)


def test_a_model_that_is_made_in_python_has_no_place() -> None:
    leaf = Leaf(size=3)
    assert leaf.mark_of().line == 0
    assert not leaf.names("size")
    assert leaf == parse_yaml(b"size: 3\n", "x", Leaf, what="leaf")


# -- JSON Schemas ------------------------------------------------------------------------------------------

SCHEMAS: list[tuple[type[BaseModel] | object, str, list[Path]]] = [
    (PolicySource, "policy", sorted((PACKAGE / "policies").glob("*.yaml"))),
    (HTTPFile, "HTTP target", [PACKAGE.parent / "examples" / "http_target.yaml"]),
    (Product, "product", []),
    (Suite, "suite", list(SUITES.glob("*.yaml"))),
    (Prices, "price list", [PACKAGE / "calls" / "prices.yaml"]),
    (Template, "template", list(PACKAGE.glob("*/templates/*.yaml"))),
]


@pytest.mark.parametrize(("model", "what", "files"), SCHEMAS, ids=[what for _, what, _ in SCHEMAS])
def test_every_kind_has_a_json_schema_that_shipped_files_meet(
    model: type, what: str, files: list[Path]
) -> None:
    schema = json_schema(model, what)
    json.dumps(schema)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    [kind] = [kind for kind in KINDS.values() if kind.what == what]
    texts = [kind.text, *(path.read_text("utf-8") for path in files)]
    for text in texts:
        validator.validate(yaml.safe_load(text))
    assert len(texts) > 1 or what == "product"
    for old, new, _, _ in kind.faults[:2]:  # a field that is unknown, a value of the wrong type
        assert not validator.is_valid(yaml.safe_load(kind.text.replace(old, new, 1)))
