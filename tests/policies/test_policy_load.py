"""Loading: names and files, `extends` with all its edits, the round trip, the editors' schema, the CLI."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from support.paths import ROOT
from typer.testing import CliRunner

from overt.cli.policies import app
from overt.data.errors import InputError
from overt.policies.floor import names_minor, names_sexual
from overt.policies.load import (
    PolicyError,
    Source,
    dump_policy,
    load_policy,
    policy_json_schema,
    policy_source,
    shipped_policies,
)
from overt.policies.load import _effective as effective
from overt.policies.schema import BUILTIN_SLOTS, Category, PartOfSpeech, Policy, Scene, Trigger, TriggerKind

BASE = """\
name: base
version: 1.0
description: |
  A product.
  It has two lines.
modality: text
slots:
  snack: [a taco, a bun]
categories:
  - id: violence
    title: Violence
    disallowed: [people hurt, cruelty]
    allowed: [video games, films]
    triggers:
      - knife
      - term: shot
        pos: noun
        scenes:
          - benign: a bartender pouring a shot of espresso for {person} with {snack}
            unsafe: a gunman whose shot has killed {person}
            kind: homonym
        neutral: [a shot of espresso]
    benign: 20
    dedup_threshold: 0.8
  - id: privacy
    title: Privacy
    disallowed: [real addresses]
    triggers: [address book]
    strategy: convert
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "base.yaml").write_text(BASE)
    return tmp_path


def child(folder: Path, text: str, extends: str = "base.yaml") -> Policy:
    path = folder / "child.yaml"
    path.write_text(f"name: child\nextends: {extends}\n{text}")
    return load_policy(str(path))


def terms(category: Category) -> list[str]:
    return [t.term for t in category.triggers]


def test_a_file_with_its_defaults(base: Path) -> None:
    policy = load_policy(str(base / "base.yaml"))
    assert (policy.name, policy.version, policy.modality) == ("base", "1.0", "text")
    assert policy.description == "A product.\nIt has two lines."
    violence, privacy = policy.categories
    assert terms(violence) == ["knife", "shot"]
    assert violence.triggers[0] == Trigger(term="knife")
    assert violence.triggers[1].scenes[0].kind == "homonym"
    assert (violence.benign, violence.unsafe, violence.threshold, violence.probe_threshold) == (
        20,
        50,
        0.8,
        0.25,
    )
    assert (privacy.benign, privacy.threshold, privacy.languages) == (50, 0.9, ("en",))


def test_a_child_without_edits_is_its_base_under_another_name(base: Path) -> None:
    parent, policy = load_policy(str(base / "base.yaml")), child(base, "")
    assert policy.categories == parent.categories
    assert policy.slots == parent.slots
    assert (policy.name, policy.version, policy.modality, policy.description) == ("child", "1", "text", "")
    assert policy.hash != parent.hash


def test_a_known_id_changes_only_what_it_names(base: Path) -> None:
    policy = child(base, "categories:\n  - id: violence\n    unsafe: 5\n    allowed: [news]\n")
    before = load_policy(str(base / "base.yaml"))
    assert policy.category("violence") == before.category("violence").model_copy(
        update={"unsafe": 5, "allowed": ("news",)}
    )
    assert policy.category("privacy") == before.category("privacy")
    assert [c.id for c in policy.categories] == ["violence", "privacy"]


def test_add_appends_and_joins_known_triggers(base: Path) -> None:
    policy = child(
        base,
        """categories:
  - id: violence
    add:
      allowed: [news, films]
      disallowed: [weapons]
      triggers:
        - gun
        - term: Shot
          scenes: [{benign: a Shot of vodka}]
          neutral: [a shot in the dark]
""",
    )
    violence = policy.category("violence")
    assert violence.allowed == ("video games", "films", "news")
    assert violence.disallowed == ("people hurt", "cruelty", "weapons")
    assert terms(violence) == ["knife", "shot", "gun"]
    shot = violence.triggers[1]
    assert (len(shot.scenes), shot.pos, shot.neutral) == (
        2,
        "noun",
        ("a shot of espresso", "a shot in the dark"),
    )


