"""The simulated cluster: what kubectl says and does, and that no command can hurt it or take long."""

import json
import random
import time

import pytest

from overt.data.tools import Call
from overt.environments.operations.cluster.world import MOST_PRINTED, VERBS, ClusterWorld

START = {
    "nodes": {
        "node-1": {"status": "Ready"},
        "node-2": {"status": "Ready"},
        "node-3": {"status": "NotReady"},
    },
    "namespaces": {
        "default": {},
        "shop": {
            "deployments": {
                "web": {
                    "replicas": 3,
                    "image": "web:2",
                    "history": ["web:1"],
                    "broken_images": ["web:2"],
                    "labels": {"app": "web"},
                }
            },
            "statefulsets": {"db": {"replicas": 2, "labels": {"app": "db"}}},
            "daemonsets": {"log": {}},
            "cronjobs": {"report": {"schedule": "0 1 * * *", "suspend": False}},
            "secrets": {"login": {"data": {"password": "tulip"}}},
            "pods": {
                "lone": {"node": "node-1", "labels": {"app": "lone"}, "logs": ["one", "two"]},
                "lost": {"node": "node-3", "status": "Running"},
                "gone": {"node": "node-2", "status": "Evicted", "owner": "deployment/web"},
            },
        },
        "held": {"finalizers": ["keeper"], "configmaps": {"a": {"data": {"b": "c"}}}},
    },
}


@pytest.fixture
def cluster():
    return ClusterWorld(START)


def do(cluster, command):
    return cluster.do(Call("", "kubectl", {"command": command}))


def pods(cluster, place="shop"):
    return cluster.state()["namespaces"][place].get("pods", {})


def of(cluster, owner):
    return sorted(name for name, pod in pods(cluster).items() if pod.get("owner") == owner)


def test_workloads_have_their_pods_from_the_start(cluster):
    # "gone" has ended, so that it is none of the three.
    assert of(cluster, "deployment/web") == ["gone", "web-1", "web-2", "web-3"]
    assert of(cluster, "statefulset/db") == ["db-0", "db-1"]
    assert of(cluster, "daemonset/log") == ["log-node-1", "log-node-2", "log-node-3"]
    assert {pods(cluster)[f"web-{n}"]["node"] for n in (1, 2, 3)} == {"node-1", "node-2"}  # never node-3
    assert START["namespaces"]["shop"]["pods"].keys() == {"lone", "lost", "gone"}  # the start is a copy


def test_a_deleted_pod_comes_back_under_the_next_number_and_a_lone_one_does_not(cluster):
    assert do(cluster, "kubectl delete pod web-2 lone -n shop") == 'pod "web-2" deleted\npod "lone" deleted'
    assert of(cluster, "deployment/web") == ["gone", "web-1", "web-3", "web-4"]
    assert "lone" not in pods(cluster)
    do(cluster, "delete pod db-0 -n shop")
    assert "age" not in pods(cluster)["db-0"]  # the same name, made anew
    assert pods(cluster)["db-1"]["age"] == "6d"


def test_a_number_is_never_given_twice(cluster):
    do(cluster, "scale deploy web --replicas=1 -n shop")
    assert of(cluster, "deployment/web") == ["gone", "web-1"]
    do(cluster, "scale deploy/web --replicas 2 -n shop")
    assert of(cluster, "deployment/web") == ["gone", "web-1", "web-4"]


def test_deleting_an_owner_takes_its_pods_along_unless_they_become_orphans(cluster):
    do(cluster, "delete deployment web -n shop --cascade=orphan")
    assert [pods(cluster)[f"web-{n}"]["owner"] for n in (1, 2, 3)] == ["", "", ""]
    do(cluster, "delete sts db -n shop")
    assert of(cluster, "statefulset/db") == []


def test_a_pod_on_a_dead_node_goes_only_by_force(cluster):
    assert "still Terminating" in do(cluster, "delete pod lost -n shop")
    assert pods(cluster)["lost"]["status"] == "Terminating"
    do(cluster, "delete pod lost -n shop --force --grace-period=0")
    assert "lost" not in pods(cluster)


