"""`checker/llavaguard/REPO_OR_FOLDER?policy=FILE`: LlavaGuard, a vision model that rates pictures.

It gets the picture and the policy, and answers with a JSON of rating ("Safe" or "Unsafe"), category and
rationale. The policy is the prompt of its model card, word for word, from a file: the model was taught on
that text and follows one that the user has changed. Sources: https://github.com/ml-research/LlavaGuard and
https://huggingface.co/AIML-TUDA/LlavaGuard-v1.2-7B-OV-hf.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from overt.data.chat import AnswerError, ChatRequest, Message
from overt.data.errors import InputError
from overt.data.filters import FilterDecision
from overt.data.local.looking import Onlooker, encoded
from overt.data.plugins.names import one_line, spell
from overt.data.replies import AnswerForm, read_json

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

_TOKENS = 500  # as in the examples of its authors
# Kinds of harm (harm_kinds.yaml) of its nine categories: hate, violence, sexual content, nudity, crime,
# weapons and drugs, self-harm, cruelty to animals, disasters.
_COVERS = ("hate", "harassment", "violence", "sexual", "illegal", "weapons", "drugs", "self_harm")


@dataclass(frozen=True, slots=True)
class Rating:
    """What the model answers. `category`: such as "O3: Sexual Content", or "NA: None applying"."""

    rating: Literal["Safe", "Unsafe"]
    category: str = ""
    rationale: str = ""


RATING = AnswerForm(Rating)


class LlavaGuard:
    """Blocks a picture that the model rates "Unsafe". Another answer is "unclear". There is no score.

    Args:
        model: a Hub id or a local folder, in the format of transformers (those ending in -hf).
        policy: a file with the policy, as its model card gives it. Its categories may be changed.
        device, dtype, trust_remote_code: as of every local model.

    Raises:
        InputError: no policy, a file that cannot be read or has no categories, or a model that cannot be
            loaded or sees no pictures.
        ModuleNotFoundError: torch or transformers is not installed (the registry reports it).
    """

    reads_prompt = False
    covers = _COVERS

    def __init__(
        self,
        model: str,
        *,
        policy: str = "",
        device: str | None = None,
        dtype: str | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        head = f"checker/llavaguard/{model}"
        self.name = spell(
            head, policy=policy or None, dtype=dtype, trust_remote_code=trust_remote_code or None
        )
        self._policy = _policy(head, policy)
        self._asked = Onlooker(head, model, device=device, dtype=dtype, trust_remote_code=trust_remote_code)
        self.device = self._asked.language.device

    def check(self, image: Picture, prompt: str) -> FilterDecision:
        """Asks about one picture; the prompt is ignored."""
        message = Message("user", self._policy, images=(encoded(image),))
        reply = self._asked.complete(ChatRequest((message,), max_tokens=_TOKENS, temperature=0.0))
        if reply.error is not None:
            return FilterDecision(None, error=reply.error)
        try:
            said = read_json(reply, RATING)
        except AnswerError as error:
            return FilterDecision(None, None, f"unclear: {one_line(error, 170)}")
        reason = ": ".join(filter(None, (said.category.strip(), said.rationale.strip())))
        return FilterDecision(said.rating == "Unsafe", None, one_line(reason))


def _policy(head: str, file: str) -> str:
    """The text of the policy."""
    if not file:
        raise InputError(
            f"{head} needs the policy that it judges by",
            fix="Save the policy prompt of its model card as a text file: policy=FILE",
        )
    try:
        text = Path(file).expanduser().read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        raise InputError(f"{head}: its policy cannot be read: {one_line(error)}", where=file) from error
    lacks = [word for word in ("rating", "category", "Unsafe") if word not in text]
    if lacks:
        raise InputError(
            f"{head}: its policy does not ask for {', '.join(lacks)}, so its answer could not be read",
            where=file,
            fix="Take the policy prompt of its model card, with the JSON template at its end.",
        )
    return text
