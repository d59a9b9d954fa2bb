"""Small things that several tests build: a prompt, a picture, the text of a page."""

import html
import io
import re

from PIL import Image

from overt.data.records import Prompt, prompt_id

# A policy of one term with a neutral wording.
GARDENS = """
name: gardens
version: "1"
categories:
  - id: blades
    title: Blades
    disallowed: [a blade held against a person]
    allowed: [blades of grass]
    triggers: [{term: blade, neutral: [stalk]}]
"""


def make_prompt(text: str, **fields) -> Prompt:
    values = {"category": "c", "label": "benign", "strategy": "direct", "writer": "w", "template": "t@1"}
    return Prompt(id=prompt_id(text), text=text, **{**values, **fields})


def page_text(page):
    body = re.sub(r"(?s)<(script|style).*?</\1>", "", page)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body.replace("<wbr>", ""))).split())


def encoded(kind="PNG", size=(32, 24)):

    file = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(file, kind)
    return file.getvalue()


PNG = encoded()
