"""overt: how often a safety filter says no when it should say yes, and what that caution buys."""

__version__ = "0.1.0"
