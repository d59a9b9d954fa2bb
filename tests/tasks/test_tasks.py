"""One configuration a command: command line, run.json, identity, resume and rebuild follow from fields."""

import inspect
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
import typer
from support.image_server import BLACK
from typer.testing import CliRunner

from overt.cli import COMMANDS, OLD_NAMES, app, load_command
from overt.cli.options import command
from overt.data.errors import InputError
from overt.data.records import Drop, Failure
from overt.data.refusal_tokens_file import SINGLE, write_tokens
from overt.data.run.finished import Run, open_run
from overt.data.run.folder import RunFolder
from overt.data.run.plain_facts import flat_identity
from overt.data.run.record import RunRecord, read_record, upgraded
from overt.data.run.stage_counts import StageCounts
from overt.policies.load import dump_policy
from overt.tasks import generate, run
from overt.tasks.config import Config, Option
from overt.tasks.generate import started
from overt.tasks.generate_config import GenerateConfig
from overt.tasks.rebuild import rebuild_of
from overt.tasks.run import RunConfig

# A value other than the default for every option that decides what comes out.
GENERATE = {
    "policy": "overt", "seeds": "seeds.csv:prompt", "max_seeds": 7, "against": ("seeds.csv:prompt",),
    "category": ("violence",), "rejected": ("prompt-2", "prompt-1"), "model": "openai/m",
    "judge": ("openai/j", "openai/k"), "probe": "filter/better-profanity", "samples": 3, "encoder": "lexical",
    "templates": Path("ours"), "for_limit": "30%", "expect": "1%", "power": 0.5, "benign": 2,
    "unsafe": 1, "gold": ("seeds.csv:prompt",), "gold_items": 40, "min_judge_accuracy": 0.7, "per_seed": 4,
    "oversample": 2.5, "rounds": 2,
    "seed": 9,
    "search": 2, "search_calls": 50, "vary": "groups", "vary_prompts": 3,
    "codes": "codes.yaml", "shard": "2/3",
}  # fmt: skip
RUN = {
    "dataset": ("seeds.csv:prompt", "more.csv:prompt"), "target": ("filter/keywords?path=words.txt",),
    "filter": ("filter/better-profanity",), "checker": ("checker/nudenet",), "every_layer": True,
    "policy": "newsroom", "label": "benign", "category": ("violence",), "suite": "xstest", "limit": 3,
    "picture": ("photo.png",),
    "samples": 2, "seed": 9, "judge": "judge/openai/j", "system": "Be brief.", "max_tokens": 9,
    "temperature": 0.5, "min_coverage": 0.5, "codes": "codes.yaml",
    "shard": "2/3", "both": True,
    "attack": "pair", "attack_column": "method", "vanilla_column": "goal",
    "of": "xstest", "setting": ("recovery=2",), "turns": 7,
}  # fmt: skip
START = {
    GenerateConfig: {"policy": "newsroom"},
    RunConfig: {"dataset": ("seeds.csv:prompt",), "target": ("openai/gpt-image-1",)},
}
VALUES = {GenerateConfig: GENERATE, RunConfig: RUN}
# What an option does not go without.
NEEDED = {
    "expect": {"for_limit": "30%"},
    "power": {"for_limit": "30%"},
    "search": {"probe": "filter/better-profanity"},
    "search_calls": {"probe": "filter/better-profanity", "search": 2},
    "vary_prompts": {"vary": "groups"},
    **{
        name: {"suite": "ours.yaml", "target": ("openai/m",), "dataset": ()}
        for name in ("of", "setting", "turns")
    },
    "both": {"target": ("openai/m?refusal_tokens=tokens.json",)},
}


def deciding(config):
    return [name for name, field in config.fields().items() if field.option.decides]


CASES = [(config, name) for config in (GenerateConfig, RunConfig) for name in deciding(config)]


@pytest.fixture(autouse=True)
def _files(tmp_path, monkeypatch):
    """The files that the values above name."""
    monkeypatch.chdir(tmp_path)
    for name in ("seeds.csv", "more.csv"):
        Path(name).write_text(f"prompt\na text of {name}\n")
    Path("words.txt").write_text("knife\n")
    write_tokens(Path("tokens.json"), SINGLE)
    Path("photo.png").write_bytes(BLACK)
    Path("ours.yaml").write_bytes((Path(__file__).parents[1] / "support" / "greeting.yaml").read_bytes())
    Path("codes.yaml").write_text("any: {model: [no_thanks]}\n")
    Path("ours").mkdir()
    shipped = Path(generate.__file__).parents[1] / "generation" / "templates" / "convert.yaml"
    Path("ours/convert.yaml").write_text(shipped.read_text("utf-8").replace("version:", "version: own #"))


