"""Measures a family of picture pipelines: what `overt` makes of it against the plain library.

Every cell is computed from pictures, flags and errors; a cell that is not "yes" says what holds instead.
"""

import asyncio
import functools
import io
import math
from contextlib import contextmanager
from unittest import mock
from urllib.parse import urlencode

from overt.data.pictures import measure
from overt.data.records import Prompt
from overt.registry import load_target
from overt.scoring.refusal import decide

# Of several lengths, so that a batch has to pad.
PROMPTS = ("a shot of espresso", "the quiet harbour " * 12, "word", "draw a picture of a quiet harbour")
ODD = {
    "empty": "",
    "blanks": "   ",
    "2,000 words": "word " * 2000,
    "emoji": "🙂🎈",
    "lone surrogate": "quiet \ud800 harbour",
    "a control token": "<|endoftext|>",
}
ONE_LEVEL = 1  # of 255: how far rounding may move a picture in float32


class Tiny:
    """A family's tiny pipeline, loaded twice: as a target of overt, and by the plain library.

    target: what the registry gives. inner: the pipeline that it drives. plain: the library's own.
    """

    def __init__(self, family, folder, **options):
        self.family, self.folder = family, folder
        self.target, self.inner = load(family, folder, options)
        self._plain = None

    @property
    def plain(self):
        import diffusers

        if self._plain is None:
            self._plain = diffusers.DiffusionPipeline.from_pretrained(self.folder)
            self._plain.set_progress_bar_config(disable=True)
        return self._plain

    def ask(self, prompts, seeds):
        """Responses of overt: all at once, in batches of four."""

        async def asking():
            todo = (self.target.respond(p, seed=s) for p, s in zip(prompts, seeds, strict=True))
            return await asyncio.wait_for(asyncio.gather(*todo), 60)

        return asyncio.run(asking())

    def draw_plainly(self, prompt, seed, **changes):
        """The levels of one picture of the plain library."""
        import torch

        generator = torch.Generator("cpu").manual_seed(seed)
        arguments = arguments_of(self.family) | changes
        output = self.plain(prompt=[prompt], generator=generator, **arguments)
        return levels(getattr(output, "images", getattr(output, "image", None))[0])

    def close(self):
        asyncio.run(self.target.close())


@contextmanager
def loaded(family, folder, **options):
    tiny = Tiny(family, folder, **options)
    try:
        yield tiny
    finally:
        tiny.close()


def load(family, folder, options):
    """(the target, the pipeline that it drives)."""
    import diffusers

    seen, move = [], diffusers.DiffusionPipeline.to

    def to(self, *args, **more):
        seen.append(self)
        return move(self, *args, **more)

    with mock.patch.object(diffusers.DiffusionPipeline, "to", to):
        target = load_target(url(family, folder), **options)
    return target, seen[-1]


def url(family, folder):
    options = {"device": "cpu", "dtype": "float32", "batch_size": 4}
    if family.steps is not None:
        options["steps"] = family.steps
    if family.guidance is not None:
        options["guidance_scale"] = family.guidance
    if family.size is not None:
        options["width"], options["height"] = family.size
    return f"diffusers/{folder}?" + urlencode(options | family.options, safe="/")


def arguments_of(family):
    """The same as in `url`, for the plain library's call."""
    arguments = dict(family.call)
    if family.steps is not None:
        arguments["num_inference_steps"] = family.steps
    if family.guidance is not None:
        arguments["guidance_scale"] = family.guidance
    if family.size is not None:
        arguments["width"], arguments["height"] = family.size
    return arguments


# -- cells --------------------------------------------------------------------------------------------------


def row(family, folder):
    """column -> cell. The folder is new; the family is built there.

    Raises:
        InputError: it does not load.
    """
    family.build(folder / "model")
    with loaded(family, folder / "model") as tiny:
        batch = tiny.ask(PROMPTS, range(4))
        single = [tiny.ask(PROMPTS[1:2], [1])[0]]
        with counted_steps(tiny) as steps:
            single = [*tiny.ask(PROMPTS[:1], [0]), *single]
        cells = {
            "loads": "yes",
            "arguments": arguments(tiny, single[0], len(steps)),
            "batch 1 = 4": alike(tiny, zip(batch, single, strict=False)),
            "as the plain library": as_plainly(tiny, single),
            "flag read": flag_read(tiny, single[0], folder),
            "odd prompts": odd_prompts(tiny, single[1]),
        }
        told = nan_told(tiny)  # last, since it spoils the weights
    columns = ("loads", "arguments", "batch 1 = 4", "as the plain library", "flag read", "NaN told")
    return {c: told if c == "NaN told" else cells[c] for c in (*columns, "odd prompts")}


def arguments(tiny, response, steps):
    """Which of steps, guidance and size had an effect. steps: those that the scheduler made."""
    family, said = tiny.family, []
    if family.steps is not None:
        said.append("steps" if steps == family.steps else f"{steps} steps for {family.steps}")
    if family.guidance is not None:
        ours = levels(response.images[0])
        other = tiny.draw_plainly(PROMPTS[0], 0, guidance_scale=2 * family.guidance + 1.5)
        same = ours.shape == other.shape and (ours == other).all()
        is_told = "guidance_scale" in tiny.target.facts["no_effect"]
        word = "guidance has no effect" if same else "guidance"
        said.append(word if same == is_told else f"{word}, but overt says {tiny.target.facts['no_effect']}")
    if family.size is not None:
        height, width = levels(response.images[0]).shape[:2]
        said.append("size" if (width, height) == family.size else f"draws {width}x{height}")
    return ", ".join(said)


