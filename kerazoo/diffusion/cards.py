"""Cards of the diffusion models."""

from __future__ import annotations

from typing import Any

from kerazoo.card import ModelCard, Sample, Tensor

_PICTURES = Tensor((8, 8, 2), low=-1.0)
_LABELLED = Sample(inputs={"input": _PICTURES, "label": Tensor((), "int32", 0, 3)}, targets=None, loss=None)
_SMALL: dict[str, Any] = {
    **{"input_shape": (8, 8, 2), "num_classes": 3, "filters": 8, "multipliers": (1, 2), "groups": 4},
    **{"blocks_per_stage": 1, "attention_sizes": (4,), "timesteps": 50, "dropout_rate": 0.0},
}
_DDPM: dict[str, Any] = {
    "kind": "image_generator",
    "family": "ddpm",
    "task": "image-generation",
    "custom_objects": True,
    "input_range": "[-1, 1]",
    "module": "kerazoo.diffusion.ddpm",
    "title": "Denoising diffusion probabilistic models",
    "authors": "J. Ho, A. Jain, P. Abbeel",
    "year": 2020,
    "paper_url": "https://arxiv.org/abs/2006.11239",
    "sample": _LABELLED,
    "test_config": _SMALL,
}
_TWICE = "; the weights are there twice, with their average over the training, and one number counts its updates"
_DEVIATIONS = (
    "The average of the weights begins as a plain mean, so that short trainings forget the initial weights.",
    "Pictures are not flipped by the model; augmentation belongs to the data.",
)

CARDS = (
    ModelCard(
        **_DDPM,
        name="ddpm",
        summary="A U-Net that takes noise away step by step, until a picture is left; made for 32 x 32 pixels.",
        input_shape=(32, 32, 3),
        num_outputs=3,
        params=2 * 35_746_307 + 1,
        trainable_params=35_746_307,
        flops=12_443_713_536,
        params_source="diffusers' UNet2DModel and the authors' network in PyTorch by Song et al." + _TWICE,
        deviations=_DEVIATIONS,
    ),
    ModelCard(
        **_DDPM,
        name="ddpm_256",
        summary="Denoising diffusion for pictures of 256 x 256 pixels.",
        input_shape=(256, 256, 3),
        num_outputs=3,
        params=2 * 113_673_219 + 1,
        trainable_params=113_673_219,
        flops=497_027_514_368,
        params_source="diffusers' UNet2DModel and the authors' network in PyTorch by Song et al." + _TWICE,
        deviations=_DEVIATIONS,
    ),
    ModelCard(
        **_DDPM,
        name="ddpm_small",
        summary="Denoising diffusion that a laptop trains on small pictures.",
        input_shape=(28, 28, 1),
        num_outputs=1,
        params=2 * 1_163_105 + 1,
        trainable_params=1_163_105,
        flops=428_850_176,
        params_source="diffusers' UNet2DModel at these sizes" + _TWICE,
        deviations=(*_DEVIATIONS, "Sizes and schedule are a choice for laptops, not the paper's."),
    ),
    ModelCard(
        name="unclip",
        family="unclip",
        kind="multi_input",
        task="text-to-image",
        custom_objects=True,
        input_range="[-1, 1]",
        module="kerazoo.diffusion.unclip",
        title="Hierarchical text-conditional image generation with CLIP latents",
        authors="A. Ramesh, P. Dhariwal, A. Nichol, C. Chu, M. Chen",
        year=2022,
        paper_url="https://arxiv.org/abs/2204.06125",
        summary="From a text to the embedding of a picture, and from that to the picture: DALL-E 2 in a laptop's size.",
        input_shape=(32, 32, 3),
        num_outputs=3,
        params=22_876_937,
        trainable_params=13_267_588,
        flops=3_246_002_688,
        params_source="the authors of CLIP and of karlo (prior), run at these sizes, and the decoder by hand" + _TWICE,
        sample=Sample(
            inputs={"images": Tensor((8, 8, 3), low=-1.0), "token_ids": Tensor((5,), "int32", 1, 9)},
            targets=None,
            loss=None,
        ),
        test_config={
            **{"image_shape": (8, 8, 3), "max_length": 5, "patch_size": 4, "image_layers": 1, "image_heads": 2},
            **{"image_dim": 8, "vocab_size": 10, "num_layers": 1, "num_heads": 2, "hidden_dim": 8, "embedding_dim": 6},
            **{"prior_layers": 1, "prior_heads": 2, "prior_dim": 8, "filters": 8, "multipliers": (1, 2), "groups": 4},
            **{"attention_sizes": (), "context_tokens": 2, "timesteps": 50},
        },
        deviations=(
            "All sizes are for a laptop: the paper's networks have billions of parameters.",
            "CLIP, prior and decoder are trained at once, without a gradient from one to another; freeze parts to "
            "train them one after another.",
            "The decoder is told CLIP's features of the text, as in karlo; `text_layers` gives it an encoder of its "
            "own, as in the paper.",
            "The decoder is the U-Net of DDPM, estimates no variance, and draws the final size: no network enlarges.",
            "Embeddings have the length of the root of their size, instead of a constant found by experiment.",
            "The average of the weights begins as a plain mean, so that short trainings forget the initial weights.",
        ),
    ),
)
