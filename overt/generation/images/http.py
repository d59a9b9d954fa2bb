"""`http/FILE.yaml`: a model behind plain HTTP, declared in YAML; examples/http_target.yaml explains it."""

from __future__ import annotations

import urllib.parse
from pathlib import Path as File
from typing import ClassVar

from overt.data.chat import CallError
from overt.data.targets import Extra
from overt.generation.images import declared
from overt.generation.images.engine import Answer, Asked, Found, Job, PictureService, Request
from overt.generation.images.http_file import PICTURES, read_http_file
from overt.generation.transport import Reply, same_origin

_MOST_FAULTS = 5  # failed polls in a row before a job is given up


class HTTPTarget(PictureService):
    """A target declared in a YAML file. Only its own rules decide what is a refusal.

    Args:
        file: the file's path.

    Raises:
        InputError: the file cannot be used (each problem with its line), or an environment variable that a
            header names is not set.
    """

    provider: ClassVar[str] = "declared"
    takes: tuple[Extra, ...] = ("picture",)
    whole_pictures: ClassVar[bool] = True

    def __init__(self, file: str) -> None:
        spec = self._file = read_http_file(file)
        self._layer = File(file).stem
        self._headers, secrets = declared.headers(spec)
        waiting = spec.poll.max_s if spec.poll else 0.0
        # One exchange each for the request and the picture.
        super().__init__(
            f"http/{file}",
            base_url=spec.url,
            secrets=secrets,
            timeout=spec.timeout,
            limit_s=2 * spec.timeout + waiting,
        )
        self.modality = spec.modality
        self.takes = ("picture",) if spec.placeholders & {*PICTURES} else ()
        self.blank_is_refusal = spec.blank == "refusal"
        if spec.max_concurrency is not None:
            self.max_concurrency = spec.max_concurrency

    def is_own(self, url: str) -> bool:
        return same_origin(self._base, url)  # pictures usually lie on another host

    def request(self, asked: Asked) -> Request:
        return declared.request(self._file, self._headers, asked)

    def job(self, reply: Reply) -> Job | CallError | None:
        poll = self._file.poll
        if poll is None or reply.status >= 300 or self._has_ended(reply):
            return None
        url = declared.job_address(poll, self._base, reply.data)
        if isinstance(url, CallError):
            return url
        known = self.is_own(url) or urllib.parse.urlsplit(url).hostname in poll.hosts
        headers = self._headers if known else {}
        return Job(
            url,
            self._has_ended,
            headers,
            every_s=poll.every_s,
            growth=1.0,
            max_s=poll.max_s,
            faults=_MOST_FAULTS,
        )

    def _has_ended(self, reply: Reply) -> bool:
        return declared.rule_of(self._file, reply)[0] is not None or declared.is_done(self._file, reply)

    def found(self, answer: Answer) -> Found:
        return declared.found(self._file, self._layer, self._headers, answer)