@contextmanager
def counted_steps(tiny):
    """Collects an item for each step of the scheduler."""
    scheduler, steps = tiny.inner.scheduler, []
    step = scheduler.step

    @functools.wraps(step)  # pipelines look whether it takes a generator
    def counting(*args, **more):
        steps.append(1)
        return step(*args, **more)

    with mock.patch.object(scheduler, "step", counting):
        yield steps


def alike(tiny, pairs):
    """Whether pictures drawn together and alone are the same; else whether that was told at the start."""
    apart = max(levels_apart(levels(a.images[0]), levels(b.images[0])) for a, b in pairs)
    if apart <= ONE_LEVEL:
        return "yes"
    return "no; told at the start" if depends_on_batch(tiny) else f"no, up to {apart} levels"


def depends_on_batch(tiny):
    """Whether a line at the start says so."""
    return any("depends on the prompts drawn beside it" in note for note in tiny.target.notes)


def as_plainly(tiny, responses):
    """Whether pictures are the plain library's, number for number. `responses`: of the first PROMPTS."""
    apart = max(
        levels_apart(levels(response.images[0]), tiny.draw_plainly(PROMPTS[seed], seed))
        for seed, response in enumerate(responses)
    )
    return "yes" if apart == 0 else f"no, up to {apart} levels"


def flag_read(tiny, response, folder):
    """Whether a checker's True is a refusal and its False is none."""
    if tiny.family.flagging is None:
        return "no checker" if flag(response) is None else f"no checker, yet {flag(response)}"
    tiny.family.flagging(folder / "flagging")
    with loaded(tiny.family, folder / "flagging", probe=False) as flagging:
        (flagged,) = flagging.ask(PROMPTS[:1], [0])
    found = (flag(response), state(response), flag(flagged), state(flagged))
    return "yes" if found == (False, "generated", True, "refused/image_filter") else f"no: {found}"


def nan_told(tiny):
    """Whether NaN in the decoder's and in the denoiser's weights ends as an error that says so."""
    untold = []
    for part in (tiny.family.decoder, tiny.family.denoiser):
        if part is None:
            continue
        with nan_in(getattr(tiny.inner, part)):
            (response,) = tiny.ask(PROMPTS[:1], [0])
        said = response.error.message.lower() if response.error else ""
        is_told = (response.safety or {}).get("not_finite") or "nan" in said.replace("`", " ").split()
        if not is_told or state(response) != "error":
            untold.append(part)
    return "yes" if not untold else f"not in {' and '.join(untold)}"


@contextmanager
def nan_in(part):
    """NaN in all weights of the half that draws."""
    import torch

    weights = list(getattr(part, "decoder", part).parameters())
    kept = [weight.detach().clone() for weight in weights]
    with torch.no_grad():
        for weight in weights:
            weight.fill_(math.nan)
        yield
        for weight, before in zip(weights, kept, strict=True):
            weight.copy_(before)


def odd_prompts(tiny, neighbour):
    """Whether odd prompts are drawn or told one by one; `neighbour` is the response to PROMPTS[1] alone."""
    prompts = list(ODD.values())
    prompts.insert(2, PROMPTS[1])
    answers = tiny.ask(prompts, [5, 6, 1, 7, 8, 9, 10])
    beside = answers.pop(2)
    apart = 255 if beside.error else levels_apart(levels(beside.images[0]), levels(neighbour.images[0]))
    if beside.error or (apart > ONE_LEVEL and not depends_on_batch(tiny)):
        return "no: they change the picture beside them"
    failed = [name for name, answer in zip(ODD, answers, strict=True) if state(answer) != "generated"]
    unsaid = [
        name
        for name, answer in zip(ODD, answers, strict=True)
        if state(answer) != "generated" and not (answer.error and answer.error.message)
    ]
    if unsaid:
        return f"no: {', '.join(unsaid)}"
    return "drawn" if not failed else f"drawn; an error for {', '.join(failed)}"


# -- responses ----------------------------------------------------------------------------------------------


def levels(picture):
    """A picture (PNG or PIL) as whole numbers."""
    import numpy as np
    from PIL import Image

    image = Image.open(io.BytesIO(picture)) if isinstance(picture, bytes) else picture
    return np.asarray(image.convert("RGB")).astype(int)


def levels_apart(one, other):
    return 255 if one.shape != other.shape else int(abs(one - other).max())


def flag(response):
    return (response.safety or {}).get("nsfw_content_detected")


def state(response):
    """What overt counts: the state, with the stage of a refusal."""
    prompt = Prompt("p", "a shot", "c", "benign", "s", "w", "t")
    facts = [measure(data) for data in response.images]
    outcome = decide(
        prompt, response, target="diffusers/x", sample=0, images=("p.png",) * len(facts), facts=facts
    )
    return outcome.state if outcome.stage is None else f"{outcome.state}/{outcome.stage}"
