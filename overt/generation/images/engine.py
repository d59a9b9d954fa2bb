"""The shared engine of the picture services: send, poll the job, fetch the pictures, decide, hide keys.

Each service has its own file, which builds the request (`request`), recognises a response that is a job to
poll (`job`), and locates the fields of the last response (`read`). A service does not interpret the words it
finds: vocabulary.yaml does, read by overt/data/provider/reader.py.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar

from overt.data.batch import Post
from overt.data.chat import CallError, ErrorKind, RawResponse
from overt.data.json_types import Json, JsonObject
from overt.data.provider.http import Mask, check_address, key_from, retry_after, status_kind
from overt.data.provider.kept import kept
from overt.data.provider.reader import Answered, Failed, Refused, Verdict, judge, read_said
from overt.data.records import Turn
from overt.data.secrets import filled, values_of
from overt.data.targets import Extra, LayerDecision, Response
from overt.data.text import encodable
from overt.generation.images.pictures import broken, decoded, looks_like_picture, picture_kind
from overt.generation.transport import Reply, Transport, Upload, absolute, same_site

_MOST_PICTURES = 16  # in one response; one is requested
_SLOWEST_POLL_S = 5.0
_BROKEN_POLLS = 3  # responses that are not JSON before a job is given up


@dataclass(frozen=True, slots=True)
class Asked:
    """One attempt: prompt, seed, the encoded picture that it edits, if any, and what was said before."""

    prompt: str
    seed: int
    picture: bytes | None = None
    turns: tuple[Turn, ...] = ()
    drawn: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """One request. At most one of `json`, `form` (multipart/form-data) and `data` is its body."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Json = None
    form: Mapping[str, str | Upload] | None = None
    data: bytes | None = None
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Job:
    """An accepted job and how to poll it.

    url: the address of its state. ended: whether a response is the last one. result_url: the address of the
    result, "" if the last poll returns it. max_s: seconds of polling, None: until the attempt's time is up.
    faults: failed polls in a row after which the job is given up, None: never, since it is paid for.
    """

    url: str
    ended: Callable[[Reply], bool]
    headers: Mapping[str, str] = field(default_factory=dict)
    result_url: str = ""
    every_s: float = 1.0
    growth: float = 1.2
    max_s: float | None = None
    faults: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The last response to a request; `accepted` is the body of the response that accepted its job."""

    asked: Asked
    reply: Reply
    accepted: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """The fields located in a response.

    pictures: bytes or texts: base64, or the picture's http(s) or data: address if `by_address`. Values of
    other types are faults of the response; empty ones are left out. headers: sent when a picture is fetched
    from the service's own site. codes, message: where the shared reader does not find them. safety, seed,
    ...: as in `Response`. layers: decisions of a product's layers. verdict: set if the target declares it
    instead of leaving it to the shared reader. missing: the message for a response that holds neither
    picture nor text nor reason.
    """

    pictures: Sequence[Json | bytes] = ()
    by_address: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    codes: tuple[str, ...] = ()
    message: str = ""
    finish_reason: str | None = None
    safety: Mapping[str, Json] = field(default_factory=dict)
    revised_prompt: str | None = None
    seed: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: float | None = None
    layers: tuple[LayerDecision, ...] = ()
    verdict: Verdict | None = None
    missing: str = "the answer holds no picture"


class PictureService:
    """The base of all HTTP services.

    Args:
        name: "provider/model".
        base_url: the service's address; `${VARIABLE}` is filled in.
        secrets: masked in every response.
        timeout: seconds for one exchange.
        limit_s: seconds for one attempt, including its job and the pictures.
    """

    provider: ClassVar[str]  # selects the rows of vocabulary.yaml
    whole_pictures: ClassVar[bool] = False  # cut-off pictures and unknown formats are faults
    takes: tuple[Extra, ...] = ()  # of services that edit pictures or converse, or of those models that do

    def __init__(
        self, name: str, *, base_url: str, secrets: Iterable[str], timeout: float, limit_s: float
    ) -> None:
        self.name, self._written = name, base_url
        self._base = filled(base_url, name)
        self._mask = Mask(*secrets, *values_of([base_url]))
        self._limit_s = limit_s
        self._transport = Transport(timeout)
        self.post: Post[Reply] | None = None

    @property
    def address(self) -> str:
        """Where requests go, without the values of its variables. It may hold a key: it is not printed."""
        return self._written

    # -- overridden by each service -------------------------------------------------------------------

    def request(self, asked: Asked) -> Request:
        """Builds the request for a picture."""
        raise NotImplementedError

    def job(self, reply: Reply) -> Job | CallError | None:
        """Returns the accepted job, or None if the response is the last one."""
        return None

    def read(self, data: JsonObject, answer: Answer) -> Found:
        """Locates the fields of the last response, whatever its status."""
        raise NotImplementedError

    def found(self, answer: Answer) -> Found:
        """Like `read`, for any body: one that is not a JSON object holds nothing."""
        data = answer.reply.object
        return Found() if data is None else self.read(data, answer)

    def is_own(self, url: str) -> bool:
        """Returns whether an address is on the service's site and may be sent the key."""
        return same_site(self._base, url)

    # -- one attempt ----------------------------------------------------------------------------------

    async def respond(self, prompt: str, *, seed: int, picture: bytes | None = None, **more: Any) -> Response:
        """Makes one attempt. An accepted job is polled to its end, since it is paid for anyway."""
        start = time.perf_counter()
        try:
            async with asyncio.timeout(None if self.post else self._limit_s):  # a batch takes hours
                response = await self._attempt(Asked(encodable(prompt), seed, picture, **more))
        except TimeoutError:
            response = _failed(Failed(CallError("timeout", f"no result in {self._limit_s:g} seconds")))
        return self._masked(replace(response, latency_s=time.perf_counter() - start))

    async def close(self) -> None:
        await self._transport.close()

    async def _attempt(self, asked: Asked) -> Response:
        answer = await self._last_answer(asked)
        if isinstance(answer, CallError):
            return _failed(Failed(answer))
        reply, found = answer.reply, self.found(answer)
        verdict = found.verdict or self._judge(reply, found)
        if isinstance(verdict, Failed):
            return replace(_failed(verdict, found.safety), raw=self._raw(reply))
        images = await self._images(found) if reply.status < 300 else ()
        if isinstance(images, CallError):
            if isinstance(verdict, Answered):
                return _failed(Failed(replace(images, status=images.status or reply.status)))
            images = ()  # a refusal counts even if the black picture with it cannot be fetched
        return self._response(asked, reply, found, verdict, images)

    def reread(self, raw: RawResponse) -> Response | None:
        """Reads a response that was kept by today's vocabulary, without a request. None if it cannot be read
        again, or holds a picture, which is not kept."""
        if not raw.is_whole:
            return None
        reply = Reply(raw.status, raw.headers, raw.body.encode("utf-8", "replace"))
        found = self.found(Answer(Asked("", 0), reply))
        verdict = found.verdict or self._judge(reply, found)
        if isinstance(verdict, Answered):
            return None
        if isinstance(verdict, Failed):
            return self._masked(replace(_failed(verdict, found.safety), raw=raw))
        return self._masked(replace(self._response(Asked("", 0), reply, found, verdict, ()), raw=raw))

    def _raw(self, reply: Reply) -> RawResponse:
        data = reply.data if picture_kind(reply.body) is None else None
        text = "" if picture_kind(reply.body) else reply.text
        return kept(reply.status, reply.headers, data, text, self._mask, is_whole=reply.is_quoted_whole)

    def _response(
        self, asked: Asked, reply: Reply, found: Found, verdict: Answered | Refused, images: tuple[bytes, ...]
    ) -> Response:
        revised = (found.revised_prompt or "").strip()
        return Response(
            images=images,
            text=found.text,
            status=reply.status,
            code=verdict.code,
            message=verdict.message if isinstance(verdict, Refused) else found.message,
            finish_reason=found.finish_reason,
            safety=found.safety,
            revised_prompt=found.revised_prompt if revised and revised != asked.prompt.strip() else None,
            seed=found.seed if reply.status < 300 else None,
            layers=found.layers,
            input_tokens=found.input_tokens,
            output_tokens=found.output_tokens,
            cost=found.cost,
            raw=self._raw(reply) if isinstance(verdict, Refused) else None,
        )

    def _judge(self, reply: Reply, found: Found) -> Verdict:
        has_content = any(picture not in (None, "") for picture in found.pictures) or bool(found.text)
        said = read_said(reply.status, reply.headers, reply.data, reply.text)
        if has_content and reply.status < 400:  # the words in the response are its content
            said = replace(said, codes=(), types=(), message="", words="")
        said = replace(said, codes=found.codes + said.codes, message=found.message or said.message)
        return judge(self.provider, said, has_content=has_content, missing=found.missing)

    # -- exchanges ------------------------------------------------------------------------------------

    async def _last_answer(self, asked: Asked) -> Answer | CallError:
        """Returns the deciding response: to the request itself, or to the last poll of its job."""
        request = self.request(asked)
        body: dict[str, Any] = {"json": request.json, "form": request.form, "data": request.data}
        send = self._transport.send
        live = partial(send, request.method, request.url, headers=request.headers, **body)
        reply = await (self.post(request.data or b"", live) if self.post else live())
        if isinstance(reply, CallError):
            return reply
        job = self.job(reply)
        if isinstance(job, CallError):
            return job
        if job is None:
            return Answer(asked, reply)
        last = await self._poll(job)
        if isinstance(last, Reply) and job.result_url and job.ended(last):
            last = await self._result(job)
        return last if isinstance(last, CallError) else Answer(asked, last, reply.object or {})

    async def _result(self, job: Job) -> Reply | CallError:
        """Fetches the stored result once: a failed job returns the same 5xx each time."""
        result = await self._transport.send("GET", job.result_url, headers=job.headers)
        if isinstance(result, Reply) and result.status == 429:  # the job is paid for: wait
            return await self._poll(replace(job, url=job.result_url, ended=lambda got: got.status == 200))
        return result

    async def _poll(self, job: Job) -> Reply | CallError:
        """Returns the first response that ends a job or shows that it will never end.

        Rate limits, server faults and dropped connections are waited out: the job goes on meanwhile.
        """
        until = None if job.max_s is None else time.monotonic() + job.max_s
        wait, faults, broken_polls = job.every_s, 0, 0
        while until is None or (left := until - time.monotonic()) > 0:
            await asyncio.sleep(wait if until is None else min(wait, left))
            got = await self._transport.send("GET", job.url, headers=job.headers)
            wait = min(wait * job.growth, max(_SLOWEST_POLL_S, job.every_s))
            if isinstance(got, Reply):
                if job.ended(got):
                    return got
                passes = got.status >= 400 and status_kind(got.status) in ("rate_limit", "server")
                if got.status >= 300 and not passes:
                    return got
                if got.status < 300:
                    faults, broken_polls = 0, broken_polls + (got.data is None)
                    if broken_polls == _BROKEN_POLLS:
                        return got
                    continue
                wait = max(wait, retry_after(got.headers) or 0.0)
            faults += 1
            if faults == job.faults:
                return got
        return CallError("timeout", f"the job was not done in {job.max_s:g} seconds")

    async def _images(self, found: Found) -> tuple[bytes, ...] | CallError:
        """Returns the pictures byte for byte, or the error of the first that fails."""
        wanted = [picture for picture in found.pictures if picture not in (None, "")]
        if len(wanted) > _MOST_PICTURES:
            return CallError("server", f"{len(wanted)} pictures in one answer")
        images = []
        for picture in wanted:
            image = await self._image(picture, found)
            if isinstance(image, CallError):
                return image
            if self.whole_pictures and (fault := broken(image)):
                return CallError("server", fault)
            images.append(image)
        return tuple(images)

    async def _image(self, picture: Json | bytes, found: Found) -> bytes | CallError:
        if isinstance(picture, bytes):
            return picture
        if not isinstance(picture, str):
            kind = type(picture).__name__
            return CallError("server", f"the picture's place holds {kind}, not a text")
        if not found.by_address or picture[:5].lower() == "data:":
            try:
                return decoded(picture)
            except ValueError as error:
                return CallError("server", str(error))
        url = absolute(self._base, picture)
        if isinstance(url, CallError):
            return url
        got = await self._transport.send("GET", url, headers=found.headers if self.is_own(url) else None)
        if isinstance(got, CallError):
            return got
        if got.status != 200:
            # Not an auth error: the address has its own signature, and a new attempt brings a new one.
            limited: ErrorKind = "rate_limit" if got.status == 429 else "server"
            words = f"the picture's address answered HTTP {got.status}"
            return CallError(limited, words, got.status, retry_after(got.headers))
        content_type = got.headers.get("content-type", "nothing known")
        if not self.whole_pictures and not looks_like_picture(got.body, content_type):
            return CallError(
                "server", f"the picture's address gave {content_type[:80]}, no picture", got.status
            )
        return got.body

    # -- secrets --------------------------------------------------------------------------------------

    def _masked(self, response: Response) -> Response:
        """Masks keys and signed addresses, which some services repeat."""
        error, mask = response.error, self._mask
        return replace(
            response,
            text=mask.text(response.text),
            code=mask.words(response.code, 100),
            message=mask.words(response.message),
            safety={name: mask.json(value) for name, value in response.safety.items()},
            revised_prompt=response.revised_prompt and mask.text(response.revised_prompt),
            layers=tuple(replace(layer, reason=mask.text(layer.reason)) for layer in response.layers),
            error=error and replace(error, message=mask.words(error.message)),
        )


