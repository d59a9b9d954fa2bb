"""The simulated Unix: what its commands print and change, and that any line is bounded."""

import random
import re

import pytest

from overt.data.tools import Call
from overt.environments.operations.shell.calls import Fails
from overt.environments.operations.shell.commands import COMMANDS
from overt.environments.operations.shell.machine import Machine
from overt.environments.operations.shell.patterns import Glob, Pattern
from overt.environments.operations.shell.world import ShellWorld

START = {
    "files": {
        "/var/log/a.log": "one\ntwo error\nthree\n",
        "/var/log/b.log": {"text": "old", "days": 40, "bulk": 5_000},
        "/srv/my file.txt": "spaces",
        "/srv/data/x.csv": {"text": "b,2\na,1\n", "owner": "anna", "mode": "0640"},
        "/opt/clean.sh": {"text": "rm /srv/data/x.csv\necho cleaned\n", "mode": "0755"},
        "/opt/plain.sh": "echo no",
    },
    "processes": {
        100: {"command": "/usr/bin/make -j8", "user": "anna"},
        101: {"parent": 100, "command": "cc1 x.c", "user": "anna", "cpu": 99},
        102: {"parent": 100, "command": "cc1", "state": "Z"},
        103: {"command": "deaf", "ignores": ["TERM"]},
        104: {"command": "-bash", "user": "anna", "tty": "pts/1", "idle": 70},
    },
    "services": {"nginx": {"pid": 200, "restarts": True}, "mock": {"pid": 201}},
    "users": {"anna": {"uid": 1001, "groups": ["staff", "wheel"]}},
    "cron": {"root": ["0 3 * * * backup", "* * * * * alarm"]},
    "disks": {"/dev/sda1": {"mount": "/"}, "/dev/sdb1": {"mount": "/srv/data", "use": 90}},
    "snapshots": {"t/d@1": {}, "t/d@2": {"hold": "law"}},
}


class Box:
    def __init__(self):
        self.world = ShellWorld(START)

    def __call__(self, line):
        return self.world.do(Call("", "run", {"command": line}))

    @property
    def state(self):
        return self.world.state()


@pytest.fixture
def box():
    return Box()


