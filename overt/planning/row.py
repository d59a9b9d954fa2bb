"""A row of servers under one power budget, event by event.

Requests arrive, wait for a place, are read (prompt phase) and answered (token phase); the row's power follows
from what each server does. Every `telemetry_s` the controller reads the mean power since the last reading and
may send clocks, which land later (`overt.planning.control`). After POLCA (arXiv 2308.12908).

A server holds up to `slots` requests. It reads prompts together as they come, and while it reads it writes no
token (batching by iteration, without chunks); all answers in a batch grow at the same speed. A request goes
to the server of its priority that holds the fewest, or waits in the queue of its priority.

The hot parts are written for speed: a week is some millions of requests, and each is three events.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from heapq import heappop, heappush, heapreplace

from overt.planning.control import Command, Controller, Policy
from overt.planning.load import Request
from overt.planning.measured import Measured
from overt.planning.server_model import MOST_TOKENS, AtFrequency, ServerModel

NEVER = float("inf")
HIGH, LOW = 0, 1  # places of the priorities


class Server:
    """One server. `next` is when its phase ends, in seconds; `watts` its draw until then.

    `written` counts the tokens that each answer of the batch has got since the server was last idle, so that
    an answer is finished when it reaches its own mark: `answers` is a heap of (mark, arrival, tokens of the
    prompt). `version` counts phases, so that an entry of the calendar can be told from the one that replaced
    it.
    """

    __slots__ = (
        "answers", "at", "context", "next", "number", "pace", "place", "priority", "reading", "speed",
        "version", "waiting", "watts", "written",
    )  # fmt: skip

    def __init__(self, number: int, priority: int, place: int, speed: AtFrequency) -> None:
        self.number, self.priority, self.place, self.speed = number, priority, place, speed
        self.waiting: list[Request] = []  # while it reads
        self.reading: list[Request] = []
        self.answers: list[tuple[float, float, int]] = []
        self.context = 0  # tokens of the prompts of all answers
        self.written = self.at = 0.0
        self.pace = 1.0  # seconds per token, of each answer
        self.next, self.version, self.watts = NEVER, 0, speed.idle_w

    def read(self, requests: list[Request], tokens: int, now: float) -> None:
        """Begins to read prompts of so many tokens; what it writes waits."""
        if tokens > MOST_TOKENS:
            tokens = MOST_TOKENS
        speed = self.speed
        self.reading = requests
        self.version += 1
        self.next, self.watts = now + speed.prompt_s[tokens], speed.prompt_w[tokens]

    def go_on(self, now: float) -> None:
        """Begins what follows the end of a phase: to read all that waits, else to write, else nothing."""
        if self.waiting:
            requests, self.waiting = self.waiting, []
            self.read(requests, sum([request[2] for request in requests]), now)
            return
        self.version += 1
        speed, batch = self.speed, len(self.answers)
        if batch:
            mean = self.context // batch
            self.at = now
            self.pace = pace = speed.token_s[mean] * speed.batch_s[batch]
            self.next = now + (self.answers[0][0] - self.written) * pace
            self.watts = speed.token_base_w + speed.token_w[mean] * speed.batch_w[batch]
        else:
            self.written = 0.0
            self.next, self.watts = NEVER, speed.idle_w

    def clocked(self, speed: AtFrequency, now: float) -> None:
        """Goes on at another clock."""
        before, self.speed = self.speed, speed
        if self.reading:
            tokens = min(sum(request[2] for request in self.reading), MOST_TOKENS)
            left = (self.next - now) / before.prompt_s[tokens]
            self.version += 1
            self.next, self.watts = now + left * speed.prompt_s[tokens], speed.prompt_w[tokens]
        else:
            if self.answers:
                self.written += (now - self.at) / self.pace
            self.go_on(now)


class Row:
    """The state of a simulation.

    Args:
        priorities: of each server, `HIGH` or `LOW`.
        budget_w: of the row, in watts.
        acts: whether the controller acts; without it the row is as if it had no budget.
    """

    def __init__(
        self,
        model: ServerModel,
        priorities: Sequence[int],
        policy: Policy,
        budget_w: float,
        acts: bool = True,
    ) -> None:
        self.model, self.policy, self.budget_w, self.acts = model, policy, budget_w, acts
        self.servers: list[Server] = []
        self.groups: tuple[list[Server], list[Server]] = ([], [])
        for number, priority in enumerate(priorities):
            group = self.groups[priority]
            server = Server(number, priority, len(group), model.at(model.top_mhz))
            group.append(server)
            self.servers.append(server)
        # How many requests each server holds; bytes, since the first with so many is found fast.
        self.held = tuple(bytearray(len(group)) for group in self.groups)
        self.queues: tuple[deque[Request], deque[Request]] = (deque(), deque())
        self.controller = Controller(policy)
        self.landing: list[tuple[float, int, Command]] = []
        self.sent = 0
        self.clocks = [model.top_mhz, model.top_mhz]  # of the priorities, without the brake
        self.braked = False
        # (time, version of the phase, number of the server); the last entry is never due.
        self.calendar: list[tuple[float, int, int]] = [(NEVER, 0, 0)]
        self.watts = sum(server.watts for server in self.servers)
        self.joules = self.joules_read = self.now = 0.0
        self.reading_at = policy.telemetry_s

    def run(self, requests: Iterable[Request], until_s: float, kept: Measured) -> None:
        """Simulates until the second `until_s`; requests must come in the order of their arrivals, and those
        that come later take no part."""
        calendar, servers, fillings = self.calendar, self.servers, range(self.model.slots)
        groups, helds, queues, arrived = self.groups, self.held, self.queues, kept.arrived
        end: Request = (NEVER, 0, 0, 0)
        stream = iter(requests)
        request = next(stream, end)
        control = self._control_at(until_s)
        while not kept.is_enough:
            now = request[0]
            due = calendar[0][0]
            if now < due and now < control:
                priority = request[1]
                arrived[priority] += 1
                held = helds[priority]
                for fewest in fillings:
                    if (place := held.find(fewest)) >= 0:
                        break
                if place >= 0:
                    held[place] = fewest + 1
                    server = groups[priority][place]
                    if server.reading:
                        server.waiting.append(request)
                    else:
                        before = server.watts
                        if server.answers:
                            server.written += (now - server.at) / server.pace
                        server.read([request], request[2], now)
                        self.joules += self.watts * (now - self.now)
                        self.now = now
                        self.watts += server.watts - before
                        heappush(calendar, (server.next, server.version, server.number))
                else:
                    queues[priority].append(request)
                request = next(stream, end)
            elif due <= control:
                _, version, number = calendar[0]
                server = servers[number]
                if version == server.version:
                    self._ends(server, due, kept)
                else:
                    heappop(calendar)
            else:
                self._controls(control, kept)
                if control >= until_s:
                    break
                control = self._control_at(until_s)
        kept.ends(self.now, self.joules, [sum(held) + len(q) for held, q in zip(helds, queues, strict=True)])

    def _control_at(self, until_s: float) -> float:
        landing = self.landing[0][0] if self.landing else NEVER
        return min(self.reading_at, landing, until_s)

    def _pass(self, now: float) -> None:
        self.joules += self.watts * (now - self.now)
        self.now = now

    def _ends(self, server: Server, now: float, kept: Measured) -> None:
        """The phase of a server, which stands first in the calendar, ends."""
        answers = server.answers
        done = 0
        if reading := server.reading:
            server.reading = []
            written = server.written - 1  # the first token comes of the reading itself
            for arrival, priority, tokens, length in reading:
                if length > 1:
                    heappush(answers, (written + length, arrival, tokens))
                    server.context += tokens
                else:
                    kept.latencies[priority].append(now - arrival)
                    done += 1
        else:
            mark, arrival, tokens = heappop(answers)
            server.written = mark
            server.context -= tokens
            latencies = kept.latencies[server.priority]
            latencies.append(now - arrival)
            done = 1
            while answers and answers[0][0] <= mark:
                _, arrival, tokens = heappop(answers)
                server.context -= tokens
                latencies.append(now - arrival)
                done += 1
        if done:
            held = self.held[server.priority]
            held[server.place] -= done
            queue = self.queues[server.priority]
            while queue and held[server.place] < self.model.slots:
                held[server.place] += 1
                server.waiting.append(queue.popleft())
        self.joules += self.watts * (now - self.now)
        self.now = now
        self.watts -= server.watts
        server.go_on(now)
        self.watts += server.watts
        if server.next < NEVER:
            heapreplace(self.calendar, (server.next, server.version, server.number))
        else:
            heappop(self.calendar)

    def _controls(self, now: float, kept: Measured) -> None:
        """Lets land what is due, then reads the power where that is due."""
        self._pass(now)
        while self.landing and self.landing[0][0] <= now:
            self._lands(heappop(self.landing)[2], now, kept)
        if now < self.reading_at:
            return
        mean = (self.joules - self.joules_read) / self.policy.telemetry_s
        self.joules_read = self.joules
        self.watts = sum([server.watts for server in self.servers])  # so that rounding does not add up
        self.reading_at += self.policy.telemetry_s
        kept.read(mean)
        if self.acts:
            for command in self.controller.read(now, mean / self.budget_w):
                self.sent += 1
                heappush(self.landing, (command.lands, self.sent, command))
                kept.sent(command)

    def _lands(self, command: Command, now: float, kept: Measured) -> None:
        if command.group == "all":
            self.braked = command.mhz is not None
        else:
            self.clocks[HIGH if command.group == "high" else LOW] = command.mhz or self.model.top_mhz
        for priority, clock in enumerate(self.clocks):
            kept.capped(priority, now, self.braked or clock < self.model.top_mhz)
        for server in self.servers:
            mhz = min(self.clocks[server.priority], self.policy.brake_mhz if self.braked else NEVER)
            if mhz != server.speed.mhz:
                server.clocked(self.model.at(mhz), now)
                if server.next < NEVER:
                    heappush(self.calendar, (server.next, server.version, server.number))
        self.watts = sum(server.watts for server in self.servers)
