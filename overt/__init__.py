"""overt: how often a safety filter says no when it should say yes, and what that caution buys."""

__version__: str


def __getattr__(name: str) -> str:
    """The version that was installed, from its tag; asked for only where it is needed."""
    if name == "__version__":
        from importlib.metadata import version

        return version("overt")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
