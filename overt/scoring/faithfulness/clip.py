"""`clip/MODEL:PRETRAINED`, `clip/FOLDER`, `clip/ORG/NAME`: cosines of CLIP and SigLIP models, of open_clip
or of transformers.

Three measures, cosines from -1 to 1:

    text_image   the new wording's picture against the ORIGINAL prompt; its baseline is the original's own
                 picture against the same prompt
    text_text    the new wording against the original one
    image_image  the new wording's picture against the original's own, where both exist

With several pictures of a prompt the score is their mean. A raw cosine means nothing by itself: report the
difference to the baseline, and the mean score of mismatched pairs (`ClipScorer.scale`).
"""

from __future__ import annotations

import hashlib
import itertools
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from overt.data.errors import InputError
from overt.data.local.memory import Room
from overt.data.rewrites import Faithfulness, FaithfulnessCase, Kept, Measure
from overt.scoring.faithfulness.embedding import Coming, Embedder, Seen, begun
from overt.scoring.faithfulness.scale import Scale, WrongPairs
from overt.scoring.faithfulness.scorable import lost
from overt.scoring.faithfulness.windows import cosine, joined, mean_cosine, unit

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

    from overt.scoring.faithfulness.windows import Vector

# On a CPU larger batches are slower: above about 32 MB each layer's activations are mapped anew, which cost a
# ViT-S/16 a fifth of its throughput at 32 pictures; 8 were fastest.
_BATCH_SIZES = {"cuda": 128, "mps": 32, "cpu": 8}
_TEXTS_REMEMBERED = 32_768  # 2 to 4 kB each


@dataclass(frozen=True, slots=True)
class _Case:
    """A case whose pictures are being embedded."""

    case: FaithfulnessCase
    images: tuple[Seen, ...]
    baseline: tuple[Seen, ...]

    @property
    def is_ready(self) -> bool:
        return all(seen.is_known for seen in (*self.images, *self.baseline))


@dataclass(frozen=True, slots=True)
class Text:
    """A text's unit vector, and the windows that it was read in."""

    vector: Vector
    windows: int


class Apart(Protocol):
    """A `ClipScorer` that is loaded elsewhere: what it says of itself, and its methods by name."""

    name: str
    notes: tuple[str, ...]
    device: str
    batch_size: int
    context: int
    precision: str
    lanes: int

    def call(self, method: str, argument: object) -> Any: ...


