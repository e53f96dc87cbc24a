"""Cards of the networks that restore images."""

from __future__ import annotations

from typing import Any

from kerazoo.card import ModelCard, Sample, Tensor

_SRRESNET: dict[str, Any] = {
    "family": "srresnet",
    "kind": "image_to_image",
    "task": "super-resolution",
    "module": "kerazoo.restoration.srresnet",
    "title": "Photo-realistic single image super-resolution using a generative adversarial network",
    "authors": (
        "C. Ledig, L. Theis, F. Huszar, J. Caballero, A. Cunningham, A. Acosta, A. Aitken, A. Tejani, J. Totz, "
        "Z. Wang, W. Shi"
    ),
    "year": 2017,
    "paper_url": "https://arxiv.org/abs/1609.04802",
    "input_shape": (24, 24, 3),
    "num_outputs": 3,
    "input_range": "[0, 1], for an output in [-1, 1]",
    "min_size": 1,
    "dynamic_size": True,
    "custom_objects": True,
    "sample": Sample(inputs=Tensor((6, 6, 2)), targets=Tensor((12, 12, 2), low=-1.0), loss="mean_squared_error"),
    "test_config": {"input_shape": (6, 6, 2), "num_channels": 2, "scale": 2, "filters": 4, "num_blocks": 1},
}
_OPEN = "The paper leaves open what follows the last convolution and whether slopes are shared: nothing, per channel."

CARDS = (
    ModelCard(
        **_SRRESNET,
        name="srresnet",
        summary="Residual blocks on the small image and sub-pixel convolutions at the end.",
        params=1_554_883,
        trainable_params=1_550_659,
        flops=2_555_338_752,
        params_source=(
            "layer list of the paper's figure 4: convolutions with biases, one slope per channel; two moving "
            "statistics per channel of 33 batch normalisations"
        ),
        deviations=(_OPEN,),
        unlike_default=("Several ports end in tanh, `output_activation='tanh'`.",),
    ),
    ModelCard(
        **_SRRESNET,
        name="srresnet_small",
        summary="SRResNet at the size of a laptop: twice as large, four blocks of 32 filters.",
        params=137_155,
        trainable_params=136_579,
        flops=182_808_576,
        params_source="by hand: the layer list of figure 4 with 32 filters, 4 blocks and one sub-pixel step",
        deviations=(_OPEN, "Four blocks of 32 filters instead of sixteen of 64."),
    ),
)
