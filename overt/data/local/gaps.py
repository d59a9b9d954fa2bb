"""What a checkpoint and a model's class do not share, and which of it is known to do no harm.

A weight that is missing is filled with random numbers; a weight of another shape as well. A weight that is
left over changes nothing only where the class by design does not read it, which the tables below list.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

_SHOWN = 6


@dataclass(frozen=True, slots=True)
class _Known:
    """Names of weights (a regular expression) and why classes (another) do without them."""

    names: str
    why: str
    of: str = ""

    def has(self, name: str, kind: str) -> bool:
        return bool(re.search(self.names, name)) and bool(re.search(self.of, kind))


_NOT_FOR_TEXT = r"(?<!ForCausalLM)(?<!ForConditionalGeneration)$"
_BARE = r"(Model|Encoder|WithProjection)$"

# Computed from the configuration; older releases saved them.
_COMPUTED = (
    _Known(r"(^|\.)position_ids$", "the numbers 0, 1, 2 ..."),
    _Known(r"(^|\.)(original_)?inv_freq$|rotary_emb\.(cos|sin)_cached$", "frequencies of the positions"),
    _Known(r"(^|\.)num_batches_tracked$", "counts steps of training"),
    _Known(r"attn?(ention)?(\.attention)?\.(masked_)?bias$", "the causal mask", of="GPT|CodeGen"),
    _Known(r"(^|\.)attn_mask$", "which places of a window see each other", of="Swin|Timm"),
    _Known(r"relative_position_index$|relative_coords_table$", "numbers the places of a window"),
)
_LEFT_OVER = (
    *_COMPUTED,
    _Known(r"(^|\.)pooler\.", "a pooler that the class is built without"),  # cardiffnlp/tweetnlp issue 14
    # fhamborg/NewsMTSC issue 33: an encoder or classifier made from a masked language model.
    _Known(
        r"^(cls|lm_head|vocab_(transform|layer_norm|projector)|(lm|mask|generator|discriminator)_predictions"
        r"|predictions|sop_classifier|generator_lm_head|pred_layer|lm_loss)\.|^final_logits_bias$|^decoder\.(weight|bias)$",
        "the head of pre-training",
        of=_NOT_FOR_TEXT,
    ),
    _Known(r"^(classifier|pre_classifier|score|qa_outputs|head|fc)\.", "the head of another task", of=_BARE),
    _Known(r"^v_head\.", "the value head of training by rewards (trl)"),
    _Known(r"^(loss|loss_fct|loss_fn|criterion)\.", "weights of the training's loss"),
    _Known(r"(^|\.)mtp(\.|_)", "layers that guess further tokens ahead"),
    _Known(r"(^|\.)(version|_extra_state)$", "a mark of the saving library"),
    # CompVis/stable-diffusion issue 10: one half of CLIP or SigLIP, taken from the whole.
    _Known(r"^(vision_model|visual_projection|text_projection|logit_)", "CLIP's other half", of="TextModel"),
    _Known(r"^(text_model|visual_projection|text_projection|logit_)", "CLIP's other half", of="VisionModel"),
    _Known(r"^(text_model\.|logit_)", "SigLIP's other half", of="ForImageClassification$"),
    _Known(r"^(decoder|lm_head)\.", "T5's decoder", of="T5EncoderModel$"),
    _Known(
        r"^(model\.)?(vision_tower|visual|vision_model|multi_modal_projector|audio_tower)\.",
        "what reads pictures and sound, in a class for text alone",
        of="ForCausalLM$",
    ),
    _Known(r"caption_projection\.y_embedding$", "the empty caption of training", of="Transformer2DModel$"),
)
_OF_NUMBERS = re.compile(
    r"\.(absmax|quant_map|nested_absmax|nested_quant_map|quant_state\.\w+|SCB|weight_format|g_idx|qzeros"
    r"|weight_scale(_inv)?|input_scale|weight_zero_point|weight_packed|weight_shape|qweight|scales)$"
)
_HEADS = re.compile(
    r"^(classifier|pre_classifier|score|lm_head|embed_out|classification_head|head|fc|text_projection"
    r"|visual_projection)\b|(^|\.)pooler\."
)


@dataclass(frozen=True, slots=True)
class Gaps:
    """What a checkpoint and a model's class do not share: names of weights.

    kind: the class. of_other_shape: with both shapes. not_finite: weights that hold NaN or infinity.
    whole_numbers: weights that the file holds as integers, although nothing says how they were quantized.
    """

    kind: str
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    of_other_shape: tuple[str, ...] = ()
    not_finite: tuple[str, ...] = ()
    whole_numbers: tuple[str, ...] = ()

    def said(self) -> str:
        """All of it on one line; "" if nothing is wrong."""
        found = (
            ("missing, so they would be random", self.missing),
            ("of another shape, so they would be random", self.of_other_shape),
            ("left over, so nothing would read them", self.unexpected),
            ("are integers in the file, and would be read as if that were their size", self.whole_numbers),
            ("hold NaN or infinity, so that every number would be wrong", self.not_finite),
        )
        return "; ".join(f"{what}: {_listed(names)}" for what, names in found if names)

    def fix(self) -> str:
        """What to do about it."""
        if self.not_finite and not (self.missing or self.unexpected or self.of_other_shape):
            return (
                "The file was saved from a training that failed, or the dtype is too small for its numbers."
            )
        return self._of_names() or self._of_kind()

    def _of_names(self) -> str:
        if prefix := _added(self.missing, self.unexpected):
            return (
                f"In the file the names begin with {prefix!r}, as a wrapper of training leaves them. Take it "
                "off each name and save the file anew (safetensors.torch.load_file and save_file)."
            )
        if prefix := _added(self.unexpected, self.missing):
            return f"In the file the names lack {prefix!r}: it holds a part of the model. Take the whole."
        if self.whole_numbers or any(_OF_NUMBERS.search(name) for name in self.unexpected):
            return (
                "The weights are quantized, but config.json has no quantization_config that says how. Take "
                "the config.json that they were published with."
            )
        return ""

    def _of_kind(self) -> str:
        if self.missing == ("lm_head.weight",) and not (self.of_other_shape or self.unexpected):
            return (
                "Either a file was left out, or the model reads its own vectors of words there: then its "
                "config.json says tie_word_embeddings: true. Take the one that it was published with."
            )
        if self.missing and not self.of_other_shape and all(_HEADS.search(name) for name in self.missing):
            return (
                "It is a model without the head that this needs: a base model, or one for another task. "
                "Take the model that was trained for it."
            )
        if self.of_other_shape or any(re.search(r"\.\d+\.", name) for name in self.unexpected):
            return "config.json and the weights are of different models. Take both from one place."
        if self.missing:
            return "Copy the model's files again, all of them."
        return (
            "Is this the model's own class? Load it in Python as its authors do, look at what is left over, "
            "and save it anew: model.save_pretrained(folder)."
        )


def gaps_of(
    kind: str, report: Mapping[str, Any], *, buffers: Collection[str] = (), elsewhere: Collection[str] = ()
) -> Gaps:
    """Reads a loading report of transformers or diffusers; what is known to do no harm is left out.

    Args:
        kind: the model's class.
        buffers: names of the model's tensors that are no parameters.
        elsewhere: names that something else brings, such as an adapter.
    """
    missing = sorted(
        name
        for name in map(str, report.get("missing_keys") or ())
        if name not in elsewhere
        and not (name in buffers and any(known.has(name, kind) for known in _COMPUTED))
        # Encoders and pipelines read the tokens' vectors of a bare model, nobody its pooler.
        and not (name.startswith("pooler.") and kind.endswith("Model"))
    )
    unexpected = sorted(
        name
        for name in map(str, report.get("unexpected_keys") or ())
        if not any(known.has(name, kind) for known in _LEFT_OVER)
    )
    return Gaps(kind, tuple(missing), tuple(unexpected), _shapes(report.get("mismatched_keys") or ()))


def without_quantization(gaps: Gaps) -> Gaps:
    """Drops what a quantized model keeps beside its weights: its loader has read it."""
    left = tuple(name for name in gaps.unexpected if not _OF_NUMBERS.search(name))
    return replace(gaps, unexpected=left)


def _shapes(mismatched: Collection[Any]) -> tuple[str, ...]:
    said = []
    for entry in mismatched:
        if isinstance(entry, tuple) and len(entry) == 3:
            name, there, wanted = entry
            said.append(f"{name} ({tuple(there)} in the file, {tuple(wanted)} in the class)")
        else:
            said.append(str(entry[0] if isinstance(entry, tuple) else entry))
    return tuple(sorted(said))


def _added(wanted: Collection[str], found: Collection[str]) -> str:
    """The prefix that most of the found names have before a wanted one; "" if there is none."""
    names = set(wanted)
    counts: dict[str, int] = {}
    for name in found:
        parts = name.split(".")
        for count in range(1, min(4, len(parts))):
            if ".".join(parts[count:]) in names:
                prefix = ".".join(parts[:count]) + "."
                counts[prefix] = counts.get(prefix, 0) + 1
    best = max(counts, key=counts.__getitem__, default="")
    return best if best and counts[best] * 2 > len(found) and len(found) > 1 else ""


def _listed(names: Collection[str]) -> str:
    shown = ", ".join(name[:120] for name in list(names)[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
