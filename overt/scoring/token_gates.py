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
    """Counts over the gates of one target, one for each answer. `most` adds up what the tokens have at most,
    where some are bounds."""

    answers: int = 0
    total: float = 0.0
    most: float = 0.0
    bounded: int = 0

    def add(self, gate: Gate) -> None:
        self.answers += 1
        self.total += gate.mass
        self.most += min(1.0, gate.mass + sum(share.p for share in gate.shares if share.is_bound))
        self.bounded += any(share.is_bound for share in gate.shares)

    @property
    def mean(self) -> float:
        """The mean probability of all tokens together, in 0..1; NaN without a gate."""
        return self.total / self.answers if self.answers else float("nan")

    def notes(self, name: str) -> list[str]:
        """Sentences on a target of this name."""
        if not self.answers:
            return []
        least = "at least " if self.bounded else ""
        said = [
            f"{name}: its refusal tokens have {least}{self.mean:.2f} of the probability on average "
            f"(answers: {self.answers:,})"
        ]
        if self.most < LEAST_MASS * self.answers:
            said[0] += ", so the model does not use these tokens: their probabilities say little"
        elif self.mean < LEAST_MASS:
            said[0] += ", and it cannot be told whether the model uses them"
        if self.bounded:
            said.append(
                f"{name}: for {self.bounded:,} of {self.answers:,} answers the service did not list all "
                "refusal tokens, and the probability of the others is an upper bound"
            )
        return said
