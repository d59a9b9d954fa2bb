"""Models whose constructor leaves `post_init` out load with transformers 5, with their saved weights."""

import pytest

torch = pytest.importorskip("torch", reason="needs the extra [local]")
transformers = pytest.importorskip("transformers", reason="needs the extra [local]")

from overt.data.local.pretrained import speaking_loader  # noqa: E402

CONFIG = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


class Old(transformers.PreTrainedModel):
    """As a checker written for transformers 4: a vision tower, whose positions are no weights, and a head."""

    config_class = transformers.CLIPVisionConfig

    def __init__(self, config):
        super().__init__(config)
        self.tower = transformers.CLIPVisionModel(config)
        self.head = torch.nn.Linear(config.hidden_size, 1)

    def forward(self, pixels):
        return self.head(self.tower(pixels).pooler_output)


class Younger(Old):
    """Inherits the constructor."""


@pytest.mark.parametrize("kind", [Old, Younger])
def test_a_constructor_without_its_end_loads_the_weights(kind, tmp_path):
    saved = kind(transformers.CLIPVisionConfig(**CONFIG, image_size=16, patch_size=8))
    saved.post_init()  # without it, save_pretrained fails as well
    saved.save_pretrained(tmp_path)
    with speaking_loader("checker/x", str(tmp_path)):
        loaded = kind.from_pretrained(str(tmp_path))
    assert type(loaded) is kind
    pixels = torch.ones(1, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(loaded.eval()(pixels), saved.eval()(pixels))
