"""benchmarks/gpu_check.py on small models, on the CPU: a person with a GPU must not be its first reader."""

import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the extra [local]")
pytest.importorskip("diffusers", reason="needs the extra [local]")


pytestmark = pytest.mark.usefixtures("light_torch")


def run(monkeypatch, capsys, *options):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    import gpu_check

    monkeypatch.setattr(sys, "argv", ["gpu_check.py", "--device", "cpu", *options])
    with pytest.raises(SystemExit) as ended:
        gpu_check.main()
    return ended.value.code, capsys.readouterr().out


def test_the_checks_run_on_small_models(monkeypatch, capsys):
    code, said = run(
        monkeypatch, capsys, "--tiny", "--only", "sdxl", "--batch", "2", "--rounds", "1", "--minutes", "9"
    )
    assert code == 0, said
    assert "flags      ok: 32 of 64 flagged, 0 decisions differ between dtypes" in said
    assert "median ratio" in said
    for option in ("channels_last", "vae_slicing", "tf32"):
        assert f"sdxl, {option}:" in said
    for check in ("memory", "recovery", "devices"):  # what did not run is not passed in silence
        assert f"{check:<10} not run: " in said


def test_full_size_needs_a_gpu(monkeypatch, capsys):
    code, _ = run(monkeypatch, capsys)
    assert "There is no GPU here" in code
