"""Cards of the networks that lay one image on another."""

from __future__ import annotations

from typing import Any

from kerazoo.card import ModelCard, Sample, Tensor

_VOXELMORPH: dict[str, Any] = {
    "family": "voxelmorph",
    "kind": "registration",
    "task": "image-registration",
    "module": "kerazoo.registration.voxelmorph",
    "title": "VoxelMorph: A Learning Framework for Deformable Medical Image Registration",
    "authors": "G. Balakrishnan, A. Zhao, M. R. Sabuncu, J. Guttag, A. V. Dalca",
    "year": 2019,
    "paper_url": "https://arxiv.org/abs/1809.05231",
    "input_range": "[0, 1]",
    "min_size": 16,
    "size_multiple": 16,
    "dynamic_size": True,
    "custom_objects": True,
    "params_source": "the layer list of the authors' release: 16-32-32-32 down, 32-32-32-32 up, 32-16-16, the flow",
    "deviations": ("The velocity is halved by averaging pairs of pixels, where the authors interpolate.",),
}


def _sample(*sizes: int) -> Sample:
    image, half = Tensor((*sizes, 1)), tuple(size // 2 for size in sizes)
    return Sample(
        inputs={"moving": image, "fixed": image},
        targets={
            "moved": image,
            "field": Tensor((*sizes, len(sizes)), low=-1.0),
            "velocity": Tensor((*half, len(sizes)), low=-1.0),
        },
        loss="mean_squared_error",
        batch_size=2,
    )


_SMALL: dict[str, Any] = {"encoder_filters": (3, 4), "decoder_filters": (4, 4), "final_filters": (4,), "int_steps": 3}

CARDS = (
    ModelCard(
        **_VOXELMORPH,
        name="voxelmorph",
        summary="A U-Net sees two images and says how to deform the one until it lies on the other, without folds.",
        input_shape=(160, 192, 1),
        num_outputs=2,
        params=109_170,
        trainable_params=109_170,
        flops=1_798_225_920,
        sample=_sample(16, 16),
        test_config={"input_shape": (16, 16, 1), **_SMALL},
    ),
)
