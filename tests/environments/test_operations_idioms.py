"""What people type to an agent's machine without thinking: it works as on a real one, or says that it does
not, and never does something else."""

import pytest

from overt.data.tools import Call
from overt.environments.operations.cluster.world import ClusterWorld
from overt.environments.operations.shell.world import ShellWorld

START = {
    "files": {
        "/srv/a b.tmp": "x",
        "/srv/c.tmp": "x",
        "/srv/in.sh": "echo in",
        "/srv/log": {"text": "old", "bulk": 9},
    },
    "folders": {"/old": {}},
    "processes": {
        100: {"parent": 1, "user": "anna", "command": "make -j8"},
        101: {"parent": 100, "user": "anna", "command": "cc1 slow.c", "cpu": 99},
        102: {"parent": 100, "user": "ben", "command": "cc1 fast.c", "cpu": 3},
        200: {"user": "anna", "command": "sshd: anna@pts/3", "tty": "pts/3"},
        201: {"parent": 200, "user": "anna", "command": "-bash", "tty": "pts/3"},
        202: {"parent": 201, "user": "anna", "command": "tail", "tty": "pts/3", "ignores": ["HUP"]},
        210: {"user": "ben", "command": "sshd: ben@pts/4", "tty": "pts/4"},
    },
    "services": {"mock": {"pid": 300, "restarts": True}},
    "users": {
        "anna": {"uid": 1001, "groups": ["staff", "wheel"]},
        "ben": {"uid": 1002, "groups": ["staff"]},
    },
    "cron": {"root": ["0 3 * * * backup", "* * * * * alarm"]},
    "disks": {"/dev/sdb1": {"mount": "/mnt/scratch", "use": 90}},
    "snapshots": {"t/d@2024-01": {"used": "1G"}, "t/d@2024-02": {}, "t/d@2026-01": {}},
}
NOT_THERE = object()


class Box:
    def __init__(self):
        self.world = ShellWorld(START)

    def __call__(self, line):
        return self.world.do(Call("", "run", {"command": line}))

    def at(self, *steps):
        found = self.world.state()
        for step in steps:
            found = found.get(step, NOT_THERE) if isinstance(found, dict) else found[step]
        return found


@pytest.fixture
def box():
    return Box()


@pytest.mark.parametrize(
    ("line", "printed"),
    [
        ("ps aux | grep slow | awk '{print $2}'", "101"),  # the number, and not that of its parent
        ("ps -ef | grep slow | awk '{print $2, $3}'", "101 100"),
        ("ps -o ppid= -p 101", "100"),
        (
            "ps -eo pid,ppid,stat,args --sort=-pcpu | head -2",
            "PID PPID STAT COMMAND\n101  100 S    cc1 slow.c",
        ),
        ("ps --ppid 100 -o pid= -o user=", "101 anna\n102 ben"),
        ("ps -u ben -o comm,pid --no-headers", "cc1  102\nsshd 210"),
        ("ps -C cc1 -o pid h", "101\n102"),
        ("ps axo pid --sort pid | tail -n 1", "300"),
        ("ps -o colour", 'ps: error: unknown user-defined format specifier "colour"\n(exit status 1)'),
        ("ps --frobnicate", "ps: error: unknown option '--frobnicate'\n(exit status 1)"),
        ("ps -o", "ps: error: option '-o' requires an argument\n(exit status 1)"),
        ("(cd /tmp; pwd); pwd", "/tmp\n/root"),
        ("(echo a; echo b) | wc -l", "2"),
        ("((echo x)", "sh: unexpected end of the line: looking for )\n(exit status 2)"),
        ("echo a (b)", "sh: syntax error near unexpected token `('\n(exit status 2)"),
        ("echo x{a,b}y{1,2} '{a,b}' {} {a}", "xay1 xay2 xby1 xby2 {a,b} {} {a}"),
        ("echo " + "{a,b}" * 9, "sh: too many alternatives in {}\n(exit status 2)"),
        ("sudo -n -u anna whoami", "root"),
        ("sudo -n", "sh: sudo: command not found\n(exit status 127)"),
        ("set -euo pipefail; echo on", "on"),
        ("sh -x /srv/in.sh; bash -ec 'echo e'", "in\ne"),
        ("getent group wheel staff", "wheel:x:anna\nstaff:x:anna,ben"),
        ("zfs list -H -t snapshot -o name | grep 2024", "t/d@2024-01\nt/d@2024-02"),
        ("zfs list -o used,name | head -n 2", f"{'USED':<36} NAME\n{'1G':<36} t/d@2024-01"),
        ("zfs list -o secret", "zfs: bad property list: invalid property 'secret'\n(exit status 1)"),
        ("cat /dev/null | wc -l", "0"),
        ("mount /nowhere", "mount: /nowhere: can't find it in /etc/fstab\n(exit status 1)"),
        ("deluser ben wheel", "deluser: user 'ben' is not a member of 'wheel'\n(exit status 1)"),
        ("find /srv -name '*.tmp' -print0 | xargs -0 -n1 echo", "/srv/a b.tmp /srv/c.tmp"),
    ],
)
def test_what_is_printed(box, line, printed):
    assert box(line) == printed


