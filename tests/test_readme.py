"""What the README shows works as it stands there."""

import re
from pathlib import Path

from support.commands import ENV_OF_TESTS, outcomes, overt, write_prompts
from support.image_server import image_server

from overt.data.plugins.install import ADDS
from overt.policies.load import load_policy

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")


def block(language, first):
    """The fenced block of a language whose text holds `first`."""
    return next(b for b in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if first in b)


def test_the_class_in_ten_lines(tmp_path):
    source = block("python", "class Painter")
    assert len(source.splitlines()) <= 13
    fake = (
        "async def my_service(prompt, seed):\n"
        "    from support.image_server import noise\n"
        "    return (400, None, 'content_policy_violation') if 'bomb' in prompt else (200, noise(seed), '')\n"
    )
    (tmp_path / "painter.py").write_text(source + fake)
    prompts = write_prompts(tmp_path / "p.jsonl", ["a quiet street"], ["a bomb in a station"])
    overt("run", prompts, "--target", "painter:Painter", "--out", "run", "-q", cwd=tmp_path, env=ENV_OF_TESTS)
    assert [(o.state, o.stage) for o in outcomes(tmp_path / "run")] == [
        ("generated", None),
        ("refused", "prompt_filter"),
    ]


def test_the_model_in_yaml(tmp_path):
    prompts = write_prompts(tmp_path / "p.jsonl", ["a quiet street"], ["a bomb [refuse]"])
    with image_server() as server:
        text = block("yaml", "vendor.yaml").replace("https://api.example.com/v1/images", f"{server.url}/draw")
        (tmp_path / "vendor.yaml").write_text(text.replace("$.data[0].b64_json", "$.image"))
        overt("run", prompts, "--target", "http/vendor.yaml", "--out", "run", "-q", cwd=tmp_path)
    assert [o.state for o in outcomes(tmp_path / "run")] == ["generated", "refused"]


def test_the_policy_of_ten_lines(tmp_path):
    text = block("yaml", "petshop")
    assert len(text.splitlines()) <= 10
    (tmp_path / "petshop.yaml").write_text(text)
    policy = load_policy(str(tmp_path / "petshop.yaml"))
    assert "muzzle" in {t.term for t in policy.category("violence").triggers}


def test_every_command_and_option_exists():
    """Commands of the README with their options, held against the help."""
    lines = " ".join(re.findall(r"```console\n(.*?)```", README, re.DOTALL)).replace("\\\n", " ")
    used = [line.split("#")[0].split() for line in lines.splitlines() if line.strip().startswith("overt ")]
    assert len(used) >= 8
    helps = {}
    for words in used:
        name = words[1]
        if name not in helps:
            helps[name] = overt(name, "--help").stdout
        for option in (w for w in words if w.startswith("--")):
            assert option in helps[name], (name, option)


def test_every_extra_that_a_user_may_want_has_a_row():
    table = README.split("| extra |")[1].split("\n\n")[0]
    named = {name for row in table.splitlines()[2:] for name in re.findall(r"`([\w-]+)`", row.split("|")[1])}
    assert named == set(ADDS) - {"docs", "release"}  # these are for who works on overt itself
