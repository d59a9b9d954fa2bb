"""The largest row that keeps the limits, by bisection and by trying all; the map; one process or two."""

import dataclasses
import math
import os
import subprocess
import sys
import time

import pytest

from overt.data.results.plan_row import Trial
from overt.planning.control import KINDS, Policy
from overt.planning.jobs import answered, crew, mapped, varied
from overt.planning.load import Load
from overt.planning.search import Search
from overt.planning.setting import Limits, Setting

SHORT = Load(days=0.012, burst=0.1)  # 1,037 seconds


def keeps(trial: Trial, limits: Limits) -> bool:
    """The limits of the paper, read off the figures of a trial."""
    rises = {
        "high": (trial.high, trial.of_high, limits.high_p50, limits.high_p99),
        "low": (trial.low, trial.of_low, limits.low_p50, limits.low_p99),
    }
    return trial.brakes == 0 and all(
        latency.p50_rise < p50 and latency.p99_rise < p99
        for servers, latency, p50, p99 in rises.values()
        if servers
    )


class TestTheLargestRow:
    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_against_all_rows(self, seed):
        setting = Setting(row=4, load=dataclasses.replace(SHORT, seed=seed))
        search, budget = Search(setting), Search(setting).budget_w
        monotone = 0
        for kind in KINDS:
            policy = Policy(kind=kind)
            answer = search.largest(policy)
            # Another search, so that nothing of the first one is left; each row whole.
            every = Search(dataclasses.replace(setting, budget_w=budget))
            trials = {servers: every.trial(policy, servers).trial for servers in range(1, 12)}
            kept = {servers: keeps(trial, setting.limits) for servers, trial in trials.items()}
            assert {servers: trial.kept for servers, trial in trials.items()} == kept
            assert kept[answer.servers]
            assert not kept[answer.servers + 1]
            assert answer.trial == trials[answer.servers]
            assert answer.next is not None
            assert (answer.next.servers, answer.next.kept) == (answer.servers + 1, False)
            assert answer.more == pytest.approx(answer.servers / 4 - 1)
            assert len(answer.tried) == len(set(answer.tried)) < 8
            if sorted(kept.values(), reverse=True) == list(kept.values()):
                monotone += 1
                assert answer.servers == sum(kept.values())
        assert monotone >= 2

    def test_the_budget_follows_from_the_peak(self):
        search = Search(Setting(row=4, peak_share=0.5, load=SHORT))
        assert search.budget_w == pytest.approx(2 * search.free(4).peak_w)
        assert search.peak_share == pytest.approx(0.5)
        stated = Search(Setting(row=4, budget_w=30_000.0, load=SHORT))
        assert stated.budget_w == 30_000.0
        assert stated.peak_share == pytest.approx(search.free(4).peak_w / 30_000)

    def test_a_budget_that_carries_nothing(self):
        answer = Search(Setting(row=4, budget_w=1.0, load=SHORT)).largest(Policy())
        assert (answer.servers, answer.more, answer.trial) == (0, -1.0, None)
        assert answer.next is not None
        assert (answer.next.servers, answer.next.why) == (1, ("the brake was used",))
        assert not answer.next.is_whole

    def test_a_budget_that_carries_everything(self):
        answer = Search(Setting(row=2, budget_w=1e9, load=SHORT)).largest(Policy())
        assert (answer.servers, answer.next) == (16, None)  # eight times the row, no more are tried
        assert answer.trial.kept
        assert answer.trial.of_high.p50_rise == answer.trial.of_low.p99_rise == 0

    def test_one_server_to_begin_with(self):
        answer = Search(Setting(row=1, load=SHORT)).largest(Policy())
        assert answer.servers >= 1
        assert answer.trial.high + answer.trial.low == answer.servers

    def test_servers_of_one_priority_alone(self):
        for share in (0.0, 1.0):
            trial = Search(Setting(row=4, low_share=share, load=SHORT)).trial(Policy(), 4).trial
            assert trial.kept
            assert (trial.high, trial.low) == ((4, 0), (0, 4))[int(share)]
            idle = trial.of_low if share == 0 else trial.of_high
            assert (idle.arrived, idle.p50_s, idle.p50_rise, idle.throughput_change) == (0, None, None, None)