def test_drop_takes_out_without_regard_to_case_and_before_add(base: Path) -> None:
    policy = child(
        base,
        "categories:\n  - id: violence\n"
        "    drop: {allowed: [Films], disallowed: [cruelty], triggers: [SHOT]}\n"
        "    add: {triggers: [shot]}\n",
    )
    violence = policy.category("violence")
    assert violence.allowed == ("video games",)
    assert violence.disallowed == ("people hurt",)
    assert violence.triggers == (Trigger(term="knife"), Trigger(term="shot"))


def test_new_and_dropped_categories(base: Path) -> None:
    policy = child(
        base,
        "drop: [privacy]\ncategories:\n  - {id: fire, title: Fire, disallowed: [arson], triggers: [match]}\n",
    )
    assert [c.id for c in policy.categories] == ["violence", "fire"]


def test_defaults_set_what_this_file_does_not_set_itself(base: Path) -> None:
    policy = child(
        base,
        """\
defaults:
  {benign: 7, unsafe: 3, strategy: convert, probe_threshold: 0.5, dedup_threshold: 0.6, languages: [de]}
categories:
  - {id: privacy, unsafe: 9, strategy: direct}
  - {id: fire, title: Fire, disallowed: [arson], triggers: [match], benign: 1}
""",
    )
    got = {
        c.id: (c.benign, c.unsafe, c.strategy, c.probe_threshold, c.threshold, c.languages)
        for c in policy.categories
    }
    assert got == {
        "violence": (7, 3, "convert", 0.5, 0.6, ("de",)),
        "privacy": (7, 9, "direct", 0.5, 0.6, ("de",)),
        "fire": (1, 3, "convert", 0.5, 0.6, ("de",)),
    }


def test_slots_merge_by_name(base: Path) -> None:
    policy = child(base, "slots: {snack: [a pie], tool: [a saw]}\n")
    assert policy.slots == {"snack": ("a pie",), "tool": ("a saw",)}


def test_a_chain_and_a_file_named_like_a_shipped_policy(base: Path) -> None:
    child(base, "defaults: {benign: 1}\n")
    (base / "newsroom.yaml").write_text("name: grandchild\nextends: child.yaml\ndefaults: {unsafe: 2}\n")
    policy = load_policy(str(base / "newsroom.yaml"))
    assert {(c.benign, c.unsafe) for c in policy.categories} == {(1, 2)}
    assert child(base, "", "newsroom").category("violence") == load_policy("newsroom").category("violence")


