"""The requests of the review page, without HTTP: the next item, a label, a picture."""

from __future__ import annotations

import threading
from pathlib import Path

from overt.data.errors import InputError
from overt.data.json_types import Json, JsonObject
from overt.data.pictures import UnreadablePicture
from overt.data.run.images import ImageStore
from overt.data.text import visible
from overt.policies.schema import Policy
from overt.review.assignments import Assignments
from overt.review.label_store import Item, LabelStore
from overt.review.questions import QUESTIONS
from overt.web.guard import Refused

_MOST_NOTE = 4000
_MOST_NAME = 60
_SIDE = 1024  # pixels of a picture on the page
_TEXTS = ("earlier", "prompt", "response", "revised", "rewrite")
_PICTURES = ("given", "images", "original_images")


class Desk:
    """The requests of the page. Safe to use from several threads."""

    def __init__(self, run: Path, store: LabelStore, policy: Policy) -> None:
        self._store, self._policy, self._images = store, policy, ImageStore(run)
        labelled = [(label.place, label.reviewer) for label in store.labels()]
        self._assignments = Assignments(store.queue(), labelled)
        self._lock = threading.Lock()

    def next(self, data: JsonObject) -> dict[str, Json]:
        """The current item of `reviewer`, and the progress."""
        with self._lock:
            return self._answer(_name(data))

    def label(self, data: JsonObject) -> dict[str, Json]:
        """Stores `label` (with `note`, and `seconds` it took) for `place`; then as `next`."""
        reviewer, item = _name(data), self._item(data)
        label = data.get("label")
        if not isinstance(label, str) or not QUESTIONS[item.subject.question].knows(label):
            raise Refused(400, "this is no label of the question")
        note, seconds = data.get("note", ""), data.get("seconds", 0)
        if not isinstance(note, str) or len(note) > _MOST_NOTE:
            raise Refused(400, f"a note has at most {_MOST_NOTE} characters")
        if not isinstance(seconds, int | float) or not 0 <= seconds < 1e6:
            raise Refused(400, "seconds is no time")
        with self._lock:
            self._store.add(item.place, reviewer, label, note=note.strip(), seconds=round(seconds, 2))
            self._assignments.label(item.place, reviewer)
            return self._answer(reviewer)

    def skip(self, data: JsonObject) -> dict[str, Json]:
        """Puts `place` off; then as `next`."""
        reviewer, item = _name(data), self._item(data)
        with self._lock:
            self._assignments.skip(item.place, reviewer)
            return self._answer(reviewer)

    def undo(self, data: JsonObject) -> dict[str, Json]:
        """Takes the last label of `reviewer` back and gives that item, with `undone`: label and note."""
        reviewer = _name(data)
        with self._lock:
            place = self._assignments.last(reviewer)
            if place is None:
                return {**self._answer(reviewer), "undone": None}
            label, note = self._store.last(place, reviewer)
            self._store.add(place, reviewer, None)
            self._assignments.undo(reviewer)
            return {**self._answer(reviewer), "undone": {"label": label, "note": note}}

    def picture(self, place: int, which: str, number: int) -> bytes:
        """A picture of an item as a JPEG without metadata; `which` is one of `_PICTURES`."""
        from overt.scoring.outgoing_pictures import outgoing

        if which not in _PICTURES:
            raise Refused(404, "there is no such picture")
        try:
            paths = self._store.item(place).subject.shown.get(which, ())
            return outgoing(self._images.get(paths[number]), _SIDE)
        except (KeyError, IndexError, ValueError, InputError, UnreadablePicture) as error:
            raise Refused(404, "there is no such picture, or it cannot be read") from error

    # -- small things -------------------------------------------------------------------------------------

    def _answer(self, reviewer: str) -> dict[str, Json]:
        place = self._assignments.next(reviewer)
        item = self._show(self._store.item(place)) if place is not None else None
        return {"item": item, "progress": self._assignments.progress(reviewer)}

    def _show(self, item: Item) -> dict[str, Json]:
        """The item as a reviewer sees it, without the run's label and the target."""
        shown = item.subject.shown
        category = next((c for c in self._policy.categories if c.id == item.subject.category), None)
        return {
            "place": item.place,
            "question": item.subject.question,
            "category": visible(category.title if category else item.subject.category),
            "disallowed": [visible(line) for line in category.disallowed] if category else [],
            "allowed": [visible(line) for line in category.allowed] if category else [],
            **{name: visible(shown.get(name) or "") for name in _TEXTS},
            **{name: len(shown.get(name, ())) for name in _PICTURES},
        }

    def _item(self, data: JsonObject) -> Item:
        place = data.get("place")
        try:
            return self._store.item(place if isinstance(place, int) else -1)
        except KeyError as error:
            raise Refused(400, "there is no such item") from error


def _name(data: JsonObject) -> str:
    said = data.get("reviewer")
    name = " ".join(visible(said).split()) if isinstance(said, str) else ""
    if not name or len(name) > _MOST_NAME:
        raise Refused(400, f"give your name, at most {_MOST_NAME} characters")
    return name
