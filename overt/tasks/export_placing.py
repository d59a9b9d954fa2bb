"""Which split each prompt of training data lies in."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

from overt.data.records import Drop, Prompt, content_id
from overt.data.splits import Shares, category_of, clustered, families_of, split_clusters
from overt.data.training import Placed, Split
from overt.policies.floor import floor_reason
from overt.scoring.dedupe import repeat_key
from overt.scoring.near_duplicates import jaccard_links

READ = "read"
NEAR = 0.7  # Jaccard similarity of words and letter triples from which two prompts are siblings


def placed_prompts(prompts: Sequence[Prompt], shares: Shares, seed: int) -> tuple[list[Placed], list[Drop]]:
    """The prompts that may be trained on, each with its split, and a drop for each of the others.

    Prompts are siblings if they share a seed, a pair, a type's family, the text but for case and punctuation,
    or nearly all words; versions of a prompt are siblings of it, and so are attacks on one vanilla prompt.
    """
    reasons = [why_not(prompt) for prompt in prompts]
    kept = [prompt for prompt, reason in zip(prompts, reasons, strict=True) if not reason]
    drops = [
        Drop(prompt.id, READ, prompt.category, reason)
        for prompt, reason in zip(prompts, reasons, strict=True)
        if reason
    ]
    families = families_of(kept)
    categories = [family or category_of(p.category) for p, family in zip(kept, families, strict=True)]
    keys = [list(_keys(p, family)) for p, family in zip(kept, families, strict=True)]
    clusters = clustered(keys, _near(kept))
    # A family of types is a cluster, and no share of it can go elsewhere.
    strata = [
        (p.label,) if family else (p.label, (p.label, c))
        for p, c, family in zip(kept, categories, families, strict=True)
    ]
    splits = split_clusters(clusters, strata, shares, seed)
    where: dict[int, tuple[str, Split]] = {}
    for rows, split in zip(clusters, splits, strict=True):
        name = content_id("cluster", min(kept[row].id for row in rows))
        where |= dict.fromkeys(rows, (name, split))
    return [
        Placed(p, categories[row], p.category if families[row] else "", *where[row])
        for row, p in enumerate(kept)
    ], drops


def _near(prompts: Sequence[Prompt]) -> list[tuple[int, int]]:
    """Pairs of prompts of nearly the same words; of attacks what was really asked counts as well."""
    links, _ = jaccard_links([p.text for p in prompts], NEAR)
    if any(p.vanilla for p in prompts):
        links += jaccard_links([p.judged_text for p in prompts], NEAR)[0]
    return links


def why_not(prompt: Prompt) -> str:
    """Why a prompt is not trained on; "" if it may be."""
    if prompt.label not in ("benign", "unsafe"):
        return "neither benign nor unsafe"
    texts = (prompt.text, prompt.vanilla or "", *(turn.content for turn in prompt.turns or ()))
    if any(map(floor_reason, texts)):
        return "floor"
    return "it carries a picture" if prompt.image else ""


def _keys(prompt: Prompt, family: str) -> Iterator[Hashable]:
    """What a prompt shares with its siblings."""
    yield "id", prompt.variant_of or prompt.id
    yield "id", prompt.id
    yield "cluster", prompt.cluster
    yield "text", repeat_key(prompt.text)
    yield "text", repeat_key(prompt.judged_text)
    if prompt.seed_id:
        yield "seed", prompt.seed_id
    if prompt.pair_id:
        yield "pair", prompt.pair_id
    if family:
        yield "type", family