class ClipScorer:
    """A model of open_clip or transformers as a scorer. Weights are safetensors only.

    Args:
        model: MODEL:PRETRAINED as open_clip lists them, MODEL:FILE.safetensors, a Hub id (ORG/NAME), or a
            folder: with open_clip_config.json and open_clip_model.safetensors, or of transformers.
        device: a torch device's name; None: the best device.
        batch_size: maximum pictures in a batch; None: 128 on cuda, 32 on mps, 8 on a CPU.
        precision: the model's, "fp32", "fp16" or "bf16"; None: fp16 on cuda, fp32 elsewhere. Cosines are
            always float64, of float32 vectors.
        tag, mean, std, interpolation, resize_mode, quick_gelu: of MODEL:FILE.safetensors alone, whose file
            does not say how pictures are prepared (overt/scoring/faithfulness/openclip_source.py).

    Raises:
        InputError: the model cannot be found or loaded, or the device or precision is invalid.
    """

    lanes = 1  # batches of pictures side by side

    def __init__(
        self,
        model: str,
        *,
        device: str | None = None,
        batch_size: int | None = None,
        precision: str | None = None,
        tag: str | None = None,
        mean: str | None = None,
        std: str | None = None,
        interpolation: str | None = None,
        resize_mode: str | None = None,
        quick_gelu: bool | None = None,
    ) -> None:
        from overt.scoring.faithfulness import openclip, transformers_clip
        from overt.scoring.faithfulness.openclip_source import NOTHING_SAID, Settings

        self.name = f"clip/{model}"
        if batch_size is not None and batch_size < 1:
            raise InputError(f"{self.name}: a batch of {batch_size} pictures")
        said = Settings(tag, mean, std, interpolation, resize_mode, quick_gelu)
        if said == NOTHING_SAID and (source := transformers_clip.of_transformers(model)) is not None:
            self._loaded = transformers_clip.load(source, device=device, precision=precision, name=self.name)
        else:
            self._loaded = openclip.load(model, device=device, precision=precision, name=self.name, said=said)
        self.notes = self._loaded.notes
        self.device = self._loaded.device
        self.context = self._loaded.tokens.context
        self.precision = str(self._loaded.dtype)
        self._begin(batch_size or _BATCH_SIZES.get(self.device.partition(":")[0], 32))

    def _begin(self, batch_size: int) -> None:
        self.batch_size = self._batch_size = batch_size
        self._texts: OrderedDict[bytes, Text] = OrderedDict()
        self._pairs: dict[Measure, WrongPairs] = {}
        self._kept: Kept | None = None

    def keep_in(self, kept: Kept) -> None:
        """Keeps the pictures' vectors, which are most of the work; all else is computed from them anew."""
        self._kept = kept

    @classmethod
    def apart(cls, model: Apart) -> ClipScorer:
        """The scorer of a model that is loaded elsewhere."""
        return _ClipApart(model)

    @property
    def scale(self) -> dict[Measure, Scale]:
        """The mean scores of matched and mismatched pairs of the last `score`, by measure."""
        found = {measure: pairs.scale() for measure, pairs in self._pairs.items()}
        return {measure: scale for measure, scale in found.items() if scale is not None}

    def score(
        self, cases: Iterable[FaithfulnessCase], load: Callable[[str], bytes]
    ) -> Iterator[list[Faithfulness]]:
        """Yields the records of each case, in order. `load` is called in threads, a bounded way ahead.

        Each case has `text_image` (None without a scorable picture) and `text_text`, and `image_image` if
        both wordings have pictures. Black, single-colour and unreadable pictures are left out of the mean,
        and `detail` says so.
        """
        self._pairs = {measure: WrongPairs() for measure in ("text_image", "text_text", "image_image")}
        paired: set[str] = set()
        source = iter(cases)
        is_open = True
        waiting: deque[_Case] = deque()
        pictures = self._embedder(load)
        most_waiting = 8 * self._batch_size * self.lanes
        # Taken in at once, so that the same texts share a batch however many pictures are under way.
        group = max(1, self._batch_size // 2)
        try:
            while is_open or waiting:
                # Bounds the cases that wait behind one with unfinished pictures.
                while is_open and pictures.has_room and len(waiting) < most_waiting:
                    fresh = list(itertools.islice(source, group))
                    is_open = len(fresh) == group
                    for case in fresh:
                        images, baseline = (tuple(map(pictures.ask, p)) for p in (case.images, case.baseline))
                        waiting.append(_Case(case, images, baseline))
                    self._read([text for case in fresh for text in (case.prompt.text, case.candidate.text)])
                while waiting and waiting[0].is_ready:
                    done = waiting.popleft()
                    yield self._records(done, done.case.prompt.id not in paired)
                    paired.add(done.case.prompt.id)
                if waiting:
                    pictures.step()
        finally:
            pictures.close()

    # -- texts ----------------------------------------------------------------------------------------

    def _read(self, texts: Sequence[str]) -> None:
        """Embeds the unknown texts."""
        todo: dict[bytes, str] = {}
        for text in texts:
            key = _key(text)
            if key in self._texts:
                self._texts.move_to_end(key)
            else:
                todo[key] = text
        if todo:
            self._texts.update(zip(todo, self.embed_texts(list(todo.values())), strict=True))
        while len(self._texts) > _TEXTS_REMEMBERED:
            self._texts.popitem(last=False)

    def embed_texts(self, texts: list[str]) -> list[Text]:
        """The vectors of texts, with the windows of all of them in shared batches."""
        import torch

        windows_of = [self._loaded.tokens.rows(text) for text in texts]
        rows = [row for windows in windows_of for row in windows]
        found = []
        with torch.inference_mode():
            for start in range(0, len(rows), self._batch_size):
                batch = torch.tensor(rows[start : start + self._batch_size], device=self.device)
                found.append(self._loaded.model.encode_text(batch).float().cpu())
        vectors = unit(torch.cat(found).numpy())
        ends = list(itertools.accumulate(map(len, windows_of)))
        # Copies: a slice would keep the whole batch in memory.
        return [
            Text(joined(vectors[end - len(windows) : end]).copy(), len(windows))
            for end, windows in zip(ends, windows_of, strict=True)
        ]

    # -- pictures -------------------------------------------------------------------------------------

    def _embedder(self, load: Callable[[str], bytes]) -> Embedder[Any]:
        room = Room(self.name, self._batch_size)
        return Embedder(load, self._loaded.prepare, self._encode_images, room, kept=self._kept)

    def embed_pictures(self, pictures: list[Picture]) -> NDArray[np.float32]:
        """The vectors of one batch of RGB pictures, not yet of unit length: float32 (n, d)."""
        tensors = [self._loaded.prepare(picture) for picture in pictures]
        return begun(self._encode_images, tensors, Room(self.name, max(1, len(tensors))))()

    def _encode_images(self, tensors: list[torch.Tensor]) -> Coming:
        import torch

        loaded = self._loaded
        with torch.inference_mode():
            stacked = torch.stack(tensors)
            if self.device.startswith("cuda"):
                stacked = stacked.pin_memory().to(self.device, non_blocking=True)
            else:
                stacked = stacked.to(self.device)
            found: torch.Tensor = loaded.model.encode_image(loaded.normalize(stacked).to(loaded.dtype))
        return lambda: found.float().cpu().numpy()

    # -- records --------------------------------------------------------------------------------------

    def _records(self, done: _Case, is_first: bool) -> list[Faithfulness]:
        case = done.case
        original, wording = self._texts[_key(case.prompt.text)], self._texts[_key(case.candidate.text)]
        if is_first:
            self._add_to_scale(done, original.vector, wording.vector)
        records = [
            self._text_image(done, original),
            self._record(
                case,
                "text_text",
                cosine(wording.vector, original.vector),
                None,
                windows := max(original.windows, wording.windows),
                self._over(windows),
            ),
        ]
        if done.images and done.baseline:
            value = _between(done.images, done.baseline)
            whys = (_lost_new(done), _lost_old(done))
            records.append(self._record(case, "image_image", value, None, 1, *whys))
        return records

    def _text_image(self, done: _Case, original: Text) -> Faithfulness:
        new, old = _vectors(done.images), _vectors(done.baseline)
        return self._record(
            done.case,
            "text_image",
            mean_cosine(new, [original.vector]) if new else None,
            mean_cosine(old, [original.vector]) if old else None,
            original.windows,
            _lost_new(done),
            _lost_old(done),
            self._over(original.windows),
        )

    def _over(self, windows: int) -> str:
        """Returns the detail for a text that does not fit the encoder, else ""."""
        over = f"prompt of over {self.context} tokens, scored in {windows} overlapping windows"
        return over if windows > 1 else ""

    def _add_to_scale(self, done: _Case, original: Vector, wording: Vector) -> None:
        new, old = _vectors(done.images), _vectors(done.baseline)
        self._pairs["text_text"].add(wording, original)
        if new:
            self._pairs["text_image"].add(new[0], original)
        if new and old:
            self._pairs["image_image"].add(new[0], old[0])

    def _record(
        self,
        case: FaithfulnessCase,
        measure: Measure,
        value: float | None,
        baseline: float | None,
        windows: int,
        *details: str,
    ) -> Faithfulness:
        if value is not None and value != value:
            value, details = None, (*details, "the model gave no finite embedding of the text")
        if baseline is not None and baseline != baseline:
            baseline = None
        return Faithfulness(
            case.candidate.id,
            case.prompt.id,
            case.target,
            measure,
            self.name,
            value,
            baseline,
            windows,
            detail="; ".join(filter(None, details))[:500],
        )


class _ClipApart(ClipScorer):
    """The arithmetic here, the model elsewhere. Pictures are read here, so that batches are the same."""

    def __init__(self, model: Apart) -> None:
        self.name, self.notes = model.name, model.notes
        self.device, self.precision = model.device, model.precision
        self.context, self.lanes, self._model = model.context, model.lanes, model
        self._begin(model.batch_size)

    def embed_texts(self, texts: list[str]) -> list[Text]:
        found: list[Text] = self._model.call("embed_texts", texts)
        return found

    def _embedder(self, load: Callable[[str], bytes]) -> Embedder[Picture]:
        pool = ThreadPoolExecutor(self.lanes, thread_name_prefix="overt-clip")

        def encode(pictures: list[Picture]) -> Coming:
            return pool.submit(self._model.call, "embed_pictures", pictures).result

        room = Room(self.name, self._batch_size)
        return Embedder(load, lambda picture: picture, encode, room, self.lanes, self._kept)


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _vectors(pictures: Sequence[Seen]) -> list[Vector]:
    return [seen.vector for seen in pictures if seen.vector is not None]


def _lost_new(done: _Case) -> str:
    """Returns why pictures of the new wording have no score, or ""."""
    return lost((s.why for s in done.images if s.why), len(done.images)) if done.images else "no picture"


def _lost_old(done: _Case) -> str:
    """Returns why pictures of the original have no score, or ""."""
    return lost((s.why for s in done.baseline if s.why), len(done.baseline), "original's own")


def _between(new: Sequence[Seen], old: Sequence[Seen]) -> float | None:
    """Returns the mean cosine of pictures paired by index (and thus by seed), or of all pairs if the counts
    differ."""
    together = len(new) == len(old)
    pairs = zip(new, old, strict=True) if together else itertools.product(new, old)
    found = [cosine(a.vector, b.vector) for a, b in pairs if a.vector is not None and b.vector is not None]
    return sum(found) / len(found) if found else None
