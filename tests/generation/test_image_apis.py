"""The image APIs' adapters against every documented answer, replayed by a server on this machine."""

import asyncio
import json
from dataclasses import replace

import pytest
from support import provider_shapes as shapes
from support.provider_shapes import (
    B64,
    KEY,
    KEY_ENV,
    PNG,
    PROMPT,
    SEED,
    SHAPES,
    SIGNATURE,
    Answer,
    Shape,
    picture,
    serve,
)

from overt.data.errors import InputError
from overt.data.provider.vocabulary import refusal_codes, refusal_stage
from overt.data.targets import Response, Target
from overt.registry import load_target, resolve

PROVIDERS = tuple(KEY_ENV)


@pytest.fixture(scope="module")
def server():
    with serve() as replay:
        yield replay


def one(provider, name):
    return next(shape for shape in SHAPES if (shape.provider, shape.name) == (provider, name))


def good(provider):
    """The provider's first shape: a picture."""
    return next(shape for shape in SHAPES if shape.provider == provider and shape.images)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.id)
def test_shape(server, shape):
    response = server.respond(shape)
    kind = response.error.kind if response.error else None
    stage = refusal_stage(shape.provider, response.code)
    assert (kind, stage if kind is None else None) == (shape.kind, shape.stage), response
    expect = dict(shape.expect)
    if "retry_after" in expect:
        assert response.error.retry_after == expect.pop("retry_after")
    if shape.kind:  # an error holds nothing that could be taken for an answer
        assert (response.images, response.text) == ((), "")
        assert response.error.message
        assert response.error.status == response.status
    elif shape.stage is None:
        assert response.images == shape.images
        assert response.images or response.text
    for name, value in expect.items():
        assert getattr(response, name) == value, name
    assert response.latency_s >= shape.least_s
    assert response.latency_s > 0
    assert len(response.message) <= 500
    # One attempt: exactly the requests that the shape foresees, the job handed in once.
    requests = server.requests(shape)
    assert len([request for request in requests if request.method == "POST"]) == 1
    if shape.kind != "timeout":
        assert len(requests) == len(shape.answers)
    shown = repr(response) + repr(response.error)
    for secret in (KEY, *KEY.split(":"), SIGNATURE, "wxyz"):
        assert secret not in shown
    json.dumps(dict(response.safety))


def test_every_code_is_replayed(server):
    """A refusal code that no shape brings would stand in vocabulary.yaml unproved."""
    brought = {(shape.provider, str(shape.expect["code"]).casefold()) for shape in SHAPES if shape.stage}
    listed = {(provider, code) for provider in PROVIDERS for code in refusal_codes(provider)}
    support_codes = {(provider, code) for provider, code in listed if code.isdigit()}
    assert listed - brought - support_codes == {
        ("openai", "content_policy_violation:input"),
        ("openai", "content_policy_violation:output"),
        ("openai", "content_filter"),
        ("openai", "content_filter:output"),
        ("openai", "contentfilter"),
        ("openai", "responsibleaipolicyviolation"),
        ("openai", "safety_system:output"),
        ("replicate", "content_policy_violation"),
        ("replicate", "safety_system"),
        ("replicate", "prohibited_content"),
        ("replicate", "image_prohibited_content"),
    }


@pytest.mark.parametrize("code", sorted(code for code in refusal_codes("google") if code.isdigit()))
def test_support_codes(server, code):
    stage = refusal_stage("google", code)
    reason = f"It was filtered. Support codes: {code}"
    data = {"predictions": [{"raiFilteredReason": reason}]}
    response = server.respond(Shape("google", f"support code {code}", shapes.IMAGEN, (Answer(200, data),)))
    assert (response.code, response.error) == (code, None)
    assert stage in ("prompt_filter", "image_filter")


