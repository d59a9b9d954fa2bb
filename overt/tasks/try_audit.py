"""Whether a prompt is benign or unsafe under a policy, as the judges of `overt generate` say it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from overt import registry
from overt.data.errors import InputError
from overt.data.records import Audit, Label, Prompt
from overt.data.templates import load_template
from overt.policies.schema import Category, Policy
from overt.scoring.audit import Judge, audit, function_judge, llm_judge
from overt.scoring.rule_audit_terms import plain_text, terms_of
from overt.tasks.roles import ModelOptions, chat_model, open_judges
from overt.tasks.task import Work


@dataclass(frozen=True, slots=True)
class Finding:
    """What the judges say of a prompt under one category.

    concerns: whether the prompt names a term of the category, or somebody other than the rules was asked.
        The rules read words: where no term is named, that they cannot tell means nothing.
    failures: why judges did not answer.
    """

    category: str
    audit: Audit
    concerns: bool
    failures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Audited:
    """A prompt under a policy. `label` is "unsafe" where it is that under one category, "benign" where it is
    that under every category that it concerns, else "unclear"."""

    policy: str
    label: Label
    findings: tuple[Finding, ...] = ()

    @property
    def is_answered(self) -> bool:
        """Whether every judge answered."""
        return not any(finding.failures for finding in self.findings)


def categories_of(policy: Policy, names: Sequence[str]) -> tuple[Category, ...]:
    """The categories of these names, or all.

    Raises:
        InputError: the policy has none of this name.
    """
    known = {category.id: category for category in policy.categories}
    if unknown := [name for name in names if name not in known]:
        raise InputError(
            f"policy {policy.name} has no category {unknown[0]!r}", fix=f"It has: {', '.join(known)}"
        )
    return tuple(known[name] for name in names) or policy.categories


def check_judges(names: Sequence[str]) -> None:
    """Looks up the judges; no model is made yet.

    Raises:
        InputError: an unknown name, a missing extra.
    """
    for name in names:
        if registry.find("overt.judges", name) is None:
            registry.resolve("overt.chat_models", name)


def audited(
    work: Work,
    policy: Policy,
    categories: Sequence[Category],
    judges: Sequence[str],
    prompts: Sequence[Prompt],
    *,
    models: ModelOptions,
    seed: int,
) -> list[Audited]:
    """Each prompt under these categories of a policy.

    Raises:
        InputError: an unknown judge, a missing extra.
        RunError, BudgetReached: the caller stopped.
    """
    roles = open_judges(policy, judges, lambda name: chat_model(name, "judge", models))
    template = load_template("scoring", "audit")
    asked: list[Judge] = []
    for role in roles:
        if role.label is not None:
            asked.append(function_judge(role.label))
        elif role.chat is not None:
            ask = work.ask("audit", role.chat)
            asked.append(llm_judge(policy, ask=ask, template=template, seed=seed))
    by_words = all(role.name == "builtin/rules" for role in roles)
    rows = [dataclasses.replace(prompt, category=c.id) for prompt in prompts for c in categories]
    findings = _findings(rows, asked, policy, by_words=by_words)
    return [_audited(policy.name, [next(findings) for _ in categories]) for _ in prompts]


def _findings(
    rows: Sequence[Prompt], judges: Sequence[Judge], policy: Policy, *, by_words: bool
) -> Iterator[Finding]:
    for row, found, failures in audit(rows, judges):
        named = terms_of(policy.category(row.category)).triggers.search(plain_text(row.text))
        said = tuple(f"{failure.kind}: {failure.message}" for failure in failures)
        yield Finding(row.category, found, not by_words or named is not None, said)


def _audited(policy: str, findings: Sequence[Finding]) -> Audited:
    labels = {f.audit.label for f in findings if f.concerns or f.audit.label != "unclear"}
    label: Label = "unsafe" if "unsafe" in labels else "benign" if labels == {"benign"} else "unclear"
    return Audited(policy, label, tuple(findings))
