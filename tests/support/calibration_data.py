"""Made-up scored rows for the tests of `overt calibrate`: of filters, and of models with refusal tokens."""

import itertools

from overt.data.refusal_tokens import REFUSE, RESPOND, Continuation, Gate, TokenShare
from overt.data.run import brief
from overt.data.targets import LayerDecision

TARGET = "filter/f"


def prompt(id, label="benign", category="c", seed=None):
    return brief.Prompt(id, category, label, seed_id=seed)


def scored(prompt_id, score, target=TARGET, state=None, **more):
    """The outcome of a filter that refuses from 0.5."""
    state = state or ("refused" if score is not None and score >= 0.5 else "generated")
    layer = LayerDecision(target, "prompt_filter", state == "refused", score)
    values = {"layers": (layer,), **more}
    return brief.Scored(f"o-{target}-{prompt_id}", prompt_id, target, 0, state, score=score, **values)


def gate(p, chosen, other=None, *, mass=0.9, bound=False, top=REFUSE, code=""):
    """A gate of one refuse token (or of several, `top` the highest), with the judged continuation of the
    token that was not chosen, if it was asked for."""
    shares = (TokenShare(top, p, bound), TokenShare(RESPOND, mass - p))
    token = RESPOND if chosen == top else top
    others = () if other is None else (Continuation(token, "text", other, code),)
    return Gate(shares, p, top, mass, chosen, 0.5, others)


def tokens(prompt_id, p, state, other=None, code="", **more):
    """The outcome of a model that chose its refuse token from 0.5; `state` is the judge's word on what it
    wrote, `other` that on the continuation which was not chosen."""
    top = more.get("top", REFUSE)
    found = gate(p, top if p >= 0.5 else RESPOND, other, **more)
    return brief.Scored(f"o-{prompt_id}", prompt_id, "hf/m", 0, state, code, p, (), found)


def placed(records):
    return list(zip(itertools.count(), records, strict=False))
