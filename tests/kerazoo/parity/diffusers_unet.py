"""The U-Net of diffusers with seeded weights, and its outputs for the default test run.

`pip install -e '.[test,parity]' && python tests/kerazoo/parity/diffusers_unet.py` writes
`references/diffusers_unet.npz`.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DModel

sys.path.insert(0, str(Path(__file__).parents[1]))
import seeded

REFERENCES = Path(__file__).parents[1] / "references"
CASES = json.loads((REFERENCES / "diffusers_unet.json").read_text())


def make(options: dict) -> UNet2DModel:
    """Returns diffusers' network for the arguments of `kerazoo.ddpm`."""
    size, widths = options["input_shape"][0], [options["filters"] * factor for factor in options["multipliers"]]
    attends = [size >> stage in options["attention_sizes"] for stage in range(len(widths))]
    classes = options.get("num_classes")
    return UNet2DModel(
        sample_size=size,
        in_channels=options["input_shape"][-1],
        out_channels=options["input_shape"][-1],
        layers_per_block=options["blocks_per_stage"],
        block_out_channels=tuple(widths),
        down_block_types=tuple("AttnDownBlock2D" if attend else "DownBlock2D" for attend in attends),
        up_block_types=tuple("AttnUpBlock2D" if attend else "UpBlock2D" for attend in attends[::-1]),
        norm_num_groups=options["groups"],
        attention_head_dim=None,
        act_fn="silu",
        downsample_padding=0,
        flip_sin_to_cos=False,
        freq_shift=1,
        norm_eps=1e-6,
        num_class_embeds=None if classes is None else classes + 1,
    ).eval()


_PARTS = {
    **{"norm1": "_norm1", "conv1": "_conv1", "time_emb_proj": "_step", "norm2": "_norm2", "conv2": "_conv2"},
    **{"conv_shortcut": "_shortcut", "group_norm": "_norm", "to_q": "/query", "to_k": "/key", "to_v": "/value"},
    **{"to_out.0": "/attention_output"},
}
_ENDS = {
    **{"conv_in": "stem_conv", "conv_norm_out": "head_norm", "conv_out": "estimate"},
    **{"time_embedding.linear_1": "step_fc1", "time_embedding.linear_2": "step_fc2"},
    **{"class_embedding": "label_embedding"},
}


def our_layer(theirs: str, stages: int) -> str:
    """Name of a module of diffusers -> path of our layer."""
    if theirs in _ENDS:
        return _ENDS[theirs]
    if found := re.fullmatch(r"mid_block\.(resnets|attentions)\.(\d)\.(.+)", theirs):
        kind, index, part = found.groups()
        return (f"middle_block{int(index) + 1}" if kind == "resnets" else "middle_attention") + _PARTS[part]
    if found := re.fullmatch(r"(down|up)_blocks\.(\d)\.(?:down|up)samplers\.0\.conv", theirs):
        way, index = found[1], int(found[2])
        return f"stage{index + 1}_down" if way == "down" else f"decoder{stages - index}_conv"
    found = re.fullmatch(r"(down|up)_blocks\.(\d)\.(resnets|attentions)\.(\d)\.(.+)", theirs)
    assert found, theirs
    way, index, kind, block, part = found.groups()
    stage = f"stage{int(index) + 1}" if way == "down" else f"decoder{stages - int(index)}"
    return f"{stage}_block{int(block) + 1}{'_attention' if kind == 'attentions' else ''}{_PARTS[part]}"


def fill(network: UNet2DModel) -> UNet2DModel:
    """Gives every parameter what `seeded.fill` gives ours."""
    stages = len(network.config.block_out_channels)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            module, _, kind = name.rpartition(".")
            layer, shape = our_layer(module, stages), tuple(parameter.shape)
            if kind == "bias" or len(shape) == 1:
                word = {"weight": "gamma", "bias": "beta"}[kind] if "norm" in layer else "bias"
                parameter.copy_(torch.from_numpy(seeded.array(f"{layer}/{word}", shape)))
            elif layer == "label_embedding":
                parameter.copy_(torch.from_numpy(seeded.array(f"{layer}/embeddings", shape)))
            elif len(shape) == 4:
                kernel = seeded.array(f"{layer}/kernel", (*shape[2:], shape[1], shape[0]))
                parameter.copy_(torch.from_numpy(kernel.transpose(3, 2, 0, 1)))
            else:  # ours is cut into heads, of which there is one
                heads = {"/query": (0, 1), "/key": (0, 1), "/value": (0, 1), "/attention_output": (1, 0)}
                end = f"/{layer.rpartition('/')[2]}"
                ours = (shape[1], shape[0])
                if end in heads:
                    ours = (1, *ours) if end == "/attention_output" else (ours[0], 1, ours[1])
                kernel = seeded.array(f"{layer}/kernel", ours).reshape(shape[1], shape[0])
                parameter.copy_(torch.from_numpy(kernel.T.copy()))
    return network


def output(name: str) -> np.ndarray:
    """Returns what a case gives, channels last."""
    options = CASES[name]
    x = torch.from_numpy(seeded.image(name, (2, *options["input_shape"]))).movedim(-1, 1).contiguous()
    labels = torch.tensor([0, 2]) if options.get("num_classes") else None
    with torch.no_grad():
        y = fill(make(options))(x, torch.tensor([3, 871]), class_labels=labels).sample
    return y.movedim(1, -1).contiguous().numpy()


if __name__ == "__main__":
    np.savez_compressed(REFERENCES / "diffusers_unet.npz", **{name: output(name) for name in CASES})
