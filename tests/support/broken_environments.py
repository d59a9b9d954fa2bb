"""The greeting environment with one fault each, named by the setting `fault`."""

from support.greeting import Greeting, _Session

from overt.data.environments import Observation, Task
from overt.data.filters import FilterDecision
from overt.data.tools import NotACall


def _raise(error):
    raise error


# By their names: what `begin`, `step` or `facts` of the session does instead.
FAULTS = {
    "begin raises": ("begin", lambda: _raise(ValueError("boom"))),
    "begin is nothing": ("begin", lambda: None),
    "begin cannot read": ("begin", lambda: _raise(NotACall("what?"))),
    "step raises": ("step", lambda: _raise(KeyError("k"))),
    "step is nothing": ("step", lambda: None),
    "results are numbers": ("step", lambda: Observation(results=(3,))),
    "results are a text": ("step", lambda: Observation(results="abc")),
    "facts are a list": ("step", lambda: Observation(facts=[1])),
    "facts are a set": ("step", lambda: Observation(facts={"a": {1}})),
    "facts are not finite": ("step", lambda: Observation(facts={"a": float("nan")})),
    "end is nothing": ("step", lambda: Observation(end=None)),
    "last facts are nothing": ("facts", lambda: None),
    "last facts are objects": ("facts", lambda: {"a": object()}),
}


class _Broken(_Session):
    def __init__(self, wanted, fault):
        super().__init__(wanted)
        place, what = FAULTS.get(fault, ("", None))
        if place:
            setattr(self, place, lambda *_: what())


class Broken(Greeting):
    name = "broken"

    def tasks(self, settings, prompts):
        fault = settings["fault"]
        found = [Task(t.prompt, {**t.facts, "fault": fault}) for t in super().tasks(settings, prompts)]
        return {"no tasks": [1], "equal tasks": [found[0], found[1], found[0]]}.get(fault, found)

    def start(self, task, seed):
        if task.facts["fault"] == "third":
            return _Broken(task.facts["wanted"], "step raises" if task.facts["wanted"] == 3 else "")
        return _Broken(task.facts["wanted"], task.facts["fault"])


class Strict:
    """A filter that stops one job, and everything that no user says."""

    name = "strict"

    def decide(self, text):
        return FilterDecision("hello 3" in text or not text.startswith("Say hello"))
