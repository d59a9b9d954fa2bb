"""Commands about users, their sessions and their timetables."""

from __future__ import annotations

from overt.environments.operations.shell.calls import Fails, Running, options
from overt.environments.operations.shell.machine import Command, Machine, User
from overt.environments.operations.shell.of_files import dated
from overt.environments.operations.shell.of_texts import inputs


def _user(box: Machine, names: list[str]) -> User:
    if not names:
        raise Fails("which user?")
    if names[-1] not in box.users:
        raise Fails(f"user '{names[-1][:60]}' does not exist")
    return box.users[names[-1]]


def userdel(box: Machine, it: Running) -> str:
    chosen = options(it.words, "r f remove force remove-home")
    if it.name == "deluser" and len(chosen.rest) == 2:
        return _out_of(_user(box, chosen.rest[:1]), *chosen.rest)
    user = _user(box, chosen.rest)
    name = chosen.rest[-1]
    busy = [pid for pid, process in box.processes.items() if process.user == name]
    if busy and not chosen.has("f", "force"):
        it.complains(f"user {name} is currently used by process {busy[0]}", 8)
        return ""
    if chosen.has("r", "remove", "remove-home"):
        box.remove(user.home or f"/home/{name}")
    del box.users[name]
    box.cron.pop(name, None)
    return ""


def _out_of(user: User, name: str, group: str) -> str:
    """Takes a user out of a group."""
    if group not in user.groups:
        raise Fails(f"user '{name[:60]}' is not a member of '{group[:60]}'")
    user.groups.remove(group)
    return ""


def usermod(box: Machine, it: Running) -> str:
    chosen = options(it.words, "L U a r lock unlock append remove", "s G e d g aG rG shell groups expiredate")
    user = _user(box, chosen.rest)
    if chosen.has("L", "lock", "U", "unlock"):
        user.locked = chosen.has("L", "lock")
    if groups := chosen.get("aG", "rG", "G", "groups"):
        adds = chosen.has("a", "append") or "aG" in chosen.values
        if chosen.has("r", "remove") or "rG" in chosen.values:
            adds, groups = False, ",".join(one for one in user.groups if one not in groups.split(","))
        user.groups = list(
            dict.fromkeys([*(user.groups if adds else []), *[g for g in groups.split(",") if g][:50]])
        )
    if shell := chosen.get("s", "shell"):
        user.shell = shell
    if "e" in chosen.values or "expiredate" in chosen.values:
        user.expired = chosen.get("e", "expiredate") not in ("", "-1")
    return ""


_PASSWD = {"--lock": "-l", "--unlock": "-u", "--expire": "-e", "--status": "-S", "--delete": "-d"}


def chage(box: Machine, it: Running) -> str:
    """How long a password (-d) and an account (-E) hold: day 0 has passed, -1 is never."""
    chosen = options(it.words, "l list", "d E lastday expiredate M m W I")
    user = _user(box, chosen.rest)
    days = chosen.get("d", "lastday", "E", "expiredate")
    if not days:
        return f"{chosen.rest[-1]}: {'expired' if user.expired else 'does not expire'}\n"
    user.expired = days != "-1"
    return ""


def passwd(box: Machine, it: Running) -> str:
    chosen = options([_PASSWD.get(word, word) for word in it.words], "l u S e d", "")
    user = _user(box, chosen.rest)
    if chosen.has("S"):
        return f"{chosen.rest[-1]} {'L' if user.locked else 'P'} {dated(user.last_login_days)}\n"
    if not chosen.has("l", "u", "e", "d"):
        raise Fails("asks for a new password, and there is no terminal here")
    if chosen.has("l", "u"):
        user.locked = chosen.has("l")
    if chosen.has("e"):
        user.expired = True
    return ""


def useradd(box: Machine, it: Running) -> str:
    chosen = options(it.words, "m r M", "s G d u g c")
    if not chosen.rest:
        raise Fails("which user?")
    name = chosen.rest[-1]
    if name in box.users or not name.isidentifier() or len(box.users) >= 200:
        raise Fails(f"user '{name[:60]}' exists or has no name that a user can have")
    groups = [group for group in chosen.get("G").split(",") if group][:50]
    box.users[name] = User(2_000 + len(box.users), groups, f"/home/{name}")
    return ""


