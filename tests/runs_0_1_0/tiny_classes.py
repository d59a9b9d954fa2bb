"""The user's own classes that the runs in this folder were made with: an image model, a language model, a
picture checker and a judge, none of which needs a model."""

import hashlib
import io

from overt.data.filters import FilterDecision
from overt.data.targets import Response


class Drawing:
    """Draws stripes whose number follows from the prompt; refuses whatever speaks of a head."""

    name = "tiny_classes:Drawing/stripes"

    def __init__(self, model=""):
        pass

    async def respond(self, prompt, *, seed):
        if " head " in prompt:
            return Response(status=400, code="content_policy_violation", message="This request was rejected.")
        return Response(images=(_stripes(prompt),), status=200, seed=seed)


class Answering:
    """Answers in text, and refuses whatever speaks of a knife or of poison."""

    modality = "text"

    def __init__(self, model):
        self.name = f"tiny_classes:Answering/{model}"

    async def respond(self, prompt, *, seed):
        if "knife" in prompt or ("poison" in prompt and self.name.endswith("careful")):
            return Response(text="I'm sorry, but I can't help with that.", status=200, finish_reason="stop")
        return Response(text=f"Here is a picture in words: {prompt}.", status=200, finish_reason="stop")


class Stripes:
    """A checker, and so a judge: blocks pictures of prompts that speak of a knife."""

    name = "tiny_classes:Stripes"

    def __init__(self, model=""):
        pass

    def check(self, image, prompt):
        return FilterDecision("knife" in prompt, 0.9 if "knife" in prompt else 0.1, "stripes")


def _stripes(prompt):
    from PIL import Image

    width = 1 + hashlib.sha256(prompt.encode()).digest()[0] % 3
    image = Image.new("L", (16, 16))
    image.putdata([255 if x // width % 2 else 40 for _ in range(16) for x in range(16)])
    sink = io.BytesIO()
    image.save(sink, "PNG")
    return sink.getvalue()
