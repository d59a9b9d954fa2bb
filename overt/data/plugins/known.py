"""What messages about unknown names of models say: names that are no more, and names of other groups."""

from __future__ import annotations

# Built-ins that overt no longer has, each with what to say. Runs of earlier versions name them.
GONE = {
    ("overt.refusal_judges", "embedded"): (
        "judge/embedded was taken out: it gave the verdict of judge/rules on 99.8% of answers",
        "Use judge/rules. A run that was started with judge/embedded can still be read, reported and "
        "compared, but not resumed: start it again with --judge judge/rules.",
    ),
}

# What may stand in the place of a name of a group, besides the group's own providers.
BESIDE = {
    "overt.targets": ("filter", "guarded", "hf"),
    "overt.chat_models": ("filter", "checker", "judge", "builtin"),
}
