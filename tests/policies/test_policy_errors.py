"""Malformed policies: each gets its place, its field, what was expected and what to do; never a traceback."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.paths import TESTS
from typer.testing import CliRunner

from overt.cli.policies import app
from overt.data.errors import InputError
from overt.data.yaml import tree
from overt.data.yaml.problems import nearest
from overt.policies.load import PolicyError, Source, load_policy
from overt.policies.load import _effective as effective
from overt.policies.schema import Policy

BAD = TESTS / "policies" / "bad"


def _expected() -> dict[str, list[tuple[str, str]]]:
    """File name -> place and field of each of its problems, from expected.txt."""
    cases: dict[str, list[tuple[str, str]]] = {}
    name = ""
    for line in (BAD / "expected.txt").read_text("utf-8").splitlines():
        if line.startswith("== "):
            name = line[3:]
            cases[name] = []
        elif line and not line.startswith("#"):
            place, _, field = line.partition(" ")
            cases[name].append((place, field))
    return cases


EXPECTED = _expected()


def test_every_bad_policy_has_an_expected_message() -> None:
    files = {p.name for p in BAD.glob("*.yaml") if not p.name.startswith("_")}
    assert files == set(EXPECTED)
    assert len(files) > 100
    assert all(EXPECTED.values())


@pytest.mark.parametrize("name", sorted(EXPECTED))
@pytest.mark.parametrize("parser", ["CSafeLoader", "SafeLoader"])
def test_bad_policy(name: str, parser: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(yaml, parser):
        pytest.skip("this PyYAML has no C parser")
    monkeypatch.setattr(tree, "_PARSER", getattr(yaml, parser))
    monkeypatch.chdir(BAD)
    with pytest.raises(PolicyError) as caught:
        load_policy(f"./{name}")
    assert [(p.place, p.field) for p in caught.value.problems] == EXPECTED[name]
    assert all(p.message and p.hint for p in caught.value.problems), caught.value.message()
    assert caught.value.exit_code == 2
    assert isinstance(caught.value, InputError)


def test_problems_come_by_line_with_their_parts() -> None:
    with pytest.raises(PolicyError) as caught:
        load_policy(str(BAD / "many_at_once.yaml"))
    problems = caught.value.problems
    assert [p.line for p in problems] == sorted(p.line for p in problems)
    assert len(problems) == 9
    norwegian = problems[-1]
    assert (norwegian.line, norwegian.column) == (15, 17)
    assert norwegian.field == "categories.war.languages[0]"
    assert "Norwegian" in norwegian.hint
    assert "9 problems" in caught.value.message()


def test_a_flood_of_problems_is_counted_not_printed(tmp_path: Path) -> None:
    path = tmp_path / "flood.yaml"
    path.write_text("".join(f"field{i}: 1\n" for i in range(500)))
    with pytest.raises(PolicyError) as caught:
        load_policy(str(path))
    assert len(caught.value.problems) == 502
    assert caught.value.message().endswith("... and 402 more")


def test_a_huge_file_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    path.write_bytes(b"name: mine\n# " + b"x" * tree.MAX_BYTES)
    with pytest.raises(PolicyError, match="5,000,000"):
        load_policy(str(path))


def test_thousands_of_brackets_do_not_exhaust_the_stack(tmp_path: Path) -> None:
    path = tmp_path / "deep.yaml"
    path.write_text("name: " + "[" * 200_000)
    with pytest.raises(PolicyError, match="nested more than"):
        load_policy(str(path))


def test_no_tag_is_ever_constructed(tmp_path: Path) -> None:
    target = tmp_path / "made"
    path = tmp_path / "evil.yaml"
    path.write_text(f"name: !!python/object/apply:pathlib.Path.touch [{target}]\n")
    with pytest.raises(PolicyError, match="python/object"):
        load_policy(str(path))
    assert not target.exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("newsrom", "did you mean 'newsroom'"),
        ("", "no shipped policy"),
        ("nowhere/mine.yaml", "no such file"),
        ("a\0b.yaml", "cannot be a path"),
        ("x" * 5000 + ".yaml", "cannot be read"),
        (".", "no shipped policy"),
        ("./", "this is a folder"),
        ("~nobody-of-this-name/x.yaml", "cannot be a path"),
    ],
)
def test_a_name_that_stands_for_nothing(name: str, message: str) -> None:
    with pytest.raises(PolicyError) as caught:
        load_policy(name)
    assert message in caught.value.message()


def test_a_missing_file_names_the_one_beside_it(tmp_path: Path) -> None:
    (tmp_path / "kitchen.yaml").write_text("name: kitchen\n")
    with pytest.raises(PolicyError, match=re.escape("did you mean 'kitchen.yaml'")):
        load_policy(str(tmp_path / "kichen.yaml"))


def test_nearest_names_the_closest_or_lists_all() -> None:
    assert nearest("violense", ["violence", "privacy"]) == "did you mean 'violence'?"
    assert nearest("zzz", ["violence", "privacy"]) == "known: violence, privacy"
    assert nearest("zzz", []) == ""


def test_cli_validate_reports_all_files_and_exits_2(tmp_path: Path) -> None:
    names = ["threshold_nan.yaml", "_base.yaml", "norwegian.yaml"]
    result = CliRunner().invoke(app, ["validate", *(str(BAD / n) for n in names)])
    assert result.exit_code == 2
    assert "_base.yaml" in result.stdout
    assert result.stdout.count("OK ") == 1
    lines = result.stderr.splitlines()
    assert any(
        re.search(r"threshold_nan\.yaml:8:22: categories\.violence\.dedup_threshold: ", x) for x in lines
    )
    assert any("norwegian.yaml:8:21: " in x for x in lines)
    assert lines[-1] == "2 problems"
    assert "Traceback" not in result.output


# Pieces that make it likely that the bytes get past the parser and into every reader.
_PIECES = st.sampled_from(
    [
        "name: mine\n",
        "extends: newsroom\n",
        "categories:\n",
        "  - id: violence\n",
        "    title: War\n",
        "    disallowed: [a, b]\n",
        "    triggers: [shot, knife]\n",
        "    triggers:\n      - term: shot\n",
        "        scenes:\n          - benign: a shot of {person}\n",
        "            unsafe: a shot\n",
        "    benign: ",
        "1e999\n",
        ".nan\n",
        "010\n",
        "99999999999999999999\n",
        "no\n",
        "defaults: {unsafe: 3}\n",
        "slots: {x: [y]}\n",
        "    drop: {triggers: [shot]}\n",
        "    add: {allowed: [x]}\n",
        "drop: [violence]\n",
        "? [a]\n",
        ": b\n",
        "- ",
        "&a ",
        "*a ",
        "!!set ",
        "!!binary ",
        "<<: ",
        "{",
        "}",
        "[",
        "]",
        "'",
        '"',
        "|\n",
        ">\n",
        "\t",
        " ",
        "\n",
        "#",
        "---\n",
        "%YAML 9.9\n",
        "\ufeff",
        "\x85",
        "\u2028",
        "nude child\n",
        "\\",
        ",",
        "~\n",
        "'': x\n",
    ]
)


def _load(data: bytes) -> Policy | PolicyError:
    try:
        return effective(Source("fuzz.yaml", "fuzz", data, Path("/nonexistent")))
    except PolicyError as error:
        return error


def _sound(result: Policy | PolicyError) -> bool:
    if isinstance(result, Policy):
        return bool(result.hash)
    text = result.message().replace("\n", "")
    return bool(result.problems) and all(p.message for p in result.problems) and text.isprintable()


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.one_of(
        st.binary(max_size=300),
        st.text(max_size=300).map(lambda t: t.encode("utf-8", "surrogatepass")),
        st.lists(_PIECES, max_size=25).map(lambda p: "".join(p).encode()),
    )
)
@example(b"")
@example(b"name: 'mine\n")
@example(b"a: &a {b: *a}\n")
@example(b"name: mine\nextends: {a: b}\ndrop: x\n")
@example(b"name: mine\nextends: fuzz.yaml/..\\0\n")
@example(b"name: mine\ncategories: [{id: [], title: {}, triggers: [{term: {}}, [[]]], drop: [], add: x}]\n")
@example(b"? {a: b}\n: c\n")
def test_any_bytes_give_a_policy_or_a_policy_error(data: bytes) -> None:
    assert _sound(_load(data))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_shipped_policy_gives_a_policy_or_a_policy_error(data: st.DataObject) -> None:
    text = (BAD / "_base.yaml").read_bytes() + (BAD / "many_at_once.yaml").read_bytes().replace(
        b"name:", b"slots:"
    )
    at = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 30))
    text = text[:at] + data.draw(st.binary(max_size=8)) + text[at + length :]
    assert _sound(_load(text))
