"""Reads a command line: words with their quotes, pipes, redirections, `;`, `&&` and `||`.

What is not supported (loops, functions, here-documents, arithmetic) is told as such: nothing is guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

MOST = 4_000  # characters of a command line
_OPERATORS = ("&&", "||", "2>&1", "2>>", "2>", "&>", ">>", "<<", ">", "<", "|", ";", "&", "\n")
_KEYWORDS = frozenset(
    (
        *("if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case", "esac"),
        *("function", "select", "{", "}", "(", ")", "[[", "!"),
    )
)
_BREAKS = frozenset(" \t\n;&|<>()")
_BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")
_MOST_ALTERNATIVES = 100  # of one word
_BACKSLASH = "\\"

Joint = Literal[";", "&&", "||"]


class NotSupported(ValueError):
    """A command line cannot be read; the text says why, as a shell would."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a word. kind: "text", "variable" or "command" (a `$(...)`); quoted: nothing in it is a glob
    and nothing is split."""

    kind: Literal["text", "variable", "command"]
    text: str
    quoted: bool


Word = tuple[Piece, ...]


@dataclass(slots=True)
class Simple:
    """One command. Targets of redirections: `out` (with `appends`), `into` is what is read. group: what
    stands between round brackets, which has no words of its own."""

    words: list[Word] = field(default_factory=list)
    out: Word | None = None
    appends: bool = False
    into: Word | None = None
    group: str | None = None
    errors: Literal["shown", "dropped", "joined"] = "shown"


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Commands joined by pipes, and how it hangs on what is before it."""

    joint: Joint
    commands: tuple[Simple, ...]


