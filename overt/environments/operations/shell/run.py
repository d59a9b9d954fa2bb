"""Runs command lines on a machine."""

from __future__ import annotations

from overt.environments.operations.shell.calls import Fails, Running
from overt.environments.operations.shell.commands import COMMANDS
from overt.environments.operations.shell.machine import Machine
from overt.environments.operations.shell.patterns import Glob
from overt.environments.operations.shell.words import NotSupported, Piece, Pipeline, Simple, Word, read_line

MOST_COMMANDS = 100  # of one line, with all that it runs in turn
MOST_DEPTH = 4  # of commands within commands
MOST_PIPED = 100_000  # characters that a command gives
MOST_WORDS = 2_000  # of one command, after its globs
_PREFIXES = frozenset({"sudo", "nohup", "command", "time", "nice", "ionice", "exec", "builtin"})
_OF_SUDO = {"-n": 0, "-E": 0, "-H": 0, "-u": 1}  # its options, and how many words each takes
_STOP = 124


class Shell:
    """A shell on a machine. One per command line: it bounds what that line may do."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.left = MOST_COMMANDS
        self.depth = 0
        self.status = 0

    def run(self, line: str) -> tuple[str, str, int]:
        """Runs a line; what it prints, its errors, its status. What one pipeline prints comes before its
        errors."""
        if self.depth >= MOST_DEPTH:
            return "", "sh: too many commands within commands", 1
        self.depth += 1
        try:
            return self._run(read_line(line))
        except NotSupported as error:
            self.status = 2
            return "", f"sh: {error}", 2
        finally:
            self.depth -= 1

    def _run(self, pipelines: list[Pipeline]) -> tuple[str, str, int]:
        out, errors = [], []
        for pipeline in pipelines:
            if (pipeline.joint == "&&" and self.status) or (pipeline.joint == "||" and not self.status):
                continue
            if self.left <= 0:
                errors.append(f"sh: stopped: a line runs at most {MOST_COMMANDS} commands")
                self.status = _STOP
                break
            printed, said = self._pipeline(pipeline)
            out.append(printed)
            errors += said
        return "".join(out)[:MOST_PIPED], "\n".join(errors), self.status

    def _pipeline(self, pipeline: Pipeline) -> tuple[str, list[str]]:
        piped: str | None = None
        errors: list[str] = []
        for command in pipeline.commands:
            printed, said, self.status = self._simple(command, piped)
            if command.errors == "joined":
                printed += "".join(f"{line}\n" for line in said)
            elif command.errors == "shown":
                errors += said
            if command.out is not None:
                try:
                    self.machine.write(
                        self.machine.path(self._one(command.out)), printed, adds=command.appends
                    )
                except Fails as error:
                    errors.append(f"sh: {error}")
                    self.status = 1
                printed = ""
            piped = printed
        return piped or "", errors

    def _simple(self, command: Simple, piped: str | None) -> tuple[str, list[str], int]:
        try:
            words = [text for word in command.words for text in self._expanded(word)]
            if command.into is not None:
                path = self._one(command.into)
                piped = self.machine.read(self.machine.path(path), path)
        except Fails as error:
            return "", [f"sh: {error}"], 1
        if command.group is not None:
            return self._group(command.group)
        if not words:
            return "", [], 0
        return self.call(words, piped)

    def _group(self, text: str) -> tuple[str, list[str], int]:
        """What stands in round brackets, which changes no folder outside them."""
        folder = self.machine.cwd
        printed, errors, status = self.run(text)
        self.machine.cwd = folder
        return printed, errors.splitlines(), status

    def call(self, words: list[str], stdin: str | None) -> tuple[str, list[str], int]:
        """Runs one command whose words are expanded."""
        self.left -= 1
        if self.left < 0:
            return "", [f"sh: stopped: a line runs at most {MOST_COMMANDS} commands"], _STOP
        words = _bare(words)
        name = words[0].rpartition("/")[2] if words[0].startswith(("/bin/", "/usr/", "/sbin/")) else words[0]
        known = COMMANDS.get(name)
        running = Running(name, words[1:], stdin, self._again, self.run)
        if known is None:
            return self._file(words[0])
        try:
            printed = known(self.machine, running)
        except Fails as error:
            running.complains(str(error))
            printed = ""
        return printed[:MOST_PIPED], running.errors, running.status

    def _file(self, name: str) -> tuple[str, list[str], int]:
        """A script of the machine, run line by line."""
        path = self.machine.path(name)
        if "/" not in name or path not in self.machine.files:
            return "", [f"sh: {name[:80]}: command not found"], 127
        if not any(int(digit, 8) & 1 for digit in self.machine.files[path].mode[-3:]):
            return "", [f"sh: {name}: Permission denied"], 126
        printed, errors, status = self.run(self.machine.files[path].text)
        return printed, errors.splitlines(), status

    def _again(self, words: list[str], stdin: str | None) -> tuple[str, str, int]:
        printed, errors, status = self.call(words, stdin)
        return printed, "\n".join(errors), status

    # -- expansion ----------------------------------------------------------------------------------------

    def _one(self, word: Word) -> str:
        found = self._expanded(word)
        if len(found) != 1:
            raise Fails("ambiguous redirect")
        return found[0]

    def _expanded(self, word: Word) -> list[str]:
        """What a word becomes: variables and commands put in, unquoted ones split, globs matched."""
        texts: list[tuple[str, str, bool]] = [("", "", False)]  # text, as a glob, whether it is one
        for piece in word:
            text, before, was = texts.pop()
            parts = [_as_glob(part, piece.quoted) for part in self._parts(piece)] or [("", "", False)]
            part, glob, is_glob = parts[0]
            texts += [(text + part, before + glob, was or is_glob), *parts[1:]]
        is_kept = any(piece.quoted for piece in word)
        found: list[str] = []
        for text, glob, is_glob in texts:
            if text or is_kept:
                found += (self._matching(glob) or [text]) if is_glob else [text]
        if len(found) > MOST_WORDS:
            raise Fails("argument list too long")
        return found

    def _parts(self, piece: Piece) -> list[str]:
        """The texts of a piece: more than one where it is unquoted and holds blanks."""
        if piece.kind == "text":
            return [piece.text]
        is_variable = piece.kind == "variable"
        value = self._variable(piece.text) if is_variable else self.run(piece.text)[0].rstrip("\n")
        return [value] if piece.quoted else value.split()

    def _variable(self, name: str) -> str:
        machine = self.machine
        known = {"HOME": machine.path("~"), "USER": machine.user, "PWD": machine.cwd, "?": str(self.status)}
        return {**known, "HOSTNAME": machine.host, "$": "9000"}.get(name, "")

    def _matching(self, glob: str) -> list[str]:
        """The paths that fit a glob, step by step; hidden names only where the glob names the dot."""
        absolute = glob.startswith("/")
        parts = [part for part in glob.split("/") if part]
        found = ["/" if absolute else self.machine.cwd]
        inside = self.machine.by_folder()
        for part in parts:
            if part in (".", ".."):
                found = [self.machine.path(f"{folder}/{part}") for folder in found]
                continue
            fits = Glob(part).fits
            self.machine.spend(len(part) * sum(len(inside.get(folder, ())) for folder in found))
            found = [
                self.machine.path(f"{folder}/{name}")
                for folder in found
                for name in inside.get(folder, ())
                if fits(name) and (not name.startswith(".") or part.startswith("."))
            ]
        base = self.machine.cwd.rstrip("/") + "/"
        return found if absolute else [path.removeprefix(base) for path in found]


def _bare(words: list[str]) -> list[str]:
    """A command without what only says how it is run: `sudo -u www kill 1` is `kill 1`."""
    while len(words) > 1 and words[0] in _PREFIXES:
        rest = words[1:]
        while words[0] == "sudo" and len(rest) > 1 and rest[0] in _OF_SUDO:
            rest = rest[1 + _OF_SUDO[rest[0]] :]
        if not rest or rest[0].startswith("-"):
            return words
        words = rest
    return words


def _as_glob(text: str, quoted: bool) -> tuple[str, str, bool]:
    """A part of a word, itself as a glob, and whether it is one."""
    if quoted:
        return text, "".join(f"\\{c}" if c in "*?[\\" else c for c in text), False
    return text, text, any(c in text for c in "*?[")
