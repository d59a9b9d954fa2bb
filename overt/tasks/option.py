"""What a field of a command's configuration says of its option."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

# How an option affects the results of a run ("": not at all):
#   value    its value is in run.json and part of the run's identity
#   content  it names a file: run.json holds the name, the identity the content
#   policy   it shapes the effective policy, which is stored in the run folder
Decides = Literal["", "value", "content", "policy"]
# What the shell proposes as its value: the names of one kind (overt.cli.completion has them).
Completes = Literal[
    "", "auditor", "checker", "export format", "filter", "harm judge", "judge", "model", "policy", "probe",
    "recipe", "rewriter", "scorer", "suite", "suite of any kind", "target",
]  # fmt: skip
# Whether an option that names a file takes its text or its lines as its value.
Reads = Literal["", "text", "lines"]


@dataclass(frozen=True)
class Option:
    """One field of a configuration, beside its type and its default.

    Args:
        help: its text in the command's help.
        panel: its heading in the help.
        flag: "--name" or "--name/-n" if it differs from the field's name.
        metavar: placeholder of its value in the help.
        min, max: bounds, both inclusive.
        decides: see `Decides`.
        reads: the user names a file whose content is the value; see `Reads`.
        is_argument: it is given by its position, without a flag.
        shown_default: the default in the help, if it differs from the field's.
        is_source: the value names files or Hub ids; folders are left out where it is published.
        completes: see `Completes`.
    """

    help: str = ""
    panel: str = ""
    flag: str = ""
    metavar: str | None = None
    min: float | None = None
    max: float | None = None
    decides: Decides = ""
    reads: Reads = ""
    is_argument: bool = False
    shown_default: str = ""
    is_source: bool = False
    completes: Completes = ""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        if self.min is None and self.max is None:
            return schema
        return core_schema.no_info_after_validator_function(self._bounded, schema)

    def _bounded(self, value: float | None) -> float | None:
        if value is not None and self.min is not None and not value >= self.min:  # so that NaN is told
            raise ValueError(f"must be at least {self.min:g}")
        if value is not None and self.max is not None and not value <= self.max:
            raise ValueError(f"must be at most {self.max:g}")
        return value
