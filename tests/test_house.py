"""The house's own figures: sizes, complexity, and which room may import which. CONTRIBUTING.md is the map."""

import ast
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from radon.complexity import cc_visit

import overt

PACKAGE = Path(overt.__file__).parent
ROOT = PACKAGE.parent

FILE_LINES = 400
FUNCTION_LINES = 60
COMPLEXITY = 15
ANY_LINES = 280
AT_THE_ROOT = {"__init__.py", "__main__.py", "registry.py", "py.typed"}

# What each room may import besides itself. A room that is not named here does not exist.
MAY_IMPORT = {
    "data": set(),
    "policies": {"data"},
    "registry": {"data"},
    "calls": {"policies", "data"},
    "generation": {"policies", "data"},
    "scoring": {"policies", "data"},
    "environments": {"scoring", "policies", "data"},
    "planning": {"data"},
    "workers": {"registry", "data"},
    "report": {"scoring", "policies", "data"},
    "web": {"data"},
    "review": {"web", "scoring", "policies", "data"},
    "view": {"web", "scoring", "policies", "data"},
    "publish": {"scoring", "policies", "data"},
    "harness": {"scoring", "policies", "data", "registry"},
    "tasks": {
        "harness", "report", "review", "view", "web", "publish", "workers", "environments", "planning",
        "generation", "scoring", "calls", "registry", "policies", "data",
    },
    "cli": {
        "tasks", "harness", "report", "review", "view", "web", "publish", "workers", "environments",
        "planning", "generation", "scoring", "calls", "registry", "policies", "data",
    },
    "__main__": {"cli"},
    "": set(),
}  # fmt: skip

HEAVY = (
    "torch", "transformers", "diffusers", "accelerate", "openai", "aiohttp", "datasets", "pandas", "pyarrow",
    "numpy", "msgspec", "scipy", "sklearn", "ray", "model2vec", "PIL",
    "better_profanity", "profanity_check", "matplotlib", "jinja2", "open_clip", "nudenet", "onnxruntime",
    "starlette", "uvicorn", "inspect_ai", "ray", "pynvml",
)  # fmt: skip


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


FILES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def imports(module: str, path: Path) -> Iterator[tuple[str, int]]:
    """Every module of the package that a file imports, with the line. Imports inside functions and those for
    the type checker alone count as well."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            # `from overt.data import store` names a module, `from overt.data.store import x` a member.
            names = [f"{source}.{alias.name}" for alias in node.names]
            found = [name if name in FILES else source for name in names]
        else:
            continue
        yield from ((name, node.lineno) for name in found if name == "overt" or name.startswith("overt."))


def wrong_ways(module: str, path: Path) -> list[str]:
    room = room_of(module)
    return [
        f"{module}:{line} imports {target}"
        for target, line in imports(module, path)
        if room_of(target) and room_of(target) != room and room_of(target) not in MAY_IMPORT[room]
    ]


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The strongly connected parts of more than one module, by Tarjan's algorithm."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for target in graph[node]:
            if target not in order:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], order[target])
        if low[node] == order[node]:
            part = [stack.pop()]
            while part[-1] != node:
                part.append(stack.pop())
            if len(part) > 1:
                found.append(sorted(part))

    for node in graph:
        if node not in order:
            visit(node)
    return found


# -- sizes ------------------------------------------------------------------------------------------------


def test_no_file_is_too_long():
    long = {
        name: lines
        for name, path in FILES.items()
        if (lines := path.read_text("utf-8").count("\n")) > FILE_LINES
    }
    assert long == {}


def test_no_function_is_too_long():
    long = [
        f"{name}:{node.lineno} {node.name} {node.end_lineno - node.lineno + 1}"
        for name, path in FILES.items()
        for node in functions(path)
        if node.end_lineno - node.lineno + 1 > FUNCTION_LINES
    ]
    assert long == []


def test_no_function_is_too_complex():
    complex_ = [
        f"{name}:{block.lineno} {block.fullname} {block.complexity}"
        for name, path in FILES.items()
        for block in cc_visit(path.read_text("utf-8"))
        if block.letter in "FM" and block.complexity > COMPLEXITY
    ]
    assert complex_ == []


def test_any_is_rare():
    lines = sum(
        bool(re.search(r"\bAny\b", line))
        for path in FILES.values()
        for line in path.read_text("utf-8").splitlines()
    )
    assert lines <= ANY_LINES


def test_only_the_face_stands_at_the_root():
    assert {path.name for path in PACKAGE.iterdir() if path.is_file()} <= AT_THE_ROOT


# -- who imports whom -------------------------------------------------------------------------------------


def test_every_room_is_on_the_map():
    assert {room_of(name) for name in FILES} <= set(MAY_IMPORT)


@pytest.mark.parametrize("module", FILES)
def test_imports_go_one_way(module):
    assert wrong_ways(module, FILES[module]) == []


def test_no_circle_of_imports():
    graph = {
        name: {target for target, _ in imports(name, path) if target in FILES and target != name}
        for name, path in FILES.items()
    }
    assert circles(graph) == []


@pytest.mark.parametrize(
    ("module", "source", "bad"),
    [
        ("overt.data.x", "from overt.policies import load", True),
        ("overt.data.x", "def f():\n    import overt.scoring.audit", True),
        ("overt.data.x", "if TYPE_CHECKING:\n    from overt.calls import Caller", True),
        ("overt.generation.chat.x", "from overt.scoring.rules import Rules", True),
        ("overt.generation.chat.x", "from ...scoring.rules import Rules", True),
        ("overt.generation.x", "from overt import registry", True),
        (
            "overt.scoring.x",
            "from overt.data.chat import Ask\nfrom overt.policies.schema import Policy",
            False,
        ),
        ("overt.report.x", "from overt.tasks.run import evaluate", True),
        ("overt.tasks.x", "from overt.cli import app", True),
        ("overt.cli.show", "from overt.tasks.generate import generate\nimport overt", False),
    ],
)
def test_the_rule_finds_wrong_ways(tmp_path, module, source, bad):
    file = tmp_path / "x.py"
    file.write_text(source)
    assert bool(wrong_ways(module, file)) is bad


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
    assert circles({"a": {"b"}, "b": set(), "c": {"a", "b"}}) == []


# -- what is loaded ---------------------------------------------------------------------------------------


def loaded_by(statement: str) -> list[str]:
    """Heavy packages that a statement loads in a fresh interpreter."""
    code = f"import sys\n{statement}\nprint(*sorted({{m.partition('.')[0] for m in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT, check=True
    )
    return sorted(set(done.stdout.split()) & set(HEAVY))


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


# -- the map ----------------------------------------------------------------------------------------------


def test_the_root_shows_the_rooms():
    for name in ("policies", "generation", "scoring", "data"):
        link = ROOT / name
        assert link.is_symlink()
        assert link.readlink() == Path("overt") / name


def test_paths_in_contributing_exist():
    """A map that names what is not there leads people astray."""
    named = re.findall(
        r"`((?:overt|tests|docs|benchmarks|examples)/[\w./-]+)`",
        (ROOT / "CONTRIBUTING.md").read_text("utf-8"),
    )
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