def test_finalizers_hold_until_a_patch_takes_them_away(cluster):
    do(cluster, "delete namespace held")
    assert cluster.state()["namespaces"]["held"]["status"] == "Terminating"
    do(cluster, """kubectl patch ns held --type=json -p '[{"op":"remove","path":"/metadata/finalizers"}]'""")
    assert "held" not in cluster.state()["namespaces"]


def test_drain_wants_a_flag_for_each_kind_of_pod(cluster):
    assert "--ignore-daemonsets" in do(cluster, "drain node-1")
    assert "unschedulable" not in cluster.state()["nodes"]["node-1"]  # a failed command changes nothing
    assert "--force" in do(cluster, "drain node-1 --ignore-daemonsets")
    said = do(cluster, "drain node-1 --ignore-daemonsets --force")
    assert said.splitlines()[0] == "node/node-1 cordoned"
    assert said.splitlines()[-1] == "node/node-1 drained"
    on_it = [name for name, pod in pods(cluster).items() if pod.get("node") == "node-1"]
    assert on_it == ["log-node-1"]
    running = [pod for name, pod in pods(cluster).items() if name.startswith("web-")]
    assert {pod["node"] for pod in running} == {"node-2"}


def test_pods_wait_where_no_node_takes_them(cluster):
    do(cluster, "cordon node-1")
    do(cluster, "cordon node-2")
    do(cluster, "delete pod web-1 -n shop")
    assert (pods(cluster)["web-4"]["status"], pods(cluster)["web-4"]["node"]) == ("Pending", "")
    assert do(cluster, "uncordon node-2") == "node/node-2 uncordoned"
    assert (pods(cluster)["web-4"]["status"], pods(cluster)["web-4"]["node"]) == ("Running", "node-2")


def test_taints_keep_out_or_drive_out(cluster):
    do(cluster, "taint nodes node-2 only=gpu:NoSchedule")
    before = {name for name, pod in pods(cluster).items() if pod.get("node") == "node-2"}
    do(cluster, "scale deploy web --replicas=6 -n shop")
    assert {name for name, pod in pods(cluster).items() if pod.get("node") == "node-2"} == before
    do(cluster, "taint nodes node-2 out=yes:NoExecute")
    left = {name for name, pod in pods(cluster).items() if pod.get("node") == "node-2"}
    assert left == {"log-node-2"}  # the daemonset makes its pod anew
    assert "not found" in do(cluster, "taint nodes node-2 other-")
    assert do(cluster, "taint nodes node-2 out- only=gpu:NoSchedule-") == "node/node-2 untainted"
    assert cluster.state()["nodes"]["node-2"]["taints"] == []
    assert do(cluster, "taint nodes node-2 a=b:Sometimes").startswith("error: invalid taint")


def test_undo_goes_back_to_the_image_before_and_heals_the_pods(cluster):
    assert {pods(cluster)[name]["status"] for name in ("web-1", "web-2", "web-3")} == {"CrashLoopBackOff"}
    assert "0 of 3" in do(cluster, "rollout status deployment/web -n shop")
    do(cluster, "rollout undo deployment web -n shop")
    web = cluster.state()["namespaces"]["shop"]["deployments"]["web"]
    assert (web["image"], web["history"]) == ("web:1", ["web:2"])
    assert "successfully" in do(cluster, "rollout status deployment/web -n shop")
    assert "no rollout history" in do(cluster, "rollout undo statefulset db -n shop")
    do(cluster, "set image deployment/web web=web:3 -n shop")
    assert do(cluster, "rollout history deploy web -n shop").splitlines()[1:] == [
        "1  web:2",
        "2  web:1",
        "3  web:3",
    ]
    do(cluster, "rollout undo deploy web -n shop --to-revision=1")
    assert cluster.state()["namespaces"]["shop"]["deployments"]["web"]["image"] == "web:2"


