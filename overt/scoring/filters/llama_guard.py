"""`filter/llama-guard[/REPO_OR_FOLDER]`: the older name of `filter/guard`, by default Llama Guard 3 1B."""

from __future__ import annotations

from overt.scoring.filters.guard import Guard


class LlamaGuard(Guard):
    """A guard model, see `Guard`."""

    provider = "llama-guard"
