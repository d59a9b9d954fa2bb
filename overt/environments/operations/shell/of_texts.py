"""Commands that read, filter and write text."""

from __future__ import annotations

from overt.environments.operations.shell.calls import Fails, Options, Running, options, whole
from overt.environments.operations.shell.machine import MOST_TEXT, Command, Machine
from overt.environments.operations.shell.patterns import Pattern

_ESCAPES = {"n": "\n", "t": "\t", "\\": "\\", "0": "", "r": "\r"}


def inputs(box: Machine, it: Running, names: list[str]) -> list[tuple[str, str]]:
    """The texts of the files that were named, or what was piped in: (name, text)."""
    found = []
    for name in names or ["-"]:
        try:
            text = (it.stdin or "") if name == "-" else box.read(box.path(name), name)
            box.spend(len(text))
            found.append(("" if name == "-" else name, text))
        except Fails as error:
            it.complains(str(error))
    return found


def cat(box: Machine, it: Running) -> str:
    chosen = options(it.words, "n A b s")
    text = "".join(_ended(text) for _, text in inputs(box, it, chosen.rest))
    if chosen.has("n"):
        return "".join(f"{number:>6}\t{line}\n" for number, line in enumerate(text.splitlines(), 1))
    return text


def _ended(text: str) -> str:
    return text if not text or text.endswith("\n") else text + "\n"


def echo(box: Machine, it: Running) -> str:
    words = list(it.words)
    flags = ""
    while words and words[0] in ("-n", "-e", "-ne", "-en", "-E"):
        flags += words.pop(0)[1:]
    text = " ".join(words)
    return (_escaped(text) if "e" in flags else text) + ("" if "n" in flags else "\n")


def printf(box: Machine, it: Running) -> str:
    """%s and %d alone, each once."""
    if not it.words:
        raise Fails("usage: printf format [arguments]")
    text, *values = it.words
    for value in values[:50]:
        place = min((p for p in (text.find("%s"), text.find("%d")) if p >= 0), default=-1)
        if place >= 0:
            text = text[:place] + value.replace("%", "\0") + text[place + 2 :]
    return _escaped(text.replace("%s", "").replace("%d", "0").replace("\0", "%"))


def _escaped(text: str) -> str:
    found, place = [], 0
    while place < len(text):
        after = text[place + 1 : place + 2]
        if text[place] == "\\" and after in _ESCAPES and after:
            found.append(_ESCAPES[after])
            place += 2
        else:
            found.append(text[place])
            place += 1
    return "".join(found)


def head(box: Machine, it: Running) -> str:
    return _part(box, it, from_end=False)


def tail(box: Machine, it: Running) -> str:
    return _part(box, it, from_end=True)


def _part(box: Machine, it: Running, *, from_end: bool) -> str:
    words = [f"-n{word[1:]}" if word[:1] == "-" and word[1:].isdecimal() else word for word in it.words]
    chosen = options(words, "q v f", "n lines c")
    given = chosen.get("n", "lines", "c", default="10")
    count = whole(given.lstrip("+-"), "number of lines")
    parts = []
    for _, text in inputs(box, it, chosen.rest):
        lines = list(text) if "c" in chosen.values else text.splitlines(keepends=True)
        if from_end:
            kept = lines[max(count - 1, 0) :] if given.startswith("+") else lines[-count:] if count else []
        else:
            kept = lines[: len(lines) - count] if given.startswith("-") else lines[:count]
        parts.append(_ended("".join(kept)))
    return "".join(parts)


def wc(box: Machine, it: Running) -> str:
    chosen = options(it.words, "l w c m")
    lines = []
    for name, text in inputs(box, it, chosen.rest):
        counts = {"l": text.count("\n") + int(bool(text) and not text.endswith("\n")),
                  "w": len(text.split()), "c": len(text.encode())}  # fmt: skip
        shown = [count for key, count in counts.items() if not chosen.flags or chosen.has(key)]
        lines.append(" ".join([*map(str, shown), name]).rstrip())
    return "".join(f"{line}\n" for line in lines)


def grep(box: Machine, it: Running) -> str:
    chosen = options(
        it.words, "i v c n l L r R E F G w o q s h H a x color ignore-case recursive", "e m A B C include"
    )
    wanted, rest = _script(chosen, "grep [OPTION]... PATTERN [FILE]...")
    pattern = _pattern(it.name, wanted, chosen)
    deep = chosen.has("r", "R", "recursive")
    if deep:
        rest = [name for root in rest or ["."] for name in _files_in(box, root)]
    texts = inputs(box, it, rest) if rest or not deep else []
    is_named = (len(texts) > 1 or deep or chosen.has("H")) and not chosen.has("h")
    lines: list[str] = []
    found = False
    for name, text in texts:
        box.spend(len(text) * len(wanted))
        hits = _hits(text, pattern, inverted=chosen.has("v"))
        found = found or bool(hits)
        lines += _shown(name, hits, pattern, chosen, f"{name}:" if is_named else "")
    it.status = it.status or int(not found)
    return "".join(f"{line}\n" for line in lines)