@pytest.mark.parametrize(
    ("provider", "code", "sentence"),
    [
        ("openai", "content_policy_violation:input", None),
        ("openai", "content_policy_violation:output", None),
        ("openai", "content_filter", None),
        ("openai", "contentFilter", None),
        ("openai", "ResponsibleAIPolicyViolation", None),
        ("openai", "content_filter", "Generated image was filtered."),
        ("openai", "", "The generated image was rejected by our safety system."),
        ("replicate", "content_policy_violation", "400: content_policy_violation"),
        ("replicate", "safety_system", "Your request was rejected by the safety system."),
        ("replicate", "PROHIBITED_CONTENT", "blocked: PROHIBITED_CONTENT"),
        ("replicate", "IMAGE_PROHIBITED_CONTENT", "blocked: IMAGE_PROHIBITED_CONTENT"),
    ],
)
def test_the_rarer_codes(server, provider, code, sentence):
    if provider == "openai":
        word, _, side = code.partition(":")
        error = {"code": word, "message": sentence or "No."}
        if side:
            error["moderation_details"] = {"moderation_stage": side}
        shape = Shape(provider, f"rare {code} {sentence}", "gpt-image-1", (Answer(400, {"error": error}),))
    else:
        shape = shapes._replicate_failed(f"rare {code}", sentence)
    response = server.respond(shape)
    assert response.error is None
    assert response.code.split(":")[0].casefold() == (code.split(":")[0] or "safety_system").casefold()
    assert refusal_stage(provider, response.code) is not None
    if sentence and "enerated image" in sentence:
        assert refusal_stage(provider, response.code) == "image_filter"


# -- what is sent -----------------------------------------------------------------------------------------


def sent(server, provider, model=None, **options):
    shape = replace(good(provider), name=f"sent {model} {options}", options=options)
    shape = replace(shape, model=model or shape.model)
    server.respond(shape)
    return server.requests(shape)


def test_openai_sends(server):
    (request,) = sent(server, "openai", size="1024x1024", quality="low", moderation="low")
    assert request.path.endswith("/images/generations")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.json() == {
        "model": "gpt-image-1",
        "prompt": PROMPT,
        "n": 1,
        "size": "1024x1024",
        "quality": "low",
        "moderation": "low",
    }
    (request,) = sent(server, "openai", model="dall-e-3")
    assert request.json() == {"model": "dall-e-3", "prompt": PROMPT, "n": 1, "response_format": "b64_json"}


def test_google_sends(server):
    (request,) = sent(
        server, "google", aspect_ratio="16:9", safety="BLOCK_ONLY_HIGH", person_generation="allow_all"
    )
    assert request.path.endswith(f"/models/{shapes.IMAGEN}:predict")
    assert request.headers["x-goog-api-key"] == KEY
    assert request.json() == {
        "instances": [{"prompt": PROMPT}],
        "parameters": {
            "sampleCount": 1,
            "includeRaiReason": True,
            "includeSafetyAttributes": True,
            "aspectRatio": "16:9",
            "safetySetting": "block_only_high",
            "personGeneration": "allow_all",
        },
    }
    shape = replace(one("google", "Gemini picture"), name="Gemini sent", options={"safety": "block_none"})
    server.respond(shape)
    (request,) = server.requests(shape)
    assert request.path.endswith(f"/models/{shapes.GEMINI}:generateContent")
    body = request.json()
    assert body["contents"] == [{"role": "user", "parts": [{"text": PROMPT}]}]
    assert body["generationConfig"] == {"responseModalities": ["TEXT", "IMAGE"], "seed": SEED}
    assert {one["threshold"] for one in body["safetySettings"]} == {"BLOCK_NONE"}
    assert len(body["safetySettings"]) == 4


def test_bfl_sends(server):
    job, *looks, fetched = sent(server, "bfl", safety_tolerance=2)
    assert (job.method, job.path.partition("/v1/")[2]) == ("POST", "flux-pro-1.1")
    assert job.json() == {"prompt": PROMPT, "seed": SEED, "safety_tolerance": 2}
    assert [look.path.partition("/v1/")[2] for look in looks] == ["get_result?id=job-1"] * 2
    assert {request.headers["x-key"] for request in (job, *looks)} == {KEY}
    assert "x-key" not in fetched.headers