def begun(config):
    """The run that a configuration means, as `run.json` and policy of a folder."""
    start = (started if isinstance(config, GenerateConfig) else run.started)(config)[1]
    folder = Path("runs") / start.record.identity()["kind"] / str(len(list(Path().glob("runs/*/*"))))
    with RunFolder(folder) as store:
        store.claim(start.record, dump_policy(start.policy))
    return folder, start.record


def with_value(kind, name):
    values = {**START[kind], name: VALUES[kind][name]}
    values |= NEEDED.get(name, {})
    if name == "checker":  # a filter draws nothing that a checker could look at
        values["target"] = ("openai/gpt-image-1",)
    return kind.made(values)


@pytest.mark.parametrize("kind", [GenerateConfig, RunConfig])
def test_every_deciding_option_has_a_value_here(kind):
    """So that a new one cannot be left out of the tests below."""
    assert set(VALUES[kind]) == set(deciding(kind))


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_another_value_is_another_run(kind, name):
    _, before = begun(kind.made(START[kind]))
    _, after = begun(with_value(kind, name))
    assert before.identity() != after.identity()


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_resumed_run_is_the_same_run(kind, name):
    folder, record = begun(with_value(kind, name))
    again = kind.made({"resume": folder, "concurrency": 3})
    config, start = (started if kind is GenerateConfig else run.started)(again)[:2]
    assert start.record == record
    assert start.folder == folder
    assert config.concurrency == 3
    assert read_record(folder) == record


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_the_rebuild_command_makes_the_same_run(kind, name):
    """The command is parsed as a shell and Typer would, beside the files that it names."""
    folder, record = begun(with_value(kind, name))
    found = rebuild_of(record)
    Path("policy.yaml").write_text((folder / "policy.yaml").read_text("utf-8"))
    for file, text in found.beside.items():
        Path(file).write_text(text)
    if "system.txt" in found.missing:
        Path("system.txt").write_text(RUN["system"])
    seen = []

    @command(kind)
    def caught(config):
        seen.append(config)

    own = typer.Typer()
    own.command()(caught)
    done = CliRunner().invoke(own, shlex.split(found.command)[2:])
    assert done.exit_code == 0, done.output
    _, again = begun(seen[0])
    assert again.identity() == record.identity()
    field = kind.fields()[name]
    if field.option.decides != "policy" and not field.option.is_argument:
        assert field.flag in found.command


def test_the_rebuild_command_names_no_folder(tmp_path):
    record = RunRecord(
        "run", "0.1.0", config={"dataset": [str(tmp_path / "seeds.csv")]},
        given={"target": [f"guarded/{tmp_path}/shop.yaml", f"http/{tmp_path}/model.yaml"]},
    )  # fmt: skip
    found = rebuild_of(record)
    assert str(tmp_path) not in found.command + found.note()
    assert found.missing == ("seeds.csv", "guarded/shop.yaml", "http/model.yaml")


def test_what_does_not_decide_is_no_part_of_a_run():
    _, before = begun(GenerateConfig.made(START[GenerateConfig]))
    more = {"concurrency": 1, "max_cost": 2.0, "base_url": ("http://h/v1",), "quiet": True, "batch_size": 2}
    _, after = begun(GenerateConfig.made({**START[GenerateConfig], **more}))
    assert before == after


def test_resume_says_which_option_it_cannot_take():
    folder, _ = begun(GenerateConfig.made({**START[GenerateConfig], "encoder": "lexical"}))
    started(GenerateConfig.made({"resume": folder, "encoder": "lexical"}))  # as it was
    for given, flag in (({"seed": 4}, "--seed"), ({"encoder": "auto", "per_seed": 5}, "--per-seed"),
                        ({"policy": "overt"}, "--policy"), ({"out": Path("x")}, "--out")):  # fmt: skip
        with pytest.raises(InputError, match=flag):
            started(GenerateConfig.made({"resume": folder, **given}))