def read_line(text: str) -> list[Pipeline]:
    """Reads a command line.

    Raises:
        NotSupported: it is too long, a quote is open, or it holds what this shell does not know.
    """
    if len(text) > MOST:
        raise NotSupported(f"a command has at most {MOST} characters")
    return _Reader(text).pipelines()


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.place = 0

    def pipelines(self) -> list[Pipeline]:
        found: list[Pipeline] = []
        joint: Joint = ";"
        commands = [Simple()]
        while True:
            self._skip_blanks()
            operator = self._operator()
            if operator is None and self.place < len(self.text):
                self._part(commands[-1])
                continue
            if operator == "|":
                self._check(commands[-1], "|")
                commands.append(Simple())
            elif operator in (None, ";", "&&", "||", "&", "\n"):
                if any(each.words or each.out or each.group for each in commands):
                    self._check(commands[-1], operator or "newline")
                    found.append(Pipeline(joint, tuple(commands)))
                elif operator in ("&&", "||"):
                    raise NotSupported(f"syntax error near unexpected token `{operator}'")
                if operator is None:
                    return found
                joint = operator if operator in ("&&", "||") else ";"  # type: ignore[assignment]
                commands = [Simple()]
            else:
                self._redirect(commands[-1], operator)

    def _check(self, command: Simple, before: str) -> None:
        if not command.words and command.out is None and command.group is None:
            raise NotSupported(f"syntax error near unexpected token `{before}'")

    def _part(self, command: Simple) -> None:
        """A word of a command, or the group that it is."""
        mark = self.text[self.place]
        if mark == "(" and not command.words and command.group is None:
            command.group = self._in_brackets(self.place)
        elif mark in "()" or command.group is not None:
            raise NotSupported(f"syntax error near unexpected token `{mark}'")
        else:
            self._add(command, self._word())

    def _add(self, command: Simple, word: Word) -> None:
        first = word[0] if len(word) == 1 else None
        if not command.words and first and not first.quoted and first.text in _KEYWORDS:
            raise NotSupported(f"`{first.text}' is not supported by this shell: use simple commands")
        command.words += _alternatives(word)

    def _redirect(self, command: Simple, operator: str) -> None:
        if operator == "2>&1":
            command.errors = "joined"
            return
        if operator == "<<":
            raise NotSupported("here-documents are not supported by this shell: use printf")
        self._skip_blanks()
        if self.place >= len(self.text) or self.text[self.place] in _BREAKS:
            raise NotSupported("syntax error: a redirection without a file")
        target = self._word()
        if operator.startswith("2>"):
            command.errors = "dropped"
        elif operator == "<":
            command.into = target
        else:
            command.out, command.appends = target, operator == ">>"
            command.errors = "joined" if operator == "&>" else command.errors

    def _skip_blanks(self) -> None:
        text = self.text
        while self.place < len(text):
            if text[self.place] in " \t\r":
                self.place += 1
            elif text.startswith("\\\n", self.place):
                self.place += 2
            elif text[self.place] == "#" and (self.place == 0 or text[self.place - 1] in " \t\n;"):
                end = text.find("\n", self.place)
                self.place = end if end >= 0 else len(text)
            else:
                return

    def _operator(self) -> str | None:
        for operator in _OPERATORS:
            if self.text.startswith(operator, self.place):
                self.place += len(operator)
                return operator
        return None

    # -- words --------------------------------------------------------------------------------------------

    def _word(self) -> Word:
        pieces: list[Piece] = []
        text = self.text
        while self.place < len(text) and text[self.place] not in _BREAKS:
            char = text[self.place]
            if char == "'":
                pieces.append(Piece("text", self._until("'"), True))
            elif char == '"':
                self.place += 1
                pieces += self._double()
            elif char == "$":
                pieces.append(self._dollar(quoted=False))
            elif char == "`":
                pieces.append(Piece("command", self._until("`"), False))
            elif char == _BACKSLASH:
                pieces.append(Piece("text", text[self.place + 1 : self.place + 2], True))
                self.place += 2
            else:
                pieces.append(Piece("text", char, False))
                self.place += 1
        return _joined(pieces)

    def _until(self, mark: str) -> str:
        end = self.text.find(mark, self.place + 1)
        if end < 0:
            raise NotSupported(f"unexpected end of the line: looking for {mark}")
        found = self.text[self.place + 1 : end]
        self.place = end + 1
        return found

    def _double(self) -> list[Piece]:
        pieces = [Piece("text", "", True)]
        text = self.text
        while self.place < len(text):
            char = text[self.place]
            if char == '"':
                self.place += 1
                return pieces
            if char == "$":
                pieces.append(self._dollar(quoted=True))
            elif char == "`":
                pieces.append(Piece("command", self._until("`"), True))
            else:
                if char == _BACKSLASH and text[self.place + 1 : self.place + 2] in tuple('"\\$`'):
                    self.place += 1
                pieces.append(Piece("text", text[self.place], True))
                self.place += 1
        raise NotSupported('unexpected end of the line: looking for "')

    def _dollar(self, *, quoted: bool) -> Piece:
        text, begin = self.text, self.place + 1
        if text.startswith("((", begin):
            raise NotSupported("arithmetic is not supported by this shell")
        if text.startswith("(", begin):
            return Piece("command", self._in_brackets(begin), quoted)
        braced = text.startswith("{", begin)
        begin += int(braced)
        end = begin
        while end < len(text) and (text[end].isalnum() or text[end] == "_"):
            end += 1
        if end == begin and text[begin : begin + 1] in ("?", "$", "!"):
            end += 1
        if braced and text[end : end + 1] != "}":
            raise NotSupported("only ${NAME} is supported by this shell")
        self.place = end + int(braced)
        return Piece("variable", text[begin:end], quoted) if end > begin else Piece("text", "$", True)

    def _in_brackets(self, begin: int) -> str:
        depth, quote = 0, ""
        for place in range(begin, len(self.text)):
            char = self.text[place]
            if quote:
                quote = "" if char == quote else quote
            elif char in "'\"":
                quote = char
            elif char in "()":
                depth += 1 if char == "(" else -1
                if depth == 0:
                    self.place = place + 1
                    return self.text[begin + 1 : place]
        raise NotSupported("unexpected end of the line: looking for )")


def _alternatives(word: Word) -> list[Word]:
    """The words that a word with {one,other} stands for, as in Bash; itself where it has none."""
    todo, found = [word], []
    while todo:
        each = todo.pop(0)
        for place, piece in enumerate(each):
            braces = None if piece.quoted or piece.kind != "text" else _BRACES.search(piece.text)
            if braces is not None:
                before, after = piece.text[: braces.start()], piece.text[braces.end() :]
                texts = [before + one + after for one in braces[1].split(",")]
                todo[:0] = [(*each[:place], Piece("text", text, False), *each[place + 1 :]) for text in texts]
                break
        else:
            found.append(each)
        if len(todo) + len(found) > _MOST_ALTERNATIVES:
            raise NotSupported("too many alternatives in {}")
    return found


def _joined(pieces: list[Piece]) -> Word:
    """The pieces of a word, those of one kind joined."""
    found: list[Piece] = []
    for piece in pieces:
        last = found[-1] if found else None
        if last and piece.kind == last.kind == "text" and piece.quoted == last.quoted:
            found[-1] = Piece("text", last.text + piece.text, last.quoted)
        else:
            found.append(piece)
    return tuple(found)
