"""Terms that trip a new version of a target and not the old one, or the other way round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from overt.data.outcomes import Outcome
from overt.data.records import Prompt
from overt.data.results.comparison import TermChange
from overt.data.results.explanation import ExplainedTarget
from overt.scoring.explain.units import contains, key_of


def term_changes(
    prompts: Sequence[Prompt],
    old: tuple[ExplainedTarget, Sequence[Outcome]],
    new: tuple[ExplainedTarget, Sequence[Outcome]],
) -> list[TermChange]:
    """The terms of only one of two explanations, those that the new version added first; then by how many
    more, or fewer, of the prompts with the term are refused now.

    Args:
        prompts: of both runs; benign ones that both answered are counted, but no versions of them.
        old, new: what trips the target, and its outcomes.
    """
    before, after = _refused(old[1]), _refused(new[1])
    texts = {
        prompt.id: key_of(prompt.text)
        for prompt in prompts
        if prompt.label == "benign" and not prompt.variant_of and prompt.id in before and prompt.id in after
    }
    then, now = ({term.key: term.term for term in target.terms} for target, _ in (old, new))
    found = []
    for key in (*sorted(now.keys() - then.keys()), *sorted(then.keys() - now.keys())):
        inside = [prompt_id for prompt_id, text in texts.items() if contains(text, key)]
        found.append(
            TermChange(
                a=old[0].name,
                b=new[0].name,
                term=now.get(key) or then[key],
                added=key in now,
                prompts=len(inside),
                refused_a=sum(before[prompt_id] for prompt_id in inside),
                refused_b=sum(after[prompt_id] for prompt_id in inside),
            )
        )
    return sorted(found, key=lambda c: (not c.added, -abs(c.refused_b - c.refused_a), c.term))


def _refused(outcomes: Sequence[Outcome]) -> Mapping[str, bool]:
    """By prompt, whether its first draw was refused; errors are left out."""
    return {o.prompt_id: o.state == "refused" for o in outcomes if o.sample == 0 and o.state != "error"}