def test_fal_sends(server):
    job, *looks, fetched = sent(server, "fal", enable_safety_checker=False)
    assert (job.method, job.path.split("/", 2)[2]) == ("POST", "fal-ai/flux/dev")
    assert job.json() == {"prompt": PROMPT, "seed": SEED, "enable_safety_checker": False}
    assert {request.headers["authorization"] for request in (job, *looks)} == {f"Key {KEY}"}
    assert "authorization" not in fetched.headers


def test_stability_sends(server):
    (request,) = sent(server, "stability", model="stable-image-ultra", aspect_ratio="16:9")
    assert request.path.endswith("/v2beta/stable-image/generate/ultra")
    assert request.headers["content-type"].startswith("multipart/form-data")
    assert request.headers["accept"] == "application/json"
    assert b'name="seed"\r\n\r\n1234' in request.body
    assert PROMPT.encode() in request.body
    (request,) = sent(server, "stability", model="sd3.5-large-turbo")
    assert request.path.endswith("/generate/sd3")
    assert b'name="model"\r\n\r\nsd3.5-large-turbo' in request.body
    (request,) = sent(server, "stability", model="stable-diffusion-v1-6")
    assert request.path.endswith("/v1/generation/stable-diffusion-v1-6/text-to-image")
    assert request.json() == {"text_prompts": [{"text": PROMPT}], "seed": SEED, "samples": 1}


def test_replicate_sends(server):
    job, *_ = sent(server, "replicate", disable_safety_checker=True)
    assert job.path.endswith("/v1/models/black-forest-labs/flux-schnell/predictions")
    assert job.headers["authorization"] == f"Bearer {KEY}"
    assert job.json() == {"input": {"prompt": PROMPT, "seed": SEED, "disable_safety_checker": True}}
    job, *_ = sent(server, "replicate", model="owner/name:0123abcd", send_seed=False)
    assert job.path.endswith("/v1/predictions")
    assert job.json() == {"version": "0123abcd", "input": {"prompt": PROMPT}}


@pytest.mark.parametrize("provider", ["bfl", "fal", "replicate"])
def test_a_job_s_address_elsewhere_is_not_sent_the_key(server, provider):
    """An answer that names another host for its job does not get the key sent there."""
    shape = good(provider)
    elsewhere = "http://localhost:1/steal"
    first = json.loads(json.dumps(shape.answers[0].body))
    for name in ("polling_url", "status_url", "response_url"):
        if name in first:
            first[name] = elsewhere
    if "urls" in first:
        first["urls"] = {"get": elsewhere}
    shape = replace(shape, name="elsewhere", answers=(Answer(200, first), *shape.answers[1:]))
    response = server.respond(shape)
    assert response.images == (PNG,)
    assert "job-1" in server.requests(shape)[1].path


def test_a_picture_elsewhere_is_fetched_without_the_key(server):
    """Files of Replicate's own API need the token, delivery hosts must not get it."""
    for host, gets_it in (("127.0.0.1", True), ("localhost", False)):
        shape = Shape("replicate", f"picture at {host}", "owner/name", ())
        url = f"{server.base(shape)}/file.png".replace("127.0.0.1", host)
        done = shapes._replicate_job("succeeded", 201, output=url)
        shape = replace(shape, answers=(done, picture()))
        assert server.respond(shape).images == (PNG,)
        assert ("authorization" in server.requests(shape)[1].headers) is gets_it


