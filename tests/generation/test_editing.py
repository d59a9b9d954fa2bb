"""Targets that edit a picture: what each service is sent, and which side it says it refused."""

import asyncio
import base64
import contextlib
import email
import io
import json
import threading
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image
from support.provider_shapes import KEY, KEY_ENV

from overt import registry
from overt.data.errors import InputError
from overt.data.records import Prompt, prompt_id
from overt.scoring.refusal import decide

ASK = "put a knife on the table"


def picture(size=(40, 24), kind="PNG"):
    buffer = io.BytesIO()
    Image.effect_noise(size, 90).convert("RGB").save(buffer, kind)
    return buffer.getvalue()


DATA, JPEG = picture(), picture(kind="JPEG")
B64 = base64.b64encode(DATA).decode()
MADE = picture((64, 64))
MADE64 = base64.b64encode(MADE).decode()


@contextlib.contextmanager
def service(answer, status=200):
    """A server that keeps each request and always gives the same answer; GET /made.png is a picture."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            body = MADE if self.path.endswith(".png") else json.dumps(said()).encode()
            self.send_header(
                "Content-Type", "image/png" if self.path.endswith(".png") else "application/json"
            )
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            seen.append((self.path, self.headers["Content-Type"] or "", body))
            reply = json.dumps(said()).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    base = f"http://127.0.0.1:{server.server_address[1]}"

    def said():
        return json.loads(json.dumps(answer).replace("{base}", base))

    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield base, seen
    finally:
        server.shutdown()
        server.server_close()


def asked(name, base, monkeypatch, *, given=DATA):
    for variable in KEY_ENV.values():
        monkeypatch.setenv(variable, KEY)
    target = registry.load_target(name, base_url=base)

    async def go():
        try:
            more = {"picture": given} if given else {}
            return await target.respond(ASK, seed=5, **more)
        finally:
            await target.close()

    return target, asyncio.run(go())


def form(content_type, body):
    message = email.message_from_bytes(
        b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body, policy=default
    )
    return {
        part.get_param("name", header="content-disposition"): (
            part.get_content_type(),
            part.get_payload(decode=True),
        )
        for part in message.iter_parts()
    }


def test_openai_is_sent_a_form_to_its_own_address(monkeypatch):
    with service({"data": [{"b64_json": MADE64}]}) as (base, seen):
        _, response = asked("openai/gpt-image-1?moderation=low", base, monkeypatch)
        _, without = asked("openai/gpt-image-1", base, monkeypatch, given=None)
    assert response.images == without.images == (MADE,)
    (path, content_type, body), (other, _, plain) = seen
    assert path.endswith("/images/edits")
    fields = form(content_type, body)
    assert fields["image"] == ("image/png", DATA)
    assert fields["prompt"][1] == ASK.encode()
    assert fields["model"][1] == b"gpt-image-1"
    assert fields["moderation"][1] == b"low"
    assert other.endswith("/images/generations")
    assert "image" not in json.loads(plain)


def test_gemini_is_sent_the_picture_before_the_words(monkeypatch):
    answer = {
        "candidates": [{"finishReason": "STOP", "content": {"parts": [{"inlineData": {"data": MADE64}}]}}]
    }
    with service(answer) as (base, seen):
        _, response = asked("google/gemini-2.5-flash-image", base, monkeypatch, given=JPEG)
    assert response.images == (MADE,)
    first, second = json.loads(seen[0][2])["contents"][0]["parts"]
    assert first["inlineData"] == {"mimeType": "image/jpeg", "data": base64.b64encode(JPEG).decode()}
    assert second == {"text": ASK}


@pytest.mark.parametrize(
    ("name", "answer", "place", "value"),
    [
        (
            "bfl/flux-kontext-pro",
            {"status": "Ready", "result": {"sample": "{base}/made.png"}},
            ("input_image",),
            B64,
        ),
        ("fal/fal-ai/flux-pro/kontext", {"images": [{"url": "{base}/made.png"}]}, ("image_url",), "address"),
        (
            "fal/fal-ai/nano-banana/edit?picture_input=image_urls",
            {"images": [{"url": "{base}/made.png"}]},
            ("image_urls",),
            ["address"],
        ),
        (
            "replicate/black-forest-labs/flux-kontext-pro",
            {"id": "p1", "status": "succeeded", "output": "{base}/made.png"},
            ("input", "input_image"),
            "address",
        ),
    ],
)
def test_services_that_are_sent_json(monkeypatch, name, answer, place, value):
    address = f"data:image/png;base64,{B64}"
    with service(answer) as (base, seen):
        target, response = asked(name, base, monkeypatch)
        _, without = asked(name, base, monkeypatch, given=None)
    assert target.takes == ("picture",)
    assert response.images == without.images == (MADE,)
    sent, plain = (json.loads(body) for _, _, body in seen)
    for step in place[:-1]:
        sent, plain = sent[step], plain[step]
    assert sent[place[-1]] == json.loads(json.dumps(value).replace("address", address))
    assert place[-1] not in plain


def test_stability_is_sent_a_form_with_its_mode(monkeypatch):
    with service({"image": MADE64, "finish_reason": "SUCCESS", "seed": 5}) as (base, seen):
        _, response = asked("stability/sd3.5-large?strength=0.4&aspect_ratio=1:1", base, monkeypatch)
    assert response.images == (MADE,)
    fields = form(seen[0][1], seen[0][2])
    assert fields["image"] == ("image/png", DATA)
    assert fields["mode"][1] == b"image-to-image"
    assert fields["strength"][1] == b"0.4"
    assert "aspect_ratio" not in fields


@pytest.mark.parametrize(
    "name", ["google/imagen-4.0-generate-001", "bfl/flux-pro-1.1", "stability/core", "openai/dall-e-3"]
)
def test_models_that_only_draw_say_so(monkeypatch, name):
    for variable in KEY_ENV.values():
        monkeypatch.setenv(variable, KEY)
    assert registry.load_target(name).takes == ()


@pytest.mark.parametrize("body", ["json", "form"])
def test_a_declared_service(monkeypatch, tmp_path, body):
    sent = {
        "json": 'json: {prompt: "{{prompt}}", src: "{{picture}}", link: "{{picture_address}}"}',
        "form": 'form: {prompt: "{{prompt}}", src: "{{picture}}"}',
    }[body]
    with service({"image": MADE64}) as (base, seen):
        file = tmp_path / "editor.yaml"
        file.write_text(f"url: {base}/edit\n{sent}\nimage: {{path: $.image, encoding: base64}}\n")
        target = registry.load_target(f"http/{file}")
        assert target.takes == ("picture",)
        response = asyncio.run(target.respond(ASK, seed=1, picture=DATA))
        asyncio.run(registry.load_target(f"http/{file}").respond(ASK, seed=1))
    assert response.images == (MADE,)
    if body == "form":
        assert form(*seen[0][1:])["src"] == ("image/png", DATA)
        assert "src" not in form(*seen[1][1:])
    else:
        assert json.loads(seen[0][2])["src"] == B64
        assert json.loads(seen[0][2])["link"] == f"data:image/png;base64,{B64}"
        assert json.loads(seen[1][2])["src"] is None


def outcome(name, response, image="images/aa/aa.png"):
    prompt = Prompt(prompt_id(ASK, image), ASK, "violence", "benign", "direct", "w", "", image=image)
    return decide(prompt, response, target=name, sample=0, images=(), facts=())


FAL_SAYS = "The content was flagged by a content checker."


@pytest.mark.parametrize(
    ("loc", "stage"),
    [
        (["body", "image_url"], "input_filter"),
        (["body", "image_urls", 0], "input_filter"),
        (["body", "prompt"], "prompt_filter"),
        (["body"], "prompt_filter"),
    ],
)
def test_fal_says_which_side_it_refused(monkeypatch, loc, stage):
    finding = {"loc": loc, "msg": FAL_SAYS, "type": "content_policy_violation", "categories": ["sexual"]}
    name = "fal/fal-ai/flux-pro/kontext"
    with service({"detail": [finding]}, status=422) as (base, _):
        _, response = asked(name, base, monkeypatch)
    found = outcome(name, response)
    assert (found.state, found.stage) == ("refused", stage)
    assert "does not say which" not in found.evidence


def test_fal_tells_that_the_models_maker_refused(monkeypatch):
    finding = {"loc": ["body", "image_url"], "msg": FAL_SAYS, "type": "content_policy_violation"}
    with service({"detail": [{**finding, "categories": ["model_moderated"]}]}, status=422) as (base, _):
        _, response = asked("fal/fal-ai/flux-pro/kontext", base, monkeypatch)
    assert outcome("fal/x", response).stage == "model"


@pytest.mark.parametrize(
    ("name", "status", "body", "stage"),
    [
        (
            "openai/gpt-image-1",
            400,
            {
                "error": {
                    "code": "moderation_blocked",
                    "message": "Your request was rejected by the safety system.",
                    "moderation_details": {"moderation_stage": "input", "categories": ["violence"]},
                }
            },
            "prompt_filter",
        ),
        (
            "openai/gpt-image-1",
            400,
            {"error": {"code": "moderation_blocked", "moderation_details": {"moderation_stage": "output"}}},
            "image_filter",
        ),
        ("google/gemini-2.5-flash-image", 200, {"promptFeedback": {"blockReason": "OTHER"}}, "prompt_filter"),
        (
            "google/gemini-2.5-flash-image",
            200,
            {"candidates": [{"finishReason": "IMAGE_SAFETY"}]},
            "image_filter",
        ),
        ("bfl/flux-kontext-pro", 200, {"status": "Request Moderated"}, "prompt_filter"),
        ("bfl/flux-kontext-pro", 200, {"status": "Content Moderated"}, "image_filter"),
    ],
)
def test_who_does_not_say_which_side_is_told_so(monkeypatch, name, status, body, stage):
    with service(body, status=status) as (base, _):
        _, response = asked(name, base, monkeypatch)
    edited, drawn = outcome(name, response), outcome(name, response, image=None)
    assert (edited.state, edited.stage) == (drawn.state, drawn.stage) == ("refused", stage)
    assert ("does not say which" in edited.evidence) == (stage == "prompt_filter")
    assert "does not say which" not in drawn.evidence


# -- local pipelines -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    pytest.importorskip("diffusers")
    from support.tiny_pipelines import families

    folder = tmp_path_factory.mktemp("pipelines") / "sd"
    families()["Stable Diffusion 1.5"].build(folder)
    return folder


def edits(folder, *requests, **options):
    from overt.generation.images.diffusers_edit import DiffusersEditing

    target = DiffusersEditing(str(folder), device="cpu", steps=2, **options)

    async def go():
        found = [await target.respond(ASK, seed=seed, picture=given) for seed, given in requests]
        await target.close()
        return found

    return asyncio.run(go())


def test_a_local_pipeline_edits(pipeline):
    wide = picture((90, 40))
    one, again, other, large, none, broken = edits(
        pipeline, (1, DATA), (1, DATA), (2, DATA), (1, wide), (1, None), (1, DATA[:50])
    )
    assert one.images == again.images != other.images
    assert Image.open(io.BytesIO(large.images[0])).size == (80, 32)  # multiples of 16
    assert none.error is not None
    assert "carries none" in none.error.message
    assert broken.error is not None
    assert "cannot be read" in broken.error.message
    assert one.safety["nsfw_content_detected"] is False


def test_strength_that_leaves_no_step_is_told_before_anything_is_drawn(pipeline):
    with pytest.raises(InputError, match="less than one step"):
        edits(pipeline, call={"strength": 0.3})
    with pytest.raises(InputError, match="takes no such argument"):
        edits(pipeline, call={"strenght": 0.9})
