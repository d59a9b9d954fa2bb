"""Keys in every place where a user may write one, and a service that repeats them wherever it can: no file of
the run and no line that is printed holds a key, in any of its forms."""

import base64
import io
import json
import os
import subprocess
import sys
import threading
import urllib.parse
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from support.commands import outcomes, overt, write_prompts

from overt.data.secrets import filled, learn, masked, storable, without_keys

# One for each place, so that a leak says where it came from. The ends have characters that are encoded.
SECRETS = {
    name: f"Zq9{name}+7f/x=Vk2Hidden{name}"
    for name in ("header", "variable", "pathvar", "typed", "user", "query")
}


def forms(secret):
    raw = secret.encode()
    pairs = [raw, b"user:" + raw, raw + b":pass", b"xy" + raw]
    coded = {base64.b64encode(one).decode()[4:-6] for one in pairs}
    return {
        secret,
        secret[:14],
        urllib.parse.quote(secret, safe="")[:14],
        json.dumps(secret)[1:-1],
        raw.hex(),
        *coded,
        *(one.replace("+", "-").replace("/", "_") for one in coded),
    }


def leaks(blob, secrets=SECRETS):
    text = blob if isinstance(blob, bytes) else blob.encode("utf-8", "replace")
    return {
        (name, form) for name, secret in secrets.items() for form in forms(secret) if form.encode() in text
    }


def leaks_in(folder):
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and (here := leaks(path.read_bytes())):
            found[str(path)] = here
    return found


