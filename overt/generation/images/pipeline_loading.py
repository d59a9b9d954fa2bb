"""Loads diffusers pipelines."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Protocol

from overt.data.local.devices import quiet_loading
from overt.data.local.pretrained import speaking_loader
from overt.generation.images.pipeline_moved import supply_moved_parts
from overt.generation.images.pipeline_parts import left_out
from overt.generation.images.pipelines import Pipeline


class _Loader(Protocol):
    def from_pretrained(self, source: str, /, **options: object) -> Pipeline: ...


def load_pipeline(source: str, options: Mapping[str, object], name: str) -> Pipeline:
    """Loads a pipeline for text to image, whatever task it was saved for, if diffusers knows one.

    Raises:
        InputError: the pipeline cannot be loaded.
    """
    import diffusers

    if "DIFFUSERS_VERBOSITY" not in os.environ:
        # It would print the cut part of each long prompt and a line for each flagged picture.
        diffusers.utils.logging.set_verbosity_error()
    options = {**left_out(source), **options}
    by_task: _Loader = diffusers.AutoPipelineForText2Image
    as_saved: _Loader = diffusers.DiffusionPipeline

    def load() -> Pipeline:
        try:
            return by_task.from_pretrained(source, **options)
        except (ValueError, AttributeError, KeyError):  # diffusers knows no such task for this class
            return as_saved.from_pretrained(source, **options)

    with quiet_loading(), speaking_loader(name, source):
        try:
            pipeline = load()
        except Exception as error:
            if not supply_moved_parts(str(error)):
                raise
            pipeline = load()
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