def _hits(text: str, pattern: Pattern, *, inverted: bool) -> list[tuple[int, str]]:
    """The lines that are meant, each with its number."""
    numbered = enumerate(text.splitlines(), 1)
    return [(number, line) for number, line in numbered if pattern.search(line) != inverted]


def _pattern(name: str, wanted: str, chosen: Options) -> Pattern:
    return Pattern(
        wanted,
        extended=chosen.has("E") or name == "egrep",
        fixed=chosen.has("F") or name == "fgrep",
        ignore_case=chosen.has("i", "ignore-case"),
    )


def _script(chosen: Options, usage: str) -> tuple[str, list[str]]:
    """What -e gives, or else the first word; and the words behind it."""
    if "e" in chosen.values:
        return chosen.get("e"), chosen.rest
    if not chosen.rest:
        raise Fails(f"usage: {usage}")
    return chosen.rest[0], chosen.rest[1:]


def _shown(
    name: str, hits: list[tuple[int, str]], pattern: Pattern, chosen: Options, before: str
) -> list[str]:
    """What grep prints of the hits in one file."""
    if chosen.has("q"):
        return []
    if chosen.has("l"):
        return [name] if hits else []
    if chosen.has("c"):
        return [f"{before}{len(hits)}"]
    if chosen.has("o"):
        return [before + line[span[0] : span[1]] for _, line in hits if (span := pattern.span(line))]
    return [f"{before}{number}:{line}" if chosen.has("n") else before + line for number, line in hits]


def _files_in(box: Machine, root: str) -> list[str]:
    path = box.path(root)
    if path in box.files:
        return [root]
    return [root.rstrip("/") + name[len(path.rstrip("/")) :] for name in box.below(path) if name in box.files]


def sort(box: Machine, it: Running) -> str:
    chosen = options(it.words, "r n u h f", "k t o")
    lines = "".join(_ended(text) for _, text in inputs(box, it, chosen.rest)).splitlines()
    column = chosen.get("k").partition(",")[0].rstrip("nrh")
    place = whole(column, "column", 1_000) - 1 if column else -1

    def key(line: str) -> tuple[float, str]:
        part = line
        if place >= 0:
            parts = line.split(chosen.get("t") or None)
            part = parts[place] if place < len(parts) else ""
        number = part.strip().rstrip("%KMGT") if chosen.has("n", "h") or chosen.get("k").endswith("n") else ""
        try:
            return (float(number) if number and len(number) < 30 else 0.0, part)
        except ValueError:
            return (0.0, part)

    lines.sort(key=key, reverse=chosen.has("r") or "r" in chosen.get("k"))
    if chosen.has("u"):
        lines = list(dict.fromkeys(lines))
    return "".join(f"{line}\n" for line in lines)


def uniq(box: Machine, it: Running) -> str:
    chosen = options(it.words, "c d")
    groups: list[tuple[str, int]] = []
    for line in "".join(text for _, text in inputs(box, it, chosen.rest)).splitlines():
        if groups and groups[-1][0] == line:
            groups[-1] = (line, groups[-1][1] + 1)
        else:
            groups.append((line, 1))
    if chosen.has("d"):
        groups = [group for group in groups if group[1] > 1]
    return "".join(f"{n:>7} {line}\n" if chosen.has("c") else f"{line}\n" for line, n in groups)


def cut(box: Machine, it: Running) -> str:
    chosen = options(it.words, "s", "d f")
    fields = [whole(part, "field", 1_000) for part in chosen.get("f").split(",")[:20]]
    mark = chosen.get("d", default="\t")[:1] or "\t"
    lines = []
    for _, text in inputs(box, it, chosen.rest):
        for line in text.splitlines():
            parts = line.split(mark)
            lines.append(mark.join(parts[n - 1] for n in fields if 0 < n <= len(parts)))
    return "".join(f"{line}\n" for line in lines)


def awk(box: Machine, it: Running) -> str:
    """`{print $1, $2}` with a pattern before it, and no more."""
    chosen = options(it.words, "", "F")
    if not chosen.rest:
        raise Fails("usage: awk 'program' [file]")
    program, *names = chosen.rest
    wanted, columns = _program(program)
    pattern = Pattern(wanted, extended=True)
    lines = []
    for _, text in inputs(box, it, names):
        box.spend(len(text) * (len(wanted) + 1))
        for line in text.splitlines():
            if pattern.search(line):
                parts = [line, *line.split(chosen.get("F") or None)]
                places = [len(parts) - 1 if column == "NF" else int(column) for column in columns]
                lines.append(" ".join(parts[n] if n < len(parts) else "" for n in places))
    return "".join(f"{line}\n" for line in lines)