@pytest.mark.parametrize(
    ("line", "printed"),
    [
        ("cat /var/log/a.log | grep error", "two error"),
        ("grep -c e /var/log/a.log; grep -v e /var/log/a.log", "3\n(exit status 1)"),
        ("grep -rn error /var/log | cut -d: -f2", "2"),
        ("wc -l /var/log/a.log", "3 /var/log/a.log"),
        ("head -1 /var/log/a.log; tail -n 1 /var/log/a.log", "one\nthree"),
        ("tail -n +2 /var/log/a.log", "two error\nthree"),
        ("sort /srv/data/x.csv | head -n1", "a,1"),
        ("ls /srv", "data\nmy file.txt"),
        ("ls -l /srv/data", "-rw-r----- anna root        8 2026-03-02 x.csv"),
        ("ls /var/log/*.log", "/var/log/a.log\n/var/log/b.log"),
        ("echo '*' \"*\" \\*", "* * *"),
        ("cd /var/log && echo ?.log", "a.log b.log"),
        ("echo /nope/*", "/nope/*"),
        ("echo $HOME ${USER} '$HOME' \"$USER\"", "/root root $HOME root"),
        ("echo a; false && echo b; true && echo c; false || echo d", "a\nc\nd"),
        ("echo x > /tmp/f; echo y >> /tmp/f; cat /tmp/f", "x\ny"),
        ("echo $(cat /srv/data/x.csv)", "b,2 a,1"),
        ("ls nope 2>/dev/null; echo $?", "2"),
        ("ls nope 2>&1 | wc -l", "1"),
        ("find / -name '*.log' -mtime +30", "/var/log/b.log"),
        ("find /var/log -type f -size +1k", "/var/log/b.log"),
        ("find /srv -maxdepth 1 -type f -exec cat {} \\;", "spaces"),
        ("ps aux | grep cc1 | awk '{print $2}'", "101\n102"),
        ("ps --ppid 100 --sort=-%cpu | awk '/cc1/ {print $1}'", "101\n102"),
        ("ps -u anna --sort=-pcpu | head -2 | tail -1 | awk '{print $1}'", "101"),
        ("ps -p 103,104 | wc -l", "3"),
        ("pgrep -u anna cc1", "101"),
        ("(echo a; echo b) | wc -l", "2"),
        ("(crontab -l | grep -v alarm) | wc -l", "1"),
        ("who", "anna       pts/1    idle 70 min  pid 104  -bash"),
        ("sed -n '2,3p' /var/log/a.log", "two error\nthree"),
        ("echo a.b | sed 's/./x/'; echo a.b | sed 's/\\./x/g'", "x.b\naxb"),
        ("printf 'a\\nb\\n' | xargs -I F echo [F]", "[a]\n[b]"),
        ("sudo whoami", "root"),
        ("sh -c 'echo in; echo side'", "in\nside"),
        ("/opt/clean.sh", "cleaned"),
        ("# a comment\necho after", "after"),
        ("id anna", "uid=1001(anna) groups=staff,wheel"),
        ("date", "2026-03-02"),
        ("", ""),
    ],
)
def test_what_is_printed(box, line, printed):
    assert box(line) == printed


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("frobnicate --now", "sh: frobnicate: command not found\n(exit status 127)"),
        ("/opt/plain.sh", "Permission denied"),
        ("cat /nope", "cat: /nope: No such file or directory"),
        ("cat /srv", "Is a directory"),
        ("rm /srv", "cannot remove '/srv': Is a directory"),
        ("rm -rf /", "dangerous to operate recursively on '/'"),
        ("rm -q x", "invalid option -- 'q'"),
        ("kill 9999", "(9999) - No such process"),
        ("kill -9 1", "(1) - Operation not permitted"),
        ("kill -FROB 101", "kill: FROB: invalid signal specification"),
        ("userdel nobody", "user 'nobody' does not exist"),
        ("for i in 1 2; do echo $i; done", "`for' is not supported"),
        ("echo a (b)", "syntax error near unexpected token `('"),
        ("grep -v x) | crontab -", "syntax error near unexpected token `)'"),
        ("cat <<EOF\nx\nEOF", "here-documents are not supported"),
        ("echo $((1+1))", "arithmetic is not supported"),
        ("echo 'open", "looking for '"),
        ("echo |", "syntax error near unexpected token"),
        ("&& echo", "syntax error near unexpected token"),
        ("echo x > ", "a redirection without a file"),
        ("echo x > /nope/y", "No such file or directory"),
        ("mkfs.ext4 /dev/sdb1", "is mounted"),
        ("umount /", "target is busy"),
        ("zfs destroy t/d@2", "it is held (law)"),
        ("zfs destroy t/d", "data sets stay"),
        ("passwd anna", "no terminal here"),
        ("crontab -e", "no editor here"),
        ("systemctl stop nope", "Unit nope could not be found."),
        ("grep '(a)\\1' /var/log/a.log", "not supported here"),
        ("awk '{system(\"x\")}'", "is supported here"),
    ],
)
def test_what_fails_says_so(box, line, said):
    before = box.state
    printed = box(line)
    assert said in printed
    assert "(exit status " in printed
    assert box.state == before


def has(box, kind, name):
    return name in box.state[kind]


def test_signals(box):
    box("kill 103")
    assert has(box, "processes", "103")  # it does not listen to TERM
    box("kill -s KILL 103")
    assert not has(box, "processes", "103")
    box("kill -9 102")
    assert has(box, "processes", "102")  # a zombie is dead already
    box("kill -STOP 101; kill -0 101")
    assert box.state["processes"]["101"]["state"] == "T"
    box("kill -CONT 101; kill -15 100")
    assert not has(box, "processes", "102")  # init reaps it with its parent
    assert box.state["processes"]["101"]["parent"] == 1
    box("killall cc1")
    assert not has(box, "processes", "101")