class TestATrial:
    @pytest.fixture
    def search(self):
        return Search(Setting(row=6, load=SHORT))

    def test_its_figures_add_up(self, search):
        trial = search.trial(Policy(), 9).trial
        free = search.free(9)
        assert trial.caps > 0
        for latency in (trial.of_high, trial.of_low):
            assert latency.arrived == latency.done + latency.inside
        assert trial.of_high.arrived + trial.of_low.arrived == sum(free.arrived)
        assert trial.readings == int(SHORT.seconds // 2)
        assert trial.energy_kwh * 3.6e6 == pytest.approx(trial.mean_share * trial.budget_w * SHORT.seconds)
        assert trial.mean_share < trial.peak_share
        assert trial.of_low.throughput_change == pytest.approx(trial.of_low.done / free.done[1] - 1)
        assert 0 < trial.capped_s[1] <= SHORT.seconds

    def test_a_row_below_all_thresholds_is_the_free_row(self, search):
        shown = search.trial(Policy(), 3)
        assert shown.measured is shown.free
        policy = Policy(t1=0.05, t2=0.06, hysteresis=0.01)
        assert search.trial(policy, 3).measured is not shown.free

    def test_one_that_ended_early_says_nothing_of_latencies(self, search):
        trial = search.trial(Policy(kind="no capping"), 9, stops=True).trial
        assert (trial.brakes, trial.is_whole, trial.why) == (1, False, ("the brake was used",))
        for latency in (trial.of_high, trial.of_low):
            assert (latency.p50_rise, latency.p99_rise, latency.throughput_change) == (None, None, None)
        whole = search.trial(Policy(kind="no capping"), 9).trial  # is not taken for a whole one
        assert whole.is_whole
        assert whole.brakes > 1
        assert whole.of_high.p50_rise > 0
        assert whole.why[0] == f"{whole.brakes:,} brakes"
        assert search.trial(Policy(kind="no capping"), 9, stops=True).trial is whole

    def test_a_rise_at_its_limit_is_none_that_is_kept(self, search):
        found = search.trial(Policy(), 9).trial
        assert found.of_low.p50_rise > 0
        for slack, kept in ((0.0, False), (1e-6, True)):
            limits = Limits(
                high_p50=math.inf,
                high_p99=math.inf,
                low_p50=found.of_low.p50_rise + slack,
                low_p99=math.inf,
            )
            other = Search(dataclasses.replace(search.setting, limits=limits, budget_w=search.budget_w))
            trial = other.trial(Policy(), 9).trial
            assert trial.kept is (kept and not trial.brakes)
            assert any(why.startswith("low P50 +") for why in trial.why) is not kept

    def test_the_row_without_limits_is_read_as_often_as_the_policy_reads(self, search):
        for telemetry_s in (0.5, 10.0):
            policy = Policy(telemetry_s=telemetry_s)
            setting = dataclasses.replace(search.setting, policy=policy)
            assert Search(setting).budget_w == search.budget_w  # that of the busiest two seconds
            trial = Search(setting).trial(policy, 3).trial
            assert trial.readings == int(SHORT.seconds / telemetry_s)
        often, rarely = (
            Search(dataclasses.replace(search.setting, policy=Policy(telemetry_s=s))).free(6).peak_w
            for s in (0.1, 60.0)
        )
        assert often > search.free(6).peak_w > rarely

    def test_what_was_never_read_keeps_no_limit(self):
        setting = Setting(row=2, budget_w=1e9, load=SHORT, policy=Policy(telemetry_s=3600.0))
        trial = Search(setting).trial(setting.policy, 2).trial
        assert (trial.kept, trial.why) == (False, ("power was never read",))

    def test_a_priority_of_which_nothing_is_finished_keeps_no_limit(self):
        setting = Setting(row=2, budget_w=1e9, load=dataclasses.replace(SHORT, load=1e-9))
        trial = Search(setting).trial(setting.policy, 2).trial
        assert trial.why == tuple(f"no request of {kind} priority was finished" for kind in ("high", "low"))


def _runs(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    return True


class TestJobs:
    setting = Setting(row=3, load=SHORT)

    def test_one_process_and_two_say_the_same(self):
        told = []
        for processes in (1, 2):
            with crew(processes, lambda _: None) as pool:
                first = pool.submit(answered, self.setting, ("polca", "no capping"))
                ends = [pool.submit(varied, self.setting, "burst", value) for value in (0.0, 0.4)]
                found = first.result()
                told.append((found.budget_w, found.answers, [end.result() for end in ends]))
        assert told[0] == told[1]

    def test_processes_end_with_a_command_that_is_killed(self):
        """It cannot tell them; a simulation may have hours to go."""
        said = "import time; from overt.planning.jobs import crew\n" + (
            "if __name__ == '__main__':\n"
            "    with crew(2, int) as pool:\n"
            "        pool.submit(int, '3').result()\n"
            "        print(*pool._pool._processes, flush=True)\n"
            "        pool.submit(time.sleep, 60).result()\n"
        )
        command = subprocess.Popen([sys.executable, "-c", said], stdout=subprocess.PIPE, text=True)
        assert command.stdout is not None
        processes = command.stdout.readline().split()
        command.kill()
        command.wait()
        assert processes
        ends = time.monotonic() + 10
        while any(map(_runs, processes)) and time.monotonic() < ends:
            time.sleep(0.02)
        assert not any(map(_runs, processes))

    def test_what_varies_is_held_against_its_own_row(self):
        base, other = varied(self.setting, "", 0.0), varied(self.setting, "other_w", 3250.0)
        assert base.servers["polca"] == answered(self.setting, ("polca",)).answers[0].servers
        assert (base.peak_share, other.peak_share) == pytest.approx((0.79, 0.79))
        assert other.servers["polca"] >= base.servers["polca"]  # less of the power swings

    def test_the_map(self):
        cells = mapped(self.setting, 4, 20_000.0, 0.7, (0.8, 0.98))
        assert [(cell.t1, cell.t2) for cell in cells] == [(0.7, 0.8), (0.7, 0.98)]
        alone = Search(dataclasses.replace(self.setting, budget_w=20_000.0))
        for cell in cells:
            wanted = alone.largest(Policy(t1=cell.t1, t2=cell.t2))
            assert (cell.answer.servers, cell.answer.trial) == (wanted.servers, wanted.trial)

    def test_the_row_to_draw_is_that_of_the_first_policy_that_has_any(self):
        found = answered(self.setting, KINDS)
        assert found.shown is not None
        assert (found.shown.trial.policy, found.shown.trial.servers) == ("polca", found.answers[0].servers)
        assert answered(dataclasses.replace(self.setting, budget_w=1.0), KINDS).shown is None

    def test_progress_is_told_of_each(self):
        told: list[int] = []
        with crew(1, told.append) as processes:
            found = [processes.submit(int, "3") for _ in range(4)]
        assert [one.result() for one in found] == [3] * 4
        assert told == [1] * 4
