"""Local pages of overt, served as users serve them."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys

from support.paths import ROOT


class Served:
    """A command that serves a local page, as a process of its own, and a browser's side of it by hand."""

    def __init__(self, command, folder, *args):
        code = f"import typer; from overt.cli.{command} import {command}; typer.run({command})"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, str(folder), "--no-browser", *map(str, args)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self.address = ""
        while "token=" not in self.address:
            line = self.process.stdout.readline()
            assert line, "the server ended"
            self.address = line.strip()
        _, self.port, self.token = re.fullmatch(
            r"http://(127\.0\.0\.1):(\d+)/\?token=([\w-]{40,})", self.address
        ).groups()
        self.host = f"127.0.0.1:{self.port}"
        self.connection = http.client.HTTPConnection("127.0.0.1", int(self.port), timeout=20)
        self.cookie = ""

    def request(self, method, path, body=None, connection=None, **headers):
        headers = {k.replace("_", "-"): v for k, v in headers.items()}
        if self.cookie:
            headers.setdefault("Cookie", self.cookie)
        connection = connection or self.connection
        connection.putrequest(method, path, skip_host="Host" in headers)
        if body is not None:
            headers["Content-Length"] = str(len(body))
        for name, value in headers.items():
            if value is not None:
                connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer, answer.read()

    def enter(self):
        answer, _ = self.request("GET", f"/?token={self.token}")
        assert answer.status == 303
        self.cookie = answer.getheader("Set-Cookie").partition(";")[0]
        return answer

    def post(self, action, connection=None, **body):
        answer, text = self.request(
            "POST", f"/api/{action}", json.dumps(body).encode(), connection, Origin=f"http://{self.host}"
        )
        return answer.status, json.loads(text)

    def kill(self):
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def close(self):
        self.connection.close()
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(10)
        self.process.stdout.close()
