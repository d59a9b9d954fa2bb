"""Batch APIs on loopback, with the bodies that OpenAI and Google document: files, batches, results, faults.

Beside the batches the same answers are given live, so that both can be compared. What a request gets is said
by its prompt, as in `image_server`: "[refuse]", "[400]", "[500 once]", "[expire once]" (its batch's time is
up before it is done), "[lost once]" (a line of its result that cannot be read).
"""

from __future__ import annotations

import base64
import contextlib
import email
import json
import re
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from support.image_server import noise

Said = tuple[int, Any]


def picture(prompt: str) -> str:
    return base64.b64encode(noise(zlib.crc32(prompt.encode()))).decode()


class BatchServer:
    """Both protocols.

    steps: how many looks a batch stays open. most: requests that may be enqueued, else the batch fails as
    OpenAI's do. faults: statuses for the next requests to a path, such as {"/v1/batches": [429]}; 0 takes the
    request and drops the connection. hold: while set, no batch ends. on_create: called when a batch was
    begun, before that is answered.
    """

    def __init__(self, *, steps: int = 1, most: int = 10**9, has_batches: bool = True) -> None:
        self.steps, self.most, self.has_batches = steps, most, has_batches
        self.faults: dict[str, list[int]] = {}
        self.hold = False
        self.on_create: Callable[[], None] = lambda: None
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.asked: Counter[str] = Counter()  # how often each prompt was computed, by batch or live
        self.live: Counter[str] = Counter()
        self.paths: list[str] = []
        self.uploads: list[bytes] = []
        self.without: set[str] = set()  # fields that the chat endpoint does not take
        self.lists = True
        self.lock = threading.RLock()
        self.url = ""

    # -- what a request gets ---------------------------------------------------------------------------

    def answer(self, path: str, body: dict[str, Any]) -> Said:
        if path.endswith("/chat/completions"):
            if odd := self.without & set(body):
                name = sorted(odd)[0]
                message = f"Unsupported parameter: '{name}' is not supported with this model."
                return 400, {"error": {"message": message, "type": "invalid_request_error", "param": name,
                                       "code": "unsupported_parameter"}}  # fmt: skip
            prompt = body["messages"][-1]["content"]
            return self._said(prompt, self._chat(prompt))
        if path.endswith("/images/generations"):
            prompt = body["prompt"]
            data = {
                "data": [{"b64_json": picture(prompt)}],
                "usage": {"input_tokens": 9, "output_tokens": 272},
            }
            return self._said(prompt, data)
        prompt = body["contents"][0]["parts"][0]["text"]
        if "[block]" in prompt:
            self.asked[prompt] += 1
            return 200, {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}
        part = {"inlineData": {"mimeType": "image/png", "data": picture(prompt)}}
        data = {
            "candidates": [{"content": {"parts": [part], "role": "model"}, "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 1290},
        }
        status, data = self._said(prompt, data)
        if status == 400:
            message = data["error"]["message"]
            data = {"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}}
        return status, data

    def _chat(self, prompt: str) -> dict[str, Any]:
        text = "I'm sorry, but I can't help with that." if "[no]" in prompt else f"Here it is: {prompt[::-1]}"
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text, "refusal": None},
                         "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 20, "completion_tokens": 12, "total_tokens": 32},
        }  # fmt: skip

    def _said(self, prompt: str, data: dict[str, Any]) -> Said:
        self.asked[prompt] += 1
        if "[refuse]" in prompt:
            return 400, {"error": {"message": "Your request was rejected by the safety system.",
                                   "type": "image_generation_user_error", "param": None,
                                   "code": "moderation_blocked"}}  # fmt: skip
        if "[400]" in prompt:
            return 400, {"error": {"message": "an odd request", "type": "invalid_request_error"}}
        if "[500 once]" in prompt and self.asked[prompt] == 1:
            return 500, {"error": {"message": "The server had an error", "type": "server_error"}}
        return 200, data

    # -- OpenAI ------------------------------------------------------------------------------------------

    def openai_create(self, body: dict[str, Any]) -> dict[str, Any]:
        id, now = f"batch_{len(self.batches):04x}", int(time.time())
        lines = [json.loads(line) for line in self.files[body["input_file_id"]].splitlines()]
        batch = {
            "id": id, "object": "batch", "endpoint": body["endpoint"], "errors": None,
            "input_file_id": body["input_file_id"], "completion_window": body["completion_window"],
            "status": "validating", "output_file_id": None, "error_file_id": None, "created_at": now,
            "expires_at": now + 86_400, "metadata": body.get("metadata"),
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
        }  # fmt: skip
        open_ = [
            b for b in self.batches.values() if b["public"].get("status") in ("validating", "in_progress")
        ]
        enqueued = sum(len(b["lines"]) for b in open_)
        problem = self._problem(batch, lines, enqueued)
        if problem:
            batch |= {"status": "failed", "errors": {"object": "list", "data": [problem]}}
        self.batches[id] = {"public": batch, "lines": lines, "looks": 0}
        return batch

    def _problem(self, batch: dict[str, Any], lines: list[dict[str, Any]], enqueued: int) -> Any:
        if len({line["custom_id"] for line in lines}) < len(lines):
            return {
                "code": "duplicate_custom_id",
                "line": 2,
                "message": "custom_id is not unique",
                "param": None,
            }
        if any(line["url"] != batch["endpoint"] for line in lines):
            return {"code": "url_mismatch", "line": 1, "message": "the url is another", "param": "url"}
        if enqueued + len(lines) > self.most:
            words = f"Enqueued token limit reached for m in organization org-x. Limit: {self.most:,} tokens."
            return {"code": "token_limit_exceeded", "line": None, "message": words, "param": None}
        if any("[bad line]" in json.dumps(line) for line in lines):
            return {
                "code": "invalid_json_line",
                "line": 1,
                "message": "This line is not parseable",
                "param": None,
            }
        return None

    def openai_look(self, id: str) -> dict[str, Any]:
        batch = self.batches[id]
        public = batch["public"]
        if public["status"] in ("validating", "in_progress", "cancelling"):
            batch["looks"] += 1
            if public["status"] == "cancelling":
                self._finish(batch, "cancelled", done=len(batch["lines"]) // 2)
            elif not self.hold and batch["looks"] > self.steps:
                self._finish(batch, "completed", done=len(batch["lines"]))
            elif public["status"] == "validating":
                counts = {"total": len(batch["lines"]), "completed": 0, "failed": 0}
                public |= {"status": "in_progress", "request_counts": counts}
        return public

    def _finish(self, batch: dict[str, Any], status: str, done: int) -> None:
        out: list[dict[str, Any]] = []
        err: list[dict[str, Any]] = []
        for at, line in enumerate(batch["lines"]):
            body = line["body"]
            prompt = body.get("prompt") or body["messages"][-1]["content"]
            expires = "[expire once]" in prompt and not self.asked[prompt]
            if at >= done or expires:
                self.asked[prompt] += expires
                status = "expired" if expires else status
                code = "batch_expired" if expires else "batch_cancelled"
                words = "This request could not be executed before the completion window expired."
                err.append({"id": f"r{at}", "custom_id": line["custom_id"], "response": None,
                            "error": {"code": code, "message": words}})  # fmt: skip
                continue
            code, data = self.answer(line["url"], body)
            row = {"id": f"batch_req_{at}", "custom_id": line["custom_id"], "error": None,
                   "response": {"status_code": code, "request_id": f"req-{at}", "body": data}}  # fmt: skip
            if "[lost once]" in prompt and self.asked[prompt] == 1:
                row["custom_id"] = None
            (out if code == 200 else err).append(row)
        public = batch["public"]
        for name, rows in (("output_file_id", out), ("error_file_id", err)):
            if rows:  # in any order
                public[name] = self._file("\n".join(["{no json", *map(json.dumps, reversed(rows))]).encode())
        counts = {"total": len(batch["lines"]), "completed": len(out), "failed": len(err)}
        public |= {"status": status, "request_counts": counts}

    def _file(self, data: bytes) -> str:
        id = f"file-{len(self.files):04x}"
        self.files[id] = data
        return id

    # -- Google ------------------------------------------------------------------------------------------

    def google_create(self, model: str, batch: dict[str, Any]) -> dict[str, Any]:
        source, name = batch["input_config"], f"batches/{len(self.batches):04x}"
        if "file_name" in source:
            lines = [json.loads(line) for line in self.files[source["file_name"]].splitlines()]
            lines = [{"key": line["key"], "request": line["request"]} for line in lines]
        else:
            lines = [
                {"key": r["metadata"]["key"], "request": r["request"]} for r in source["requests"]["requests"]
            ]
        meta = {
            "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch",
            "model": f"models/{model}", "displayName": batch["display_name"], "state": "BATCH_STATE_PENDING",
            "createTime": time.strftime("%Y-%m-%dT%H:%M:%S.123456789Z", time.gmtime()), "name": name,
            "batchStats": {"requestCount": str(len(lines)), "pendingRequestCount": str(len(lines))},
        }  # fmt: skip
        self.batches[name] = {"public": {"name": name, "metadata": meta}, "lines": lines, "looks": 0,
                              "is_file": "file_name" in source, "model": model}  # fmt: skip
        return self.batches[name]["public"]

    def google_look(self, name: str) -> dict[str, Any]:
        batch = self.batches[name]
        public = batch["public"]
        if public.get("done") or self.hold:
            return public
        batch["looks"] += 1
        if batch["looks"] <= self.steps:
            public["metadata"]["state"] = "BATCH_STATE_RUNNING"
            return public
        rows = []
        for line in batch["lines"]:
            code, data = self.answer(f"/models/{batch['model']}:generateContent", line["request"])
            error = {"code": 3 if code == 400 else 13, "message": data.get("error", {}).get("message", "")}
            rows.append({"key": line["key"], **({"response": data} if code == 200 else {"error": error})})
        if batch["is_file"]:
            name = f"files/batch-{len(self.files):04x}"
            self.files[name] = "\n".join(map(json.dumps, rows)).encode()
            response: dict[str, Any] = {"responsesFile": name}
        else:
            inline = [
                {**{k: v for k, v in r.items() if k != "key"}, "metadata": {"key": r["key"]}} for r in rows
            ]
            response = {"inlinedResponses": {"inlinedResponses": inline}}
        public |= {"done": True, "response": response}
        public["metadata"]["state"] = "BATCH_STATE_SUCCEEDED"
        return public


@contextlib.contextmanager
def batch_server(**options: Any) -> Iterator[BatchServer]:
    state = BatchServer(**options)
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
    http.daemon_threads = True
    state.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


def _handler(state: BatchServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.path, _, query = self.path.partition("?")
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            with state.lock:
                state.paths.append(f"{self.command} {self.path}")
                fault = state.faults.get(f"{self.command} {self.path}")
                status = fault.pop(0) if fault else 200
                if status > 200:
                    return self.say(
                        status, {"error": {"message": f"status {status}"}}, {"retry-after": "0.1"}
                    )
                said = self.said(body, parse_qs(query))
                if self.command == "POST" and self.path in ("/v1/batches",) and status < 300:
                    state.on_create()
                if status == 0:  # it was taken, and the answer is lost
                    self.close_connection = True
                    return None
            return self.say(*said)

        do_POST = do_GET

        def said(self, body: bytes, query: dict[str, list[str]]) -> Any:
            path, post = self.path, self.command == "POST"
            if path.startswith(("/v1beta", "/upload", "/download")):
                return google(state, self, path, body, query)
            if path.endswith(("/chat/completions", "/images/generations")):
                data = json.loads(body)
                state.live[data.get("prompt") or data["messages"][-1]["content"]] += 1
                return state.answer(path, data)
            if not state.has_batches:
                return 404, {"error": {"message": f"Not Found: {path}"}}
            if path == "/v1/files" and post:
                state.uploads.append(body)
                parts = multipart(self.headers["content-type"], body)
                assert parts["purpose"] == b"batch"
                id = state._file(parts["file"])
                return 200, {"id": id, "object": "file", "purpose": "batch", "status": "processed"}
            if path == "/v1/batches":
                if post:
                    return 200, state.openai_create(json.loads(body))
                if not state.lists:
                    return 403, {"error": {"message": "this key may not list batches"}}
                data = [b["public"] for b in reversed(state.batches.values())]
                return 200, {"object": "list", "data": data, "has_more": False}
            if (found := re.fullmatch(r"/v1/batches/(\w+)(/cancel)?", path)) and found[1] in state.batches:
                if found[2]:
                    state.batches[found[1]]["public"]["status"] = "cancelling"
                return 200, state.openai_look(found[1])
            if found := re.fullmatch(r"/v1/files/([\w-]+)/content", path):
                return 200, state.files[found[1]]
            return 404, {"error": {"message": "No such thing", "type": "invalid_request_error", "code": None}}

        def say(self, status: int, data: Any, headers: dict[str, str] | None = None) -> None:
            blob = data if isinstance(data, bytes) else json.dumps(data).encode()
            self.send_response(status)
            for name, value in {"content-type": "application/json", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(blob)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(blob)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


def multipart(kind: str, body: bytes) -> dict[str, bytes]:
    """The parts of a form by name."""
    message = email.message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
    return {
        str(part.get_param("name", header="content-disposition")): part.get_payload(decode=True)
        for part in message.get_payload()
    }


def google(state: BatchServer, handler: Any, path: str, body: bytes, query: dict[str, list[str]]) -> Any:
    if path == "/upload/v1beta/files":
        return 200, {}, {"x-goog-upload-url": f"{state.url}/upload/put"}
    if path == "/upload/put":
        assert handler.headers["x-goog-upload-command"] == "upload, finalize"
        name = f"files/{len(state.files):04x}"
        state.files[name] = body
        return 200, {"file": {"name": name, "uri": f"{state.url}/v1beta/{name}"}}
    if found := re.fullmatch(r"/v1beta/models/([\w.-]+):(\w+)", path):
        data = json.loads(body)
        if found[2] == "batchGenerateContent":
            return 200, state.google_create(found[1], data["batch"])
        state.live[data["contents"][0]["parts"][0]["text"]] += 1
        return state.answer(path, data)
    if path == "/v1beta/batches":
        return 200, {"operations": [b["public"] for b in state.batches.values()]}
    if found := re.fullmatch(r"/v1beta/(batches/\w+)(:cancel)?", path):
        if found[2]:
            state.batches[found[1]]["public"] |= {"done": True, "error": {"code": 1, "message": "cancelled"}}
            state.batches[found[1]]["public"]["metadata"]["state"] = "BATCH_STATE_CANCELLED"
            return 200, {}
        return 200, state.google_look(found[1])
    if found := re.fullmatch(r"/download/v1beta/(files/[\w-]+):download", path):
        assert query["alt"] == ["media"]
        return 200, state.files[found[1]]
    return 404, {"error": {"code": 404, "message": "not found", "status": "NOT_FOUND"}}
