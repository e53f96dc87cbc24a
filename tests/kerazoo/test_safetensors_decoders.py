"""GPT-2 and vision transformers out of the files of transformers: other spellings, other sizes, the same texts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import huggingface
import keras
import numpy as np
import pytest
import zoo
from safetensors.numpy import load_file, save_file

import kerazoo
from kerazoo.layers import resize_positions


def _loaded(name: str, path: Path | None = None, **options: Any) -> keras.Model:
    model = huggingface.build(huggingface.CASES[name], **options)
    kerazoo.load_safetensors(model, path or huggingface.file(name))
    return model


def _same(name: str, tensors: dict[str, np.ndarray], folder: Path) -> bool:
    save_file(tensors, folder / "other.safetensors")
    other, own = _loaded(name, folder / "other.safetensors"), _loaded(name)
    return all(np.array_equal(a, b) for a, b in zip(other.get_weights(), own.get_weights(), strict=True))


def test_greedy_texts_of_transformers() -> None:
    """Token by token those of `generate`, alone and in a batch padded at the left."""
    model, recorded = _loaded("gpt2"), huggingface.recorded("gpt2", "large")
    prompts = huggingface.recorded("gpt2", "input")["token_ids"][:, :7]
    for cached in (True, False):
        found = kerazoo.generate(model, prompts, max_new_tokens=10, temperature=0, use_cache=cached)
        assert np.array_equal(found, recorded["greedy"])
    ragged = [prompts[0], prompts[1, 3:], prompts[2, 5:]]
    assert np.array_equal(kerazoo.generate(model, ragged, max_new_tokens=10, temperature=0), recorded["greedy_padded"])
    assert len({*recorded["greedy"].ravel(), *recorded["greedy_padded"].ravel()}) > 3


def test_the_file_of_openai(tmp_path: Path) -> None:
    """No prefix, the causal mask as a buffer, the tied head a second time."""
    tensors = {key.removeprefix("transformer."): value for key, value in load_file(huggingface.file("gpt2")).items()}
    assert "lm_head.weight" not in tensors
    tensors |= {"h.0.attn.bias": np.ones((1, 1, 24, 24), "float32"), "h.0.attn.masked_bias": np.array(-1e4, "float32")}
    assert _same("gpt2", tensors | {"lm_head.weight": tensors["wte.weight"]}, tmp_path)
    with pytest.raises(ValueError, match="one weight here, but differ"):
        _same("gpt2", tensors | {"lm_head.weight": tensors["wte.weight"] + 1}, tmp_path)


def test_names_of_transformers_in_memory(tmp_path: Path) -> None:
    """`state_dict()` of transformers 5 and the files it writes do not agree."""
    renamed = {
        r"encoder\.layer\.": "layers.",
        r"attention\.attention\.(\w)\w+\.": r"attention.\1_proj.",
        r"attention\.output\.dense": "attention.o_proj",
        r"intermediate\.dense": "mlp.fc1",
        r"(layers\.\d+)\.output\.dense": r"\1.mlp.fc2",
    }
    tensors = {}
    for key, value in load_file(huggingface.file("vit")).items():
        for pattern, replacement in renamed.items():
            key = re.sub(pattern, replacement, key)
        tensors[key] = value
    assert "vit.layers.1.attention.k_proj.bias" in tensors
    assert "vit.layers.1.mlp.fc2.weight" in tensors
    assert _same("vit", tensors, tmp_path)


def test_images_of_another_size() -> None:
    """The live comparison shows that the outputs are those of `interpolate_pos_encoding=True`."""
    small, large = _loaded("vit"), _loaded("vit", input_shape=(20, 28, 3))
    table = zoo.value(small.get_layer("positions").embeddings)
    assert np.array_equal(zoo.value(large.get_layer("positions").embeddings), resize_positions(table, (5, 7)))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("gpt2", {"max_length": 30}, "wpe.weight.* needs shape"),
        ("gpt2", {"num_layers": 4}, "'h.3.ln_1.weight' .* is not in it"),
        ("gpt2", {"num_layers": 2}, "no place for tensor 'transformer.h.2"),
        ("vit", {"patch_size": 2}, "projection.weight.* needs shape"),
        ("vit", {"num_classes": 6}, "classifier.weight.* needs shape"),
    ],
)
def test_files_that_do_not_fit(name: str, options: dict, message: str) -> None:
    model = huggingface.build(huggingface.CASES[name], **options)
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        kerazoo.load_safetensors(model, huggingface.file(name))
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


WRONG = {
    "gpt2": {f"block{i}_mlp_act": {"activation": "gelu"} for i in (1, 2, 3)},
    "vit": {f"block{i}_mlp_act": {"activation": "silu"} for i in (1, 2, 3)},
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_activation_is_noticed(name: str) -> None:
    found = zoo.mutated(_loaded(name), WRONG[name])(huggingface.recorded(name, "input"))
    assert huggingface.difference(found, huggingface.recorded(name, "large")) > 1e-5


@pytest.mark.parametrize("wrong", ["gelu", "gelu_tanh"])
def test_a_wrong_activation_of_clip_is_noticed(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from kerazoo.transformers import clip

    monkeypatch.setattr(clip, "quick_gelu", getattr(kerazoo.layers, wrong, wrong))
    found = _loaded("clip")(huggingface.recorded("clip", "input"))
    assert huggingface.difference(found, huggingface.recorded("clip", "large")) > 1e-5


@pytest.mark.parametrize(
    ("name", "epsilon", "activation"),
    [("gpt2", 1e-5, "gelu_tanh"), ("vit", 1e-12, "gelu"), ("clip", 1e-5, "quick_gelu")],
)
def test_epsilon_and_activation(name: str, epsilon: float, activation: str) -> None:
    """What is below the noise of float32 is looked up."""
    layers = zoo.leaf_layers(huggingface.build(huggingface.CASES[name]))
    assert {layer.epsilon for layer in layers if isinstance(layer, keras.layers.LayerNormalization)} == {epsilon}
    acts = [layer.activation.__name__ for layer in layers if layer.name.endswith("_act")]
    assert set(acts) == {activation}
