"""What is known of a picture that may be broken."""

from __future__ import annotations

from overt.data.pictures import PictureFacts, UnreadablePicture, measure


def facts_of(data: bytes) -> PictureFacts | UnreadablePicture:
    """What `measure` finds, or why the picture cannot be measured."""
    try:
        return measure(data)
    except UnreadablePicture as error:
        return error.with_traceback(None)
