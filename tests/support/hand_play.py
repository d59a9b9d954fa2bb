"""Plays an episode by hand: an environment and a scripted player, without a run folder or a journal."""

import dataclasses

from overt.data.chat import ChatRequest, Message
from overt.data.environments import Action, Observation, tools_of
from overt.data.tools import NotACall, read_calls


def play(environment, task, player, *, seed=0, most=30):
    """The session after an episode, and its observations."""
    session = environment.start(task, seed)
    tools = tools_of(session)
    system = [Message("system", session.system)] if getattr(session, "system", "") else []
    told = session.begin()
    seen, turns = [told], list(system)
    while not told.end and len(seen) <= most:
        if told.text:
            turns.append(Message("user", told.text))
        reply = player(ChatRequest(tuple(turns), seed=seed, tools=tools))
        if reply.refusal and not getattr(session, "survives_refusal", False):
            break
        if reply.refusal:
            told = session.step(Action(refusal=reply.refusal))
        else:
            try:
                told = session.step(Action(reply.text, read_calls(reply.calls, tools)))
            except NotACall:
                break
        seen.append(told)
        calls = tuple(dataclasses.replace(call, id=f"{len(seen)}-{n}") for n, call in enumerate(reply.calls))
        turns.append(Message("assistant", reply.text, calls=calls))
        results = [*told.results, *["ok"] * (len(calls) - len(told.results))]
        turns += [Message("tool", r, call_id=c.id) for r, c in zip(results, calls, strict=False)]
        if told.forgets:
            turns = list(system)
    session.facts()
    assert all(isinstance(each, Observation) for each in seen)
    return session, seen
