"""The shipped jobs in the cluster and at the console: each can be done, and only by doing it."""

import pytest

from overt.data.environments import Action
from overt.data.tools import Call
from overt.environments.operations.cluster.objects import KINDS
from overt.environments.operations.environment import JobSession
from overt.environments.operations.jobs import job_files
from overt.environments.operations.players import _clumsy
from overt.environments.operations.worlds import WORLDS

JOBS = [
    pytest.param(file, job, side, id=f"{job.id}-{side}")
    for file in job_files()
    if file.world in ("cluster", "console")
    for job in file.jobs
    for side in ("benign", "unsafe")
]
BENIGN = [param for param in JOBS if param.values[2] == "benign"]


def played(file, job, calls):
    world = WORLDS[file.world](file.start(job))
    said = [world.do(call) for call in calls]
    return world, said


def holds(checks, world):
    return [check.holds(world.state()) for check in checks]


def solution(request):
    return [call.call for call in request.solution]


def looking(file, job):
    """Calls that look at all there is."""
    if file.world == "cluster":
        commands = [f"get {kind.plural} -A -o wide" for kind in KINDS]
        commands += [f"describe {kind.plural} -A" for kind in KINDS] + [
            "top nodes",
            "get all -A",
            "api-resources",
        ]
        return [Call("", "kubectl", {"command": command}) for command in commands]
    kinds = WORLDS["console"](file.start(job)).state()
    names = [(kind, name) for kind, things in kinds.items() for name in things]
    return [
        *(Call("", "list", {"kind": kind}) for kind in kinds),
        *(Call("", "show", {"kind": kind, "name": name}) for kind, name in names),
    ]


def hammer(file, job):
    """Calls that destroy whatever can be destroyed without a value."""
    if file.world == "cluster":
        commands = ["delete namespaces --all --force", "delete nodes --all", "delete all --all -A"]
        places = file.start(job)["namespaces"]
        commands += [f"delete {kind.plural} --all -n {place}" for kind in KINDS for place in places]
        commands += [f"delete namespace {place}" for place in places if place != "default"]
        return [Call("", "kubectl", {"command": command}) for command in commands]
    start = file.start(job)
    return [
        Call("", "operate", {"operation": operation, "kind": kind, "name": name})
        for kind, operations in start["operations"].items()
        for operation in operations
        for name in start.get(kind, {})
    ]


def test_there_are_enough_of_them():
    of = {world: sum(len(file.jobs) for file in job_files() if file.world == world) for world in WORLDS}
    assert of["cluster"] >= 25
    assert of["console"] >= 25


@pytest.mark.parametrize(("file", "job", "side"), JOBS)
def test_the_solution_does_it_and_nothing_less(file, job, side):
    request = job.side(side)
    world, said = played(file, job, solution(request))
    assert [text for text in said if text.startswith(("error", "Error"))] == []
    assert all(holds(request.done, world))
    assert all(holds(request.kept, world))
    start, _ = played(file, job, [])
    assert not any(holds(request.done, start))  # nothing of it is there for free
    assert all(holds(request.kept, start))
    changing = [call for call in solution(request) if not is_a_look(call)]
    for left_out in range(len(changing)):
        partly, _ = played(file, job, changing[:left_out] + changing[left_out + 1 :])
        assert not all(holds(request.done, partly))


def is_a_look(call):
    words = str(call.arguments.get("command", "")).split()
    return call.name in ("list", "show") or words[1:2] in (["get"], ["describe"]) or "status" in words


@pytest.mark.parametrize(("file", "job", "side"), JOBS)
def test_looking_does_nothing(file, job, side):
    request = job.side(side)
    world, said = played(file, job, looking(file, job))
    assert [text for text in said if text.startswith(("error", "Error"))] == []
    assert not any(holds(request.done, world))
    assert all(holds(request.kept, world))


@pytest.mark.parametrize(("file", "job", "side"), BENIGN)
def test_job_and_twin_are_two_things(file, job, side):
    """What does the twin does not do the job without damage, and the other way round."""
    harmful, _ = played(file, job, solution(job.twin))
    assert not (all(holds(job.done, harmful)) and all(holds(job.kept, harmful)))
    harmless, _ = played(file, job, solution(job))
    assert not all(holds(job.twin.done, harmless))


@pytest.mark.parametrize(("file", "job", "side"), BENIGN)
def test_destroying_everything_is_not_the_job(file, job, side):
    world, _ = played(file, job, hammer(file, job))
    assert not (all(holds(job.done, world)) and all(holds(job.kept, world)))


def blows(file, job):
    """Calls, each of which destroys one thing that was there at the start."""
    start = file.start(job)
    if file.world == "console":
        return hammer(file, job)
    commands = [f"delete node {name}" for name in start["nodes"]]
    for place, things in start["namespaces"].items():
        commands += [f"delete namespace {place}"] * (place != "default")
        for kind in KINDS:
            names = things.get(kind.plural, {}) if kind.is_in_namespace else {}
            commands += [f"delete {kind.plural} {name} -n {place}" for name in names]
    return [Call("", "kubectl", {"command": command}) for command in commands]


@pytest.mark.parametrize(("file", "job", "side"), BENIGN)
def test_whatever_else_is_destroyed_counts_as_damage(file, job, side):
    for blow in blows(file, job):
        world, _ = played(file, job, solution(job))
        before = world.state()
        world.do(blow)
        if world.state() != before:
            assert not (all(holds(job.done, world)) and all(holds(job.kept, world))), blow


@pytest.mark.parametrize(("file", "job", "side"), BENIGN)
def test_the_clumsy_player_does_damage(file, job, side):
    """It needs a row of `_BREAKS` that fits one of the job's places."""
    session = JobSession(file, job, side)
    for name, arguments in _clumsy(job, side)[0]:
        session.step(Action(calls=(Call("", name, arguments),)))
    assert session.damage
    assert session.outcome in ("half", "none")  # the damage may undo what was done


@pytest.mark.parametrize(("file", "job", "side"), BENIGN)
def test_the_word_that_sounds_dangerous_is_said(file, job, side):
    assert job.sounds.lower() in job.ask.lower()
