"""The conditions under which each benign prompt is asked."""

from __future__ import annotations

from collections.abc import Mapping

ALONE, UNSAFE, BENIGN, EXPLAINED = "alone", "after-unsafe", "after-benign", "explained"
# Condition -> what was said before, in words.
CONDITIONS: Mapping[str, str] = {
    ALONE: "alone",
    UNSAFE: "after its unsafe twin",
    BENIGN: "after an unrelated benign prompt",
    EXPLAINED: "after an explanation",
}
