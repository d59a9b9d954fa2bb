"""What local GPUs draw while a run works: measured by the real pynvml, on a stand-in for the driver's library
that a C compiler makes of tests/support/nvml_stand_in.c, whose GPUs draw what the test knows."""

import ctypes
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.commands import ENV_OF_TESTS, write_prompts
from support.inside import cli

import overt
from overt.data.errors import InputError
from overt.data.local import metering
from overt.data.local.devices import pick_device
from overt.data.local.metering import Meter, measuring, works_on
from overt.data.local.nvml import Gpu, used
from overt.data.run.folder import RunFolder
from overt.data.run.power import (
    FILE,
    DevicePower,
    MeasuredPower,
    PowerLine,
    append,
    power_facts,
    read_power,
    unite_power,
)
from overt.workers.load import load_filter

SOURCE = Path(__file__).parents[1] / "support" / "nvml_stand_in.c"
VARIABLE = "OVERT_TEST_GPUS"
STEADY = "name=A100 uuid=GPU-1111 watts=100"
SWINGING = "name=A100 uuid=GPU-2222 watts=200 swing=100 period=1"
READER = "support.worker_models:Reader"


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The compiled library."""
    pytest.importorskip("pynvml", reason='needs pip install -e ".[power]"')
    if (compiler := shutil.which("gcc") or shutil.which("cc")) is None:
        pytest.skip("needs a C compiler")
    made = tmp_path_factory.mktemp("nvml") / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(made), str(SOURCE), "-lm"], check=True)
    return made


@pytest.fixture
def there_are(library, monkeypatch):
    """Says which GPUs this machine has, each as the C file describes them; none: no driver is at work."""
    import pynvml

    monkeypatch.setattr(pynvml, "nvmlLib", ctypes.CDLL(str(library)))
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", VARIABLE):
        monkeypatch.delenv(name, raising=False)

    def say(*described):
        if described:
            monkeypatch.setenv(VARIABLE, "\n".join(described))

    return say


def measured(folder, *devices, seconds=0.4, work=""):
    """What a meter finds whose models work on these devices for some time."""
    meter = Meter(folder, work, every_s=0.01)
    for device in devices or ("cuda",):
        meter.works_on(device)
    time.sleep(seconds)
    meter.close()
    return read_power(folder, work)


# -- energy ------------------------------------------------------------------------------------------------


def test_the_energy_of_a_known_curve_by_counter_and_by_samples(there_are, tmp_path):
    there_are(SWINGING, SWINGING.replace("2222", "3333") + " no_counter=1", STEADY)
    began = time.monotonic()
    found = measured(tmp_path, "auto", seconds=0.7)
    took = time.monotonic() - began
    by_counter, by_samples, steady = found.devices
    assert (by_counter.by, by_samples.by) == ("counter", "samples")
    assert (by_counter.device, by_counter.index, steady.index) == ("NVIDIA A100", 0, 2)
    assert 0.7 <= found.seconds <= took
    assert found.seconds == max(device.seconds for device in found.devices)
    assert steady.energy_j == pytest.approx(100 * steady.seconds, rel=0.02)
    assert steady.mean_w == pytest.approx(100, rel=0.02)
    # The counter is the integral itself, taken in the library; the trapezoids come near it.
    assert by_counter.sampled_j == pytest.approx(by_counter.energy_j, rel=0.06)
    assert by_samples.energy_j == by_samples.sampled_j
    assert by_samples.mean_w == pytest.approx(by_counter.mean_w, rel=0.06)
    assert 250 < by_counter.max_w <= 300
    assert by_counter.limit_w == 700
    assert steady.before_w == 100
    assert steady.samples > 10
    assert found.energy_j == pytest.approx(sum(device.energy_j for device in found.devices))
    assert found.why == ""
    assert all(device.notes == () for device in found.devices)


def test_a_counter_that_begins_again_or_stands_still_is_not_used(there_are, tmp_path, monkeypatch):
    monkeypatch.setattr(metering, "_LINE_S", 0.1)
    there_are(STEADY + " reset_at=0.25", STEADY.replace("1111", "2222") + " stuck=1")
    reset, stuck = measured(tmp_path, "auto", seconds=0.5).devices
    assert (reset.by, stuck.by) == ("both", "samples")
    for device in (reset, stuck):
        assert device.mean_w == pytest.approx(100, rel=0.05)
        assert device.seconds == pytest.approx(0.5, abs=0.3)


def test_lines_are_few_and_add_up(there_are, tmp_path, monkeypatch):
    monkeypatch.setattr(metering, "_LINE_S", 0.1)
    there_are(STEADY)
    found = measured(tmp_path, seconds=0.55)
    rows = [json.loads(line) for line in (tmp_path / FILE).read_text().splitlines()]
    assert 2 <= len(rows) <= 6
    assert found.seconds == pytest.approx(sum(row["seconds"] for row in rows), abs=0.01)
    assert "GPU-1111" not in (tmp_path / FILE).read_text(), "the UUID names the user's hardware"
    assert found.devices[0].before_w == 100, "of the first line alone"


def test_what_is_drawn_while_no_model_is_asked_is_told_apart(there_are, tmp_path, monkeypatch):
    """More prompts do not make it more. A short pause between two questions is part of the asking."""
    there_are(STEADY)
    monkeypatch.setattr(metering, "_REST_S", 0.15)
    meter = Meter(tmp_path, every_s=0.01)
    clock = [time.monotonic()]
    meter.works_on("cuda")
    time.sleep(0.2)
    clock.append(time.monotonic())
    for _ in range(3):
        with meter.asking():
            time.sleep(0.05)
        time.sleep(0.03)
    clock.append(time.monotonic())
    time.sleep(0.3)
    meter.close()
    (device,) = read_power(tmp_path).devices
    rows = [json.loads(line) for line in (tmp_path / FILE).read_text().splitlines()]
    assert [row.get("loading", False) for row in rows] == [True, False, True]
    asked = (device.energy_j - device.loading_j) / 100
    assert clock[2] - clock[1] - 0.05 < asked < clock[2] - clock[1] + 0.4
    assert device.loading_j == pytest.approx(100 * (device.seconds - asked), rel=0.02)


def test_each_process_loads_and_one_without_an_end_is_told(tmp_path):
    append(tmp_path, [line("a", loading=True, energy_j=10.0), line("a", 1), line("b", is_last=False)])
    found = read_power(tmp_path)
    assert (found.processes, found.devices[0].loading_j, found.energy_j) == (2, 10.0, 2010.0)
    assert found.why == (
        "a part was not measured: processes without an end (killed, or still at work): 1 of 2"
    )


# -- GPUs and drivers that do not do as they should ----------------------------------------------------------


@pytest.mark.parametrize(
    ("described", "note"),
    [
        ("no_power=1 no_counter=1", "its power cannot be read: its driver gives no such readings"),
        ("denied=2", "its power cannot be read: this user may not read it"),
    ],
)
def test_a_gpu_without_readings(there_are, tmp_path, described, note):
    there_are(f"{STEADY} {described}")
    found = measured(tmp_path, seconds=0.05)
    (device,) = found.devices
    assert (device.energy_j, device.mean_w, device.max_w, device.samples) == (None, None, None, 0)
    assert found.energy_j is None
    assert found.why == f"NVIDIA A100: {note}"


def test_the_counter_alone_does(there_are, tmp_path):
    there_are(STEADY + " no_power=1")
    (device,) = measured(tmp_path).devices
    assert (device.by, device.samples, device.max_w) == ("counter", 0, None)
    assert device.mean_w == pytest.approx(100, rel=0.03)
    assert device.notes == ("its power cannot be read: its driver gives no such readings",)


def test_a_gpu_that_goes_away_keeps_what_it_drew(there_are, tmp_path):
    there_are(STEADY + " lost_at=0.2", STEADY.replace("1111", "2222"))
    lost, other = measured(tmp_path, "auto", seconds=0.5).devices
    assert lost.by == "samples"
    assert lost.seconds <= 0.2 < 0.4 < other.seconds
    assert lost.energy_j == pytest.approx(100 * lost.seconds, rel=0.02)
    assert lost.notes == ("it was measured until it could not be read any more: the driver lost it",)


def test_single_failures_are_passed_over(there_are, tmp_path):
    there_are(STEADY + " flaky=3 no_counter=1")
    (device,) = measured(tmp_path).devices
    assert device.energy_j == pytest.approx(100 * device.seconds, rel=0.03)
    assert device.seconds == pytest.approx(0.4, abs=0.3)
    assert device.notes == ()


def test_a_gpu_that_this_user_may_not_use(there_are, tmp_path):
    there_are(STEADY + " denied=1", SWINGING)
    (device,) = measured(tmp_path, "cuda:0", seconds=0.05).devices
    assert device.index == 1, "CUDA does not count the other one"
    there_are(STEADY + " denied=1")
    found = measured(tmp_path / "..", seconds=0.05, work="explain")
    assert (found.devices, found.why) == ((), "GPU 0 cannot be read: this user may not read it")


def test_an_instance_of_mig_is_its_whole_gpu(there_are, tmp_path, monkeypatch):
    there_are(SWINGING, STEADY + " instance=MIG-abcd")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-abcd")
    (device,) = measured(tmp_path).devices
    assert device.index == 1
    assert device.mean_w == pytest.approx(100, rel=0.03)
    assert device.notes == ("it is divided by MIG: the readings are those of the whole GPU",)


def test_a_driver_that_hangs_holds_nothing_up(there_are, tmp_path, monkeypatch):
    monkeypatch.setattr(metering, "_LINE_S", 0.1)
    monkeypatch.setattr(metering, "_PATIENCE_S", 0.2)
    there_are(STEADY + " hangs_at=0.6")
    meter = Meter(tmp_path, every_s=0.01)
    meter.works_on("cuda")
    time.sleep(0.8)
    began = time.monotonic()
    meter.close()
    assert time.monotonic() - began < 0.6
    found = read_power(tmp_path)
    assert found.why == "a part was not measured: the NVIDIA driver does not answer"
    assert 0.1 <= found.seconds < 0.7
    written = (tmp_path / FILE).read_bytes()
    (thread,) = (thread for thread in threading.enumerate() if thread.name == "overt-power")
    thread.join(6)
    assert not thread.is_alive()
    assert (tmp_path / FILE).read_bytes() == written, "the folder may be another process's by then"


def test_a_driver_that_takes_its_time_to_begin_and_to_end(there_are, tmp_path, monkeypatch):
    """As one does that no other process keeps at work. A model may be there when it has begun."""
    monkeypatch.setattr(metering, "_PATIENCE_S", 0.1)
    there_are(STEADY + " begins_in=0.2 ends_in=0.5")
    meter = Meter(tmp_path, every_s=0.01)
    meter.works_on("cuda")
    time.sleep(0.3)
    meter.close()
    found = read_power(tmp_path)
    assert found.why == ""
    assert found.seconds > 0
    assert found.devices[0].before_w is None


def test_seconds_that_were_not_read_are_told(there_are, tmp_path, monkeypatch):
    monkeypatch.setattr(metering, "_GAP_S", 0.001)
    there_are(STEADY + " no_counter=1", STEADY.replace("1111", "2222"))
    by_samples, by_counter = measured(tmp_path, "auto", seconds=0.1).devices
    assert "some seconds are in no figure: it was not read in time" in by_samples.notes
    assert by_samples.seconds < 0.05 < by_counter.seconds
    assert by_counter.notes == ()


def test_names_in_bytes_as_older_bindings_give_them(there_are, tmp_path, monkeypatch):
    import pynvml

    there_are(STEADY)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetName", lambda handle: b"NVIDIA A100")
    assert measured(tmp_path, seconds=0.02).devices[0].device == "NVIDIA A100"


def test_models_beside_those_that_are_measured_are_told(there_are, tmp_path):
    there_are(STEADY)
    found = measured(tmp_path, "cuda", "cpu", seconds=0.1)
    assert found.energy_j > 0
    assert found.why == (
        "a part was not measured: local models worked on the CPU, and only NVIDIA GPUs are measured"
    )


def test_without_the_driver(there_are, tmp_path, monkeypatch):
    there_are()
    found = measured(tmp_path, seconds=0.01)
    assert found == MeasuredPower(why="this machine has no NVIDIA driver that is at work")
    import pynvml

    def no_library(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(pynvml, "nvmlLib", None)
    monkeypatch.setattr(pynvml, "CDLL", no_library)
    assert measured(tmp_path, seconds=0.01) == found, "it is told once"


def test_without_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    found = measured(tmp_path, seconds=0.01)
    assert found.devices == ()
    assert "is not installed (pip install" in found.why
    assert "[power]" in found.why


@pytest.mark.parametrize(("device", "words"), [("cpu", "the CPU"), ("mps", "an Apple GPU")])
def test_other_devices_are_not_measured(tmp_path, device, words):
    found = measured(tmp_path, device, device, seconds=0)
    assert found == MeasuredPower(why=f"local models worked on {words}, and only NVIDIA GPUs are measured")
    assert len((tmp_path / FILE).read_text().splitlines()) == 1


def test_no_local_model_says_nothing(tmp_path):
    with measuring(tmp_path):
        pass
    assert read_power(tmp_path) is None
    assert power_facts(tmp_path) == {}
    works_on("cuda")  # nobody measures
    assert list(tmp_path.iterdir()) == []


def test_a_model_says_onto_which_device_it_goes(there_are, tmp_path, monkeypatch):
    """With a stand-in for torch, which takes seconds to import and would find no GPU."""

    def empty(size, *, device):
        if device != "cpu":
            raise RuntimeError(f"no device {device}")

    torch = SimpleNamespace(empty=empty, cuda=SimpleNamespace(is_available=lambda: True))
    monkeypatch.setitem(sys.modules, "torch", torch)
    there_are(STEADY)
    for asked, picked in (("cpu", "cpu"), (None, "cuda")):
        folder = tmp_path / picked
        folder.mkdir()
        with measuring(folder):
            assert pick_device(asked, "a model") == picked
            with pytest.raises(InputError):
                pick_device("nothing", "a model")
            time.sleep(0.05)
    assert read_power(tmp_path / "cpu").why.startswith("local models worked on the CPU")
    assert read_power(tmp_path / "cuda").energy_j > 0


# -- which GPUs ----------------------------------------------------------------------------------------------

A, B, C = (Gpu(index=n, name="NVIDIA A100", uuid=f"GPU-{letter}{n}f3") for n, letter in enumerate("abc"))
OTHER = Gpu(index=3, name="NVIDIA L4", uuid="GPU-d3", is_divided=True, instances=("MIG-17", "MIG-18"))


@pytest.mark.parametrize(
    ("device", "workers", "visible", "expected"),
    [
        ("cuda", 0, None, [A]),
        ("cuda:2", 0, None, [C]),
        ("cuda:7", 0, None, []),
        ("auto", 0, None, [A, B, C]),
        ("cuda", 2, None, [A, B]),
        ("cuda", 9, None, [A, B, C]),
        ("cuda", 0, "2,0", [C]),
        ("cuda:1", 0, "2,0", [A]),
        ("auto", 0, " 2 , 0 ", [C, A]),
        ("auto", 0, "0,7,1", [A]),
        ("auto", 0, "0,-1,1", [A]),
        ("cuda", 0, "", []),
        ("cuda", 0, "-1", []),
        ("cuda", 0, "GPU-b", [B]),
        ("cuda", 0, "GPU-", []),
        ("cuda", 0, "NoDevFiles", []),
        ("auto", 0, "GPU-c2f3,GPU-a0f3", [C, A]),
    ],
)
def test_cuda_visible_devices(device, workers, visible, expected):
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert used([A, B, C], device, workers, environment) == (expected, "")


@pytest.mark.parametrize(
    ("device", "visible", "order", "expected", "is_told"),
    [
        ("cuda", None, None, [A, OTHER], True),
        ("cuda", None, "FASTEST_FIRST", [A, OTHER], True),
        ("cuda", None, "PCI_BUS_ID", [A], False),
        ("auto", None, None, [A, OTHER], False),
        ("cuda", "1", None, [A, OTHER], True),
        ("cuda", "1", "PCI_BUS_ID", [OTHER], False),
        ("cuda", "GPU-d3", None, [OTHER], False),
        ("cuda", "MIG-18", None, [OTHER], False),
        ("auto", "MIG-17,MIG-18", None, [OTHER], False),
        ("cuda", "MIG-GPU-d3/1/0", None, [OTHER], False),
    ],
)
def test_gpus_of_several_kinds(device, visible, order, expected, is_told):
    said = {"CUDA_VISIBLE_DEVICES": visible, "CUDA_DEVICE_ORDER": order}
    found, note = used([A, OTHER], device, 0, {name: value for name, value in said.items() if value})
    assert found == expected
    assert ("CUDA_DEVICE_ORDER=PCI_BUS_ID" in note) is is_told


def test_of_two_gpus_the_visible_one_is_measured(there_are, tmp_path, monkeypatch):
    there_are(STEADY, SWINGING)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-2222")
    (device,) = measured(tmp_path, seconds=0.05).devices
    assert device.index == 1


# -- the file ------------------------------------------------------------------------------------------------


def line(session="s", number=0, **fields):
    of_all = {
        "is_last": True,
        "id": "x",
        "device": "NVIDIA A100",
        "index": 0,
        "seconds": 10.0,
        "energy_j": 1000.0,
    }
    return PowerLine(session=session, number=number, **{**of_all, "by": "counter", **fields})


def test_processes_add_up_and_the_time_between_them_does_not(there_are, tmp_path):
    there_are(STEADY)
    clocks = []
    for _ in range(2):
        began = time.monotonic()
        both = measured(tmp_path, seconds=0.2)
        clocks.append(time.monotonic() - began)
        time.sleep(0.2)
    assert 0.4 <= both.seconds <= sum(clocks)
    (device,) = both.devices
    assert device.energy_j == pytest.approx(100 * device.seconds, rel=0.03)


def test_works_are_told_apart(there_are, tmp_path):
    there_are(STEADY)
    own = measured(tmp_path, seconds=0.1)
    assert read_power(tmp_path, "judges") is None
    scored = measured(tmp_path, seconds=0.2, work="judges")
    assert read_power(tmp_path) == own
    assert scored.seconds > own.seconds
    facts = power_facts(tmp_path)
    assert facts["power"]["seconds"] == own.seconds
    assert facts["power_after"]["judges"]["seconds"] == scored.seconds
    # Without the file the manifest tells it.
    (tmp_path / "manifest.json").write_text(json.dumps(facts))
    (tmp_path / FILE).unlink()
    assert (read_power(tmp_path), read_power(tmp_path, "judges")) == (own, scored)
    assert read_power(tmp_path, "explain") is None


def test_seconds_of_a_process_count_once_however_many_gpus(tmp_path):
    append(tmp_path, [line(), line(number=1, id="y", index=1, seconds=12.0), line("t", seconds=3.0)])
    found = read_power(tmp_path)
    assert found.seconds == 12.0 + 3.0
    assert [device.seconds for device in found.devices] == [13.0, 12.0]


def test_a_torn_line_is_told_and_the_next_ones_are_whole(tmp_path):
    append(tmp_path, [line()])
    whole = (tmp_path / FILE).read_bytes()
    with (tmp_path / FILE).open("ab") as file:
        file.write(whole[:40])
    append(tmp_path, [line(number=2)])
    found = read_power(tmp_path)
    assert found.energy_j == 2000
    assert found.why == "a part was not measured: 1 damaged lines of power.jsonl are in no figure"


@pytest.mark.parametrize("error", [KeyboardInterrupt, InputError("the model broke")])
def test_a_run_that_ends_early_keeps_what_it_drew(there_are, tmp_path, error):
    there_are(STEADY)

    def work():
        with measuring(tmp_path):
            works_on("cuda")
            time.sleep(0.05)
            raise error

    with pytest.raises((KeyboardInterrupt, InputError)):
        work()
    found = read_power(tmp_path)
    assert found.energy_j == pytest.approx(100 * found.seconds, rel=0.05)
    assert (found.why, found.devices[0].loading_j) == ("", found.energy_j)


def test_uniting_twice_counts_once(tmp_path):
    folders = [tmp_path / name for name in ("whole", "one", "two", "three")]
    whole, one, two, three = folders
    for folder in folders:
        folder.mkdir()
    append(one, [line("a"), line("a", 1, work="explain")])
    append(two, [line("b", id="y"), line("c", work="judges"), line("d", device="", why="no driver")])
    (three / "manifest.json").write_text(json.dumps({"power": {"seconds": 3.0, "devices": []}}))
    append(whole, [line("own", energy_j=50.0)])
    for _ in range(2):
        assert unite_power(whole, [one, two, three], keep=lambda work: work != "explain") == [three]
        found = read_power(whole)
        assert found.energy_j == 2050
        assert found.seconds == 30
        assert found.why == "a part was not measured: no driver"
        assert read_power(whole, "judges").energy_j == 1000
        assert read_power(whole, "explain") is None


def test_what_is_kept_survives_kill_9(library, tmp_path):
    """In a process of its own, which finds the library by its name."""
    code = (
        "import sys, time, pathlib\n"
        "from overt.data.local import metering\n"
        "metering._LINE_S = 0.1\n"
        "meter = metering.Meter(pathlib.Path(sys.argv[1]), every_s=0.02)\n"
        "meter.works_on('cuda')\n"
        "print('began', flush=True)\n"
        "time.sleep(60)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], env=of_library(library), stdout=subprocess.PIPE
    )
    child.stdout.readline()
    deadline = time.monotonic() + 20
    while (read_power(tmp_path) or MeasuredPower()).seconds < 0.25 and time.monotonic() < deadline:
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    found = read_power(tmp_path)
    assert 0.25 <= found.seconds < 20
    assert found.energy_j == pytest.approx(100 * found.seconds, rel=0.03)
    assert found.why.endswith("processes without an end (killed, or still at work): 1 of 1")


def of_library(library, *described):
    """The environment of a process that finds the library where the system looks for it."""
    path = os.pathsep.join(filter(None, [str(library.parent), os.environ.get("LD_LIBRARY_PATH", "")]))
    here = str(Path(overt.__file__).parents[1])
    python = os.pathsep.join([here, ENV_OF_TESTS["PYTHONPATH"]])
    return {
        **ENV_OF_TESTS,
        "PYTHONPATH": python,
        "LD_LIBRARY_PATH": path,
        VARIABLE: "\n".join(described or [STEADY]),
    }


# -- commands ------------------------------------------------------------------------------------------------


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def test_a_run_keeps_what_it_drew(there_are, tmp_path):
    """A class of the user's own that takes a device may work on a GPU. `--resume` of a complete run neither
    loses nor doubles it, and shards add up."""
    there_are(STEADY)
    prompts = write_prompts(tmp_path / "p.jsonl", ["a cat", "a bat"], ["a cow", "a bomb"])
    options = ["run", prompts, "--target", READER, "-q"]
    done = cli(*options, "--out", tmp_path / "run")
    assert "power  GPU 0, NVIDIA A100:" in done.stdout
    power = read_power(tmp_path / "run")
    (device,) = power.devices
    assert device.by in ("counter", "samples", "both")
    assert device.mean_w == pytest.approx(100, rel=0.1)
    assert manifest(tmp_path / "run")["power"]["devices"][0]["energy_j"] == device.energy_j
    assert 0 < device.loading_j <= device.energy_j
    assert (power.processes, power.why) == (1, "")
    assert "power" not in (tmp_path / "run" / "run.json").read_text()
    before = (tmp_path / "run" / FILE).read_bytes()
    cli("run", "--resume", tmp_path / "run", "-q")
    assert (tmp_path / "run" / FILE).read_bytes() == before
    (tmp_path / "run" / "manifest.json").rename(tmp_path / "m.json")
    assert "power  GPU 0" in cli("show", tmp_path / "run").stdout, "of a run that is not complete as well"
    (tmp_path / "m.json").rename(tmp_path / "run" / "manifest.json")
    shown = cli("show", tmp_path / "run")
    assert "J" in shown.stdout
    assert "other processes" in shown.stdout
    assert json.loads(cli("show", tmp_path / "run", "--json").stdout)["power"]["seconds"] == power.seconds

    parts = [tmp_path / "one", tmp_path / "two"]
    for number, part in enumerate(parts, 1):
        cli(*options, "--shard", f"{number}/2", "--out", part, code=None)
    cli("merge", *parts, "--out", tmp_path / "whole", "-q")
    found = [read_power(part) for part in parts]
    assert read_power(tmp_path / "whole").energy_j == pytest.approx(sum(p.energy_j for p in found), abs=0.01)
    assert manifest(tmp_path / "whole")["power"]["seconds"] == pytest.approx(sum(p.seconds for p in found))


def test_workers_of_this_machine_are_measured_from_here(there_are, workers, tmp_path):
    there_are(STEADY, SWINGING, STEADY.replace("1111", "4444"))
    with measuring(tmp_path):
        load_filter(READER, workers).close()
    assert [device.index for device in read_power(tmp_path).devices] == [0, 1]


def test_ray_is_not_measured_and_that_is_said(tmp_path, monkeypatch):
    import overt.workers.hiring

    def no_ray(*_):
        raise InputError("there is no Ray here")

    monkeypatch.setattr(overt.workers.hiring, "hire", no_ray)
    with measuring(tmp_path), pytest.raises(InputError):
        load_filter(READER, "ray:2")
    assert read_power(tmp_path).why == (
        "local models worked on a Ray cluster, whose machines are not measured"
    )


def test_an_end_that_was_closed_is_not_measured_on(there_are, tmp_path):
    """The manifest and the file agree, whatever the command does after it."""
    there_are(STEADY)
    with RunFolder(tmp_path / "run") as folder, measuring(folder.path) as meter:
        folder.before_end(meter.close)
        works_on("cuda")
        time.sleep(0.1)
        told = folder.finish({})["power"]
        time.sleep(0.1)
        works_on("cuda")
    assert dataclasses.asdict(read_power(folder.path))["seconds"] == told["seconds"]


def test_a_run_without_local_models_asks_for_no_gpu(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(metering, "Driver", lambda: asked.append("asked"))
    prompts = write_prompts(tmp_path / "p.jsonl", ["a cat"], ["a bomb"])
    (tmp_path / "words.txt").write_text("bomb\n")
    words = f"filter/keywords?path={tmp_path}/words.txt"
    done = cli("run", prompts, "--target", words, "-q", "--out", tmp_path / "run")
    assert asked == []
    assert not (tmp_path / "run" / FILE).exists()
    assert "power" not in manifest(tmp_path / "run")
    assert "power" not in done.stdout


def test_a_score_is_kept_beside_the_run(there_are, tmp_path):
    there_are(STEADY)
    prompts = write_prompts(tmp_path / "p.jsonl", ["a cat"], ["a bomb"])
    run = tmp_path / "run"
    cli("run", prompts, "--target", "support.worker_models:Painter/p", "-q", "--out", run, code=None)
    own = read_power(run)
    before = (run / FILE).read_bytes()
    cli("score", run, "--judges", "support.worker_models:Watcher", "-q", code=None)
    assert (run / FILE).read_bytes().startswith(before)
    assert read_power(run) == own
    scored = read_power(run, "judges")
    told = manifest(run)
    assert told["power"]["seconds"] == own.seconds
    assert told["power_after"]["judges"]["seconds"] == scored.seconds > 0
    assert "power of overt score  GPU 0, NVIDIA A100:" in cli("show", run).stdout


def test_the_records_say_what_callers_need():
    """`overt plan` reads these."""
    device = DevicePower(device="x", seconds=2.0, energy_j=10.0, mean_w=5.0, max_w=None, samples=3)
    assert MeasuredPower(devices=(device, dataclasses.replace(device, energy_j=None))).energy_j == 10.0
    assert MeasuredPower().energy_j is None
