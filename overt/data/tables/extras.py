"""What a row carries beside its text: a picture, and what was said before.

A picture stands in a table as the Hub stores it (`{"bytes": ..., "path": ...}`, or as `datasets` opens it),
as bytes, as a data: address, or as the name of a file beside the table. Nothing is fetched from an address.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from overt.data.errors import InputError
from overt.data.pictures import MAX_BYTES, UnreadablePicture, measure
from overt.data.records import Prompt, Turn, content_id, prompt_id
from overt.data.run.images import reference_of
from overt.data.tables.columns import Column, Role
from overt.data.tables.files import Row
from overt.data.tables.layouts import kind_of

PICTURE = Role("input picture", ("input_image", "input_picture", "source_image"), frozenset({"image bytes"}))
TURNS = Role("earlier turns", ("turns", "earlier_turns"), frozenset({"chat messages", "list"}))

_SPEAKERS: dict[str, Literal["user", "assistant"]] = {
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
}


def picture_in(column: Column, row: Row, beside: Path | None) -> bytes | None:
    """The encoded picture in a column of a row; None if there is none.

    Args:
        beside: the folder in which names of files are looked up; None: there is none.

    Raises:
        InputError: it is no picture, a file that is missing or leads out of the folder, or an address.
    """
    value = column.value(row)
    where = f"{row.where}, column {str(column)!r}"
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    if value is None or value == "":
        return None
    if hasattr(value, "getpixel"):
        data = _encoded(value)
    elif isinstance(value, (bytes, bytearray)):
        data = bytes(value)
    elif isinstance(value, str):
        data = _named(value.strip(), beside, where)
    else:
        raise InputError(f"this is a {type(value).__name__}, no picture", where=where)
    return _checked(data, where)


def _checked(data: bytes, where: str) -> bytes:
    try:
        measure(data)
    except UnreadablePicture as error:
        raise InputError(f"this picture cannot be read: {error}", where=where) from error
    return data


def _encoded(picture: object) -> bytes:
    """A picture that `datasets` has opened, as PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    assert isinstance(picture, Image.Image)
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _named(value: str, beside: Path | None, where: str) -> bytes:
    if value[:5].lower() == "data:":
        try:
            return base64.b64decode(value.partition(",")[2], validate=True)
        except (binascii.Error, ValueError) as error:
            raise InputError("this data: address is not base64", where=where) from error
    if "://" in value:
        raise InputError(
            "this is an address, and pictures are not fetched while a table is read",
            where=where,
            fix="Download the pictures, and write the names of their files.",
        )
    if beside is None:
        raise InputError(
            f"this names a file ({value[:60]!r}), and there is no folder to look in",
            where=where,
            fix="Download the data set, and give its file.",
        )
    path = (beside / value).resolve()
    if not path.is_relative_to(beside.resolve()):
        raise InputError(
            f"{value[:60]!r} leads out of the folder of the table",
            where=where,
            fix="Put the pictures beside the table.",
        )
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise InputError(
            f"the picture {value[:60]!r} cannot be read: {getattr(error, 'strerror', None) or error}",
            where=where,
        ) from error
    if len(data) > MAX_BYTES:
        raise InputError(f"the picture is larger than {MAX_BYTES >> 20} MiB", where=where)
    return data


@dataclass(frozen=True, slots=True)
class Extras:
    """What goes with a prompt: the encoded picture, its name in every run (`Prompt.image`), and the earlier
    turns; None for what there is not."""

    picture: bytes | None
    image: str | None
    turns: tuple[Turn, ...] | None


def extras_in(
    picture: Column, turns: Column, row: Row, beside: Path | None, earlier: tuple[Turn, ...] = ()
) -> Extras:
    """What a row carries in these columns.

    Args:
        earlier: turns that stand before its text, where they are in no column of their own.

    Raises:
        InputError: as `picture_in` and `turns_in`.
    """
    data = picture_in(picture, row, beside)
    return Extras(data, reference_of(data) if data else None, turns_in(turns, row) or earlier or None)