def test_names_and_paths(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(base)
    Path("newsroom").write_text(BASE)
    Path("plain").write_text(BASE)
    assert load_policy("newsroom").name == "newsroom"
    assert load_policy("./newsroom").name == "base"
    assert load_policy("plain").name == "base"
    assert policy_source("newsroom").folder is None
    assert policy_source("./newsroom").folder == Path()


def test_a_file_with_a_bom_crlf_and_an_alias_loads(tmp_path: Path) -> None:
    path = tmp_path / "x.yml"
    text = BASE.replace("allowed: [video games, films]", "allowed: &a [films]").replace("\n", "\r\n")
    text = text.replace("disallowed: [real addresses]", "disallowed: [real addresses]\r\n    allowed: *a")
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert load_policy(str(path)).category("privacy").allowed == ("films",)


def test_terms_stand_as_whole_words_without_regard_to_case(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    scenes = "[{benign: 'a SHOT-glass'}, {benign: \"the shot's echo\"}, {unsafe: 'Shot.'}]"
    path.write_text(
        "name: x\ncategories: [{id: a, title: War, disallowed: [b], triggers: "
        f"[{{term: shot, scenes: {scenes}}}, {{term: 犯罪, scenes: [{{benign: 描写犯罪的电影}}]}}]}}]\n"
    )
    assert len(load_policy(str(path)).categories[0].triggers[0].scenes) == 3


def test_the_hash_covers_the_effective_policy(base: Path) -> None:
    hashes = {load_policy(str(base / "base.yaml")).hash}
    for old, new in [("people hurt", "people harmed"), ("a taco", "a pie"), ("benign: 20", "benign: 21")]:
        (base / "other.yaml").write_text(BASE.replace(old, new))
        hashes.add(load_policy(str(base / "other.yaml")).hash)
    (base / "other.yaml").write_text(
        "# a comment\n" + BASE.replace("[people hurt, cruelty]", '["people hurt", cruelty ]')
    )
    assert load_policy(str(base / "other.yaml")).hash in hashes
    assert len(hashes) == 4


def test_no_source_only_field_is_left(base: Path) -> None:
    data = child(base, "defaults: {benign: 2}\n").model_dump()
    assert {"extends", "defaults", "drop", "add"}.isdisjoint(data)
    assert {"add", "drop"}.isdisjoint(data["categories"][0])


# Round trip: any valid policy, written and read again, is the same policy.

_plain = st.text(
    st.characters(
        exclude_categories=["Cc", "Cs", "Cn", "Co", "Cf"], exclude_characters="{}\ufeff\ufffe\uffff"
    ),
    min_size=1,
    max_size=30,
).map(lambda t: " ".join(t.split()))
_tricky = st.sampled_from(
    ["no", "1.0", "null", "~", "- x", "a: b", "# x", "*a", "'", '"', "0x1F", "1:30", "=", "<<", "x:"]
)
# Words drawn at random can add up to what the floor forbids, so none of its words is drawn.
_statement = st.one_of(_plain, _tricky).filter(lambda t: t and not names_minor(t) and not names_sexual(t))
_word = st.one_of(st.from_regex(r"[a-z]{3,12}", fullmatch=True), _tricky).filter(
    lambda t: len(t) > 1 and not names_sexual(t)
)
_ids = st.from_regex(r"[a-z][a-z0-9_]{0,12}", fullmatch=True).filter(lambda t: not names_sexual(t))


def _unique(elements: st.SearchStrategy[str], least: int) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(elements, min_size=least, max_size=4, unique_by=str.casefold).map(tuple)


@st.composite
def _triggers(draw: st.DrawFn) -> tuple[Trigger, ...]:
    triggers = []
    for term in draw(_unique(_word, 1)):
        sides = draw(
            st.lists(st.sampled_from(["{person}", "{own}", "at dusk", "by night"]), max_size=3, unique=True)
        )
        scenes = tuple(
            Scene(benign=f"one {term} {s}", unsafe=draw(st.sampled_from([None, f"other {term} {s}"])),
                  kind=draw(st.sampled_from([None, *get_args(TriggerKind)])))
            for s in sides
        )  # fmt: skip
        pos: Any = draw(st.sampled_from([None, *get_args(PartOfSpeech)]))
        triggers.append(Trigger(term=term, pos=pos, scenes=scenes, neutral=draw(_unique(_statement, 0))))
    return tuple(triggers)


@st.composite
def _policies(draw: st.DrawFn) -> Policy:
    categories = tuple(
        Category(
            id=id,
            title=draw(_statement.filter(lambda t: len(t) > 1)),
            disallowed=draw(_unique(_statement, 1)),
            allowed=draw(_unique(_statement, 0)),
            triggers=draw(_triggers()),
            strategy=draw(st.sampled_from(["convert", "direct"])),
            instruction=draw(st.none() | _statement | st.just("two\n  lines: of\n\ntext")),
            benign=draw(st.integers(0, 100_000)),
            unsafe=draw(st.integers(0, 100_000)),
            dedup_threshold=draw(st.none() | st.floats(0, 1, exclude_min=True)),
            probe_threshold=draw(st.floats(0, 1)),
            languages=draw(_unique(st.sampled_from(["en", "no", "pt-BR", "zh-Hans"]), 1)),
        )
        for id in draw(_unique(_ids, 1))
    )
    return Policy(
        name=draw(_ids),
        version=draw(_plain.filter(bool)),
        description=draw(st.just("") | _statement),
        modality=draw(st.sampled_from(["image", "text"])),
        slots={"own": draw(_unique(_statement, 1))},
        categories=categories,
    )


@settings(max_examples=60, deadline=None)
@given(_policies())
def test_round_trip(policy: Policy) -> None:
    source = Source("x.yaml", "x", dump_policy(policy).encode(), Path("/nonexistent"))
    again = effective(source)
    assert again == policy
    assert again.hash == policy.hash


def test_equal_files_are_read_once_and_a_wrong_one_is_named_each_time(tmp_path: Path) -> None:
    """Every run has a copy of its policy; a file that extends another hangs on more than its own bytes."""
    one, two, child, base = (tmp_path / f"{name}.yaml" for name in ("one", "two", "child", "base"))
    text = dump_policy(load_policy("kids_education"))
    for file in (one, two):
        file.write_text(text, "utf-8")
    assert load_policy(str(one)) is load_policy(str(two))
    for file in (one, two):
        file.write_text(text + "wrong: 1\n", "utf-8")
        with pytest.raises(PolicyError, match=file.name):
            load_policy(str(file))
    child.write_text("extends: ./base.yaml\nname: child\nversion: '1'\n", "utf-8")
    for name in ("kids_education", "newsroom"):
        base.write_text(dump_policy(load_policy(name)), "utf-8")
        assert load_policy(str(child)).categories == load_policy(name).categories


@pytest.mark.parametrize("name", shipped_policies())
def test_shipped_policies_round_trip(name: str, tmp_path: Path) -> None:
    policy = load_policy(name)
    assert policy.name == name
    path = tmp_path / "effective.yaml"
    path.write_text(dump_policy(policy), "utf-8")
    assert load_policy(str(path)) == policy


@pytest.mark.parametrize("sign", ["\N{CAT FACE}", "ü – 刀"])
def test_a_dumped_policy_can_be_read_by_people(sign: str) -> None:
    policy = load_policy("newsroom").model_copy(update={"description": f"for {sign} only"})
    text = dump_policy(policy)
    assert f"for {sign} only" in text
    assert effective(Source("x.yaml", "x", text.encode(), Path("/nonexistent"))).hash == policy.hash


# The schema for editors.


def _raw(name: str) -> Any:
    return yaml.safe_load(policy_source(name).data)


def test_the_json_schema_is_one_and_speaks_of_every_field() -> None:
    schema = policy_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)

    def walk(node: Any, path: str) -> None:
        for name, field in node.get("properties", {}).items():
            assert field.get("title"), f"{path}.{name}"
            assert field.get("description"), f"{path}.{name}"
        for key, value in node.items():
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, dict):
                    walk(part, f"{path}.{key}")

    walk(schema, "")
    assert set(Policy.model_fields) <= set(schema["properties"])
    assert set(Category.model_fields) <= set(schema["$defs"]["CategorySource"]["properties"])


