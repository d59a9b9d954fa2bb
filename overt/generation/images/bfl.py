"""`bfl/MODEL`: Black Forest Labs' FLUX API. A job is handed in, then looked at until it ends. Plain HTTP."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from overt.data.targets import Response
from overt.generation.images.api import ImageAPI, count_at, dig, entries, given, rewritten, text_at
from overt.generation.images.wire import Reply, failed

_ENDED = ("Ready", "Request Moderated", "Content Moderated", "Task not found", "Error", "Failed")


class BFLImages(ImageAPI):
    """A FLUX model of the API, e.g. flux-pro-1.1.

    Args:
        model: the endpoint's name.
        base_url: where the API stands.
        api_key_env: the environment variable that holds the key.
        timeout: seconds for one attempt, the job included.
        poll_s: seconds before the first look at the job.
        safety_tolerance: 0 (strict) to 6; None leaves the API the choice.
        aspect_ratio, width, height, output_format: as the API spells them.
        prompt_upsampling: whether the API may rewrite the prompt.

    Raises:
        InputError: no key, and the server is not on this machine.
    """

    provider: ClassVar[str] = "bfl"

    def __init__(
        self,
        model: str,
        *,
        base_url: str = "https://api.bfl.ai",
        api_key_env: str = "BFL_API_KEY",
        timeout: float = 300.0,
        poll_s: float = 1.0,
        safety_tolerance: int | None = None,
        aspect_ratio: str = "",
        width: int | None = None,
        height: int | None = None,
        output_format: str = "",
        prompt_upsampling: bool | None = None,
    ) -> None:
        super().__init__(
            f"bfl/{model}", base_url=base_url, api_key_env=api_key_env, timeout=timeout, poll_s=poll_s
        )
        self.model = model
        self._options = given(
            safety_tolerance=safety_tolerance,
            aspect_ratio=aspect_ratio,
            width=width,
            height=height,
            output_format=output_format,
            prompt_upsampling=prompt_upsampling,
        )

    async def _attempt(self, prompt: str, seed: int) -> Response:
        headers = {"x-key": self._key} if self._key else {}
        body = {"prompt": prompt, "seed": seed, **self._options}
        job = await self._send("POST", f"{self._base}/v1/{self.model}", headers=headers, body=body)
        if isinstance(job, Response):
            return job
        data = job.json()
        if text_at(data, "status") in _ENDED:  # turned down at the door
            return self._ended(job, data)
        if job.status != 200 or not text_at(data, "id"):
            return self._problem(job)
        # A job is known only where it was taken in; that address comes with it.
        url = text_at(data, "polling_url")
        if not self._is_own(url):
            url = f"{self._base}/v1/get_result?id={text_at(data, 'id')}"
        reply = await self._poll(url, headers, lambda found: text_at(found, "status") in _ENDED)
        if isinstance(reply, Response):
            return reply
        found = reply.json()
        if text_at(found, "status") != "Ready":
            return self._ended(reply, found) if text_at(found, "status") else self._problem(reply)
        images = await self._pictures([dig(found, "result", "sample")])
        if isinstance(images, Response):
            return images
        drawn_with = count_at(found, "result", "seed")
        return Response(
            images=images,
            status=reply.status,
            finish_reason="Ready",
            safety=_details(found),
            revised_prompt=rewritten(prompt, text_at(found, "result", "prompt")),
            seed=seed if drawn_with is None else drawn_with,
            cost=_dollars(data.get("cost")),
        )

    def _ended(self, reply: Reply, data: Any) -> Response:
        """A job that ended without a picture. The status in the body counts: it comes with 200 or 503."""
        status, details = text_at(data, "status"), _details(data)
        reasons = details.get("Moderation Reasons")
        words = ", ".join(map(str, reasons)) if isinstance(reasons, list) else json.dumps(details)
        return self._turned_down(
            reply, status, f"{status}: {words}" if details else status, kind="server", safety=details
        )

    def _problem(self, reply: Reply) -> Response:
        data = reply.json()
        if not isinstance(data, dict):
            return self._not_json(reply)
        detail = data.get("detail") or data.get("message") or data.get("error") or ""
        code = text_at(detail, 0, "type")
        message = "; ".join(text_at(one, "msg") for one in entries(detail)) or str(detail)
        if reply.status < 400:
            return failed("server", "the answer holds no job", reply=reply)
        return self._turned_down(reply, code, message)


def _details(data: Any) -> dict[str, Any]:
    details = dig(data, "details")
    return details if isinstance(details, dict) else {"details": details} if details else {}


def _dollars(credits: Any) -> float | None:
    """A credit is a cent."""
    is_number = isinstance(credits, int | float) and not isinstance(credits, bool) and credits >= 0
    return credits / 100 if is_number else None
