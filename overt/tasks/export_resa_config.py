"""The options of `overt export --format resa`."""

from __future__ import annotations

from typing import Annotated

from overt.tasks.config import Config, Option

RESA = "Answer-then-check (resa)"
NO_GUARD = "none"


class ResaConfig(Config):
    """Who does what in the stages of answer-then-check, and what is mixed in."""

    guard: Annotated[
        str | None,
        Option(
            "Who judges prompts and intended answers: a text filter or a chat model; none leaves it out.",
            RESA,
            metavar="filter/NAME|PROVIDER/MODEL|none",
            decides="value",
            completes="probe",
        ),
    ] = None
    analyst: Annotated[
        str | None,
        Option(
            "Chat model that summarises and checks intended answers. Default: that of --answers.",
            RESA,
            metavar="PROVIDER/MODEL",
            decides="value",
            completes="model",
        ),
    ] = None
    intended: Annotated[
        str | None,
        Option(
            "Chat model that outlines what must not be answered. Default: the analyst.",
            RESA,
            metavar="PROVIDER/MODEL",
            decides="value",
            completes="model",
        ),
    ] = None
    safe_completion: Annotated[
        tuple[str, ...],
        Option(
            "Categories of the policy whose unsafe prompts get an answer that helps in another way, such as "
            "self_harm. Repeatable.",
            RESA,
            metavar="CATEGORY",
            decides="value",
        ),
    ] = ()
    plain: Annotated[
        str | None,
        Option(
            "Mix in benign prompts that are answered directly, without the check (the adaptive variant): a "
            "file with answers, or so many of a suite, which --answers answers.",
            RESA,
            metavar="FILE|SUITE:N",
            decides="value",
            is_source=True,
        ),
    ] = None
    subset: Annotated[
        int | None,
        Option(
            "Only so many of the rows to train on, drawn by --seed.",
            RESA,
            metavar="N",
            min=1,
            decides="value",
        ),
    ] = None