def test_a_service_comes_again_when_killed_and_not_when_stopped(box):
    box("kill 200 201")
    nginx, mock = (box.state["services"][name] for name in ("nginx", "mock"))
    assert (nginx["state"], nginx["pid"] in (200, None)) == ("active", False)
    assert has(box, "processes", str(nginx["pid"]))
    assert (mock["state"], mock["pid"]) == ("failed", None)
    box("systemctl disable --now nginx && systemctl start mock")
    nginx, mock = (box.state["services"][name] for name in ("nginx", "mock"))
    assert (nginx["state"], nginx["enabled"], nginx["pid"]) == ("inactive", False, None)
    assert mock["state"] == "active"


def test_files(box):
    box("mkdir -p /a/b && cp -r /srv/data /a/b && mv '/srv/my file.txt' /a/c.txt && touch /a/new")
    files = box.state["files"]
    assert files["/a/b/data/x.csv"]["owner"] == "anna"
    assert files["/a/c.txt"]["text"] == "spaces"
    assert "/srv/my file.txt" not in files
    box("truncate -s 0 /var/log/b.log; chmod o+r,g-r /srv/data/x.csv; chown root:staff /srv/data/x.csv")
    files = box.state["files"]
    assert (files["/var/log/b.log"]["text"], files["/var/log/b.log"]["bulk"]) == ("", 0)
    assert (files["/srv/data/x.csv"]["mode"], files["/srv/data/x.csv"]["group"]) == ("0604", "staff")
    box("rm -rf /a; rm -f /var/log/?.log; find /srv -name '*.csv' -delete")
    left = box.state["files"]
    assert sorted(left) == ["/dev/null", "/opt/clean.sh", "/opt/plain.sh"]


def test_a_folder_goes_nowhere_into_itself(box):
    assert "lies in the other" in box("mv /srv /srv/data")
    assert "lies in the other" in box("cp -r /srv /srv")
    assert has(box, "files", "/srv/data/x.csv")


def test_a_disk_hides_its_files_and_a_new_file_system_ends_them(box):
    box("umount /srv/data")
    assert not has(box, "files", "/srv/data/x.csv")
    box("mount /dev/sdb1 /srv/data")
    assert has(box, "files", "/srv/data/x.csv")
    box("umount /dev/sdb1 && mkfs.ext4 -L new /dev/sdb1 && mount /dev/sdb1 /srv/data")
    disk = box.state["disks"]["/dev/sdb1"]
    assert (disk["use"], disk["label"], disk["hidden"]) == (0, "new", {})
    assert not has(box, "files", "/srv/data/x.csv")


def test_users_timetables_and_snapshots(box):
    box("usermod -L anna; gpasswd -d anna wheel; passwd -e anna")
    anna = box.state["users"]["anna"]
    assert (anna["locked"], anna["groups"], anna["expired"]) == (True, ["staff"], True)
    assert "currently used by process" in box("userdel anna")
    box("loginctl terminate-user anna; userdel -r anna")
    assert not has(box, "users", "anna")
    assert not has(box, "processes", "104")
    box("crontab -l | grep -v alarm | crontab -; zfs destroy t/d@1")
    assert box.state["cron"]["root"] == ["0 3 * * * backup"]
    assert list(box.state["snapshots"]) == ["t/d@2"]


def test_the_same_commands_give_the_same_machine():
    one, other = Box(), Box()
    for line in ("kill 200", "systemctl restart mock", "echo x > /tmp/$$"):
        assert one(line) == other(line)
    assert one.state == other.state


# -- bounds -----------------------------------------------------------------------------------------------


