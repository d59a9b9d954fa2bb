"""What every HTML page of overt shares: escaping, the Content-Security-Policy, JSON in a page.

Untrusted text goes through Jinja's autoescape, or as JSON into a data block that the script shows with
`textContent`. The Content-Security-Policy names the style and the script by their hashes, so that even markup
that slipped through could neither run nor fetch.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING

from overt.data.json_types import Json
from overt.data.text import visible

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


def render_page(template: str, *, style: str, script: str | None = None, **values: object) -> str:
    """A page from one of the package's templates, as text, to be written as UTF-8.

    Args:
        template: its file in `templates/`.
        style: CSS file of the package; the template has its text as `style`.
        script: JavaScript file of the package, alike; None for a page without a script.
        values: what the template reads. It also has `csp`, the content of the policy's meta element.
    """
    from markupsafe import Markup

    css, code = asset(style), None if script is None else asset(script)
    return (
        _environment()
        .get_template(template)
        .render(
            csp=content_security_policy(css, code),
            style=Markup(css),
            script=Markup(code or ""),
            **values,
        )
    )


def json_block(data: Json) -> Markup:
    """JSON that can stand in a script element: no character in it can end or open one.

    All but ASCII is written as \\u escapes, lone surrogates and control characters too, so that the file
    is valid UTF-8 whatever a model answered.
    """
    from markupsafe import Markup

    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def content_security_policy(style: str, script: str | None) -> str:
    """The policy of a page with exactly this style and script, and pictures from data URIs only.

    Without a script it has no pictures either: those of a report are there to be browsed.
    """
    parts = ["default-src 'none'", f"style-src '{_hash(style)}'", "base-uri 'none'", "form-action 'none'"]
    if script is not None:
        parts[1:1] = ["img-src data:"]
        parts[3:3] = [f"script-src '{_hash(script)}'"]
    return "; ".join(parts)


def asset(name: str) -> str:
    """A file of the package. It has one kind of line end only: browsers hash what they parsed."""
    return (resources.files("overt.report") / name).read_text("utf-8").replace("\r\n", "\n")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def _breakable(text: str) -> Markup:
    """Escaped text that may be broken after the marks within a target's name."""
    from markupsafe import Markup, escape

    parts = re.split(r"(?<=[/+?=_:])(?=.)", visible(text))
    return Markup("<wbr>").join(escape(part) for part in parts)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    """Jinja with escaping on, and hidden characters made visible."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    env = Environment(
        loader=PackageLoader("overt.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Text of any origin passes here before it is escaped.
        finalize=lambda value: (
            visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
        ),
    )
    env.filters["breakable"] = _breakable
    return env
