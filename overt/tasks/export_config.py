"""The configuration of `overt export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from overt.data.errors import InputError
from overt.data.prompts import Side
from overt.data.suites.load import load_suite, settled_name
from overt.tasks.config import CALLS, RUN, ModelConfig, Option, OutputConfig, Resume, TrustAddresses
from overt.tasks.export_resa_config import ResaConfig

_DATA = "What goes out"
TRAINING = "Training data (sft, refusal-tokens, resa)"

# What the answers of training data come from, beside a chat model's name.
OWN = ""  # the answers that stand in the data set
TEMPLATES = "templates"  # fixed sentences

HARNESS_FORMATS = ("lm-eval", "promptfoo")
TRAINING_FORMATS = ("sft", "refusal-tokens", "resa")
FORMAT_NAMES = (*HARNESS_FORMATS, *TRAINING_FORMATS)
# Options that belong to some formats alone. Those about calls and those of `TRAINING` are for training data.
_BELONGS = {
    "name": HARNESS_FORMATS,
    "tokens": ("refusal-tokens",),
    "resume": TRAINING_FORMATS,
    **dict.fromkeys(vars(ResaConfig)["__annotations__"], ("resa",)),
}


class ExportConfig(ResaConfig, ModelConfig, OutputConfig):
    kind: ClassVar[str] = "export"
    roles: ClassVar[frozenset[str]] = frozenset({"model", "judge", "guard", "analyst", "intended"})

    dataset: Annotated[
        tuple[str, ...],
        Option(
            "Runs of `overt generate` or `overt run`, CSV/JSONL/Parquet files (FILE:COLUMN), or Hub ids.",
            metavar="RUN|DATASET...",
            decides="value",
            is_argument=True,
            is_source=True,
        ),
    ] = ()
    format: Annotated[
        str,
        Option(
            f"What the files are for: {', '.join(FORMAT_NAMES[:-1])} or {FORMAT_NAMES[-1]}.",
            metavar="FORMAT",
            decides="value",
            completes="export format",
        ),
    ] = ""
    out: Annotated[
        Path | None,
        Option("Folder to write. Default for training data: runs/FORMAT-HASH.", metavar="FOLDER"),
    ] = None
    name: Annotated[
        str, Option("What the export is called within the harness. Default: from suite or data set.", _DATA)
    ] = ""
    suite: Annotated[
        str | None,
        Option(
            "A published suite (overt suites list), or a YAML of your own; DATASET is then its files.",
            _DATA,
            decides="value",
            is_source=True,
            completes="suite",
        ),
    ] = None
    label: Annotated[
        Side | None,
        Option(
            "What the prompts are, where the file does not say it.",
            _DATA,
            metavar="benign|unsafe",
            decides="value",
        ),
    ] = None
    category: Annotated[
        tuple[str, ...], Option("Only these categories. Repeatable.", _DATA, decides="value")
    ] = ()
    limit: Annotated[
        int | None,
        Option(
            "At most so many prompts of each label, evenly over the categories.",
            _DATA,
            min=1,
            decides="value",
        ),
    ] = None
    judge: Annotated[
        str | None,
        Option(
            "Who tells refusals in words: judge/rules, or module:Class of your own; for training data also "
            "judge/PROVIDER/MODEL. Default: the suite's own, else judge/rules.",
            _DATA,
            decides="value",
            completes="judge",
        ),
    ] = None
    license: Annotated[
        str, Option("Licence of the prompts, for the README.", _DATA, metavar="ID", decides="value")
    ] = ""
    answers: Annotated[
        str,
        Option(
            "Who answers: a chat model (PROVIDER/MODEL), or templates for fixed sentences. Default: the "
            "answers of the run of `overt run`, or of the file's column, that DATASET names.",
            TRAINING,
            metavar="PROVIDER/MODEL|templates",
            decides="value",
            completes="model",
        ),
    ] = OWN
    of: Annotated[
        str | None,
        Option(
            "The target whose answers are taken, of a run with several.",
            TRAINING,
            metavar="TARGET",
            decides="value",
        ),
    ] = None
    tokens: Annotated[
        Literal["single", "category", "coconot"],
        Option(
            "One refuse token, one for each category with refusals, or the published five of CoCoNot.",
            TRAINING,
            metavar="single|category|coconot",
            decides="value",
        ),
    ] = "single"
    split: Annotated[
        str,
        Option(
            "Shares of train, validation and test. Seeds, pairs and types are never divided.",
            TRAINING,
            metavar="A/B/C",
            decides="value",
        ),
    ] = "0.8/0.1/0.1"
    seed: Annotated[int, Option("Seed of the splits and of every draw.", TRAINING, decides="value")] = 0
    templates: Annotated[
        Path | None,
        Option("Folder with your own answer_plain.yaml and others.", TRAINING, decides="content"),
    ] = None
    device: Annotated[str | None, Option("Device of local models.", CALLS)] = None
    trust_addresses: TrustAddresses = False
    resume: Resume = None
    as_json: Annotated[bool, Option("Print what was written as JSON.", RUN, flag="--json")] = False

    @property
    def model(self) -> str | None:
        """The chat model that answers."""
        return None if self.answers in (OWN, TEMPLATES) else self.answers

    def settled(self) -> ExportConfig:
        judge = self.judge or (load_suite(self.suite).judge if self.suite else "judge/rules")
        return self.model_copy(update={"judge": judge, "suite": self.suite and settled_name(self.suite)})

    def check_options(self) -> None:
        """Checks that every option that was given belongs to the format.

        Raises:
            InputError: there is no such format, or an option is of another one.
        """
        if self.format not in FORMAT_NAMES:
            what = f"there is no format {self.format!r}" if self.format else "no format was named"
            raise InputError(what, fix=f"Give --format with one of: {', '.join(FORMAT_NAMES)}")
        fields = self.fields()
        for name in sorted(self.model_fields_set):
            field = fields.get(name)
            if field is None or field.is_default(getattr(self, name)):
                continue
            is_of_training = field.option.panel in (CALLS, TRAINING)
            owners = _BELONGS.get(name, TRAINING_FORMATS if is_of_training else FORMAT_NAMES)
            if self.format not in owners:
                raise InputError(
                    f"{field.flag} does not go with --format {self.format}: it belongs to "
                    f"{' and '.join(owners)}",
                    fix=f"Leave out {field.flag}.",
                )