def _program(text: str) -> tuple[str, list[str]]:
    """The pattern and the columns of a program of awk."""
    before, _, body = (part.strip() for part in text.partition("{"))
    wanted = body.removesuffix("}").strip().removeprefix("print").replace(",", " ").split()[:20]
    columns = [word[1:] for word in wanted]
    is_simple = body.startswith("print") and body.endswith("}") and all(w.startswith("$") for w in wanted)
    is_pattern = not before or (len(before) > 2 and before[0] == before[-1] == "/")
    if not is_simple or not is_pattern or not all(c == "NF" or _is_column(c) for c in columns):
        raise Fails("only '/pattern/ {print $1, $2}' is supported here")
    return before[1:-1], columns or ["0"]


def _is_column(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 4


def sed(box: Machine, it: Running) -> str:
    """`s/a/b/g`, `/a/d`, `3d`, `1,5d`, and `-n '1,5p'`; with -i in the file."""
    chosen = options(it.words, "n i E r", "e")
    script, rest = _script(chosen, "sed [OPTION]... {script} [file]...")
    edit = _Edit(script, extended=chosen.has("E", "r"), silent=chosen.has("n"))
    printed = ""
    for name, text in inputs(box, it, rest):
        box.spend(len(text) * len(script))
        changed = edit.of(text)
        if chosen.has("i") and name:
            box.write(box.path(name), changed)
        else:
            printed += changed
    return printed


class _Edit:
    """One command of sed."""

    def __init__(self, script: str, *, extended: bool, silent: bool) -> None:
        self.silent = silent
        script = script.strip()
        self.low, self.high, self.where = 1, 10**9, None
        if script[:1] == "s" and len(script) > 3 and not script[1].isalnum():
            parts = _split(script[2:], script[1])
            if len(parts) != 3 or set(parts[2]) - set("gI"):
                raise Fails(f"unterminated or unsupported `s' command: {script[:60]}")
            self.verb, self.by, self.everywhere = "s", parts[1].replace("\\/", "/"), "g" in parts[2]
            self.pattern = Pattern(parts[0], extended=extended, ignore_case="I" in parts[2])
            if "&" in self.by or "\\" in self.by:
                raise Fails("& and \\1 are not supported here")
            return
        self.verb, address = script[-1:], script[:-1].strip()
        if self.verb not in ("d", "p"):
            raise Fails(f"unsupported command: {script[:60]}")
        if address.startswith("/") and address.endswith("/") and len(address) > 2:
            self.where = Pattern(address[1:-1], extended=extended)
        else:
            first, _, last = address.partition(",")
            self.low = whole(first, "line")
            self.high = 10**9 if last == "$" else whole(last or first, "line")

    def of(self, text: str) -> str:
        """The edited text."""
        lines: list[str] = []
        size = 0
        for number, line in enumerate(text.splitlines(), 1):
            size += len(lines[-1]) if lines else 0
            if size > MOST_TEXT:
                raise Fails("output too long")
            if self.verb == "s":
                lines.append(self._replaced(line))
                continue
            is_meant = self.where.search(line) if self.where else self.low <= number <= self.high
            if self.verb == "d":
                lines += [] if is_meant else [line]
            else:
                lines += [line] * (int(not self.silent) + int(is_meant))
        return "".join(f"{line}\n" for line in lines)

    def _replaced(self, line: str) -> str:
        found, place = "", 0
        while (span := self.pattern.span(line, place)) is not None and len(found) < 10_000:
            found += line[place : span[0]] + self.by
            place = span[1]
            if span[1] == span[0]:
                found += line[place : place + 1]
                place += 1
            if not self.everywhere or place > len(line):
                break
        return found + line[place:]


def _split(text: str, mark: str) -> list[str]:
    parts, piece, place = [], "", 0
    while place < len(text):
        size = 2 if text[place] == "\\" else 1
        if text[place] == mark:
            parts.append(piece)
            piece = ""
        else:
            piece += text[place : place + size]
        place += size
    return [*parts, piece]


def tee(box: Machine, it: Running) -> str:
    chosen = options(it.words, "a")
    for name in chosen.rest:
        box.write(box.path(name), it.stdin or "", adds=chosen.has("a"))
    return it.stdin or ""


COMMANDS: dict[str, Command] = {
    "cat": cat, "less": cat, "more": cat, "echo": echo, "printf": printf, "head": head, "tail": tail, 
    "wc": wc, "grep": grep, "egrep": grep, "fgrep": grep, "sort": sort, "uniq": uniq, "cut": cut, "awk": awk,
    "sed": sed, "tee": tee,
}  # fmt: skip