def test_options_in_a_name(server, monkeypatch):
    monkeypatch.setenv("SOME_KEY", KEY)
    shape = replace(good("bfl"), name="options")
    server.target(shape)
    spec = (
        f"bfl/flux-pro-1.1?safety_tolerance=2&api_key_env=SOME_KEY&poll_s=0.01&base_url={server.base(shape)}"
    )
    target = load_target(spec)

    async def ask():
        try:
            return await target.respond(PROMPT, seed=SEED)
        finally:
            await target.close()

    assert asyncio.run(ask()).images == (PNG,)
    assert target.name == spec
    job = server.requests(shape)[0]
    assert (job.json()["safety_tolerance"], job.headers["x-key"]) == (2, KEY)


@pytest.mark.parametrize(
    ("base", "url", "own"),
    [
        ("https://api.bfl.ai", "https://api.us1.bfl.ai/v1/get_result?id=1", True),
        ("https://api.bfl.ai", "https://api.bfl.ai.evil.example/v1", False),
        ("https://api.bfl.ai", "http://api.bfl.ai/v1/get_result", False),
        ("https://api.bfl.ai", "https://evil.ai/", False),
        ("https://10.0.0.1", "https://99.9.0.1/", False),
        ("http://localhost:9", "http://evil:9/localhost", False),
        ("https://api.bfl.ai", "https://[::bad", False),
        ("https://api.bfl.ai", "", False),
    ],
)
def test_whose_address_it_is(base, url, own, monkeypatch):
    monkeypatch.setenv("BFL_API_KEY", KEY)
    assert resolve("overt.targets", "bfl/x")("x", base_url=base).is_own(url) is own


# -- results ----------------------------------------------------------------------------------------------


def replicated(server, name, *answers, output=(shapes.URL,)):
    done = shapes._replicate_job("succeeded", 201, output=list(output))
    return server.respond(Shape("replicate", name, "owner/name", (done, *answers)))


def test_pictures_stay_as_they_came(server):
    odd = b"\xff\xd8\xff" + bytes(range(256)) * 40
    assert replicated(
        server, "jpeg", Answer(200, odd, {"Content-Type": "application/octet-stream"})
    ).images == (odd,)
    svg = b"<svg xmlns='http://www.w3.org/2000/svg'/>"
    assert replicated(server, "svg", Answer(200, svg, {"Content-Type": "image/svg+xml"})).images == (svg,)
    two = replicated(server, "two", picture(), picture(), output=(shapes.URL, shapes.URL))
    assert two.images == (PNG, PNG)
    assert replicated(server, "inline", output=(f"data:image/png;base64,{B64}",)).images == (PNG,)


@pytest.mark.parametrize(
    ("name", "answers", "output"),
    [
        ("empty", (Answer(200, b"", {"Content-Type": "image/png"}),), (shapes.URL,)),
        ("page called a picture", (Answer(200, shapes.PAGE, {"Content-Type": "image/png"}),), (shapes.URL,)),
        ("JSON", (Answer(200, {"error": "gone"}),), (shapes.URL,)),
        ("ftp", (), ("ftp://127.0.0.1/x.png",)),
        ("no host", (), ("http://[?token=" + SIGNATURE,)),
        ("broken data address", (), ("data:image/png;base64,@@",)),
    ],
)
def test_a_download_that_fails_is_an_error(server, name, answers, output):
    response = replicated(server, name, *answers, output=output)
    assert response.error is not None
    assert response.error.kind in ("server", "connection")
    assert (response.images, response.code) == ((), "")
    assert SIGNATURE not in repr(response)


def test_a_picture_without_end_is_cut_off(server, monkeypatch):
    monkeypatch.setattr("overt.generation.transport.MAX_BYTES", 1 << 16)
    huge = PNG + bytes(1 << 20)
    response = replicated(server, "huge", Answer(200, huge, {"Content-Type": "image/png"}))
    assert (response.error.kind, response.images) == ("server", ())