class ImageAPI(PictureService):
    """The base of the built-in services: one key, one time limit for the whole attempt.

    Args:
        name: "provider/model".
        base_url: the provider's address.
        api_key_env: the environment variable that holds the key; it is read once and never printed.
        timeout: seconds for one attempt, including its job and the pictures.
        poll_s: seconds before the first poll of a job; later polls are a little slower.

    Raises:
        InputError: there is no key, and the server is not on this machine; or `base_url` is not an address.
    """

    modality = "image"

    def __init__(
        self, name: str, *, base_url: str, api_key_env: str, timeout: float, poll_s: float = 1.0
    ) -> None:
        check_address(name, base_url)
        self._key = key_from(api_key_env, name, base_url)
        self._poll_s = poll_s
        base = base_url.rstrip("/")
        super().__init__(name, base_url=base, secrets=(self._key,), timeout=timeout, limit_s=timeout)


def given(**options: str | float | None) -> dict[str, str | float]:
    """Returns the options that the user set."""
    return {name: value for name, value in options.items() if value is not None and value != ""}


def _failed(failure: Failed, safety: Mapping[str, Json] | None = None) -> Response:
    """Returns a response that holds only an error."""
    error = failure.error
    return Response(
        status=error.status, code=failure.code, message=error.message, safety=safety or {}, error=error
    )
