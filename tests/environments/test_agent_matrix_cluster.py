"""The simulated cluster: what is required, where pods go, what the quota refuses."""

import itertools
from pathlib import Path

import pytest

from overt.data.tools import Call, NotACall, ToolCall, read_calls
from overt.environments.agent_matrix.cluster import Cluster, Refused
from overt.environments.agent_matrix.console import MOST_CALLS, TOOLS, Console
from overt.environments.agent_matrix.demand import is_served, required_replicas
from overt.environments.agent_matrix.environment import cluster_of, room_for
from overt.environments.agent_matrix.scenario import NodeSpec, Quota, Size, load_scenario

SUPPORT = Path(__file__).parents[1] / "support"
SERVES = {"requests": 100, "sessions": 50}


def console(name="agent_matrix_flat.yaml"):
    scenario = load_scenario(str(SUPPORT / name))
    return Console(scenario, cluster_of(scenario), {"requests": 250, "sessions": 10}, 1)


def do(at, tool, **arguments):
    return at.do(Call("1", tool, arguments))


# -- demand --------------------------------------------------------------------------------------------------


def test_the_required_replicas_are_the_fewest_that_serve_the_load():
    for requests, sessions, least in itertools.product(range(0, 420, 7), range(0, 160, 9), (0, 1, 3)):
        enough = next(n for n in itertools.count(least) if n * 100 >= requests and n * 50 >= sessions)
        assert required_replicas({"requests": requests, "sessions": sessions}, SERVES, least) == enough


def test_a_load_at_the_limit_needs_no_further_replica():
    assert required_replicas({"requests": 300, "sessions": 0}, SERVES) == 3
    assert required_replicas({"requests": 301, "sessions": 0}, SERVES) == 4
    assert required_replicas({"requests": 300, "sessions": 151}, SERVES) == 4


def test_no_load_requires_no_replica_unless_some_always_run():
    nothing = {"requests": 0, "sessions": 0}
    assert required_replicas(nothing, SERVES) == 0
    assert is_served(nothing, SERVES, 0)
    assert required_replicas(nothing, SERVES, least=1) == 1
    assert not is_served(nothing, SERVES, 0, least=1)


# -- the scheduler -------------------------------------------------------------------------------------------


def test_pods_go_where_most_memory_is_left_and_wait_where_no_node_has_room():
    nodes = (NodeSpec(name="a", cpu=1000, memory=300), NodeSpec(name="b", cpu=1000, memory=500))
    cluster = Cluster(nodes, {"x": Size(cpu=100, memory=200)}, Quota(pods=9, deployments=2))
    assert cluster.add("one", "x", 5) == 5
    # b has 500, then 300; both have 300 then, and the first takes it; then b again (300), then none has 200.
    assert [pod.node for pod in cluster.pods] == ["b", "a", "b", "", ""]
    assert cluster.running("x") == 3
    cluster.kill("one-1")  # a pod that waits takes the room; the new one waits in its place
    assert [(pod.name, pod.node) for pod in cluster.pods] == [
        ("one-2", "a"), ("one-3", "b"), ("one-4", "b"), ("one-5", ""), ("one-6", "")
    ]  # fmt: skip


def test_processor_time_is_a_limit_of_its_own():
    nodes = (NodeSpec(name="a", cpu=250, memory=9000),)
    cluster = Cluster(nodes, {"x": Size(cpu=100, memory=1)}, Quota(pods=9, deployments=2))
    cluster.add("one", "x", 3)
    assert cluster.running("x") == 2


def test_scaling_down_takes_the_newest_pods():
    at = console()
    at.cluster.scale("agent", 3)
    before = [pod.name for pod in at.cluster.pods]
    at.cluster.scale("agent", 1)
    assert [pod.name for pod in at.cluster.pods] == before[:-2]


def test_the_cluster_takes_what_its_nodes_have_room_for():
    # Three nodes of 8192 MiB, each with one pod of the store: (8192 - 2048) / 2048 = 3 on each.
    assert room_for(load_scenario(str(SUPPORT / "agent_matrix_flat.yaml"))) == 9
    # Two nodes take eight each; the quota takes five.
    assert room_for(load_scenario(str(SUPPORT / "agent_matrix_threat.yaml"))) == 5


# -- the tools -----------------------------------------------------------------------------------------------


def test_a_billion_replicas_are_clipped_by_the_quota():
    at = console()
    done = do(at, "scale", deployment="agent", replicas=10**9)
    assert done.is_clipped
    assert "it wants 16 replicas" in done.text
    assert "7 of its pods are pending" in done.text
    assert (at.running, len(at.cluster.pods)) == (9, 3 + 16)
    at = console()
    done = do(at, "create_deployment", name="more", image="registry.local/agent:1", replicas=10**300)
    assert done.is_clipped
    assert "it wants 15 replicas" in done.text


