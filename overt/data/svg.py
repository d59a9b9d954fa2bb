"""Whether an SVG is a drawing and nothing else: it runs nothing and fetches nothing.

A page shows it as a picture, where no script runs whatever it holds; this is a second lock.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

MOST_BYTES = 1_000_000
_ACTIVE = frozenset({"script", "foreignobject", "iframe", "object", "embed", "audio", "video", "handler"})
_DECLARED = re.compile(r"<\?|<!(?!--|\[CDATA\[)")  # document types, entities, style sheets
_PROLOG = re.compile(r"\A\ufeff?\s*<\?xml[^>]{0,200}\?>")
_FETCHES = re.compile(r"url\(\s*['\"]?\s*(?!#)|@import|javascript:|expression\(", re.IGNORECASE)


def why_unsafe(svg: str) -> str:
    """Why a text is no SVG that may be shown, in a few words; "" where it may be."""
    if len(svg) > MOST_BYTES or len(svg.encode("utf-8", "replace")) > MOST_BYTES:
        return f"it is larger than {MOST_BYTES:,} bytes"
    body = _PROLOG.sub("", svg)
    if _DECLARED.search(body):
        return "it declares a document type or gives instructions"
    try:
        root = ET.fromstring(body)
    except (ET.ParseError, ValueError) as error:
        return f"it is no XML ({error})"
    if _local(root.tag) != "svg":
        return "it is no SVG"
    return next(filter(None, map(_why_unsafe, root.iter())), "")


def _why_unsafe(element: ET.Element) -> str:
    name = _local(element.tag)
    if name in _ACTIVE:
        return f"it has an element {name}"
    for attribute, value in element.attrib.items():
        known = _local(attribute)
        if known.startswith("on"):
            return f"it has an attribute {known}"
        if known in ("href", "src") and not value.strip().startswith(
            ("#", "data:image/png", "data:image/jpeg")
        ):
            return "it refers to something outside"
        if _FETCHES.search(value):
            return "it refers to something outside"
    if name == "style" and _FETCHES.search("".join(element.itertext())):
        return "its style refers to something outside"
    return ""


def _local(name: object) -> str:
    """A name without its namespace, in small letters. What is no element (a comment) has none."""
    return name.rpartition("}")[2].lower() if isinstance(name, str) else ""