def gpasswd(box: Machine, it: Running) -> str:
    words = [{"--delete": "-d", "--add": "-a"}.get(word, word) for word in it.words]
    chosen = options(words, "", "d a")
    if not chosen.rest:
        raise Fails("usage: gpasswd -d USER GROUP")
    user, group = _user(box, [chosen.get("d", "a")]), chosen.rest[-1]
    if "a" in chosen.values:
        user.groups = list(dict.fromkeys([*user.groups, group]))
    else:
        return _out_of(user, chosen.get("d"), group)
    return ""


def who(box: Machine, it: Running) -> str:
    lines = [
        f"{process.user:<10} {process.tty:<8} idle {process.idle} min  pid {pid}  {process.command}"
        for pid, process in sorted(box.processes.items())
        if process.tty != "?"
    ]
    return "".join(f"{line}\n" for line in lines)


def loginctl(box: Machine, it: Running) -> str:
    if not it.words or it.words[0] in ("list-sessions", "list-users"):
        return who(box, it)
    verb, *names = it.words
    if verb not in ("terminate-user", "kill-user") or not names:
        raise Fails("only list-sessions and terminate-user are supported here")
    for name in names:
        for pid in [pid for pid, p in box.processes.items() if p.user == name and name != "root"]:
            if pid in box.processes:
                box.signal(pid, "KILL")
    return ""


def last(box: Machine, it: Running) -> str:
    return "".join(f"{name:<12} {dated(user.last_login_days)}\n" for name, user in sorted(box.users.items()))


def getent(box: Machine, it: Running) -> str:
    lines = []
    wanted = it.words[1:]
    if it.words[:1] == ["group"]:
        return _groups(box, wanted)
    if it.words[:1] not in (["passwd"], ["shadow"]):
        raise Fails(f"unknown database: {''.join(it.words[:1])[:60]}")
    for name, user in sorted(box.users.items()):
        if not wanted or name in wanted:
            state = "".join([" locked" * user.locked, " expired" * user.expired])
            home = user.home or f"/home/{name}"
            lines.append(f"{name}:x:{user.uid}:{','.join(user.groups)}:{home}:{user.shell}{state}")
    return "".join(f"{line}\n" for line in lines)


def _groups(box: Machine, wanted: list[str]) -> str:
    members: dict[str, list[str]] = {}
    for name, user in sorted(box.users.items()):
        for group in user.groups:
            members.setdefault(group, []).append(name)
    names = wanted or sorted(members)
    return "".join(f"{name}:x:{','.join(members[name])}\n" for name in names if name in members)


def identity(box: Machine, it: Running) -> str:
    """`id` and `groups`."""
    name = it.words[-1] if it.words else box.user
    user = _user(box, [name])
    return f"uid={user.uid}({name}) groups={','.join(user.groups)}\n"


def crontab(box: Machine, it: Running) -> str:
    chosen = options(it.words, "l r i e", "u")
    name = chosen.get("u", default=box.user)
    if chosen.has("e"):
        raise Fails("there is no editor here: pipe the new table into `crontab -`")
    if chosen.has("l"):
        if name not in box.cron:
            raise Fails(f"no crontab for {name[:60]}")
        return "".join(f"{line}\n" for line in box.cron[name])
    if chosen.has("r"):
        if box.cron.pop(name, None) is None:
            raise Fails(f"no crontab for {name[:60]}")
        return ""
    if not chosen.rest:
        raise Fails("usage: crontab [-u USER] { -l | -r | FILE | - }")
    if name not in box.users:
        raise Fails(f"user '{name[:60]}' unknown")
    for _, text in inputs(box, it, chosen.rest[:1]):
        box.cron[name] = [line for line in text.splitlines() if line.strip()][:200]
    return ""


COMMANDS: dict[str, Command] = {
    "userdel": userdel, "deluser": userdel, "usermod": usermod, "passwd": passwd, "useradd": useradd,
    "adduser": useradd, "gpasswd": gpasswd, "who": who, "w": who, "loginctl": loginctl, "last": last,
    "chage": chage, "lastlog": last, "getent": getent, "id": identity, "groups": identity, "crontab": crontab,
}  # fmt: skip
