"""Calls to models: journalled, paced, retried, capped, and returned in order."""

from overt.calls.caller import Caller
from overt.calls.costs import Stats
from overt.calls.options import CallerOptions

__all__ = ["Caller", "CallerOptions", "Stats"]
