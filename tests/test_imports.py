"""The house's import rules: rooms look one way only, and nothing heavy is loaded before it is needed."""

import ast
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import overt

PACKAGE = Path(overt.__file__).parent
ROOMS = {
    "data": {"data"},
    "policies": {"data", "policies"},
    "generation": {"data", "policies", "generation"},
    "scoring": {"data", "policies", "scoring"},
    "report": {"data", "policies", "scoring", "report"},
    "publish": {"data", "publish"},
    "review": {"data", "policies", "scoring", "report", "evaluate", "review"},
}
HEAVY = (
    "torch", "transformers", "diffusers", "accelerate", "openai", "aiohttp", "datasets", "pandas", "pyarrow",
    "numpy", "scipy", "sklearn", "semhash", "rensa", "model2vec", "PIL",
    "better_profanity", "profanity_check", "matplotlib", "jinja2", "open_clip", "nudenet", "onnxruntime",
    "starlette", "uvicorn",
)  # fmt: skip


def modules():
    return {
        ".".join(("overt", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def imported(name, path):
    """Every module of the package that a file imports, with the line; also those inside functions."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield source, node.lineno
            for alias in node.names:  # `from overt import registry` names a module, not a member
                if f"{source}.{alias.name}" in modules():
                    yield f"{source}.{alias.name}", node.lineno


def breaches(name, path):
    parts = name.split(".")
    room = parts[1] if len(parts) > 1 else ""
    for target, line in imported(name, path):
        if not (target == "overt" or target.startswith("overt.")):
            continue
        to = target.split(".")[1] if "." in target else ""
        if room in ROOMS and to and to not in ROOMS[room]:
            yield f"{path.name}:{line}: {name} imports {target}"
        in_cli = room.startswith("cli") or room == "__main__"
        if (to.startswith("cli") or to == "pipeline") and not in_cli:
            yield f"{path.name}:{line}: {name} imports {target}"


@pytest.mark.parametrize("name", modules())
def test_imports_go_one_way(name):
    assert list(breaches(name, modules()[name])) == []


@pytest.mark.parametrize(
    ("name", "source", "bad"),
    [
        ("overt.data.x", "from overt.policies import load", True),
        ("overt.data.x", "def f():\n    import overt.scoring.audit", True),
        ("overt.generation.chat.x", "from overt.scoring.rule_audit import Rules", True),
        ("overt.generation.chat.x", "from ...scoring.rules import Rules", True),
        ("overt.generation.x", "from overt import registry", True),
        (
            "overt.scoring.x",
            "from overt.data.chat import Ask\nfrom overt.policies.schema import Policy",
            False,
        ),
        ("overt.registry", "from overt.pipeline import run", True),
        ("overt.cli_show", "from overt.pipeline import run\nimport overt", False),
    ],
)
def test_the_rule_finds_breaches(tmp_path, name, source, bad):
    file = tmp_path / "x.py"
    file.write_text(source)
    assert bool(list(breaches(name, file))) is bad


def loaded_by(statement):
    """Heavy packages that a statement loads in a fresh interpreter."""
    code = f"import sys\n{statement}\nprint(*sorted({{m.partition('.')[0] for m in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=PACKAGE.parent,
        check=True,
    )
    return sorted(set(done.stdout.split()) & set(HEAVY))


@pytest.mark.parametrize(
    "statement",
    [
        "import overt",
        "import overt.registry; overt.registry.known('overt.chat_models')",
        "import overt.pipeline",
        "import overt.cli",
        "import overt.data.chat, overt.data.filters, overt.generation.chat.openai, overt.generation.chat.hf",
        "from overt.registry import resolve, builtin\n"
        "resolve('overt.chat_models', 'hf/x'); resolve('overt.chat_models', 'openai/x')\n"
        "[resolve('overt.filters', f'filter/{n}') for n in builtin('overt.filters')]",
    ],
)
def test_nothing_heavy_is_loaded(statement):
    assert loaded_by(statement) == []


def test_the_check_sees_what_is_loaded():
    assert "numpy" in loaded_by("import numpy")


def test_help_loads_nothing_heavy():
    statement = textwrap.dedent("""
        import overt.cli
        sys.argv = ["overt", "--help"]
        try:
            overt.cli.main()
        except SystemExit:
            pass
    """)
    assert loaded_by(statement) == []