def test_an_option_that_an_earlier_version_did_not_know():
    """A record without it is the same run as one with its default."""
    folder, record = begun(GenerateConfig.made(START[GenerateConfig]))
    path = folder / "run.json"
    data = json.loads(path.read_text())
    del data["config"]["rounds"]
    path.write_text(json.dumps(data))
    with RunFolder(folder) as store:
        assert store.claim(record, "", defaults=GenerateConfig.defaults()) is True
    _, start = started(GenerateConfig.made({"resume": folder}))
    assert start.record.config["rounds"] == 5


# -- bad values -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "values", "flag"),
    [
        (RunConfig, {"label": "good"}, "--label"),
        (RunConfig, {"samples": 0}, "--samples"),
        (RunConfig, {"temperature": 2.5}, "--temperature"),
        (GenerateConfig, {"oversample": 0.5}, "--oversample"),
        (GenerateConfig, {"per_seed": "many"}, "--per-seed"),
        (GenerateConfig, {"against": "one.csv"}, "--against"),
    ],
)
def test_a_bad_value_names_its_option(kind, values, flag):
    with pytest.raises(InputError, match=flag) as caught:
        kind.made(values)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["generate", "--samples", "0"], "--samples"),
        (["generate", "--per-seed", "x"], "--per-seed"),
        (["run", "--nothing"], "--nothing"),
        (["genrate"], "generate"),
    ],
)
def test_usage_errors(arguments, said):
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert said in done.output


def test_a_file_of_an_option_that_cannot_be_read():
    Path("x.txt").write_bytes(b"\xff\xfe\xff")
    for name in ("x.txt", "nowhere.txt"):
        done = CliRunner().invoke(app, ["run", "seeds.csv", "--system", name])
        assert isinstance(done.exception, InputError)
        assert "--system" in str(done.exception)


# -- the command line -------------------------------------------------------------------------------------


def test_every_command_is_listed_and_loads():
    listed = CliRunner().invoke(app, ["--help"]).output
    for name, line in COMMANDS.items():
        made = load_command(name)
        assert made.name == name
        assert made.help.startswith(line)
        assert name in listed
    for old, name in OLD_NAMES.items():
        assert old not in listed
        shown = CliRunner().invoke(app, [old, "--help"])
        assert COMMANDS[name][:40] in shown.output


def test_help_imports_no_command():
    code = (
        "import sys; sys.argv = ['overt', '--help']\nimport overt.cli\n"
        "try: overt.cli.main()\nexcept SystemExit: pass\n"
        "print([m for m in sys.modules if m.startswith(('overt.tasks', 'overt.cli.', 'pydantic', 'yaml'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "['overt.cli.terminal']"  # what makes all printing safe


def test_a_field_becomes_an_option():
    class Kinds(Config):
        names: Annotated[tuple[str, ...], Option("Names.", is_argument=True)] = ()
        much: Annotated[float | None, Option("Much.", min=0, max=1)] = None
        on: Annotated[bool, Option("On.")] = False
        off: Annotated[bool, Option("Off.")] = True
        quiet: Annotated[bool, Option("Quiet.", flag="--quiet/-q")] = False
        renamed: Annotated[str, Option("Renamed.", flag="--other")] = "x"
        lines: Annotated[tuple[str, ...], Option("Lines.", reads="lines")] = ()

    seen = []

    @command(Kinds)
    def kinds(config):
        """Help."""
        seen.append(config)

    # Beside the fields the function gets the context, which tells what was given.
    assert list(inspect.signature(kinds).parameters)[: len(Kinds.fields())] == list(Kinds.fields())
    own = typer.Typer()
    own.command()(kinds)
    Path("lines.txt").write_text("a\n\n b \na\n")
    words = "n1 n2 --much 0.5 --on --no-off -q --other y --lines lines.txt"
    assert CliRunner().invoke(own, words.split()).exit_code == 0
    assert CliRunner().invoke(own, []).exit_code == 0
    given, nothing = seen
    assert given.names == ("n1", "n2")
    assert (given.much, given.on, given.off, given.quiet, given.renamed) == (0.5, True, False, True, "y")
    assert given.lines == ("a", "b")
    assert nothing == Kinds()
    assert nothing.model_fields_set == set()
    assert CliRunner().invoke(own, ["--much", "2"]).exit_code == 2
    assert CliRunner().invoke(own, ["--no-on"]).exit_code == 2


# -- finished runs ----------------------------------------------------------------------------------------


def test_opening_runs():
    folder, _ = begun(GenerateConfig.made(START[GenerateConfig]))
    with pytest.raises(InputError, match="not a run of overt"):
        open_run(Path("ours"), "generate")
    with pytest.raises(InputError, match="not complete") as caught:
        open_run(folder, "generate")
    assert f"overt generate --resume {folder}" in caught.value.fix
    assert open_run(folder, "generate", "run", complete=False).kind == "generate"
    with pytest.raises(InputError, match=r"overt run .* --target"):
        open_run(folder, "run", complete=False)
    other, _ = begun(RunConfig.made(START[RunConfig]))
    with pytest.raises(InputError, match="a run of `overt run`"):
        open_run(other, "generate", complete=False)
    data = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**data, "schema": 2}))
    with pytest.raises(InputError, match="schema 2"):
        open_run(folder, "generate")


