"""Where things stand: the checkout, and the reference data that is not part of it."""

from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent


def reference(*parts: str) -> Path | None:
    """A file or folder of the reference data beside the checkout; None where it is absent."""
    return next(
        (found for up in ROOT.parents if (found := up.joinpath("shared", "reference", *parts)).exists()), None
    )