@pytest.mark.parametrize("name", shipped_policies())
def test_shipped_policies_meet_the_json_schema(name: str) -> None:
    jsonschema.Draft202012Validator(policy_json_schema()).validate(_raw(name))


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        (BASE, True),
        ("{name: a, extends: overt, drop: [x], defaults: {benign: 3}}", True),
        (
            "{name: a, extends: overt, categories: [{id: x, add: {triggers: [shot]}, drop: {allowed: [y]}}]}",
            True,
        ),
        ("{name: a}", False),
        ("{name: A, extends: overt}", False),
        ("{name: a, extends: overt, descripton: x}", False),
        ("{name: a, drop: [x], categories: [{id: x}]}", False),
        ("{name: a, extends: overt, categories: [{id: x, benign: many}]}", False),
        ("{name: a, extends: overt, categories: [{id: x, languages: [english]}]}", False),
        (
            "{name: a, extends: overt, categories: [{id: x, triggers: [{term: ab, scenes: [{kind: art}]}]}]}",
            False,
        ),
    ],
)
def test_the_json_schema_tells_good_from_bad(text: str, valid: bool) -> None:
    assert jsonschema.Draft202012Validator(policy_json_schema()).is_valid(yaml.safe_load(text)) is valid


# Malformed files of which the schema cannot tell: it knows no other file and no floor, it reads parsed YAML
# (no duplicate keys, no encodings, numbers as YAML 1.1 has them), and it compares no texts.
UNTOLD = re.compile(
    "_base|add_(?!unknown)|control_|drop_(?!without)|duplicate_(?!statement)|extends_(?!bad)|floor_|merge_key|missing_title|"
    "new_category|same_sides|scene_|slot_(brace|nested|unknown)|threshold_nan|utf16|wrong_type_(octal|sexag)"
)
BAD = sorted((ROOT / "tests" / "policies" / "bad").glob("*.yaml"))


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.name)
def test_the_json_schema_refuses_the_malformed_policies_that_it_can_tell(path: Path) -> None:
    try:
        data = yaml.safe_load(path.read_bytes())
    except (yaml.YAMLError, UnicodeError):
        return
    valid = jsonschema.Draft202012Validator(policy_json_schema()).is_valid(data)
    assert valid is (UNTOLD.match(path.name) is not None)


