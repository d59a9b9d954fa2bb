"""Providers' own words for "no": which codes are refusals, and of which stage. Data: codes.yaml."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import cast

import yaml

from overt.data.targets import RefusalStage


@lru_cache(maxsize=1)
def _table() -> dict[str, dict[str, RefusalStage]]:
    text = (resources.files("overt.data") / "codes.yaml").read_text("utf-8")
    return {
        provider: {
            str(code).casefold(): cast("RefusalStage", stage)
            for stage, codes in stages.items()
            for code in codes
        }
        for provider, stages in yaml.safe_load(text).items()
    }


def refusal_stage(provider: str, code: str) -> RefusalStage | None:
    """The stage at which this provider's `code` refuses; None where the code is no refusal.

    `provider` is what stands before the slash of a target's name. An unknown provider (a vendor's own
    class) is looked up among all providers' codes, since gateways copy them.
    """
    code = code.strip().casefold()
    table = _table()
    if provider in table:
        return table[provider].get(code)
    return next((codes[code] for codes in table.values() if code in codes), None)
