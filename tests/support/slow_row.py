"""A row of servers simulated without anything clever: what `overt.planning.row` is held against.

At each event every server and every request is moved on by the time that passed. Nothing is kept from one
event to the next but what is left of each prompt and answer; power and speed are computed anew from the
tables and the formulas that `overt/planning/server_model.py` states.
"""

from bisect import bisect_right

from overt.planning import server_model as tables
from overt.planning.measured import Measured

CLOSE = 1e-9  # of a prompt or a token: less is nothing


class Kept(Measured):
    """What is measured of the quick row, with every latency and every reading beside the counts."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.all_latencies, self.all_readings = ([], []), []

    def read(self, watts):
        self.all_readings.append(watts)
        super().read(watts)

    def _settle(self):
        for everything, some in zip(self.all_latencies, self.latencies, strict=True):
            everything.extend(some)
        super()._settle()


def between(x, xs, ys):
    """The straight line between the points of a table, flat beyond them."""
    if x <= xs[0]:
        return ys[0]
    if x >= xs[-1]:
        return ys[-1]
    at = bisect_right(xs, x)
    return ys[at - 1] + (ys[at] - ys[at - 1]) * (x - xs[at - 1]) / (xs[at] - xs[at - 1])


class SlowServer:
    def __init__(self, model, priority):
        self.model, self.priority, self.mhz = model, priority, model.top_mhz
        self.waiting, self.reading, self.read_left = [], [], 0.0
        self.answers = []  # [request, tokens that are left]

    @property
    def held(self):
        return len(self.waiting) + len(self.reading) + len(self.answers)

    @property
    def prompt(self):
        """Tokens that are read at once, or the mean of those whose answers are written."""
        if self.reading:
            return min(16384, sum(request[2] for request in self.reading))
        return sum(request[2] for request, _ in self.answers) // len(self.answers)

    @property
    def watts(self):
        model, share = self.model, self.model.idle_share
        if self.reading:
            share = between(self.prompt, tables.PROMPT_TOKENS, tables.PROMPT_POWER)
        elif self.answers:
            share = between(self.prompt, tables.PROMPT_TOKENS, tables.TOKEN_POWER)
            share *= between(len(self.answers), tables.BATCH, tables.BATCH_TOKEN_POWER) / 0.635
        share = model.idle_share + (share - model.idle_share) * (self.mhz / model.top_mhz) ** (
            model.power_exponent
        )
        return model.other_w + model.gpus * model.tdp_w * share

    @property
    def pace(self):
        """Seconds for the whole prompt, or for a token."""
        slower = self.model.top_mhz / self.mhz
        if self.reading:
            ms = between(self.prompt, tables.PROMPT_TOKENS, tables.PROMPT_MS)
            if self.prompt > 8192:
                ms += (self.prompt - 8192) * (3601.7 - 1354.9) / 4096
            return ms / 1000 * slower**self.model.prompt_exponent
        ms = between(self.prompt, tables.PROMPT_TOKENS, tables.TOKEN_MS)
        ms *= between(len(self.answers), tables.BATCH, tables.BATCH_TOKEN_MS) / 48.8
        return ms / 1000 * slower**self.model.token_exponent

    @property
    def ends_in(self):
        if self.reading:
            return self.read_left * self.pace
        return min(left for _, left in self.answers) * self.pace if self.answers else float("inf")

    def passes(self, seconds):
        if self.reading:
            self.read_left -= seconds / self.pace
        elif self.answers:
            pace = self.pace
            for answer in self.answers:
                answer[1] -= seconds / pace

    def finished(self):
        """The requests that are finished now."""
        done = []
        if self.reading:
            if self.read_left > CLOSE:
                return []
            done = [request for request in self.reading if request[3] <= 1]
            self.answers += [[request, request[3] - 1] for request in self.reading if request[3] > 1]
            self.reading = []
        else:
            done = [request for request, left in self.answers if left <= CLOSE]
            self.answers = [answer for answer in self.answers if answer[1] > CLOSE]
        return done

    def begins(self):
        """Reads what waits, where it does not read already."""
        if self.waiting and not self.reading:
            self.reading, self.waiting, self.read_left = self.waiting, [], 1.0


class SlowController:
    """The rules of each policy, one by one."""

    def __init__(self, policy):
        self.policy = policy
        self.low_1 = self.low_2 = self.high = False
        self.low_2_lands = self.brake_lands = self.free_from = 0.0
        self.braked = False
        self.told = {"low": None, "high": None}

    def read(self, now, share):
        """What is sent: (lands, group, MHz or None)."""
        p = self.policy
        if self.braked:
            if now < self.brake_lands or share >= p.t2 - p.hysteresis:
                return []
            self.braked, self.free_from = False, now + p.brake_s
            return [(self.free_from, "all", None)]
        if share > 1:
            self.braked, self.brake_lands = True, now + p.brake_s
            return [(self.brake_lands, "all", p.brake_mhz)]
        began = now - p.telemetry_s + 1e-9
        had_landed = self.low_2 and self.low_2_lands <= began
        if began >= self.free_from:
            self.low_1 &= share >= p.t1 - p.hysteresis
            self.low_2 &= share >= p.t2 - p.hysteresis
            self.high &= share >= p.t2 - p.hysteresis
        self.low_1 |= share > p.t1 and p.kind == "polca"
        if share > p.t2 and p.kind != "no capping":
            if not self.low_2:
                self.low_2, self.low_2_lands = True, now + p.cap_s
            self.high |= p.kind == "cap all" or (p.kind == "polca" and had_landed)
        low = p.low_mhz_2 if self.low_2 else p.low_mhz if self.low_1 else None
        high = None if not self.high else p.high_mhz if p.kind == "polca" else p.low_mhz_2
        sent = []
        for group, mhz in (("low", low), ("high", high)):
            if self.told[group] != mhz:
                self.told[group] = mhz
                sent.append((now + p.cap_s, group, mhz))
        return sent


class SlowRow:
    """The whole simulation; what came of it are its attributes."""

    def __init__(self, model, priorities, policy, budget_w, requests, until_s):
        self.model, self.policy, self.budget_w, self.until_s = model, policy, budget_w, until_s
        self.servers = [SlowServer(model, priority) for priority in priorities]
        self.latencies, self.queues, self.arrived = ([], []), ([], []), [0, 0]
        self.joules, self.readings, self.commands = 0.0, [], []
        self.landing, self.clocks, self.braked = [], [model.top_mhz, model.top_mhz], False
        self._simulate(list(requests))

    @property
    def inside(self):
        return [
            len(self.queues[priority]) + sum(s.held for s in self.servers if s.priority == priority)
            for priority in (0, 1)
        ]

    def _simulate(self, requests):
        now, number, read = 0.0, 1, 0.0
        controller = SlowController(self.policy)
        while now < self.until_s:
            at = min(
                [
                    self.until_s,
                    number * self.policy.telemetry_s,
                    requests[0][0] if requests else float("inf"),
                    *(lands for lands, _, _ in self.landing),
                    *(now + server.ends_in for server in self.servers),
                ]
            )
            self.joules += sum(server.watts for server in self.servers) * (at - now)
            for server in self.servers:
                server.passes(at - now)
            now = at
            for server in self.servers:
                self._finish(server, now)
            for command in [command for command in self.landing if command[0] <= now]:
                self.landing.remove(command)
                self._land(*command[1:])
            if now == number * self.policy.telemetry_s:
                mean, read, number = (self.joules - read) / self.policy.telemetry_s, self.joules, number + 1
                self.readings.append(mean)
                sent = controller.read(now, mean / self.budget_w)
                self.commands += [(now, *command) for command in sent]
                self.landing += sent
                for command in [command for command in self.landing if command[0] <= now]:
                    self.landing.remove(command)
                    self._land(*command[1:])
            while requests and requests[0][0] <= now < self.until_s:
                self._arrive(requests.pop(0))

    def _finish(self, server, now):
        done = server.finished()
        self.latencies[server.priority].extend(now - request[0] for request in done)
        queue = self.queues[server.priority]
        while queue and server.held < self.model.slots:
            server.waiting.append(queue.pop(0))
        server.begins()

    def _arrive(self, request):
        self.arrived[request[1]] += 1
        group = [server for server in self.servers if server.priority == request[1]]
        server = min(group, key=lambda server: server.held)  # the first of those with the fewest
        if server.held < self.model.slots:
            server.waiting.append(request)
            server.begins()
        else:
            self.queues[request[1]].append(request)

    def _land(self, group, mhz):
        if group == "all":
            self.braked = mhz is not None
        else:
            self.clocks[0 if group == "high" else 1] = mhz or self.model.top_mhz
        for server in self.servers:
            server.mhz = self.clocks[server.priority]
            if self.braked:
                server.mhz = min(server.mhz, self.policy.brake_mhz)
