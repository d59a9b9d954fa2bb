"""Calls to models: journalled, paced, retried, capped, and returned in order."""

from overt.calls.caller import Caller, CallerOptions
from overt.calls.costs import Stats

__all__ = ["Caller", "CallerOptions", "Stats"]
