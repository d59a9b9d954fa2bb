"""What is told of refusal tokens: of an outcome what they decided, of a run how much of the probability they
have and where a probability is only a bound."""

from __future__ import annotations

from dataclasses import dataclass

from overt.data.refusal_tokens import Gate

LEAST_MASS = 0.5  # on average; below it a model begins its answers with other words


def gate_words(gate: Gate) -> str:
    """What the tokens decided, for the evidence of an outcome: "p(refuse) 0.25 < 0.5: respond"."""
    bound = any(share.is_bound for share in gate.shares if share.name == gate.top)
    said = f"p({gate.top}) {'at most ' if bound else ''}{gate.score:.3g}"
    if gate.threshold is not None:
        said += f" {'>=' if gate.score >= gate.threshold else '<'} {gate.threshold:g}"
    said += f": {gate.chosen or 'a word of its own'}"
    behind = [f"behind {other.token}: {other.code or other.state}" for other in gate.others if other.state]
    return "; ".join([said, *behind])


@dataclass
class TokenMass:
    """Counts over the gates of one target."""

    prompts: int = 0
    total: float = 0.0
    bounded: int = 0

    def add(self, gate: Gate) -> None:
        self.prompts += 1
        self.total += gate.mass
        self.bounded += any(share.is_bound for share in gate.shares)

    @property
    def mean(self) -> float:
        """The mean probability of all tokens together, in 0..1; NaN without a gate."""
        return self.total / self.prompts if self.prompts else float("nan")

    def notes(self, name: str) -> list[str]:
        """Sentences on a target of this name."""
        if not self.prompts:
            return []
        least = "at least " if self.bounded else ""
        said = [
            f"{name}: its refusal tokens have {least}{self.mean:.2f} of the probability on average "
            f"({self.prompts:,} prompts)"
        ]
        if self.mean < LEAST_MASS:
            said[0] += ", so the model does not use these tokens: their probabilities say little"
        if self.bounded:
            said.append(
                f"{name}: for {self.bounded:,} of {self.prompts:,} prompts the service did not list all "
                "refusal tokens, and the probability of the others is an upper bound"
            )
        return said
