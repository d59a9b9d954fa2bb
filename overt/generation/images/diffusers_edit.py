"""`diffusers-edit/REPO_OR_FOLDER`: a local pipeline of the package diffusers that edits a picture by an
instruction: image to image, InstructPix2Pix, FLUX Kontext.

Each prompt is drawn alone, since pictures differ in size. Its noise depends on the prompt's seed only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from overt.data.chat import CallError
from overt.data.errors import InputError
from overt.data.local.batches import Batches
from overt.data.local.memory import Room
from overt.data.pictures import UnreadablePicture, open_picture
from overt.data.targets import Extra, Response
from overt.generation.images.diffusers import DiffusersTarget
from overt.generation.images.pipeline_drawing import Drawn, Job, call_error
from overt.generation.images.pipeline_loading import Task

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

EditJob = tuple[str, int, bytes]  # an instruction, its seed, and the encoded picture
_MULTIPLE = 16  # of the sides, in pixels; decoders of all families can draw these


class DiffusersEditing(DiffusersTarget):
    """A diffusion pipeline that edits pictures. See `DiffusersTarget` for all that they share.

    Args:
        model: a Hub id or a local folder.
        max_side: pixels of the longer side; a larger picture is made smaller first. Sides become multiples
            of 16.
        call: further arguments of the pipeline's call, such as `?call.strength=0.8`.

    Raises:
        InputError: as `DiffusersTarget`, or the pipeline edits no pictures.
    """

    provider: ClassVar[str] = "diffusers-edit"
    task: ClassVar[Task] = "edit"
    takes: tuple[Extra, ...] = ("picture",)

    def __init__(
        self,
        model: str,
        *,
        max_side: int = 1024,
        device: str | None = None,
        dtype: str | None = None,
        steps: int | None = None,
        guidance_scale: float | None = None,
        negative_prompt: str | None = None,
        variant: str | None = None,
        revision: str | None = None,
        offload: str = "auto",
        vae_slicing: bool = False,
        vae_tiling: bool = False,
        trust_remote_code: bool = False,
        keep_flagged: bool = False,
        call: Mapping[str, object] | None = None,
        transformer: str | None = None,
        lora: str | None = None,
        lora_scale: float | None = None,
    ) -> None:
        self._max_side = max_side
        super().__init__(
            model,
            device=device,
            dtype=dtype,
            batch_size=1,
            steps=steps,
            guidance_scale=guidance_scale,
            negative_prompt=negative_prompt,
            variant=variant,
            revision=revision,
            offload=offload,
            vae_slicing=vae_slicing,
            vae_tiling=vae_tiling,
            trust_remote_code=trust_remote_code,
            keep_flagged=keep_flagged,
            call=call,
            probe=False,
            transformer=transformer,
            lora=lora,
            lora_scale=lora_scale,
        )
        self._check_steps()
        self.facts = {**self.facts, "max_side": max_side}
        self._edits: Batches[EditJob, Drawn] = Batches(
            self._edit, room=Room(self.name, 1), name="overt-diffusers-edit", is_steady=True
        )

    def _check_steps(self) -> None:
        """Pipelines that add noise to the picture (strength) take that share of the steps: of less than one
        step nothing can be drawn, and each says so in words of its own."""
        strength, steps = self.drawing.value_of("strength"), self.drawing.value_of("num_inference_steps")
        if isinstance(strength, float) and isinstance(steps, int) and int(strength * steps) < 1:
            raise InputError(
                f"{self.name}: {steps} steps at strength {strength:g} are less than one step",
                fix="Give more steps=, or more strength: call.strength=0.8.",
            )

    async def respond(self, prompt: str, *, seed: int, picture: bytes | None = None) -> Response:
        """Returns the edited picture. Without a picture to edit the response is an error."""
        if picture is None:
            said = f"{self.name} edits pictures, and this prompt carries none"
            return Response(seed=seed, error=CallError("bad_request", said))
        given = picture
        return await self._respond(prompt, seed, lambda job: self._edits((*job, given)))

    async def close(self) -> None:
        await self._edits.close()
        await super().close()

    def _edit(self, jobs: list[EditJob]) -> list[Drawn]:
        found = []
        for text, seed, data in jobs:
            job: Job = (text, seed)
            try:
                found += self.drawing.draw([job], {"image": fitted(data, self._max_side)})
            except UnreadablePicture as error:
                found.append(Drawn(error=CallError("bad_request", f"the picture cannot be read: {error}")))
            except Exception as error:
                found.append(Drawn(error=call_error(error)))
        return found


def fitted(data: bytes, max_side: int) -> Picture:
    """The picture as a pipeline takes it: RGB, its longer side at most `max_side` pixels, both sides
    multiples of 16.

    Raises:
        UnreadablePicture: it cannot be opened.
    """
    picture = open_picture(data).convert("RGB")
    scale = min(1.0, max_side / max(picture.size))
    width, height = (max(_MULTIPLE, round(side * scale) // _MULTIPLE * _MULTIPLE) for side in picture.size)
    size = (width, height)
    return picture if size == picture.size else picture.resize(size)
