"""The Hugging Face Hub on loopback, as far as publishing needs it, with faults.

It speaks what the real client calls: whoami, repository creation, settings and info, validation of a card,
preupload, the LFS batch with PUT and verify, and the commit as NDJSON. A commit is taken whole or not at
all, and only when every large file in it has arrived.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import threading
import time
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml

WRITE, READ, STRANGER = "hf_writewritewritewritewrite", "hf_readreadreadreadread", "hf_fineFineFineFineFine"
PEOPLE = {
    WRITE: {
        "name": "ann",
        "orgs": [{"name": "org"}],
        "auth": {"accessToken": {"role": "write"}},
    },
    READ: {"name": "ann", "orgs": [{"name": "org"}], "auth": {"accessToken": {"role": "read"}}},
    STRANGER: {"name": "eve", "orgs": [], "auth": {"accessToken": {"role": "fineGrained"}}},
}
LFS_NAMES = re.compile(r"\.(parquet|arrow|bin|png|jpg)$")
LICENSES = {"apache-2.0", "mit", "cc-by-4.0", "unknown", "other"}


@dataclass
class HubRepo:
    kind: str
    private: bool = False
    gated: Any = False
    commits: list[str] = field(default_factory=lambda: [hashlib.sha1(b"first").hexdigest()])
    files: dict[str, bytes] = field(default_factory=lambda: {".gitattributes": b"*.parquet filter=lfs\n"})
    lfs: set[str] = field(default_factory=set)


class Hub:
    def __init__(self) -> None:
        self.url = ""
        self.repos: dict[str, HubRepo] = {}
        self.blobs: dict[str, bytes] = {}
        self.calls: list[tuple[str, str]] = []
        self.sent: list[str] = []  # blobs that came whole, in order
        self.tokens: set[str] = set()
        self.cut_after: int | None = None  # PUTs that pass before the line is dead
        self.cut_commit = False
        self.cut_everything = False
        self.ignore_gate = False
        self.lock = threading.Lock()

    def add(self, name: str, kind: str = "dataset", **files: bytes) -> HubRepo:
        repo = self.repos[name] = HubRepo(kind)
        repo.files.update(files)
        return repo

    def texts(self, name: str) -> dict[str, bytes]:
        return self.repos[name].files

    def paths(self, part: str) -> list[str]:
        return [path for _, path in self.calls if part in path]


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def say(self, status: int, data: Any = None) -> None:
            blob = json.dumps(data if data is not None else {}).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(blob)))
            self.end_headers()
            self.wfile.write(blob)

        def cut(self) -> None:
            self.close_connection = True
            self.connection.close()

        def body(self) -> bytes:
            if self.headers.get("transfer-encoding") == "chunked":
                parts = []
                while size := int(self.rfile.readline(), 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)
            return self.rfile.read(int(self.headers.get("content-length", 0)))

        def person(self) -> dict[str, Any] | None:
            token = self.headers.get("authorization", "").removeprefix("Bearer ")
            hub.tokens.add(token)
            return PEOPLE.get(token)

        def do_GET(self) -> None:
            self.take("GET")

        def do_POST(self) -> None:
            self.take("POST")

        def do_PUT(self) -> None:
            self.take("PUT")

        def take(self, method: str) -> None:
            path = self.path.partition("?")[0]
            with hub.lock:
                hub.calls.append((method, path))
            if hub.cut_everything:
                return self.cut()
            if path.startswith("/lfs/"):
                return self.put(path.rpartition("/")[2])
            if path == "/api/validate-yaml":
                return self.validate()
            if path == "/api/agent-harnesses":
                return self.say(404)
            me = self.person()
            if me is None:
                self.body()
                return self.say(401, {"error": "Invalid username or password."})
            if path == "/api/whoami-v2":
                return self.say(200, {"type": "user", **me})
            if path == "/api/repos/create":
                return self.create(me)
            if found := re.fullmatch(
                r"/(?:datasets/|spaces/)?([\w.-]+/[\w.-]+)\.git/info/lfs/objects/batch", path
            ):
                return self.batch(found[1])
            if found := re.fullmatch(r"/api/(?:dataset|space)s/([\w.-]+/[\w.-]+)(?:/(.*))?", path):
                return self.repo(method, found[1], found[2] or "", me)
            self.body()
            return self.say(404, {"error": f"no such endpoint: {path}"})

        def create(self, me: dict[str, Any]) -> None:
            asked = json.loads(self.body())
            name = f"{asked['organization']}/{asked['name']}"
            namespaces = {me["name"], *(org["name"] for org in me["orgs"])}
            if asked["organization"] not in namespaces:
                said = "You don't have the rights to create a dataset under this namespace"
                return self.say(403, {"error": said})
            if name in hub.repos:
                return self.say(409, {"error": "You already created this dataset repo"})
            hub.repos[name] = HubRepo(asked["type"], private=asked.get("visibility") == "private")
            return self.say(200, {"url": f"{hub.url}/datasets/{name}", "name": name})

        def validate(self) -> None:
            asked = json.loads(self.body())
            head = yaml.safe_load(re.match(r"---\n(.*?)\n---\n", asked["content"], re.S)[1])  # type: ignore[index]
            if asked["repoType"] == "dataset" and head.get("license") not in LICENSES:
                said = '"license" must be one of [apache-2.0, ...]'
                return self.say(400, {"errors": [{"message": said}], "warnings": []})
            return self.say(200, {"errors": [], "warnings": []})

        def repo(self, method: str, name: str, rest: str, me: dict[str, Any]) -> None:
            blob = self.body()
            repo = hub.repos.get(name)
            if repo is None or name.partition("/")[0] not in {me["name"], *(o["name"] for o in me["orgs"])}:
                return self.say(404, {"error": "Repository not found"})
            if method == "PUT" and rest == "settings":
                asked = json.loads(blob)
                if "gated" in asked and not hub.ignore_gate:
                    repo.gated = asked["gated"]
                return self.say(200, {})
            if rest in ("", "revision/main"):
                readme = repo.files.get("README.md", b"").decode()
                head = re.match(r"---\n(.*?)\n---\n", readme, re.S)
                return self.say(
                    200,
                    {
                        "id": name,
                        "sha": repo.commits[-1],
                        "private": repo.private,
                        "gated": repo.gated,
                        "siblings": [{"rfilename": path} for path in repo.files],
                        "cardData": yaml.safe_load(head[1]) if head else None,
                        "tags": [],
                    },
                )
            if rest.startswith("preupload/"):
                return self.say(200, {"files": [self.mode(repo, file) for file in json.loads(blob)["files"]]})
            if rest.startswith("commit/"):
                return self.commit(name, repo, blob)
            return self.say(404, {"error": f"no such endpoint: {rest}"})

        def mode(self, repo: HubRepo, file: dict[str, Any]) -> dict[str, Any]:
            path = file["path"]
            large = bool(LFS_NAMES.search(path))
            here = repo.files.get(path)
            oid = None
            if here is not None:
                git = b"blob %d\0" % len(here) + here
                oid = hashlib.sha256(here).hexdigest() if large else hashlib.sha1(git).hexdigest()
            mode = "lfs" if large else "regular"
            return {"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid}

        def batch(self, name: str) -> None:
            asked = json.loads(self.body())
            objects = []
            for it in asked["objects"]:
                answer = {"oid": it["oid"], "size": it["size"]}
                if it["oid"] not in hub.blobs:
                    answer["actions"] = {"upload": {"href": f"{hub.url}/lfs/{it['oid']}", "header": {}}}
                objects.append(answer)
            self.say(200, {"transfer": "basic", "objects": objects})

        def put(self, oid: str) -> None:
            with hub.lock:
                dead = hub.cut_after is not None and len(hub.sent) >= hub.cut_after
            if dead:  # in the middle of the body
                self.rfile.read(min(1000, int(self.headers.get("content-length") or 1000) // 2))
                return self.cut()
            data = self.body()
            if hashlib.sha256(data).hexdigest() != oid:
                return self.say(400, {"error": "sha256 differs"})
            with hub.lock:
                hub.blobs[oid] = data
                hub.sent.append(oid)
            return self.say(200)

        def commit(self, name: str, repo: HubRepo, blob: bytes) -> None:
            if hub.cut_commit:
                return self.cut()
            files, large = dict(repo.files), set(repo.lfs)
            for line in blob.splitlines():
                entry = json.loads(line)
                value = entry["value"]
                if entry["key"] == "header":
                    if value.get("parentCommit") not in (None, repo.commits[-1]):
                        return self.say(412, {"error": "A commit has happened since."})
                elif entry["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif entry["key"] == "lfsFile":
                    if value["oid"] not in hub.blobs:
                        return self.say(400, {"error": f"{value['path']}: its content never arrived"})
                    files[value["path"]] = hub.blobs[value["oid"]]
                    large.add(value["path"])
                elif entry["key"] == "deletedFile":
                    del files[value["path"]]
            oid = hashlib.sha1(repo.commits[-1].encode() + blob).hexdigest()
            repo.files, repo.lfs = files, large
            repo.commits.append(oid)
            place = f"{repo.kind}s/{name}"
            return self.say(
                200, {"success": True, "commitOid": oid, "commitUrl": f"{hub.url}/{place}/commit/{oid}"}
            )

    return Handler


@contextlib.contextmanager
def hub_server() -> Iterator[Hub]:
    hub = Hub()
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    httpd.daemon_threads = True
    hub.url = f"http://127.0.0.1:{httpd.server_port}"
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


@contextlib.contextmanager
def client_of_a_hub(monkeypatch, tmp_path) -> Iterator[Hub]:
    """A local Hub that the real client speaks to, without anybody's token."""
    from huggingface_hub import constants
    from huggingface_hub.utils import _http

    with hub_server() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # its storage speaks another protocol
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        patient = types.SimpleNamespace(**{**vars(time), "sleep": lambda _: None})
        monkeypatch.setattr(_http, "time", patient)  # its retries wait half a minute in all
        yield hub
