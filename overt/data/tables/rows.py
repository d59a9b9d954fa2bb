"""A row of a table, whatever file it came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from overt.data.tables.layouts import Kind


class Unread(NamedTuple):
    """A column that is not read: the kind of its values, and its type as Arrow writes it."""

    kind: Kind
    type: str


class Row(NamedTuple):
    """One record of a table.

    `number` counts from 1; `where` is its place for errors; `values` are by column. `unread` has the columns
    that are not read (lists, objects and bytes in Parquet).
    """

    number: int
    where: str
    values: dict[str, object]
    unread: Mapping[str, Unread] = {}