def test_a_manifest_that_cannot_be_read_names_the_field():
    folder, record = begun(RunConfig.made(START[RunConfig]))
    (folder / "manifest.json").write_text(json.dumps({"kinds": {"t": "image"}, "calls": {"cost": "dear"}}))
    with pytest.raises(InputError, match=r"calls\.cost") as caught:
        _ = open_run(folder, "run").results
    assert caught.value.where.endswith("manifest.json")
    (folder / "manifest.json").write_text(json.dumps({"kinds": {"t": "image"}, "notes": ["\ud800"], "x": 1}))
    assert Run(folder, record).results.notes == ("?",)


OLD = {
    "kind": "run", "overt": "0.1.0", "policy": {"name": "overt", "version": "1", "hash": "h"},
    "datasets": [{"spec": "d.csv", "hash": "x"}], "label": None, "limit": 5, "only": ["violence"],
    "every_layer": True, "samples": 2, "seed": 3, "min_coverage": 0.9, "suite": None, "text": None,
}  # fmt: skip


MODELS = ["x/1", "x/2"]


def target(name, of, filters=(), checkers=(), files=None):
    parts = {"filters": list(filters), "checkers": list(checkers), "files": files or {}}
    return {"name": name, "target": of, **parts}


@pytest.mark.parametrize(
    ("targets", "given"),
    [
        ([target("openai/m", "openai/m")], (["openai/m"], [], [])),
        (
            [
                target(f"guarded/filter/a+{m}+checker/c", m, ["filter/a"], ["checker/c"])
                for m in ("x/1", "x/2")
            ],
            (MODELS, ["filter/a"], ["checker/c"]),
        ),
        (
            [target("guarded/filter/a+filter/b", None, ["filter/a", "filter/b"])],
            (["filter/b"], ["filter/a"], []),
        ),
        (
            [target("guarded/shop", "x/1", ["filter/a"], files={"in/shop.yaml": "h", "words.txt": "h"})],
            (["guarded/in/shop.yaml"], [], []),
        ),
        ([target("x/1", "x/1"), target("guarded/filter/a+x/2", "x/2", ["filter/a"])], None),
    ],
)
def test_runs_of_0_1_0_are_read(targets, given):
    record = upgraded({**OLD, "targets": targets})
    assert record.config["dataset"] == ["d.csv"]
    assert record.config["category"] == ["violence"]
    assert record.inputs["targets"] == targets
    names = ("target", "filter", "checker")
    assert record.given == (dict(zip(names, given, strict=True)) if given else {})
    assert flat_identity(record) == {**OLD, "targets": targets}


# -- the account ------------------------------------------------------------------------------------------


def test_the_account_gives_a_record_back():
    account = StageCounts()
    drops = [Drop(i, "select", "c", why) for i, why in (("a", "x"), ("b", "x"), ("a", "y"), ("d", "y"))]
    for drop in drops:
        account.lose(drop)
    account.lose(Failure("a", "select", "c", "timeout", "slow"))
    account.overrule("a", Drop("e", "select", "c", "z"))
    assert [(d.record_id, d.reason) for d in account.drops] == [
        ("b", "x"),
        ("a", "y"),
        ("d", "y"),
        ("e", "z"),
    ]
    assert account.why() == {"select": {"y": 2, "x": 1, "failed: timeout": 1, "z": 1}}
    account.overrule("a", Drop("f", "select", "c", "z"))
    with pytest.raises(KeyError):
        account.overrule("a", Drop("g", "select", "c", "z"))