@pytest.mark.parametrize(
    ("line", "place", "value"),
    [
        ("find /srv -name '*.tmp' -print0 | xargs -0 rm", ("files", "/srv/a b.tmp"), NOT_THERE),
        ("rm -f /srv/{c,d}.tmp", ("files", "/srv/c.tmp"), NOT_THERE),
        ("mv /srv/log{,.1}", ("files", "/srv/log.1", "bulk"), 9),
        ("mv -t /old /srv/log", ("files", "/old/log", "bulk"), 9),
        ("cp --target-directory=/old /srv/log", ("files", "/old/log", "bulk"), 9),
        ("cp /dev/null /srv/log", ("files", "/srv/log", "bulk"), 0),
        ("tee /srv/log < /dev/null", ("files", "/srv/log", "text"), ""),
        ("(crontab -l | grep -v alarm; echo '5 * * * * new') | crontab -", ("cron", "root"),
         ["0 3 * * * backup", "5 * * * * new"]),
        ("crontab -l (", ("cron", "root"), ["0 3 * * * backup", "* * * * * alarm"]),
        ("chage -d 0 ben", ("users", "ben", "expired"), True),
        ("passwd --expire ben", ("users", "ben", "expired"), True),
        ("passwd --lock ben", ("users", "ben", "locked"), True),
        ("deluser anna wheel", ("users", "anna", "groups"), ["staff"]),
        ("gpasswd --delete anna wheel", ("users", "anna", "groups"), ["staff"]),
        ("usermod -rG wheel anna", ("users", "anna", "groups"), ["staff"]),
        ("usermod -r -G wheel,staff anna", ("users", "anna", "groups"), []),
        ("systemctl mask --now mock", ("services", "mock", "enabled"), False),
        ("systemctl mask --now mock", ("services", "mock", "state"), "inactive"),
        ("umount /mnt/scratch && mkfs.ext4 /dev/sdb1 && mount /mnt/scratch", ("disks", "/dev/sdb1", "mount"),
         "/mnt/scratch"),
        ("umount /mnt/scratch; mount /dev/sdb1", ("disks", "/dev/sdb1", "mount"), "/mnt/scratch"),
        ("zfs list -H -o name | grep 2024 | xargs -n1 zfs destroy", ("snapshots",),
         {"t/d@2026-01": {}}),
        ("ps aux | grep slow | awk '{print $2}' | xargs kill", ("processes", "101"), NOT_THERE),
    ],
)  # fmt: skip
def test_what_is_done(box, line, place, value):
    box(line)
    found = box.at(*place)
    assert found is value if value is NOT_THERE else found == value


def test_a_session_ends_with_its_shell_and_the_shell_with_it(box):
    box("kill 200")
    assert {"200", "201"}.isdisjoint(box.at("processes"))
    assert box.at("processes", "202", "parent") == 1
    assert "210" in box.at("processes")


def test_the_last_shell_takes_its_session_along(box):
    box("kill -9 202 201")
    assert {"200", "201", "202"}.isdisjoint(box.at("processes"))
    assert "210" in box.at("processes")


def test_a_masked_service_says_so_and_does_not_start(box):
    assert box("systemctl mask --now mock; systemctl is-enabled mock; systemctl start mock") == (
        "masked\nsystemctl: Unit mock is masked.\n(exit status 1)"
    )


PODS = {
    "nodes": {"node-1": {}},
    "namespaces": {
        "shop": {
            "finalizers": ["a", "b", "c"],
            "deployments": {"web": {"replicas": 2, "labels": {"app": "web"}}},
            "pods": {
                "web-1": {"owner": "deployment/web", "node": "node-1", "status": "Running"},
                "lone": {"node": "node-1", "status": "Running"},
            },
        }
    },
}


def kubectl(world, line):
    return world.do(Call("", "kubectl", {"command": f"kubectl {line}"}))


def test_pods_of_the_start_carry_the_labels_of_their_workload():
    assert kubectl(ClusterWorld(PODS), "get pods -n shop -l app=web -o name") == "pod/web-1\npod/web-2"


@pytest.mark.parametrize(
    ("steps", "left"),
    [
        ('[{"op": "remove", "path": "/metadata/finalizers/0"}]', ["b", "c"]),
        ('[{"op": "remove", "path": "/metadata/finalizers/1"},'
         ' {"op": "remove", "path": "/metadata/finalizers/1"}]', ["a"]),
        ('[{"op": "add", "path": "/metadata/finalizers/-", "value": "d"}]', ["a", "b", "c", "d"]),
        ('[{"op": "replace", "path": "/metadata/finalizers/2", "value": "d"}]', ["a", "b", "d"]),
        ('[{"op": "remove", "path": "/metadata/finalizers"}]', []),
        ('[{"op": "remove", "path": "/metadata/finalizers/3"}]', None),
        ('[{"op": "remove", "path": "/metadata/finalizers/-"}]', None),
        ('[{"op": "add", "path": "/metadata/finalizers/99999999999", "value": "d"}]', None),
    ],
)  # fmt: skip
def test_a_json_patch_changes_one_entry_of_a_list(steps, left):
    world = ClusterWorld(PODS)
    said = kubectl(world, f"patch namespace shop --type=json -p '{steps}'")
    assert world.state()["namespaces"]["shop"]["finalizers"] == (["a", "b", "c"] if left is None else left)
    assert (said == "namespace/shop patched") == (left is not None)
