import re

import pytest

from overt.data.errors import InputError
from overt.data.templates import load_template
from overt.tasks.generate_config import TEMPLATES


@pytest.mark.parametrize(("name", "room"), sorted(TEMPLATES.items()))
def test_every_packaged_template_loads_and_names_its_task(name, room):
    template = load_template(room, name)
    assert re.fullmatch(rf"{name}@[1-9]\d*", template.label)
    assert f"task: {name}" in template.system


def test_a_users_template_replaces_ours_and_changes_the_hash(tmp_path):
    ours = load_template("scoring", "audit")
    (tmp_path / "audit.yaml").write_text("name: audit\nversion: mine-2\nuser: Judge {{ prompt }}\n")
    own = load_template("scoring", "audit", tmp_path)
    assert own.label == "audit@mine-2"
    assert own.hash != ours.hash
    assert load_template("scoring", "probe", tmp_path).hash == load_template("scoring", "probe").hash
    request = own.request({"prompt": "x"}, seed=1)
    assert [m.role for m in request.messages] == ["user"]


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("name: audit\nversion: 1\n", "1:1: user", "missing"),
        ("name: audit\nversion: 1\nuser: '{{ prompt '\n", "3:7: user", "Jinja"),
        ("name: audit\nversion: 1\nuser: x\nsystem: |\n  Hi.\n  {% if %}\n", "4:9: system", "Jinja.*line 2"),
        ("name: audit\nversion: 1\nuser: x\ntemprature: 1\n", "4:1: temprature", "unknown field"),
        ("name: [\n", "2:1: ", "not closed"),
        ("name: audit\nversion: 1\nuser: x\ntemperature: hot\n", "4:14: temperature", "number"),
        ("- 1\n", "1:1: ", "expected a mapping"),
    ],
)
def test_a_bad_template_says_what_is_wrong(tmp_path, text, place, message):
    (tmp_path / "audit.yaml").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        load_template("scoring", "audit", tmp_path)
    assert f"audit.yaml:{place}" in caught.value.message()


def test_an_unknown_value_is_named(tmp_path):
    (tmp_path / "audit.yaml").write_text("name: audit\nversion: 1\nuser: '{{ promt }}'\n")
    with pytest.raises(InputError, match="'promt' is undefined"):
        load_template("scoring", "audit", tmp_path).request({"prompt": "x"}, seed=0)


def test_templates_are_sandboxed(tmp_path):
    (tmp_path / "audit.yaml").write_text("name: audit\nversion: 1\nuser: '{{ prompt.__class__.__mro__ }}'\n")
    with pytest.raises(InputError, match=r"unsafe|undefined"):
        load_template("scoring", "audit", tmp_path).request({"prompt": "x"}, seed=0)


def test_same_inputs_same_request_and_samples_differ():
    template = load_template("scoring", "probe")
    values = {"prompt": "x", "modality": "image"}
    assert template.request(values, seed=1) == template.request(values, seed=1)
    seeds = {template.request(values, seed=s, sample=n).seed for s in (1, 2) for n in range(8)}
    assert len(seeds) == 16
    assert all(0 <= s < 2**31 for s in seeds)
