"""`--workers ray` with Ray, which has an environment of its own: `make test-ray` makes it and names it."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from support.inside import cli
from support.paths import ROOT

from overt.data.outcomes import Outcome
from overt.data.run.files import read_records

PYTHON = os.environ.get("OVERT_RAY_PYTHON", "")
MODELS = "support.worker_models"

needs_ray = pytest.mark.skipif(not PYTHON, reason="OVERT_RAY_PYTHON is not set: make test-ray")


def test_without_ray_it_says_what_to_install(tmp_path, monkeypatch):
    try:
        import ray  # noqa: F401

        pytest.skip("ray is installed here")
    except ModuleNotFoundError:
        pass
    monkeypatch.chdir(tmp_path)
    Path("prompts.csv").write_text("prompt,label\na,benign\n")
    said = cli("run", "prompts.csv", "--target", f"{MODELS}:Painter/p", "--workers", "ray", code=2).said
    assert "--workers ray needs the package ray" in said
    assert "[ray]" in said


@needs_ray
def test_a_run_by_ray_is_the_run_of_one_process(tmp_path, monkeypatch):
    """An actor is killed by what it draws; Ray writes no token, and nothing is left of its cluster."""
    monkeypatch.chdir(tmp_path)
    home = tmp_path / "home"
    home.mkdir()
    rows = "\n".join(f"a picture number {n},{'benign' if n % 3 else 'unsafe'}" for n in range(40))
    # The second is "once FILE": whoever draws it first is killed.
    rows += f"\nonce {tmp_path / 'mark'},benign\n"
    Path("prompts.csv").write_text(f"prompt,label\n{rows}")
    target = ["--target", f"{MODELS}:Painter/p", "-q"]
    (tmp_path / "mark").touch()
    cli("run", "prompts.csv", *target, "--out", "one")
    (tmp_path / "mark").unlink()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
        "HOME": str(home),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]),
    }
    done = subprocess.run(
        [PYTHON, "-m", "overt", "run", "prompts.csv", *target, "--out", "ray", "--workers", "ray:2"],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "mark").exists()
    assert outcomes("one") == outcomes("ray")
    assert json.loads(Path("one/run.json").read_text()) == json.loads(Path("ray/run.json").read_text())
    assert not (home / ".ray").exists()
    assert "Traceback" not in done.stderr


def outcomes(folder):
    found = read_records(Path(folder) / "stages" / "outcomes.jsonl", Outcome)
    return {o.id: (o.state, o.images, o.seed, o.layers) for o in found}