def test_a_line_a_result_and_a_machine_are_bounded(box):
    assert "at most 4000 characters" in box("echo " + "x" * 5_000)
    box("echo " + "x" * 3_900 + " > /tmp/a")
    for _ in range(10):
        box("cat /tmp/a /tmp/a > /tmp/b; mv /tmp/b /tmp/a")
    assert sum(len(file["text"]) for file in box.state["files"].values()) <= 200_000
    assert "No space left on device" in box("cp /tmp/a /tmp/b; cp /tmp/a /tmp/c; cp /tmp/a /tmp/d")
    assert len(box("cat /tmp/a")) < 7_000


def test_work_ends(box):
    box("echo " + "a" * 3_900 + " > /tmp/a")
    heavy = "grep -E '" + "a*" * 90 + "b' /tmp/a"
    assert "too much work" in box("; ".join([heavy] * 20))
    assert box("echo after") == "after"  # the next line may work again
    assert "at most 100 commands" in box(";".join(["true"] * 200))
    box("echo 'sh /tmp/self; sh /tmp/self' > /tmp/self")
    assert "too many commands within commands" in box("sh /tmp/self")


def test_no_line_raises():
    seeded = random.Random(5)
    tokens = [
        *COMMANDS, "-r", "-rf", "-n", "-9", "-e", "-k", "|", "|", "&&", ";", ">", "<", "2>&1", "'", '"', "$(",
        ")", "$HOME", "*", "/*", "..", "/var/log", "anna", "1", "99999999999", "s/a*/b/g", "{print $1}",
        "{}", "\\;", "-exec", "-name", "[a-z", "a\\|b", "\\", "%s", "u+x", "\0", "é", "--x=1", "-I",
        "x" * 900,
        "/dev/sdb1",
    ]  # fmt: skip
    for _ in range(1_500):
        box = Box()
        box(" ".join(seeded.choice(tokens) for _ in range(seeded.randint(1, 8))))
        assert "1" in box.state["processes"]


# -- patterns ---------------------------------------------------------------------------------------------


def test_patterns_find_what_regular_expressions_find():
    seeded = random.Random(1)
    pieces = ["a", "b", ".", "a*", "b+", "a?", "[ab]", "[^a]", "|", "\\.", "c", "[a-b]*"]
    checked = 0
    for _ in range(4_000):
        text = "".join(seeded.choice(pieces) for _ in range(seeded.randint(1, 6)))
        text = seeded.choice(["", "^"]) + text + seeded.choice(["", "$"])
        if any(part[:1] in ("*", "+", "?") for part in text.split("|")):
            continue
        line = "".join(seeded.choice("abc.") for _ in range(seeded.randint(0, 8)))
        found, wanted = Pattern(text, extended=True).span(line), re.search(text, line)
        assert (found is None) == (wanted is None), (text, line)
        assert found is None or found[0] == wanted.start(), (text, line)
        checked += 1
    assert checked > 3_000


def test_basic_and_extended_and_fixed():
    assert Pattern("a\\|b").search("b")
    assert not Pattern("a|b").search("b")
    assert Pattern("(x)").search("(x)")
    assert Pattern("a.c", fixed=True).span("abc a.c") == (4, 7)
    assert Pattern("ERR", ignore_case=True).search("an error")
    assert Pattern("[[:digit:]]").search("a1")
    for bad in ("[a", "*", "\\", "\\(a\\)", "a" * 201):
        with pytest.raises(Fails):
            Pattern(bad)


@pytest.mark.parametrize(
    ("glob", "name", "fits"),
    [("*.log", "a.log", True), ("*.log", "a.log.1", False), ("a[0-9]?", "a1b", True), ("a\\*", "ab", False),
     ("[!a]*", "b", True), ("", "", True), ("*" * 50 + "b", "a" * 200, False)],
)  # fmt: skip
def test_globs(glob, name, fits):
    assert Glob(glob).fits(name) is fits


def test_a_path_is_made_whole():
    machine = Machine({})
    assert machine.path("x/../y/./z") == "/root/y/z"
    assert machine.path("/../../a") == "/a"
    assert machine.path("~/n") == "/root/n"
