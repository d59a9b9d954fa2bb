"""What a user gets: the wheel in an environment of its own, the command's speed, the links at the root."""

import functools
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from support.timing import least_wall_seconds

import overt

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "overt"
DATA = (".yaml", ".txt", ".html", ".css", ".js", ".json", ".typed")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel and the sdist; the builder is fetched where hatchling is not installed."""
    base = tmp_path_factory.mktemp("dist")
    source = base / "source"
    skipped = shutil.ignore_patterns(
        ".venv",
        ".harness",
        ".git",
        "runs",
        "dist",
        "build",
        "*.egg-info",
        "__pycache__",
        ".*_cache",
        ".hypothesis",
    )
    shutil.copytree(ROOT, source, symlinks=True, ignore=skipped)
    alone = ["--no-isolation"] if importlib.util.find_spec("hatchling") else []
    build = [sys.executable, "-m", "build", *alone, "--outdir", str(base / "out"), str(source)]
    done = subprocess.run(build, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return next((base / "out").glob("*.whl")), next((base / "out").glob("*.tar.gz"))


def test_wheel_and_sdist_hold_every_data_file(built):
    wheel, sdist = built
    wanted = {
        p.relative_to(ROOT).as_posix()
        for p in PACKAGE.rglob("*")
        if p.is_file() and p.suffix in (".py", *DATA) and "__pycache__" not in p.parts
    }
    assert {"overt/py.typed", "overt/policies/newsroom.yaml", "overt/scoring/templates/audit.yaml"} <= wanted
    assert wanted <= set(zipfile.ZipFile(wheel).namelist())
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert (
        wanted | {"README.md", "LICENSE", "Makefile", "constraints.txt", "tests/support/endpoint.py"} <= held
    )


def test_the_wheel_generates_outside_the_checkout(built, tmp_path):
    """A fresh environment with nothing of the checkout in it; only the dependencies come from this one."""
    wheel, _ = built
    home = tmp_path / "home"
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    site = Path(sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)}))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # A .pth would run the editable install's finder too: the dependencies are linked one by one.
    here = Path(sysconfig.get_path("purelib"))
    for entry in here.iterdir():
        if "overt" not in entry.name.lower() and entry.suffix != ".pth" and not (site / entry.name).exists():
            (site / entry.name).symlink_to(entry)
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "OPENAI_API_KEY")}
    where = [python, "-c", "import overt; print(overt.__file__)"]
    found = subprocess.run(where, capture_output=True, text=True, cwd=tmp_path, env=env, check=True).stdout
    assert found.startswith(str(site))
    run = [python, "-m", "overt", "generate", "--policy", "newsroom", "--encoder", "lexical", "--out", "run"]
    done = subprocess.run(run, capture_output=True, text=True, cwd=tmp_path, env=env, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "dataset" / "benign.jsonl").stat().st_size > 10_000


def test_help_is_quick():
    """The bar is 0.35 s on two quiet cores; the best of five must be under twice that on any machine."""
    words = [sys.executable, "-m", "overt", "--help"]
    work = functools.partial(subprocess.run, words, capture_output=True, check=True)
    assert least_wall_seconds(work, 0.7, tries=5) < 0.7


@pytest.mark.parametrize("room", ["policies", "generation", "scoring", "data"])
def test_the_rooms_show_at_the_root(room):
    link = ROOT / room
    assert link.is_symlink()
    assert os.readlink(link) == f"overt/{room}"  # relative: it must hold in any clone
    assert (link / "__init__.py").samefile(PACKAGE / room / "__init__.py")


def test_the_version_is_one():
    done = subprocess.run([sys.executable, "-m", "overt", "--version"], capture_output=True, text=True)
    assert overt.__version__ in done.stdout
