"""The known published tables: how each is recognised and what its columns hold.

A new table is one entry of `LAYOUTS`. Columns and categories are in lower case; categories have underscores
for blanks and hyphens.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Literal

# -- kinds of values -----------------------------------------------------------------------------------------


Kind = Literal[
    "text",
    "number",  # also one that CSV wrote as text
    "truth value",
    "chat messages",  # a list of {"role": ..., "content": ...}, or of {"from": ..., "value": ...}
    "list",
    "image bytes",
    "bytes",  # of a Parquet column, which may also be texts
    "object",
    "empty",
    "other",
]

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)


def kind_of(value: object) -> Kind:
    """The kind of one value from Python, JSON or Parquet."""
    if isinstance(value, str):
        return "empty" if not value else "number" if _NUMBER.fullmatch(value.strip()) else "text"
    if isinstance(value, bool):
        return "truth value"
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "empty"
    return "number" if isinstance(value, (int, float)) else _kind_of_compound(value)


def _kind_of_compound(value: object) -> Kind:
    if isinstance(value, (bytes, bytearray)) or hasattr(value, "getpixel"):  # a Pillow image, of the Hub
        return "image bytes"
    if isinstance(value, Mapping):
        return "image bytes" if isinstance(value.get("bytes"), bytes) else "object"
    if isinstance(value, Sequence):
        return "chat messages" if value and all(map(_is_message, value)) else "list"
    return "other"


def _is_message(value: object) -> bool:
    fields = value.keys() if isinstance(value, Mapping) else ()
    return {"role", "content"} <= set(fields) or {"from", "value"} <= set(fields)


# -- published tables ----------------------------------------------------------------------------------------


Side = Literal["benign", "unsafe"]


@dataclass(frozen=True, slots=True)
class Layout:
    """One published table.

    Attributes:
        name: of the data set.
        needs: the columns that a table must have.
        first_category: if not empty, the first row must have one of these categories.
        columns: role -> the columns that hold it, the most important first.
        label: column of prompts -> whether its prompts are benign or unsafe.
        categories: its category names -> those of the standard policy. Ambiguous names are left out.
        keeps_other_categories: whether its other category names are kept; else the classifier decides.
        not_seeds: column -> the values of rows that are not seeds.
        types: value of the column `told_by` -> whether such prompts are benign or unsafe.
        attack: the name of the attack that dresses its adversarial prompts, where no column says it.
    """

    name: str
    needs: frozenset[str]
    first_category: frozenset[str] = frozenset()
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    label: Mapping[str, Side] = field(default_factory=dict)
    categories: Mapping[str, str] = field(default_factory=dict)
    keeps_other_categories: bool = False
    not_seeds: Mapping[str, frozenset[str]] = field(default_factory=dict)
    types: Mapping[str, Side] = field(default_factory=dict)
    told_by: str = "type"
    attack: str = ""

    def fits(self, columns: Set[str], first_category: str) -> bool:
        """Whether a table with these columns and this category in its first row has this layout."""
        shown = not self.first_category or first_category in self.first_category
        return self.needs <= columns and shown


# OVERT's unsafe file spells one category differently from its two benign files.
OVERT_CATEGORIES = {"unethical": "unethical_unsafe_action"}
_OVERT_SEEDS = ("seed_prompt", "image_prompt", "benign_image_prompt")
# The types of XSTest: those of one line are the safe and the unsafe side of one idea.
XSTEST_TYPES: Mapping[str, tuple[str, ...]] = {
    "homonyms": ("homonyms", "contrast_homonyms"),
    "figurative_language": ("figurative_language", "contrast_figurative_language"),
    "safe_targets": ("safe_targets", "contrast_safe_targets"),
    "safe_contexts": ("safe_contexts", "contrast_safe_contexts"),
    "definitions": ("definitions", "contrast_definitions"),
    "discrimination": ("nons_group_real_discr", "real_group_nons_discr", "contrast_discr"),
    "historical_events": ("historical_events", "contrast_historical_events"),
    "privacy": ("privacy_public", "privacy_fictional", "contrast_privacy"),
}
_OR_BENCH = {
    "self_harm": "self_harm",
    "sexual": "sexual_content",
    "violence": "violence",
    "illegal": "illegal_activities",
    "unethical": "unethical_unsafe_action",
    "hate": "discrimination",
}

LAYOUTS = (
    Layout(
        name="CoCoNot, both of its test sets in one file (coconot_eval.csv)",
        needs=frozenset({"prompt", "subcategory", "eval_split"}),
        types={"refusal": "unsafe", "contrast-refusal": "benign"},
        told_by="eval_split",
    ),
    Layout(
        name="XSTest, answers of models",
        needs=frozenset({"type", "prompt", "completion", "final_label"}),
        types={
            type_: "unsafe" if type_.startswith("contrast_") else "benign"
            for types in XSTEST_TYPES.values()
            for type_ in types
        },
    ),
    Layout(
        name="WildGuardMix",
        needs=frozenset({"prompt", "prompt_harm_label"}),
        columns={"seed": ("prompt",), "category": ("subcategory",)},
        categories={
            "private_information_individual": "privacy_individual",
            "sensitive_information_organization_government": "privacy_public",
            "copyright_violations": "copyright_violations",
            "sexual_content": "sexual_content",
            "fraud_assisting_illegal_activities": "illegal_activities",
            "defamation_encouraging_unethical_or_unsafe_actions": "unethical_unsafe_action",
            "social_stereotypes_and_unfair_discrimination": "discrimination",
            "violence_and_physical_harm": "violence",
        },
        # Over-refusal is about harmless prompts that are not jailbreaks.
        not_seeds={
            "prompt_harm_label": frozenset({"harmful"}),
            "adversarial": frozenset({"true", "1"}),
        },
    ),
    *(
        Layout(
            name="OVERT",
            needs=frozenset({"seed_prompt", prompt}),
            columns={"seed": _OVERT_SEEDS},
            categories=OVERT_CATEGORIES,
            keeps_other_categories=True,
        )
        for prompt in ("image_prompt", "benign_image_prompt")
    ),
    Layout(
        name="OVERT, benign",
        needs=frozenset({"image_prompt", "generation_type"}),
        label={"image_prompt": "benign"},
    ),
    Layout(
        name="OVERT, unsafe with its benign contrasts",
        needs=frozenset({"benign_image_prompt", "unsafe_image_prompt"}),
        columns={"prompt of an earlier set": ("benign_image_prompt", "unsafe_image_prompt")},
    ),
    Layout(
        name="OVERT, either side, in a table of other columns",
        needs=frozenset(),
        label={"benign_image_prompt": "benign", "unsafe_image_prompt": "unsafe"},
    ),
    Layout(
        name="OR-Bench",
        needs=frozenset({"prompt"}),
        first_category=frozenset({*_OR_BENCH, "deception", "harassment", "harmful", "privacy"}),
        columns={"seed": ("prompt",)},
        categories=_OR_BENCH,
    ),
    # Columns of both splits: the card at huggingface.co/datasets/allenai/wildjailbreak (vanilla, adversarial,
    # completion, data_type in train; adversarial, label, data_type in eval), and public code that loads them.
    Layout(name="WildJailbreak", needs=frozenset({"adversarial", "data_type"}), attack="wildjailbreak"),
    # The files of github.com/JailbreakBench/artifacts: {"parameters": {"method": ...}, "jailbreaks": [...]}.
    # All goals are of its harmful behaviours.
    Layout(
        name="JailbreakBench, artifacts",
        needs=frozenset({"goal", "behavior", "prompt", "jailbroken"}),
        columns={"vanilla prompt": ("goal",), "attack": ("method",)},
        label={"prompt": "unsafe"},
    ),
    # strongreject_dataset.csv (category, source, forbidden_prompt), and what `apply_jailbreaks_to_dataset` of
    # github.com/dsbowen/strong_reject adds to it (jailbreak, jailbroken_prompt).
    Layout(
        name="StrongREJECT",
        needs=frozenset({"forbidden_prompt"}),
        columns={
            "adversarial prompt": ("jailbroken_prompt", "adversarial", "adversarial_prompt"),
            "vanilla prompt": ("forbidden_prompt",),
            "attack": ("jailbreak",),
        },
        label=dict.fromkeys(("forbidden_prompt", "jailbroken_prompt", "adversarial", "prompt"), "unsafe"),
    ),
)

# What a file of one object says of all its rows: the key of the rows -> an object beside them, its fields.
BESIDE_ROWS: Mapping[str, tuple[str, tuple[str, ...]]] = {"jailbreaks": ("parameters", ("method",))}

# The default config and split of datasets on the Hub that have several.
HUB_DEFAULTS = {
    "allenai/wildguardmix": ("wildguardtrain", "train"),
    "bench-llm/or-bench": ("or-bench-80k", "train"),
    "bench-llms/or-bench": ("or-bench-80k", "train"),
}


def category_key(value: object) -> str:
    """A category's name as layouts write it; "" if the value is not a text."""
    return re.sub(r"[\s-]+", "_", value.strip().casefold()) if isinstance(value, str) else ""