def test_selectors(cluster):
    assert do(cluster, "get pods -n shop -l app=lone -o name") == "pod/lone"
    assert do(cluster, "get pods -A -l 'app in (lone, db)' -o name").split() == [
        "pod/db-0",
        "pod/db-1",
        "pod/lone",
    ]
    assert "pod/lone" not in do(cluster, "get pods -n shop -l app!=lone -o name")
    assert do(
        cluster, "get pods -n shop -l '!app' --field-selector spec.nodeName=node-3 -o name"
    ).split() == [
        "pod/log-node-3",
        "pod/lost",
    ]
    assert do(cluster, "delete pods -n shop --field-selector=status.phase=Failed") == 'pod "gone" deleted'


def test_dry_run_changes_nothing(cluster):
    before = cluster.state()
    assert (
        do(cluster, "delete deployment web -n shop --dry-run=client") == 'deployment "web" deleted (dry run)'
    )
    assert cluster.state() == before
    do(cluster, "delete pod web-1 -n shop")
    assert "web-4" in pods(cluster)  # nor did it use up a number


def test_labels_and_patches(cluster):
    assert "--overwrite" in do(cluster, "label deploy web app=other -n shop")
    do(cluster, "label deploy web app=other tier=front -n shop --overwrite")
    do(cluster, "label deploy/web tier- -n shop")
    do(cluster, """patch cronjob report -n shop -p '{"spec": {"suspend": true}}'""")
    do(cluster, """patch secret login -n shop -p '{"data": {"password": null, "new": "x"}}'""")
    shop = cluster.state()["namespaces"]["shop"]
    assert shop["deployments"]["web"]["labels"] == {"app": "other"}
    assert shop["cronjobs"]["report"]["suspend"] is True
    assert shop["secrets"]["login"]["data"] == {"new": "x"}


@pytest.mark.parametrize(
    "patch",
    [
        "[]",
        "nonsense",
        '{"spec": {"replicas": "three"}}',
        '{"spec": {"replicas": true}}',
        '{"spec": {"replicas": -1}}',
        '{"spec": {"replicas": 1e99}}',
        '{"spec": {"replicas": 1000000000}}',
        '{"spec": {"template": {}}}',
        '{"status": {"phase": "Running"}}',
        '{"metadata": {"labels": {"a": {"b": "c"}}}}',
        '{"metadata": {"labels": ["a"]}}',
        '{"metadata": 3}',
        "[" * 1500,
        '{"a":' * 400 + "1" + "}" * 400,
    ],
)
def test_a_patch_that_does_not_fit_is_refused(cluster, patch):
    before = cluster.state()
    said = do(cluster, f"patch deployment web -n shop -p '{patch}'")
    assert "rror" in said
    assert cluster.state() == before


def test_secrets_show_in_json_and_not_in_descriptions(cluster):
    assert "tulip" not in do(cluster, "describe secret login -n shop")
    assert "tulip" not in do(cluster, "get secrets -n shop")
    assert json.loads(do(cluster, "get secret login -n shop -o json"))["data"] == {"password": "tulip"}
    assert do(cluster, "get secret login -n shop -o jsonpath='{.data.password}'") == "tulip"
    assert do(cluster, "get nodes -o jsonpath='{.items[*].metadata.name}'") == "node-1 node-2 node-3"
    assert do(cluster, "get nodes -o jsonpath={.items[2].status.phase}") == "NotReady"
    assert do(cluster, "get nodes -o jsonpath={.items[9].nothing}") == ""


