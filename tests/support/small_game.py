"""A game of two sides that is worked out by hand: stones, sheets and shears with costs."""

import json

from overt.data.tools import NotACall
from overt.environments.strategic_games.game import Battle, Catalogue

COSTS = {"stone": 1, "sheet": 2, "shears": 3}
BEATS = {("stone", "shears"), ("sheet", "stone"), ("shears", "sheet")}


class Stones:
    """A plan is a list of throws, and each throw meets each throw of the other side. The side that beats more
    wins, and reds win where it is even."""

    name, title, sides, opening_tries = "stones", "Stones", ("reds", "blues"), 3

    def __init__(self):
        self.battles = 0

    def rules(self):
        return "Stone beats shears, shears beat sheet, sheet beats stone."

    def catalogue(self, side):
        budget = {"reds": 6, "blues": 4}[side]
        return Catalogue(side, budget, tuple({"name": name, "cost": cost} for name, cost in COSTS.items()))

    def schema(self, side):
        throws = {"type": "array", "items": {"type": "string"}}
        return {"type": "object", "properties": {"throws": throws}, "required": ["throws"]}

    def check(self, side, plan):
        throws = plan["throws"]
        if len(throws) > 9:
            raise NotACall(f"{len(throws)} throws, and there may be 9")
        for throw in throws:
            if throw not in COSTS:
                raise NotACall(f"there is no throw {throw[:20]!r}")

    def meant(self, side, plan):
        return {"throws": plan["throws"]}

    def cost(self, side, plan):
        return sum(COSTS[throw] for throw in plan["throws"])

    def battle(self, plans, *, frames=False):
        self.battles += 1
        reds, blues = (plans[side]["throws"] for side in self.sides)
        ahead = sum((a, b) in BEATS for a in reds for b in blues)
        behind = sum((b, a) in BEATS for a in reds for b in blues)
        winner = "reds" if ahead >= behind else "blues"
        return Battle(winner, 1 + abs(ahead - behind), (f"{ahead} to {behind}.",))

    def random_plan(self, side, rng, budget):
        throws = []
        while len(throws) < 9:
            throw = rng.choice(sorted(COSTS))
            if self.cost(side, {"throws": [*throws, throw]}) > budget:
                break
            throws.append(throw)
        return {"throws": throws}

    def varied(self, side, plan, rng, budget):
        throws = list(plan["throws"])
        if throws and rng.random() < 0.5:
            throws.pop(rng.randrange(len(throws)))
        throw = rng.choice(sorted(COSTS))
        if len(throws) < 9 and self.cost(side, {"throws": [*throws, throw]}) <= budget:
            throws.append(throw)
        return {"throws": throws} if self.cost(side, {"throws": throws}) <= budget else {"throws": []}

    def replay(self, plans, about=""):
        title = f"{about}: {len(json.dumps(dict(plans)))}"
        return f"<svg xmlns='http://www.w3.org/2000/svg'><title>{title}</title></svg>"


class Broken:
    """A chat model that submits a plan which is in form and means nothing."""

    name, takes_tools = "broken", True

    async def complete(self, request):
        from overt.environments.scripted import calls

        return calls(("submit_plan", {"throws": ["lizard"]}))

    async def close(self):
        pass


class Quitter:
    """A chat model that opens, and refuses to revise."""

    name, takes_tools = "quitter", True

    async def complete(self, request):
        from overt.environments.scripted import calls, last_json, says

        if last_json(request)["attempt"]:
            return calls(("submit_plan", {"throws": ["stone"]}))
        return says("I'm sorry, but I can't help with that.")

    async def close(self):
        pass
