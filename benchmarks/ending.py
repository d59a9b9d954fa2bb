"""The end of a script that reads files of the user's: an error in a sentence, and exit code 2."""

from __future__ import annotations

import sys
from collections.abc import Callable

from overt.data.errors import OvertError


def leave(main: Callable[[], int]) -> None:
    """Runs the script and exits with its code."""
    try:
        sys.exit(main())
    except OvertError as error:
        print(error.message(), file=sys.stderr)
        sys.exit(2)