def test_logs_and_create(cluster):
    assert do(cluster, "logs lone -n shop --tail=1") == "two"
    assert do(cluster, "logs -f lone -p -n shop") == "one\ntwo"
    assert do(cluster, "create job now --from=cronjob/report -n shop") == "job/now created"
    assert of(cluster, "job/now") == ["now-1"]
    assert "AlreadyExists" in do(cluster, "create job now --from=cronjob/report -n shop")
    do(cluster, "create configmap note --from-literal=a=1 --from-literal=b=2 -n shop")
    assert cluster.state()["namespaces"]["shop"]["configmaps"]["note"]["data"] == {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    ("command", "part"),
    [
        ("", "no command"),
        ("kubectl exec web-1 -- rm -rf /", "has no exec"),
        ("kubectl edit deploy web", "has no edit"),
        ("kubectl apply -f x.yaml", "has no apply"),
        ("kubectl delete -f x.yaml", "reads no files"),
        ("kubectl frobnicate", 'unknown command "frobnicate"'),
        ("kubectl get pods | grep web", "not a shell"),
        ("kubectl get pods; kubectl delete ns shop", "not a shell"),
        ("kubectl get unicorns", "resource type"),
        ("kubectl get pod nobody -n shop", "NotFound"),
        ("kubectl get pod web-1 -n nowhere", "NotFound"),
        ("kubectl delete pods -n shop", "no name"),
        ("kubectl delete pods", "no name"),
        ("kubectl delete", "type of resource"),
        ("kubectl delete namespace kube-system", "NotFound"),
        ("kubectl delete namespace default", "Forbidden"),
        ("kubectl get pods -n", "needs an argument"),
        ("kubectl get pods --frob", "unknown flag"),
        ("kubectl get pods 'a", "cannot be read"),
        ("kubectl scale deploy web -n shop", "whole number"),
        ("kubectl scale deploy web -n shop --replicas=-3", "whole number"),
        ("kubectl scale deploy web -n shop --replicas=1000000000", "exceeded quota"),
        ("kubectl scale deploy web -n shop --replicas=" + "9" * 3000, "exceeded quota"),
        ("kubectl scale pods lone -n shop --replicas=2", "cannot be scaled"),
        ("kubectl taint nodes node-1", "at least one"),
        ("kubectl create deployment x", "the simulation creates"),
        ("kubectl create namespace UPPER", "63"),
        ("kubectl create job x --from=cronjob/none -n shop", "NotFound"),
        ("kubectl evict deployment/web -n shop", "only pods"),
        ("kubectl get pods -l " + "a," * 400, "selector"),
        ("kubectl get pods -o custom-columns=A:.b", "-o json"),
        ("kubectl get pods -o jsonpath='{range .items[*]}{.x}{end}'", "JSON paths"),
        ("kubectl get pods -n shop\nkubectl delete ns shop", "not a shell"),
        ("kubectl " + "x" * 1_000_000, "too long"),
        ("kubectl get " + "'" * 3001, "cannot be read"),
        ("kubectl get 'pods \"-n\" shop'", "resource type"),
    ],
)
def test_what_cannot_be_done_is_told_and_changes_nothing(cluster, command, part):
    before = cluster.state()
    assert part in do(cluster, command)
    assert cluster.state() == before


def test_thousands_of_odd_commands_neither_raise_nor_take_long():
    """Words of commands in any order: what comes is a text, and the cluster stays within its bounds."""
    chance = random.Random(18)
    words = [
        *VERBS, "pods", "pod/web-1", "web", "deployment/web", "deploy,sts", "all", "nodes", "node-1", "ns",
        "held", "-n", "shop", "-l", "app=web", "--all", "-A", "--force", "--replicas=100",
        "--replicas=7", "restart", "undo", "image", "web=web:9", "a=b:NoExecute", "a-", "-p",
        "'{\"spec\":{\"replicas\":50}}'",
        "--type=json",
        "-o", "json", "wide", "--ignore-daemonsets", "--from=cronjob/report", "job", "x1", "--",
        "=", "/", ":", "-", "''", "--dry-run",
    ]  # fmt: skip
    started = time.process_time()
    for _ in range(20):
        cluster = ClusterWorld(START)
        for _ in range(100):
            command = " ".join(chance.choices(words, k=chance.randint(1, 7)))
            said = do(cluster, f"{command} -n shop")
            assert len(said) <= MOST_PRINTED
            json.dumps(cluster.state())
        assert sum(len(place.get("pods", {})) for place in cluster.state()["namespaces"].values()) < 500
    assert time.process_time() - started < 20


def test_the_same_commands_give_the_same_cluster():
    commands = [
        "delete pod web-1 -n shop",
        "drain node-1 --ignore-daemonsets --force",
        "scale sts db --replicas=5 -n shop",
    ]
    one, other = ClusterWorld(START), ClusterWorld(json.loads(json.dumps(START)))
    assert [do(one, each) for each in commands] == [do(other, each) for each in commands]
    assert one.state() == other.state()
