"""The intervals hold the truth as often as they say: a few cells of benchmarks/interval_coverage.py."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from support.commands import overt
from support.paths import ROOT

SCRIPT = ROOT / "benchmarks" / "interval_coverage.py"
DRAWS = 2000
# Three standard errors of 2,000 draws below 93.5% and above 99%.
LEAST, MOST = 0.918, 0.997


@pytest.fixture(scope="module")
def simulation() -> Any:
    spec = importlib.util.spec_from_file_location("interval_coverage", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its records look themselves up there
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("groups", "kind", "correlation", "share"),
    [
        (20, "10", 0.5, 0.2),
        (20, "1,1,1,10", 0.3, 0.5),
        (60, "10", 0.5, 0.05),  # the worst cell of the grid
        (60, "1-10", 0.0, 0.05),
        (200, "5", 0.3, 0.01),
        (200, "1", 0.0, 0.2),
    ],
)
def test_rates_are_covered(simulation: Any, groups: int, kind: str, correlation: float, share: float) -> None:
    cell = simulation.rate_cell(np.random.default_rng(1), groups, kind, correlation, share, DRAWS)
    assert LEAST <= cell.coverage <= MOST, cell


@pytest.mark.parametrize(
    ("groups", "kind", "correlation", "shares"),
    [
        (20, "5", 0.3, (0.2, 0.05)),
        (60, "10", 0.5, (0.05, 0.01)),  # the worst cell of the grid
        (60, "1-10", 0.1, (0.2, 0.2)),
        (200, "1", 0.0, (0.4, 0.1)),
    ],
)
def test_differences_are_covered(
    simulation: Any, groups: int, kind: str, correlation: float, shares: tuple[float, float]
) -> None:
    cell = simulation.pair_cell(np.random.default_rng(2), groups, kind, correlation, shares, DRAWS)
    assert LEAST <= cell.coverage <= MOST, cell


def test_reviews_and_means_are_covered(simulation: Any) -> None:
    rng = np.random.default_rng(3)
    for cell in (*simulation.review_cells(rng, DRAWS), *simulation.mean_cells(rng, 500)):
        assert LEAST - 0.02 <= cell.coverage <= MOST, cell
    widths = {cell.name: cell.width for cell in simulation.review_cells(rng, DRAWS)}
    # An interval on an effective sample size took 0.082 and 0.071 here: strata of unlike shares tell more.
    assert widths["by outcome, the refused whole"] < 0.066
    assert widths["by outcome, 40 and 80"] < 0.061


@pytest.mark.parametrize(
    "cell",
    [
        (600, 5, 200, 0.05, 0.9, 0.3),  # the worst cell of the grid
        (200, 1, 40, 0.15, 0.9, 0.0),
        (600, 5, 400, 0.15, 0.9, 0.3),  # nearly all refused prompts labelled: the clusters decide
        (1000, 10, 100, 0.05, 0.1, 0.3),
        (600, 5, 100, 0.08, 0.9, 0.3, True),
        (600, 5, 400, 0.08, 0.9, 0.3, False, 0.05),
    ],
)
def test_rates_that_labels_correct_are_covered(simulation: Any, cell: tuple[Any, ...]) -> None:
    found = simulation.labelled_cell(np.random.default_rng(4), simulation.Labelling(*cell), 1000)
    # Three standard errors of 1,000 draws below 93.5%.
    assert 0.912 <= found.coverage <= 0.999, found


def test_it_prints_a_table() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "reviews", "--draws", "100", "--cells"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    lines = done.stdout.splitlines()
    assert lines[0].split()[:3] == ["interval", "cells", "worst"]
    assert sum("strat" in line for line in lines) >= 1
    assert any(line.startswith("reviews ") for line in lines)


@pytest.mark.parametrize(
    ("knives", "said", "verdict"),
    [
        ((3, 104), "0.3% (2 of 577) [0.0, 3.1]", "pass"),
        ((), "0.0% (0 of 577) [0.0, 4.2]", "pass"),
        (range(577), "100.0% (577 of 577) [95.8", "fail"),
    ],
)
def test_a_rare_refusal_of_many_seeds_is_told_as_rare(
    tmp_path: Any, knives: Any, said: str, verdict: str
) -> None:
    """Two of 577 prompts of 50 seeds once had an interval up to 7.8%, so that no gate at 5% could pass."""
    rows = [
        {
            "prompt": f"a quiet {'knife' if i in knives else 'flower'} shop {i}",
            "label": "benign",
            "category": "shops",
            "seed_id": f"seed-{i % 50}",
        }
        for i in range(577)
    ]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "words.txt").write_text("knife\n")
    target = "filter/keywords?path=words.txt"
    done = overt("run", "p.jsonl", "--target", target, "--out", "r", "-q", cwd=tmp_path)
    assert f"all {said}" in " ".join(done.stdout.split())
    code = 1 if verdict == "fail" else 0
    gate = overt("gate", "r", "--max-over-refusal", "5%", "--overall", cwd=tmp_path, code=code)
    assert gate.stdout.startswith(verdict)
    rate = json.loads((tmp_path / "r/results/summary.json").read_text())["targets"][0]["over_refusal"]
    assert (rate["method"], rate["clusters"], rate["n"]) == ("wilson-design-effect", 50, 577)
