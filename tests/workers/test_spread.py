"""What `--workers` says, which models go there, and which device each worker has."""

import pytest
from support.inside import cli

from overt.data.errors import InputError
from overt.workers.load import load_target
from overt.workers.processes import environments, how_it_ended, visible_devices
from overt.workers.ray_actors import _shares
from overt.workers.spread import Spread, spread_of


@pytest.mark.parametrize(
    ("text", "spread"),
    [
        ("1", Spread("here", 1)),
        (" 8", Spread("processes", 8)),
        ("ray", Spread("ray", None)),
        ("ray:3", Spread("ray", 3)),
        ("ray:1", Spread("ray", 1)),
    ],
)
def test_what_it_says(text, spread):
    assert spread_of(text) == spread


@pytest.mark.parametrize("text", ["0", "-2", "", "two", "ray:", "ray:0", "257", "1.5", "slurm"])
def test_what_it_cannot_say(text):
    with pytest.raises(ValueError, match="a number from 1 to 256, ray, or ray:NUMBER"):
        spread_of(text)
    said = cli("run", "x.csv", "--target", "filter/keywords", f"--workers={text}", code=2).said
    assert "--workers" in said
    assert "a number from 1 to 256" in said


def test_each_worker_has_a_gpu_and_its_share_of_the_cores(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    made = environments(3, ["0", "2"], 12)
    assert [one["CUDA_VISIBLE_DEVICES"] for one in made] == ["0", "2", "0"]
    assert {one["OMP_NUM_THREADS"] for one in made} == {"4"}
    assert environments(8, [], 4)[7]["OMP_NUM_THREADS"] == "1"
    assert "CUDA_VISIBLE_DEVICES" not in environments(1, [], 4)[0]
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert "OMP_NUM_THREADS" not in environments(2, [], 4)[0]


@pytest.mark.parametrize(
    ("named", "devices"), [("0,3", ["0", "3"]), ("", []), ("-1", []), ("GPU-a", ["GPU-a"])]
)
def test_the_gpus_are_those_that_may_be_seen(monkeypatch, named, devices):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert visible_devices() == devices


def test_one_device_is_not_for_several_workers():
    with pytest.raises(InputError, match="names one device for all workers"):
        load_target("diffusers/x", "2", device="cuda:1")


def test_how_a_worker_ended(monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "a-key-that-nobody-may-see-12345")
    said = how_it_ended(1, -9, ["a line", "with a-key-that-nobody-may-see-12345 in it"])
    assert said.startswith("worker 2: it was ended by signal 9 (SIGKILL), which the system sends when memory")
    assert "a line | with *** in it" in said
    assert how_it_ended(0, 3, []) == "worker 1: it ended with exit code 3"


def test_the_shares_of_a_cluster():
    assert _shares({"GPU": 4.0, "CPU": 16.0}, 2, None) == (4, {"num_gpus": 1, "num_cpus": 1.0})
    assert _shares({"GPU": 4.0, "CPU": 2.0}, 2, 3) == (3, {"num_gpus": 1, "num_cpus": 2 / 3})
    assert _shares({"CPU": 8.0}, 2, None) == (2, {"num_cpus": 4.0})
    assert _shares({"CPU": 2.0}, 1, 4) == (4, {"num_cpus": 0.5})
    with pytest.raises(InputError, match="the cluster has 4 GPUs"):
        _shares({"GPU": 4.0, "CPU": 16.0}, 2, 5)