def turns_in(column: Column, row: Row) -> tuple[Turn, ...]:
    """What was said before, in a column of a row: chat messages, texts (the user's first, then in turn), or
    either as JSON; () if there is nothing.

    Raises:
        InputError: a turn has no text, or nobody known has said it.
    """
    value = column.value(row)
    where = f"{row.where}, column {str(column)!r}"
    if isinstance(value, str) and value.lstrip()[:1] == "[":
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise InputError("these turns are not valid JSON", where=where) from error
    if value is None or value == "":
        return ()
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise InputError(
            f"these are no turns ({str(value)[:40]!r})",
            where=where,
            fix='Write a list such as [{"role": "user", "content": "..."}, {"role": "assistant", ...}].',
        )
    return tuple(_turn(item, n, where) for n, item in enumerate(value))


def last_turn(column: Column, row: Row) -> tuple[Row, tuple[Turn, ...]]:
    """The row with the last message of a conversation as its text, and the turns before it. A row whose
    column holds anything else, or a conversation that a user does not end, stays as it is.

    Raises:
        InputError: as `turns_in`.
    """
    value = column.value(row)
    if column.inner or kind_of(value) != "chat messages" or not isinstance(value, Sequence) or len(value) < 2:
        return row, ()
    where = f"{row.where}, column {str(column)!r}"
    *earlier, last = (_turn(item, number, where) for number, item in enumerate(value))
    if last.role != "user":
        return row, ()
    return row._replace(values={**row.values, column.name: last.content}), tuple(earlier)


def _turn(item: object, number: int, where: str) -> Turn:
    if isinstance(item, str):
        return Turn("user" if number % 2 == 0 else "assistant", item)
    said = by = None
    if isinstance(item, Mapping):
        said, by = item.get("content", item.get("value")), item.get("role", item.get("from"))
    role = _SPEAKERS.get(by.casefold()) if isinstance(by, str) else None
    if not isinstance(said, str) or role is None:
        raise InputError(
            f"turn {number + 1} is not a text of a user or an assistant ({str(item)[:60]!r})", where=where
        )
    return Turn(role, said)


# -- pictures of the user's own for prompts that carry none --------------------------------------------------


_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"})


def picture_files(specs: Iterable[str]) -> list[Path]:
    """The files of pictures that are named, or lie in the folders that are named, sorted in each.

    Raises:
        InputError: one does not exist, or a folder holds no picture.
    """
    found: list[Path] = []
    for spec in specs:
        path = Path(spec).expanduser()
        files = (
            sorted(p for p in path.rglob("*") if p.suffix.lower() in _ENDINGS) if path.is_dir() else [path]
        )
        if not files:
            raise InputError(
                "there is no picture in this folder",
                where=spec,
                fix=f"A picture's name ends in {', '.join(sorted(_ENDINGS))}.",
            )
        if not path.exists():
            raise InputError("there is no such picture", where=spec, fix="Look at the path.")
        found += files
    return found


def read_pictures(specs: Iterable[str]) -> dict[str, bytes]:
    """The pictures of `picture_files` by the name that each gets in every run.

    Raises:
        InputError: as `picture_files`, or one is no picture that can be read.
    """
    found: dict[str, bytes] = {}
    for path in picture_files(specs):
        data = _named(path.name, path.parent, str(path))
        found[reference_of(data)] = _checked(data, str(path))
    return found


def illustrated(prompts: Iterable[Prompt], pictures: Sequence[str]) -> list[Prompt]:
    """The prompts with a picture each: their own, or else one of `pictures`.

    Which one depends on the pair alone, so that a prompt, its twin and its versions get the same, and all
    that differs between their answers is the text. What is asked is another thing, so ids are new.
    """
    if not pictures:
        return list(prompts)
    found: list[Prompt] = []
    named: dict[str, str] = {}
    for prompt in prompts:
        if prompt.image is None:
            of = prompt.pair_id or prompt.variant_of or prompt.id
            image = min(pictures, key=lambda name: content_id("picture", of, name))
            identity = prompt_id(prompt.text, image, prompt.turns)
            named[prompt.id] = identity
            prompt = replace(prompt, id=identity, image=image)
        found.append(prompt)
    return [
        replace(p, variant_of=named.get(p.variant_of, p.variant_of)) if p.variant_of else p for p in found
    ]