# -- what every adapter keeps ------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", PROVIDERS)
def test_it_is_a_target(server, provider):
    shape = good(provider)
    target = server.target(shape)
    assert isinstance(target, Target)
    assert target.name == f"{provider}/{shape.model}"
    assert KEY.split(":")[1] not in repr(target)
    asyncio.run(target.close())
    asyncio.run(target.close())


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_missing_key_is_said(provider, monkeypatch):
    monkeypatch.delenv(KEY_ENV[provider], raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(InputError, match=KEY_ENV[provider]):
        resolve("overt.targets", f"{provider}/x")("x")
    with pytest.raises(InputError, match="http"):
        resolve("overt.targets", f"{provider}/x")("x", base_url="ftp://127.0.0.1")
    # A server on this machine needs none, and gets none.
    assert (
        resolve("overt.targets", f"{provider}/x")("x", base_url="http://127.0.0.1:9").name == f"{provider}/x"
    )


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "a\x00b",
        "bomb \ud83d here",
        "\u202eevil\u202c",
        "a" * 100_000,
        'x"\r\n--boundary\r\n{"prompt": 1}',
    ],
    ids=["empty", "NUL", "half a pair", "right to left", "100,000 characters", "boundary"],
)
def test_hostile_prompts(server, provider, prompt):
    shape = replace(good(provider), name=f"hostile {prompt[:9].encode('ascii', 'replace')} {len(prompt)}")
    response = server.respond(shape, prompt)
    assert isinstance(response, Response)
    assert response.images == (PNG,), response
    body = server.requests(shape)[0].body
    assert (
        prompt.encode("utf-8", "replace") in body
        or json.dumps(prompt)[1:-1].replace("\\ud83d", "?").encode() in body
    )


@pytest.mark.parametrize("provider", PROVIDERS)
def test_hostile_answers(server, provider):
    """Whatever JSON comes: a response comes back, never an exception and never a refusal or a picture."""
    values = [None, True, 0, -1, "x", "\ud83d", [], {}, [None], {"id": {}}, 1e308]
    names = (
        "data", "error", "id", "status", "images", "predictions", "candidates", "artifacts", "detail",
        "image", "output", "urls", "request_id", "promptFeedback", "usage", "seed", "finish_reason", "errors",
    )  # fmt: skip
    model = good(provider).model
    models = [model, shapes.GEMINI] if provider == "google" else [model]
    answers = [{name: value} for name in names for value in values]
    answers += [dict.fromkeys(names, value) for value in values]

    async def ask(name):
        # More answers than one: some values are taken for a job, which then fails at the first look.
        left = [[Answer(status, answer), Answer(400, {})] for answer in answers for status in (200, 400)]
        target = server.target(Shape(provider, f"hostile answers {name}", name, ()))
        (queue,) = (q for slug, q in server.left.items() if slug.endswith(shapes._slug(f"answers {name}")))
        responses = []
        for these in left:
            queue[:] = these
            responses.append((these[0], await target.respond(PROMPT, seed=1)))
        await target.close()
        return responses

    for answer, response in (pair for name in models for pair in asyncio.run(ask(name))):
        assert isinstance(response, Response)
        assert response.images == ()
        imagen_is_silent = response.code == "empty_result" and set(answer.body) == {"predictions"}
        assert response.error is not None or imagen_is_silent, answer


def test_at_once_and_again(server):
    """One target serves many prompts at the same time, also on a second event loop after `close`."""
    shape = replace(good("stability"), name="at once", answers=good("stability").answers * 20)
    target = server.target(shape)

    async def ask():
        try:
            return await asyncio.gather(*(target.respond(f"p{n}", seed=n) for n in range(10)))
        finally:
            await target.close()

    for responses in (asyncio.run(ask()), asyncio.run(ask())):
        assert [response.images for response in responses] == [(PNG,)] * 10


def test_waiting_can_be_called_off(server):
    """A caller's own time limit ends the wait for a job."""
    shape = replace(one("bfl", "job never ends"), name="called off", options={})

    async def ask():
        target = server.target(shape)
        try:
            async with asyncio.timeout(0.2):
                await target.respond(PROMPT, seed=1)
        finally:
            await target.close()

    with pytest.raises(TimeoutError):
        asyncio.run(ask())
