"""Decides the outcomes of a finished run anew where its services' responses were kept, without a request.

A newer vocabulary, or a file of codes of the user's own, may know the words of a refusal that were an error.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from overt.calls.options import CallerOptions
from overt.data.errors import InputError
from overt.data.json_types import Json
from overt.data.outcomes import Outcome
from overt.data.provider import vocabulary
from overt.data.records import Prompt
from overt.data.results.summary import Summary
from overt.data.run.finished import Run
from overt.data.run.folder import CODES
from overt.tasks import trust
from overt.tasks.asking import Asking, outcome_of, request_of
from overt.tasks.roles import ModelOptions
from overt.tasks.run import RunConfig
from overt.tasks.targets import TargetSpec, specs_from_json
from overt.tasks.task import Work, codes_hash, has_news


def calls_of(run: Run, calls: CallerOptions) -> CallerOptions:
    """The options of a command that adds to a run, with the run's own file of codes if none was named."""
    return calls if calls.codes is not None else dataclasses.replace(calls, codes=_settings(run).codes)


def reread(run: Run, calls: CallerOptions, work: Work, *, trusted: bool = False) -> list[Outcome]:
    """The outcomes of a run, in their order, those of kept responses as today's vocabulary reads them. They
    are written to the run's folder if any is another than before.

    Args:
        trusted: as in `overt.tasks.trust.settle`.

    An answer in words that was found in place of an error is left to `overt run`, which has it judged.
    """
    if not has_news(run.manifest_data) and _codes_then(run) == _codes_now(calls):
        return run.outcomes
    settings = _settings(run)
    specs = specs_from_json(run.record.inputs.get("targets"))
    addresses = settings.addresses(run.folder)
    # No request is made, but the targets are: a class of the user's own is imported, and keys are read.
    trust.settle(run.folder, specs, {}, addresses, {}, trusted=trusted, sends=False)
    asking = Asking(
        work,
        "text" if run.record.inputs.get("modality") == "text" else "image",
        settings.every_layer,
        settings.judge or "judge/rules",
        settings.seed,
        settings.targets(addresses),
        ModelOptions(),
    )
    prompts = {prompt.id: prompt for prompt in run.prompts}
    found: dict[str, Outcome] = {}
    for spec in specs:
        mine = [o for o in run.outcomes if o.target == spec.name and o.state in ("error", "refused")]
        found |= _of_target(spec, mine, prompts, asking)
    if not found:
        return run.outcomes
    work.note(f"{len(found)} outcomes were decided anew from kept responses, without a request")
    outcomes = [found.get(outcome.id, outcome) for outcome in run.outcomes]
    work.folder.write_stage("outcomes", outcomes)
    return outcomes


def manifest_anew(run: Run, calls: CallerOptions, summary: Summary, work: Work) -> dict[str, Json]:
    """The run's manifest with what was decided anew: by which vocabulary and codes, and the coverage."""
    known = run.manifest_data
    identity = known.get("identity")
    mine = identity if isinstance(identity, Mapping) else {}
    inputs = mine.get("inputs")
    named: dict[str, Json] = {**inputs} if isinstance(inputs, Mapping) else {}
    named.pop(CODES, None)
    if (codes := _codes_now(calls)) is not None:
        named[CODES] = codes
    notes = known.get("notes")
    return {
        **known,
        **({"identity": {**mine, "inputs": named}} if isinstance(inputs, Mapping) else {}),
        **({"vocabulary": vocabulary.digest()} if "vocabulary" in known else {}),
        "below_coverage": [t.name for t in summary.targets if t.coverage.share < run.min_coverage],
        "notes": [*(notes if isinstance(notes, list) else []), *work.notes],
    }


def _settings(run: Run) -> RunConfig:
    return RunConfig().resumed(run.record.config, run.record.given).settled()


def _codes_then(run: Run) -> Json:
    identity = run.manifest_data.get("identity")
    inputs = identity.get("inputs") if isinstance(identity, Mapping) else None
    return inputs.get(CODES) if isinstance(inputs, Mapping) else None


def _codes_now(calls: CallerOptions) -> str | None:
    return codes_hash(calls.codes) if calls.codes is not None else None


def _of_target(
    spec: TargetSpec, outcomes: Sequence[Outcome], prompts: Mapping[str, Prompt], asking: Asking
) -> dict[str, Outcome]:
    caller = asking.work.caller
    kept = []
    for outcome in outcomes:
        request = request_of(prompts[outcome.prompt_id], outcome.sample, asking.seed)
        if caller.keeps(spec.name, request.plain()):
            kept.append((outcome, request))
    if not kept:  # so that no local model is loaded
        return {}
    try:
        channel = asking.channel(spec)
    except InputError as error:
        asking.work.note(f"the kept responses of {spec.name} were not read again: {error.what}")
        return {}
    found = {}
    for outcome, request in kept:
        reply = caller.read_again(channel, request)
        if reply is None:
            continue
        new = outcome_of(channel, prompts[outcome.prompt_id], outcome.sample, reply)
        if new.state == "generated" and new.text:
            asking.work.note(f"{spec.name}: a kept response holds an answer; `overt run` has it judged")
        elif (new.state, new.stage, new.code) != (outcome.state, outcome.stage, outcome.code):
            found[outcome.id] = new
    return found
