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

_CARE: dict[str, Any] = {
    "family": "care",
    "kind": "image_to_image",
    "task": "denoising",
    "module": "kerazoo.restoration.care",
    "title": "Content-aware image restoration: pushing the limits of fluorescence microscopy",
    "authors": (
        "M. Weigert, U. Schmidt, T. Boothe, A. Mueller, A. Dibrov, A. Jain, B. Wilhelm, D. Schmidt, C. Broaddus, "
        "S. Culley, M. Rocha-Martins, F. Segovia-Miranda, C. Norden, R. Henriques, M. Zerial, M. Solimena, J. Rink, "
        "P. Tomancak, L. Royer, F. Jug, E. W. Myers"
    ),
    "year": 2018,
    "paper_url": "https://doi.org/10.1038/s41592-018-0216-7",
    "input_shape": (128, 128, 1),
    "num_outputs": 1,
    "input_range": "two percentiles at 0 and 1",
    "min_size": 1,
    "size_multiple": 4,
    "dynamic_size": True,
    "sample": Sample(inputs=Tensor((12, 10, 2)), targets=Tensor((12, 10, 2)), loss="mean_absolute_error"),
    "test_config": {"input_shape": (12, 10, 2), "num_channels": 2, "filters": 4, "kernel_size": 3},
}
_NOISE2VOID: dict[str, Any] = {
    "kind": "image_to_image",
    "task": "denoising",
    "module": "kerazoo.restoration.noise2void",
    "input_shape": (64, 64, 1),
    "num_outputs": 1,
    "input_range": "mean 0 and standard deviation 1 over the training set",
    "min_size": 1,
    "size_multiple": 4,
    "dynamic_size": True,
    "sample": Sample(
        inputs=Tensor((12, 10, 2), low=-1.0), targets=Tensor((12, 10, 2), low=-1.0), loss="mean_squared_error"
    ),
    "test_config": {"input_shape": (12, 10, 2), "num_channels": 2, "filters": 4},
}
_UP_PATH = (
    "The way up is CSBDeep's, with twice the filters per level; the code of the n2v package has as many everywhere."
)
_LAPTOP = "32 filters at the first level; the paper takes 96 for natural images."
_BATCH_NORM = "Batch normalisation with momentum 0.9 and epsilon 1e-5; the n2v package has Keras' defaults."

CARDS = (
    ModelCard(
        **_CARE,
        name="care",
        summary="A U-Net with nearest-neighbour up-sampling that adds what is missing to a poor image.",
        params=922_977,
        trainable_params=922_977,
        flops=7_577_010_176,
        params_source="CSBDeep 0.8.2, CARE built with its default configuration for images of one channel",
        unlike_default=(
            "Other ports have kernels of 3 for images, `kernel_size=3`; CSBDeep has 5 for images and 3 for volumes.",
        ),
    ),
    ModelCard(
        **_NOISE2VOID,
        family="noise2void",
        name="noise2void",
        title="Noise2Void - Learning Denoising from Single Noisy Images",
        authors="A. Krull, T.-O. Buchholz, F. Jug",
        year=2019,
        paper_url="https://arxiv.org/abs/1811.10980",
        summary="A U-Net that guesses hidden pixels from those around, and so learns to denoise without clean images.",
        params=334_817,
        trainable_params=333_729,
        flops=682_098_688,
        params_source="CAREamics, the U-Net of its default configuration for images (333,729 trainable)",
        deviations=(_LAPTOP, _UP_PATH, _BATCH_NORM),
        unlike_default=("The n2v package has kernels of 5 and more pixels hidden, `kernel_size=5`.",),
    ),
    ModelCard(
        **_NOISE2VOID,
        family="noise2void",
        name="n2v2",
        title=(
            "N2V2 - Fixing Noise2Void Checkerboard Artifacts with Modified Sampling Strategies and a Tweaked Network "
            "Architecture"
        ),
        authors="E. Hoeck, T.-O. Buchholz, A. Brachmann, F. Jug, A. Freytag",
        year=2022,
        paper_url="https://arxiv.org/abs/2211.08512",
        summary="Noise2Void with blurred poolings and without the uppermost skip, against checkerboard patterns.",
        params=325_601,
        trainable_params=324_513,
        flops=606_601_216,
        params_source="by hand: Noise2Void less the 9 x 32 x 32 weights of the skip at full resolution",
        deviations=(
            _LAPTOP,
            _UP_PATH,
            _BATCH_NORM,
            "The blur (1, 2, 1) is two means of two pixels, so that images and volumes have it from layers of Keras.",
        ),
    ),
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