@contextmanager
def echo():
    """Repeats the address and the headers, by the prompt: in an answer, a refusal, an error, a page."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
            token = self.headers.get("authorization", "").removeprefix("Bearer ")
            coded = base64.b64encode(f"user:{token}".encode()).decode()
            plain = urllib.parse.unquote(self.path)
            said = f"You sent {self.path} and {plain} with {token} or {coded}. {dict(self.headers)}"
            said += token.encode().hex()
            seen.append(said)
            status, kind, data = answer(body, said, token)
            blob = data if isinstance(data, bytes) else data.encode()
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("x-request-id", token)
            self.send_header("content-length", str(len(blob)))
            self.end_headers()
            self.wfile.write(blob)

        def log_message(self, *_):
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}", seen
    finally:
        httpd.shutdown()
        httpd.server_close()


def answer(body, said, token):
    for word, status, inner in (
        ("refuse", 400, {"error": {"code": "content_policy_violation", "message": said}}),
        (
            "reject",
            400,
            {"error": {"code": "strange", "message": f"Incorrect API key provided: {token}. {said}"}},
        ),
        ("nested", 400, {"error": {"message": json.dumps({"error": {"message": said}})}}),
        ("named", 422, {token: {said: [said]}}),
    ):
        if word in body:
            return status, "application/json", json.dumps(inner)
    if "page" in body:
        return 503, "text/html", f"<html>{said}" + "x" * (1985 - len(said)) + token
    picture = base64.b64encode(PICTURE).decode()
    choice = {"message": {"content": f"Here it is. {said}"}, "finish_reason": "stop"}
    return (
        200,
        "application/json",
        json.dumps(
            {
                "choices": [choice],
                "image": picture,
                "revised": said,
                "usage": {"prompt_tokens": 3, "completion_tokens": 4},
            }
        ),
    )


def _png():
    from PIL import Image

    made = Image.effect_noise((32, 32), 80)
    made.save(file := io.BytesIO(), "PNG")
    return file.getvalue()


PICTURE = _png()
PROMPTS = ["a plain one", "refuse this", "reject this", "nested this", "named this", "page this"]


def said_of(done):
    return done.stdout + done.stderr


def run(*arguments, env, code=None):
    done = overt(*arguments, code=code, env=env)
    assert not leaks(said_of(done))
    return done


@pytest.fixture
def env():
    return {
        **os.environ,
        "OPENAI_API_KEY": SECRETS["header"],
        "VENDOR_KEY": SECRETS["variable"],
        "VENDOR_PATH": SECRETS["pathvar"],
        "HF_HUB_OFFLINE": "1",
    }


def test_no_key_is_in_a_run_of_a_language_model(tmp_path, env):
    prompts = write_prompts(tmp_path / "p.jsonl", PROMPTS, ["reject it too"])
    typed, query = (urllib.parse.quote(SECRETS[name], safe="") for name in ("typed", "query"))
    out = tmp_path / "run"
    with echo() as (url, seen):
        named = f"openai/one?base_url={url}/v1?api_key={urllib.parse.quote(typed)}"
        arguments = ["run", prompts, "--policy", "chat_assistant", "--target", named,
                     "--target", "openai/two",
                     "--base-url", f"{url}/${{VENDOR_PATH}}/v1?token=${{VENDOR_KEY}}&sig={query}",
                     "--out", out, "--retries", "0"]  # fmt: skip
        done = run(*arguments, "--json", env=env)
        assert done.returncode in (0, 3), said_of(done)
        for secret in SECRETS.values():  # all of it was sent
            if secret not in (SECRETS["user"],):
                assert any(secret in said or urllib.parse.quote(secret, safe="") in said for said in seen), (
                    secret
                )
        sent = len(seen)
        run("show", out, env=env)
        assert run(*arguments, env=env).returncode == done.returncode  # the same run
        assert len(seen) < 2 * sent
        # The folder keeps ${VENDOR_KEY}, but not the key that was typed beside it.
        assert "${VENDOR_KEY}" in (out / "addresses.json").read_text()
        lost = run("run", "--resume", out, env=env, code=2)
        assert "--base-url" in lost.stderr
    assert len(outcomes(out)) == 14
    run("report", out, "--out", tmp_path / "report", env=env)
    run("publish", out, "--repo", "me/x", "--dry-run", "--out", tmp_path / "draft", env=env)
    assert leaks_in(tmp_path) == {}


def test_no_key_is_in_a_run_of_a_declared_model(tmp_path, env):
    prompts = write_prompts(tmp_path / "p.jsonl", PROMPTS)
    out = tmp_path / "run"
    with echo() as (url, seen):
        (tmp_path / "vendor.yaml").write_text(
            f"url: {url}/${{VENDOR_PATH}}/draw?token=${{VENDOR_KEY}}\n"
            "query: {session: '${VENDOR_KEY}', text: '{{prompt}}'}\n"
            "headers: {Authorization: 'Bearer ${OPENAI_API_KEY}'}\n"
            "json: {prompt: '{{prompt}}'}\nimage: {path: $.image, encoding: base64}\n"
            "revised_prompt: $.revised\n"
            "refusal: [{status: 422, stage: model}]\n"
        )
        done = run(
            "run",
            prompts,
            "--target",
            f"http/{tmp_path}/vendor.yaml",
            "--out",
            out,
            "--retries",
            "0",
            env=env,
        )
        assert done.returncode == 3
        assert any(SECRETS["pathvar"] in said for said in seen)
        assert any(SECRETS["variable"] in said for said in seen)
        run("run", "--resume", out, "--retries", "0", env=env)
    run("report", out, "--out", tmp_path / "report", env=env)
    assert leaks_in(tmp_path) == {}
    states = {o.state for o in outcomes(out)}
    assert {"generated", "refused", "error"} <= states


def test_a_variable_that_is_not_set_is_named(tmp_path, env):
    prompts = write_prompts(tmp_path / "p.jsonl", ["a harbour"])
    env.pop("VENDOR_KEY")
    (tmp_path / "vendor.yaml").write_text(
        "url: http://127.0.0.1:9/x?token=${VENDOR_KEY}\njson: {prompt: '{{prompt}}'}\n"
        "image: {path: $.image}\n"
    )
    for target in (
        f"http/{tmp_path}/vendor.yaml",
        "openai/m?base_url=http://127.0.0.1:9/v1?key=${VENDOR_KEY}",
    ):
        done = run("run", prompts, "--target", target, "--out", tmp_path / "run", env=env, code=2)
        assert "VENDOR_KEY" in done.stderr


def test_a_prompt_cannot_name_a_variable(tmp_path, env):
    prompts = write_prompts(tmp_path / "p.jsonl", ["a harbour ${VENDOR_KEY} $VENDOR_KEY"])
    with echo() as (url, seen):
        (tmp_path / "vendor.yaml").write_text(
            f"url: {url}/draw\nquery: {{text: '{{{{prompt}}}}'}}\njson: {{prompt: '{{{{prompt}}}}'}}\n"
            "image: {path: $.image, encoding: base64}\n"
        )
        run("run", prompts, "--target", f"http/{tmp_path}/vendor.yaml", "--out", tmp_path / "run", env=env)
    assert seen
    assert not leaks(" ".join(seen))


def test_a_traceback_is_masked_too():
    code = (
        "from overt.cli.terminal import wrap_streams; from overt.data.secrets import learn; wrap_streams();"
        f"learn({SECRETS['user']!r}); print('\\x1b[2J\\u202e\\x9b31m', {SECRETS['user']!r}); "
        f"raise ValueError('user:' + {SECRETS['user']!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "ValueError: user:***" in done.stderr
    assert done.stdout == "[U+001B][2J[U+202E][U+009B]31m ***\n"
    assert SECRETS["user"] not in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("https://me:pass@host/v1", "https://***@host/v1"),
        ("https://${USER}:${PASS}@host/v1?key=${KEY}", "https://${USER}:${PASS}@host/v1?key=${KEY}"),
        ("https://h/v1?api-version=2&api_key=abc&sig=d", "https://h/v1?api-version=2&api_key=***&sig=***"),
        ("https://h/gpt-4o-mini-2024-07-18/v1", "https://h/gpt-4o-mini-2024-07-18/v1"),
        ("https://h/sk-abc123def456/v1", "https://h/***/v1"),
        ("https://h/0123456789abcdef0123456789abcdef/v1", "https://h/***/v1"),
        (
            "openai/m?base_url=http://h/v1?key=x1&api_key_env=MINE",
            "openai/m?base_url=http://h/v1?key=***&api_key_env=MINE",
        ),
        (
            "openai/m?base_url=http%3A%2F%2Fh%2Fv1%3Fkey%3Dx1",
            "openai/m?base_url=http%3A%2F%2Fh%2Fv1%3Fkey%3D***",
        ),
        ("openai/m?base_url=http://h?a=1%26token=x1", "openai/m?base_url=http://h?a=1%26token=***"),
        ("a prompt: what is a key?", "a prompt: what is a key?"),
        ("filter/keywords?path=words.txt", "filter/keywords?path=words.txt"),
    ],
)
def test_keys_in_addresses(text, hidden):
    assert without_keys(text) == hidden
    assert without_keys(hidden) == hidden


def test_a_plain_word_makes_no_hole():
    learn("not-needed"[:10], "test", "secret", "12345678")
    assert (
        masked("a test of a secret that is not-needed, 12345678")
        == "a test of a secret that is not-needed, 12345678"
    )


def test_what_is_stored_has_no_nul_and_no_surrogate(monkeypatch):
    monkeypatch.setenv("SOME_KEY", "Some/Key=0123456789")
    assert filled("http://h/${SOME_KEY}") == "http://h/Some%2FKey%3D0123456789"
    data = {"a\0": ["Some/Key=0123456789", "x\ud800y\0", ("\0",), 1, None]}
    assert storable(data) == {"a?": ["***", "x?y?", ("?",), 1, None]}


HOSTILE = "\x1b[31mred\x1b]0;title\x07 \x9b2J \u202eevil\u2066 \0nul \ud800half \x85next\rback"


@pytest.mark.parametrize("status", [200, 400])
def test_what_a_service_says_drives_no_terminal_and_stops_no_reader(tmp_path, env, status):
    from support.servers import server

    choice = {"message": {"content": f"Sure. {HOSTILE}"}, "finish_reason": "stop"}
    data = {"choices": [choice]} if status == 200 else {"error": {"message": HOSTILE, "code": HOSTILE}}
    prompts = write_prompts(tmp_path / "p.jsonl", [f"a harbour {HOSTILE}", "a street"])
    out = tmp_path / "run"
    with server(lambda body: (status, {}, data)) as url:
        told = run("run", prompts, "--policy", "chat_assistant", "--target", "openai/m", "--base-url", url,
                   "--out", out, "--retries", "0", env=env)  # fmt: skip
        said = [told, run("show", out, env=env), run("run", "--resume", out, "--json", env=env)]
    said.append(run("report", out, "--out", tmp_path / "report", env=env))
    for done in said:
        assert not set(said_of(done)) & set("\x1b\x07\x9b\u202e\u2066\0\x85\x08")
    for path in tmp_path.rglob("*"):
        if path.suffix in (".json", ".jsonl", ".html", ".md", ".yaml") and path != prompts:
            text = path.read_bytes().decode("utf-8")  # valid UTF-8, whatever came
            assert "\0" not in text
            assert "\\u0000" not in text
            assert "\\ud800" not in text
