"""Commands about disks and snapshots."""

from __future__ import annotations

from collections.abc import Mapping

from overt.data.json_types import Json
from overt.environments.operations.shell.calls import Fails, Options, Running, options
from overt.environments.operations.shell.machine import Command, Machine

_MOST_SNAPSHOTS = 200


def df(box: Machine, it: Running) -> str:
    lines = [f"{'Filesystem':<16} {'Size':>6} {'Use%':>5} Mounted on"]
    for name, disk in sorted(box.disks.items()):
        if disk.mount:
            lines.append(f"{name:<16} {disk.size:>6} {disk.use:>4}% {disk.mount}")
    return "".join(f"{line}\n" for line in lines)


def lsblk(box: Machine, it: Running) -> str:
    lines = [f"{'NAME':<16} {'SIZE':>6} {'TYPE':<6} {'LABEL':<12} MOUNTPOINT"]
    for name, disk in sorted(box.disks.items()):
        lines.append(f"{name:<16} {disk.size:>6} {disk.type or '-':<6} {disk.label:<12} {disk.mount or ''}")
    return "".join(f"{line}\n" for line in lines)


def _disk(box: Machine, names: list[str]) -> str:
    for name, disk in box.disks.items():
        if names and names[-1] in (name, disk.mount):
            return name
    raise Fails(f"{' '.join(names)[:60] or 'no device'}: no such device")


def umount(box: Machine, it: Running) -> str:
    chosen = options(it.words, "f l")
    disk = box.disks[_disk(box, chosen.rest)]
    if not disk.mount:
        raise Fails(f"{chosen.rest[-1]}: not mounted")
    if disk.mount == "/":
        raise Fails("/: target is busy")
    base = disk.mount
    for path in list(box.below(base)):
        if path in box.files:
            disk.hidden[path[len(base) + 1 :]] = box.files[path]
    for name in box.children(base):
        box.remove(f"{base}/{name}")
    disk.mount, disk.last = None, base
    return ""


def mount(box: Machine, it: Running) -> str:
    chosen = options(it.words, "a", "t o")
    if not chosen.rest:
        return df(box, it)
    name, place = _to_mount(box, chosen.rest)
    disk = box.disks[name]
    if disk.mount or place not in box.folders or box.children(place) or not disk.type:
        raise Fails(f"{place}: already mounted, not an empty directory, or no file system on the disk")
    disk.mount = place
    for name, file in disk.hidden.items():
        path = f"{place}/{name}"
        above = path.rpartition("/")[0]
        while above not in box.folders:
            box.make_folder(above)
            above = above.rpartition("/")[0]
        box.files[path] = file
    disk.hidden = {}
    return ""


def _to_mount(box: Machine, names: list[str]) -> tuple[str, str]:
    """The disk that is meant, and its place: where it was last, if one of the two is named alone."""
    if len(names) > 1:
        return _disk(box, names[:1]), box.path(names[1])
    for name, disk in box.disks.items():
        place = disk.mount or disk.last
        if place and names[0] in (name, place):
            return name, place
    raise Fails(f"{names[0][:60]}: can't find it in /etc/fstab")


def mkfs(box: Machine, it: Running) -> str:
    chosen = options(it.words, "f F q a v all force", "t L m b i N O E")
    disk = box.disks[_disk(box, chosen.rest)]
    if disk.mount:
        raise Fails(f"{chosen.rest[-1]} is mounted; will not make a file system here")
    disk.hidden, disk.use, disk.label = {}, 0, chosen.get("L")
    kind = it.name.partition(".")[2] or chosen.get("t", default="ext4")
    disk.type = "" if it.name == "wipefs" else kind
    return ""


def blkdiscard(box: Machine, it: Running) -> str:
    it.name = "wipefs"
    return mkfs(box, it)


def zfs(box: Machine, it: Running) -> str:
    chosen = options(it.words, "r f R n v H", "t o s")
    verb, *names = chosen.rest or ["list"]
    if verb == "list":
        return _snapshots(box, chosen)
    if verb not in ("destroy", "snapshot") or not names:
        raise Fails("only list, snapshot and destroy of snapshots are supported here")
    for name in names:
        if "@" not in name:
            raise Fails(f"{name[:60]}: a snapshot is named DATASET@NAME; data sets stay")
        if verb == "destroy":
            _destroy(box, it, name, only_says=chosen.has("n"))
        elif len(box.snapshots) >= _MOST_SNAPSHOTS:
            raise Fails("out of space")
        else:
            box.snapshots.setdefault(name, {"used": "0"})
    return ""


def _snapshots(box: Machine, chosen: Options) -> str:
    """The list of snapshots. -H: no heads, and a tab between columns; -o: which columns."""
    columns = chosen.get("o", default="name,used").split(",")[:10]
    rows: list[Mapping[str, Json]] = [
        {"used": "-", **found, "name": name} for name, found in sorted(box.snapshots.items())
    ]
    if unknown := [column for column in columns if column not in ("name", "used")]:
        raise Fails(f"bad property list: invalid property '{unknown[0][:60]}'")
    if chosen.has("H"):
        return "".join("\t".join(str(row[column]) for column in columns) + "\n" for row in rows)
    shown: list[Mapping[str, Json]] = [{column: column.upper() for column in columns}, *rows]
    return "".join(" ".join(f"{row[column]!s:<36}" for column in columns).rstrip() + "\n" for row in shown)


def _destroy(box: Machine, it: Running, name: str, *, only_says: bool) -> None:
    """Destroys the snapshots of DATASET@ONE,OTHER."""
    base, _, wanted = name.partition("@")
    for each in [f"{base}@{one}" for one in wanted.split(",")[:_MOST_SNAPSHOTS]]:
        if each not in box.snapshots:
            it.complains(f"could not find any snapshots to destroy: {each[:80]}")
        elif box.snapshots[each].get("hold"):
            it.complains(f"cannot destroy {each}: it is held ({box.snapshots[each]['hold']})")
        elif not only_says:
            del box.snapshots[each]


COMMANDS: dict[str, Command] = {
    "df": df, "lsblk": lsblk, "blkid": lsblk, "umount": umount, "mount": mount, "wipefs": mkfs, "mkfs": mkfs,
    "mkfs.ext4": mkfs, "mkfs.xfs": mkfs, "blkdiscard": blkdiscard, "zfs": zfs,
}  # fmt: skip
