"""`fal/APP`: fal's queue, e.g. fal/fal-ai/flux/dev. Plain HTTP.

Not fal's client: it sends again by itself on 408, 409, 429 and dropped connections, so that limits stay
hidden from the caller, who paces all targets alike.
"""

from __future__ import annotations

from typing import Any, ClassVar

from overt.data.chat import ErrorKind
from overt.data.targets import Response
from overt.generation.images.api import ImageAPI, count_at, dig, entries, given, rewritten, text_at
from overt.generation.images.wire import Reply, failed


class FalImages(ImageAPI):
    """A text-to-image app on fal.

    Args:
        model: the app's path, e.g. fal-ai/flux/dev.
        base_url: where the queue stands.
        api_key_env: the environment variable that holds the key.
        timeout: seconds for one attempt, queue and job included.
        poll_s: seconds before the first look at the job.
        enable_safety_checker, safety_tolerance, image_size, aspect_ratio, output_format: the app's own
            inputs; unset ones are not sent, since apps take different ones.

    Raises:
        InputError: no key, and the server is not on this machine.
    """

    provider: ClassVar[str] = "fal"

    def __init__(
        self,
        model: str,
        *,
        base_url: str = "https://queue.fal.run",
        api_key_env: str = "FAL_KEY",
        timeout: float = 300.0,
        poll_s: float = 1.0,
        enable_safety_checker: bool | None = None,
        safety_tolerance: str = "",
        image_size: str = "",
        aspect_ratio: str = "",
        output_format: str = "",
    ) -> None:
        super().__init__(
            f"fal/{model}", base_url=base_url, api_key_env=api_key_env, timeout=timeout, poll_s=poll_s
        )
        self.model = model
        self._options = given(
            enable_safety_checker=enable_safety_checker,
            safety_tolerance=safety_tolerance,
            image_size=image_size,
            aspect_ratio=aspect_ratio,
            output_format=output_format,
        )

    async def _attempt(self, prompt: str, seed: int) -> Response:
        headers = {"Authorization": f"Key {self._key}"} if self._key else {}
        body = {"prompt": prompt, "seed": seed, **self._options}
        job = await self._send("POST", f"{self._base}/{self.model}", headers=headers, body=body)
        if isinstance(job, Response):
            return job
        data = job.json()
        if job.status >= 400 or not text_at(data, "request_id"):
            return self._problem(job)
        # A job's address leaves the app's inner path away.
        at = f"{self._base}/{'/'.join(self.model.split('/')[:2])}/requests/{text_at(data, 'request_id')}"
        status_url, response_url = text_at(data, "status_url"), text_at(data, "response_url")
        status_url = status_url if self._is_own(status_url) else f"{at}/status"
        response_url = response_url if self._is_own(response_url) else at
        status = await self._poll(status_url, headers, lambda found: text_at(found, "status") == "COMPLETED")
        if isinstance(status, Response):
            return status
        if text_at(status.json(), "status") != "COMPLETED":
            return self._problem(status)
        reply = await self._result(response_url, headers)
        if isinstance(reply, Response):
            return reply
        found = reply.json()
        if reply.status != 200 or not isinstance(found, dict):
            return self._problem(reply)
        return await self._read(reply, found, prompt, seed)

    async def _result(self, url: str, headers: dict[str, str]) -> Reply | Response:
        """The stored result. A job that failed with a 5xx answers so each time: it is asked for once."""
        reply = await self._send("GET", url, headers=headers)
        if isinstance(reply, Reply) and reply.status == 429:  # the job is paid for: wait
            return await self._poll(
                url, headers, lambda found: isinstance(found, dict) and "detail" not in found
            )
        return reply

    async def _read(self, reply: Reply, data: dict[str, Any], prompt: str, seed: int) -> Response:
        made = entries(data.get("images")) or entries([data.get("image")])
        flags = data.get("has_nsfw_concepts")
        flagged = isinstance(flags, list) and any(flag is True for flag in flags)
        safety = {"has_nsfw_concepts": flags} if flags is not None else {}
        images = await self._pictures([one.get("url") for one in made])
        if isinstance(images, Response):
            # The flag is an answer, whatever became of the black picture that comes with it.
            if not flagged:
                return images
            images = ()
        if not images and not flagged:
            text = text_at(data, "description")
            if not text:
                return failed("server", "the answer holds no picture", reply=reply)
            return Response(text=text, status=reply.status, seed=seed, safety=safety)
        drawn_with = count_at(data, "seed")
        return Response(
            images=images,
            text=text_at(data, "description"),
            status=reply.status,
            code="has_nsfw_concepts" if flagged else "",
            safety=safety,
            revised_prompt=rewritten(prompt, text_at(data, "prompt") or text_at(data, "revised_prompt")),
            seed=seed if drawn_with is None else drawn_with,
        )

    def _problem(self, reply: Reply) -> Response:
        """A model's error lists its findings under `detail`; the platform's is one sentence and a type."""
        data = reply.json()
        if not isinstance(data, dict):
            return self._not_json(reply)
        detail = data.get("detail") or data.get("error") or ""
        findings = entries(detail)
        code = text_at(data, "error_type") or reply.headers.get("x-fal-error-type", "")
        message = "; ".join(text_at(one, "msg") for one in findings) or str(detail)
        safety: dict[str, Any] = {}
        if findings:
            refusals = [one for one in findings if one.get("type") == "content_policy_violation"]
            first = (refusals or findings)[0]
            code = text_at(first, "type")
            if categories := dig(first, "categories") or dig(first, "ctx", "categories"):
                safety["categories"] = categories
                if "model_moderated" in categories:  # the model's maker refused, not fal's checker
                    code += ":model_moderated"
        said = message.lower()
        kind: ErrorKind | None = None
        if reply.status == 403 and ("balance" in said or "top_up" in said or "top up" in said):
            kind = "billing"
        elif reply.headers.get("x-fal-retryable", "").lower() == "true" and reply.status not in (
            401,
            403,
            429,
        ):
            kind = "server"
        elif code == "string_too_long":
            kind = "too_long"
        return self._turned_down(reply, code, message, kind=kind, safety=safety)