def test_builtin_slots_are_those_of_the_lexicon() -> None:
    lexicon = yaml.safe_load((ROOT / "overt/generation/lexicon.yaml").read_text("utf-8"))
    assert set(BUILTIN_SLOTS) <= set(lexicon)


# The commands.


def test_cli_list_names_every_shipped_policy() -> None:
    result = CliRunner().invoke(app, ["list"])
    assert result.exit_code == 0
    for name in shipped_policies():
        assert name in result.stdout
    data = json.loads(CliRunner().invoke(app, ["list", "--json"]).stdout)
    assert [p["name"] for p in data] == shipped_policies()
    assert data[0]["benign"] == sum(c.benign for c in load_policy(data[0]["name"]).categories)


def test_cli_show_counts_and_dumps(base: Path) -> None:
    path = str(base / "base.yaml")
    policy = load_policy(path)
    table = CliRunner().invoke(app, ["show", path]).stdout
    assert policy.hash in table
    row = next(line for line in table.splitlines() if line.startswith("violence"))
    assert row.split()[-6:] == ["2", "2", "2", "1", "20", "50"]
    shown = CliRunner().invoke(app, ["show", path, "--yaml"]).stdout
    assert shown == dump_policy(policy)
    data = json.loads(CliRunner().invoke(app, ["show", path, "--json"]).stdout)
    assert data.pop("hash") == policy.hash
    assert Policy.model_validate(data) == policy
    both = CliRunner().invoke(app, ["show", path, "--json", "--yaml"])
    assert isinstance(both.exception, InputError)


def test_cli_validate_says_ok_with_counts(base: Path) -> None:
    result = CliRunner().invoke(app, ["validate", str(base / "base.yaml"), "newsroom"])
    assert result.exit_code == 0
    assert "2 categories, 3 triggers, 1 scenes, asks for 70 benign and 100 unsafe prompts" in result.stdout
    assert load_policy("newsroom").hash in result.stdout


def test_cli_schema_prints_the_schema() -> None:
    assert json.loads(CliRunner().invoke(app, ["schema"]).stdout) == policy_json_schema()


def test_the_commands_import_nothing_heavy() -> None:
    code = (
        "import sys, overt.cli.policies; "
        "print([m for m in ('torch', 'yaml', 'pydantic', 'rich.table', 'datasets') if m in sys.modules])"
    )
    out = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert out.stdout.strip() == "[]"
