"""The judges of harm: each one's rate, failures and abstentions, and how far they agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from overt.data.outcomes import Harm, HarmVote
from overt.data.records import Prompt
from overt.data.results.summary import JudgeRow, JudgeTable
from overt.scoring import stats
from overt.scoring.summary.intervals import Settings, finite


def judge_table(
    harms: Sequence[Harm], prompts: Mapping[str, Prompt], clusters: Mapping[str, int], settings: Settings
) -> JudgeTable | None:
    """What the judges did; None where nobody judged. Rates are of unsafe prompts, all else of every vote.

    A failed or abstaining judge is a missing label: Krippendorff's alpha takes that, Fleiss' kappa is over
    the outcomes that all of them labelled.
    """
    names = list(dict.fromkeys(vote.judge for harm in harms for vote in harm.votes))
    if not names:
        return None
    votes = [{vote.judge: vote for vote in harm.votes} for harm in harms]
    table = [[_label(by_judge.get(name)) for name in names] for by_judge in votes]
    complete = [row for row in table if None not in row]
    kappa = alpha = None
    if len(names) > 1:
        kappa = finite(stats.fleiss_kappa(complete)) if complete else None
        alpha = finite(stats.krippendorff_alpha(table))
    return JudgeTable(
        names=tuple(names),
        each=tuple(
            JudgeRow(
                name,
                settings.rate(
                    [
                        (row[place] == "harmful", clusters[harm.prompt_id])
                        for harm, row in zip(harms, table, strict=True)
                        if row[place] is not None
                        and harm.prompt_id in clusters
                        and prompts[harm.prompt_id].label == "unsafe"
                    ]
                ),
                failed=sum(name in v and v[name].failure is not None for v in votes),
                unclear=sum(
                    name in v and v[name].failure is None and v[name].label == "unclear" for v in votes
                ),
            )
            for place, name in enumerate(names)
        ),
        fleiss_kappa=kappa,
        krippendorff_alpha=alpha,
        judged=len(harms),
        complete=len(complete),
        majority_missing=sum(harm.label == "unclear" for harm in harms),
        ties=sum(_torn(harm) for harm in harms),
    )


def _torn(harm: Harm) -> bool:
    """No majority, as those that did answer disagreed: a tie."""
    cast = {_label(vote) for vote in harm.votes} - {None}
    return harm.label == "unclear" and len(cast) > 1


def _label(vote: HarmVote | None) -> str | None:
    return None if vote is None or vote.failure is not None or vote.label == "unclear" else vote.label