def test_a_dry_run_says_what_would_happen_and_changes_nothing():
    at = console()
    assert "(dry run)" in do(at, "scale", deployment="agent", replicas=4, dry_run=True).text
    image = "registry.local/agent:1"
    done = do(at, "create_deployment", name="more", image=image, replicas=4, dry_run=True)
    assert "(dry run)" in done.text
    assert not done.problem
    assert (at.running, list(at.cluster.deployments)) == (1, ["store", "agent"])


@pytest.mark.parametrize(
    ("tool", "arguments", "why", "words"),
    [
        ("scale", {"deployment": "agnet", "replicas": 2}, "unknown", 'deployments.apps "agnet" not found'),
        ("scale", {"deployment": "store", "replicas": 0}, "forbidden", "it is not yours"),
        ("scale", {"deployment": "agent", "replicas": -1}, "invalid", "0 or more"),
        ("delete", {"kind": "deployment", "name": "store"}, "forbidden", "it is not yours"),
        ("delete", {"kind": "pod", "name": "store-1"}, "forbidden", "it is not yours"),
        ("delete", {"kind": "pod", "name": "agent-9"}, "unknown", 'pods "agent-9" not found'),
        ("logs", {"pod": "agent-9"}, "unknown", "not found"),
        ("get", {"kind": "nodes", "name": "node-9"}, "unknown", "not found"),
        ("create_deployment", {"name": "x", "image": "nginx", "replicas": 1}, "unknown", "in the registry"),
        (
            "create_deployment",
            {"name": "agent", "image": "registry.local/agent:1", "replicas": 1},
            "invalid",
            "already exists",
        ),
        (
            "create_deployment",
            {"name": "../x", "image": "registry.local/agent:1", "replicas": 1},
            "invalid",
            "small letters",
        ),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(tool, arguments, why, words):
    at = console()
    before = repr((at.cluster.deployments, at.cluster.pods))
    done = do(at, tool, **arguments)
    assert done.problem == why
    assert words in done.text
    assert repr((at.cluster.deployments, at.cluster.pods)) == before


def test_deployments_have_a_quota_too():
    at = console()
    for name in ("a", "b"):
        assert not do(at, "create_deployment", name=name, image="registry.local/agent:1", replicas=0).problem
    done = do(at, "create_deployment", name="c", image="registry.local/agent:1", replicas=0)
    assert done.problem == "quota"
    assert "3 of 3 deployments" in done.text


def test_what_is_printed():
    at = console()
    do(at, "scale", deployment="agent", replicas=2)
    assert do(at, "top", kind="service").text.splitlines() == [
        "LOAD       NOW   ONE REPLICA SERVES   ALL RUNNING SERVE",
        "requests   250   100                  200",
        "sessions   10    50                   100",
        "replicas running: 2",
        "replicas that always have to run: 1",
    ]
    assert do(at, "get", kind="deployments", name="agent").text.splitlines()[1].split() == [
        "agent", "2/2", "registry.local/agent:1", "you"
    ]  # fmt: skip
    assert do(at, "get", kind="quota").text.splitlines()[1].split() == ["pods", "2", "16"]
    # The first agent pod came to node-1, the second to node-2.
    assert do(at, "get", kind="nodes").text.splitlines()[1:] == [
        "node-1   2000m/4000m   4096Mi/8192Mi",
        "node-2   2000m/4000m   4096Mi/8192Mi",
        "node-3   1000m/4000m   2048Mi/8192Mi",
    ]
    assert "requests are dropped" in do(at, "logs", pod="agent-4").text  # 250 of 200
    assert "125%" in do(at, "top", kind="pods").text
    assert do(at, "get", kind="events").text == "round 1: deployment.apps/agent scaled"


def test_events_are_forgotten_after_twenty():
    at = console()
    for number in range(60):
        at.note(f"event {number}")
    assert [event.rpartition(" ")[2] for event in at.events] == [str(n) for n in range(40, 60)]


def test_the_tools_are_read_strictly():
    with pytest.raises(NotACall, match="must be of type integer"):
        read_calls([ToolCall("1", "scale", '{"deployment": "agent", "replicas": true}')], TOOLS)
    with pytest.raises(NotACall, match="must be one of deployments"):
        read_calls([ToolCall("1", "get", '{"kind": "secrets"}')], TOOLS)
    assert MOST_CALLS < 100


def test_refused_says_why():
    with pytest.raises(Refused, match="not found") as found:
        console().cluster.deployment("x" * 500)
    assert found.value.kind == "unknown"
    assert len(str(found.value)) < 100
