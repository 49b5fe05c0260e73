"""Vision towers of language models by hf:, from whole checkpoints of a few channels."""

import pytest

from src import models
from src.models.inspect.check import failed_checks
from src.utils import BadInput

transformers = pytest.importorskip("transformers")

PART = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
TEXT = {**PART, "num_key_value_heads": 2, "vocab_size": 64, "pad_token_id": 0}
# {class of the whole network: model_type of its language part, facts of its vision part}
TOWERS = {
    "LlavaOnevision": ("qwen2", {"model_type": "siglip_vision_model", "image_size": 56, "patch_size": 14, **PART}),
    "InternVL": ("qwen2", {"image_size": [56, 56], "patch_size": [14, 14], **PART}),
    "SmolVLM": ("llama", {"image_size": 56, "patch_size": 14, **PART}),
    "Qwen2_5_VL": ("", {"depth": 2, "hidden_size": 32, "num_heads": 2, "intermediate_size": 48, "out_hidden_size": 32}),
}


def saved(name: str, folder) -> str:
    """Return the name of a whole network of that class with initial values, saved as its authors save it."""
    kind, vision = TOWERS[name]
    words = {**TEXT, **({"model_type": kind} if kind else {})}
    if not kind:
        words["rope_scaling"] = {"type": "mrope", "mrope_section": [2, 3, 3]}
    config = getattr(transformers, f"{name}Config")(vision_config=vision, text_config=words)
    getattr(transformers, f"{name}ForConditionalGeneration")(config).save_pretrained(folder)
    return f"hf:{folder}"


@pytest.mark.parametrize("name", ["LlavaOnevision", "InternVL", "SmolVLM"])
def test_a_vision_tower_is_read_from_the_whole_checkpoint(name, tmp_path):
    model = models.load(saved(name, tmp_path))
    assert model.kind == "image"
    assert next(iter(model.layers)) == "embeddings"
    assert set(model.layers.values()) <= {"KC", "C"}
    assert failed_checks(model) == []


def test_a_tower_of_packed_patches_is_refused_in_one_line(tmp_path):
    with pytest.raises(BadInput, match="no image size in its configuration; load it by a function"):
        models.load(saved("Qwen2_5_VL", tmp_path))
