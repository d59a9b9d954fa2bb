"""An environment of one's own, as small as one can be."""

from overt.data.environments import Action, Observation, Task
from overt.data.records import Prompt, prompt_id
from overt.data.results.episodes import Column, Figure, Row, Section
from overt.data.tools import NotACall, Tool

_SAY = Tool("say", "Say a word.", {
    "type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"],
})  # fmt: skip


class _Session:
    tools = (_SAY,)
    system = "You greet."

    def __init__(self, wanted):
        self.wanted, self.said = wanted, []

    def begin(self):
        return Observation(f"Say hello {self.wanted} times.")

    def step(self, action: Action):
        if not action.calls:
            return Observation(end="gave_up")
        words = [str(call.arguments["word"]) for call in action.calls]
        if "" in words:
            raise NotACall("an empty word")
        self.said += words
        end = "done" if len(self.said) >= self.wanted else ""
        return Observation(results=tuple(f"said {w}" for w in words), facts={"said": len(self.said)}, end=end)

    def facts(self):
        done = len(self.said)
        return {"said": done, "outcome": "done" if done >= self.wanted else "half" if done else "none"}


class Greeting:
    name, version, takes = "greeting", 1, ("tools",)

    def tasks(self, settings, prompts):
        for wanted in range(1, int(settings["most"]) + 1):
            text = f"Say hello {wanted} times."
            yield Task(
                Prompt(prompt_id(text), text, "greeting", "benign", "direct", "overt", "greeting"),
                {"wanted": wanted},
            )

    def start(self, task, seed):
        return _Session(task.facts["wanted"])

    def figures(self, episodes, level):
        found = {}
        for episode in episodes:
            if episode.state != "missing":
                found.setdefault(episode.target, []).append(episode.facts["said"])
        rows = tuple(
            Row(target, "all", (Figure(sum(said) / len(said), n=len(said), unit="number"),))
            for target, said in found.items()
        )
        return [Section("said", "How much it said", (Column("said", "words", "Words an episode."),), rows)]


class Polite:
    """A chat model that says hello until it has been told that it did."""

    name, takes_tools = "polite", True

    async def complete(self, request):
        from overt.environments.scripted import calls

        assert request.messages[0].role == "system"
        return calls(("say", {"word": "hello"}))

    async def close(self):
        pass


class Shy(Polite):
    """One that takes no tools, and refuses."""

    name, takes_tools = "shy", False

    async def complete(self, request):
        from overt.environments.scripted import says

        assert "<action>" in request.messages[0].content
        assert not request.tools
        return says("I'm sorry, but I can't help with that.")
