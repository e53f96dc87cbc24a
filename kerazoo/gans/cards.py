"""Cards of the generative adversarial networks."""

from __future__ import annotations

from typing import Any

from kerazoo.card import ModelCard, Sample, Tensor

_COMMON: dict[str, Any] = {
    "kind": "generator_discriminator",
    "task": "image-generation",
    "custom_objects": True,
}

_DCGAN = "Unsupervised representation learning with deep convolutional generative adversarial networks"
_NOISE = Tensor((6,), low=-1.5, high=1.5)
_LABEL = Tensor((), "int32", 0, 3)
_NOISE_AND_LABEL = {"latent": _NOISE, "label": _LABEL}

_TRANSLATOR: dict[str, Any] = {
    "kind": "image_translator",
    "task": "image-translation",
    "custom_objects": True,
    "input_range": "[-1, 1]",
    "dynamic_size": True,
    "sample": Sample(inputs=Tensor((8, 8, 2), low=-1.0), targets=Tensor((8, 8, 2), low=-1.0), loss=None, batch_size=3),
}
_PIX2PIX = _TRANSLATOR | {
    "family": "pix2pix",
    "module": "kerazoo.gans.pix2pix",
    "title": "Image-to-image translation with conditional adversarial networks",
    "authors": "P. Isola, J.-Y. Zhu, T. Zhou, A. A. Efros",
    "year": 2017,
    "paper_url": "https://arxiv.org/abs/1611.07004",
    "test_config": {
        **{"input_shape": (8, 8, 2), "num_channels": 2, "filters": 4, "depth": 3},
        **{"discriminator_filters": 4, "discriminator_layers": 1},
    },
}
_MOVING_STATISTICS = (
    "In inference dropout is off and batch normalisation uses its moving statistics; the paper leaves both as they are "
    "in training."
)
_CYCLEGAN = _TRANSLATOR | {
    "family": "cyclegan",
    "module": "kerazoo.gans.cyclegan",
    "title": "Unpaired image-to-image translation using cycle-consistent adversarial networks",
    "authors": "J.-Y. Zhu, T. Park, P. Isola, A. A. Efros",
    "year": 2017,
    "paper_url": "https://arxiv.org/abs/1703.10593",
    "test_config": {
        **{"input_shape": (8, 8, 2), "num_channels": 2, "filters": 4, "num_blocks": 1},
        **{"discriminator_filters": 4, "discriminator_layers": 1, "pool_size": 4},
    },
}
_NO_GAINS = "Instance normalisation has no gains and the convolutions in front of it have biases, as in the later code."
_IDENTITY = "The identity loss is on, as in the code; the paper uses it for paintings only."
_SRGAN: dict[str, Any] = {
    "kind": "image_translator",
    "task": "super-resolution",
    "custom_objects": True,
    "input_range": "[0, 1], for an output in [-1, 1]",
    "family": "srgan",
    "module": "kerazoo.gans.srgan",
    "title": "Photo-realistic single image super-resolution using a generative adversarial network",
    "authors": "C. Ledig, L. Theis, F. Huszar, J. Caballero, A. Cunningham, A. Acosta, A. Aitken, A. Tejani, J. Totz, "
    "Z. Wang, W. Shi",
    "year": 2017,
    "paper_url": "https://arxiv.org/abs/1609.04802",
    "input_shape": (24, 24, 3),
    "num_outputs": 3,
    "min_size": 1,
    "sample": Sample(inputs=Tensor((6, 6, 2)), targets=Tensor((12, 12, 2), low=-1.0), loss=None, batch_size=3),
    "test_config": {
        **{"input_shape": (6, 6, 2), "num_channels": 2, "scale": 2, "filters": 4, "num_blocks": 1},
        **{"discriminator_filters": 2, "dense_units": 4},
    },
}
_PIXELS = (
    "Compares pixels unless it is given a network to compare by, since no trained VGG-19 comes with it.",
    "The discriminator ends in a logit; its sigmoid is part of the loss.",
)

CARDS = (
    ModelCard(
        **_COMMON,
        name="gan",
        family="gan",
        module="kerazoo.gans.gan",
        title="Generative adversarial nets",
        authors="I. J. Goodfellow, J. Pouget-Abadie, M. Mirza, B. Xu, D. Warde-Farley, S. Ozair, A. Courville, "
        "Y. Bengio",
        year=2014,
        paper_url="https://arxiv.org/abs/1406.2661",
        summary="A generator learns to make what a discriminator takes for real.",
        input_shape=(784,),
        num_outputs=784,
        input_range="[0, 1]",
        params=3_735_425,
        trainable_params=3_735_425,
        flops=7_459_680,
        params_source="generator 2,503,984 and discriminator 1,231,441, by hand from the authors' configuration for "
        "handwritten digits (mnist.yaml)",
        sample=Sample(inputs=_NOISE, training=Tensor((12,)), loss=None),
        test_config={
            "input_shape": (12,),
            "latent_dim": 6,
            "hidden_units": (8, 7),
            "maxout_units": (6, 5),
            "pieces": 3,
        },
        deviations=(
            "The momentum stays at 0.5 instead of growing to 0.7.",
            "The generator's last biases start at zero instead of the mean pixels.",
            "The discriminator ends in a logit; its sigmoid is part of the loss.",
        ),
    ),
    ModelCard(
        **_COMMON,
        name="dcgan",
        family="dcgan",
        module="kerazoo.gans.dcgan",
        title=_DCGAN,
        authors="A. Radford, L. Metz, S. Chintala",
        year=2015,
        paper_url="https://arxiv.org/abs/1511.06434",
        summary="A generator and a discriminator of strided convolutions and batch normalisation.",
        input_shape=(64, 64, 3),
        num_outputs=3,
        input_range="[-1, 1]",
        min_size=8,
        params=36_095_232,
        trainable_params=36_087_808,
        flops=2_559_213_568,
        params_source="generator 18,855,040 and discriminator 17,232,768 trainable, measured on the published list of "
        "layers in PyTorch",
        sample=Sample(inputs=_NOISE, training=Tensor((8, 8, 2), low=-1.0), loss=None),
        test_config={"input_shape": (8, 8, 2), "latent_dim": 6, "filters": 4},
        deviations=(
            "The projection is normalised per map, not per unit, and by running statistics when it draws.",
            "The discriminator ends in a logit; its sigmoid is part of the loss.",
        ),
        unlike_default=("Many ports have kernels of 4 x 4.",),
    ),
    ModelCard(
        **_COMMON,
        name="cgan",
        family="cgan",
        module="kerazoo.gans.cgan",
        title="Conditional generative adversarial nets",
        authors="M. Mirza, S. Osindero",
        year=2014,
        paper_url="https://arxiv.org/abs/1411.1784",
        summary="Generator and discriminator are both told the class.",
        input_shape=(784,),
        num_outputs=784,
        input_range="[0, 1]",
        params=3_638_335,
        trainable_params=3_638_335,
        flops=7_265_480,
        params_source="generator 2,413,984 and discriminator 1,224,351, by hand from section 4.1 of the paper",
        sample=Sample(inputs=_NOISE_AND_LABEL, training=Tensor((12,)), targets=_LABEL, loss=None),
        test_config={
            "input_shape": (12,),
            "latent_dim": 6,
            "num_classes": 3,
            "latent_units": 5,
            "label_units": 7,
            "joint_units": 8,
        },
        deviations=(
            "The momentum stays at 0.5 instead of growing to 0.7.",
            "The noise has mean 0 and variance 1, as in the code of the first paper; the text says unit hypercube.",
            "The discriminator ends in a logit; its sigmoid is part of the loss.",
        ),
    ),
    ModelCard(
        **_COMMON,
        name="conditional_dcgan",
        family="dcgan",
        module="kerazoo.gans.conditional_dcgan",
        title=_DCGAN,
        authors="A. Radford, L. Metz, S. Chintala",
        year=2015,
        paper_url="https://arxiv.org/abs/1511.06434",
        summary="A DCGAN whose every layer is told the class.",
        input_shape=(28, 28, 1),
        num_outputs=1,
        input_range="[0, 1]",
        min_size=4,
        size_multiple=4,
        params=13_525_764,
        trainable_params=13_508_740,
        flops=78_532_580,
        params_source="generator 6,820,538 and discriminator 6,688,202 trainable, by hand from the authors' script for "
        "handwritten digits",
        sample=Sample(inputs=_NOISE_AND_LABEL, training=Tensor((8, 8, 2)), targets=_LABEL, loss=None),
        test_config={
            "input_shape": (8, 8, 2),
            "latent_dim": 6,
            "num_classes": 3,
            "filters": 4,
            "dense_units": 8,
        },
        deviations=("Normalisation goes by running statistics when it draws.",),
    ),
    ModelCard(
        **_COMMON,
        name="acgan",
        family="acgan",
        module="kerazoo.gans.acgan",
        title="Conditional image synthesis with auxiliary classifier GANs",
        authors="A. Odena, C. Olah, J. Shlens",
        year=2016,
        paper_url="https://arxiv.org/abs/1610.09585",
        summary="The discriminator also says which class an image belongs to.",
        input_shape=(32, 32, 3),
        num_outputs=3,
        input_range="[-1, 1]",
        min_size=8,
        size_multiple=8,
        params=4_661_486,
        trainable_params=4_658_926,
        flops=184_745_984,
        params_source="generator 2,994,051 and discriminator 1,664,875 trainable, by hand from the paper's table for "
        "CIFAR-10 as public ports give it",
        sample=Sample(inputs=_NOISE_AND_LABEL, training=Tensor((8, 8, 2), low=-1.0), targets=_LABEL, loss=None),
        test_config={
            "input_shape": (8, 8, 2),
            "latent_dim": 6,
            "num_classes": 3,
            "generator_filters": (6, 4),
            "discriminator_filters": (4, 4, 6, 6),
        },
        deviations=("The noise that the code adds to activations is left out.",),
    ),
    ModelCard(
        **_COMMON,
        name="wgan_gp",
        family="wgan_gp",
        module="kerazoo.gans.wgan_gp",
        title="Improved training of Wasserstein GANs",
        authors="I. Gulrajani, F. Ahmed, M. Arjovsky, V. Dumoulin, A. Courville",
        year=2017,
        paper_url="https://arxiv.org/abs/1704.00028",
        summary="A critic measures how far made images are from real ones, kept smooth by a penalty on its gradient.",
        input_shape=(28, 28, 1),
        num_outputs=1,
        input_range="[0, 1]",
        min_size=1,
        params=2_584_322,
        trainable_params=2_584_322,
        flops=94_880_768,
        params_source="generator 1,554,177 and critic 1,030,145, by hand from the authors' script for digits",
        sample=Sample(inputs=_NOISE, training=Tensor((7, 8, 2)), loss=None),
        test_config={"input_shape": (7, 8, 2), "latent_dim": 6, "filters": 4, "critic_steps": 2},
        deviations=("The turns of the critic in one step see the same real images.",),
    ),
    ModelCard(
        **_COMMON,
        name="progan",
        family="progan",
        module="kerazoo.gans.progan",
        title="Progressive growing of GANs for improved quality, stability, and variation",
        authors="T. Karras, T. Aila, S. Laine, J. Lehtinen",
        year=2017,
        paper_url="https://arxiv.org/abs/1710.10196",
        summary="Both networks start with tiny images and grow while they train.",
        input_shape=(1024, 1024, 3),
        num_outputs=3,
        input_range="[-1, 1]",
        min_size=4,
        params=69_245_504,
        trainable_params=46_166_364,
        flops=170_888_643_584,
        params_source="generator 23,079,115, twice for its running mean, and discriminator 23,087,249, by hand from "
        "the authors' list of layers, and 25 numbers that say how far it has grown",
        sample=Sample(inputs=_NOISE, training=Tensor((8, 8, 2), low=-1.0), loss=None),
        test_config={
            "input_shape": (8, 8, 2),
            "latent_dim": 6,
            "filters": 16,
            "max_filters": 6,
            "stabilize_images": 8,
            "fade_images": 8,
        },
        deviations=(
            "The optimisers keep their state when a level is added.",
            "The batch has one size for all levels.",
        ),
        unlike_default=("The authors' code takes the deviation over groups of 4 samples, the paper over the batch.",),
    ),
    ModelCard(
        **_PIX2PIX,
        name="pix2pix",
        summary="A U-Net turns one kind of image into another, judged by its patches and by the distance to the truth.",
        input_shape=(256, 256, 3),
        num_outputs=3,
        min_size=256,
        size_multiple=256,
        params=57_194_308,
        trainable_params=57_182_660,
        flops=18_490_654_720,
        params_source=(
            "generator 54,413,955 and discriminator 2,768,705, layer by layer from the authors' later code, "
            "networks.py, with two moving statistics per normalised channel"
        ),
        deviations=(_MOVING_STATISTICS,),
    ),
    ModelCard(
        **_PIX2PIX,
        name="pix2pix_small",
        summary="pix2pix at the size of a laptop: five levels from 16 filters on, patches of 34 x 34 pixels.",
        input_shape=(64, 64, 1),
        num_outputs=1,
        min_size=32,
        size_multiple=32,
        params=1_085_906,
        trainable_params=1_084_786,
        flops=63_905_792,
        params_source="by hand: the layer list of pix2pix with 16 filters, five levels and two strided judging layers",
        deviations=(_MOVING_STATISTICS, "Five levels from 16 filters on instead of eight from 64 on, no dropout."),
    ),
    ModelCard(
        **_CYCLEGAN,
        name="cyclegan",
        summary="Two generators turn two kinds of images into each other and back, learnt without pairs.",
        input_shape=(256, 256, 3),
        num_outputs=3,
        min_size=24,
        size_multiple=4,
        params=47_946_634,
        trainable_params=28_285_832,
        flops=210_793_267_200,
        params_source=(
            "twice generator 11,378,179 and discriminator 2,764,737, layer by layer from the authors' later code "
            "(networks.py); two pools of 50 images beside them"
        ),
        deviations=(_NO_GAINS, _IDENTITY),
    ),
    ModelCard(
        **_CYCLEGAN,
        name="cyclegan_small",
        summary="CycleGAN at the size of a laptop: three blocks from 16 filters on, patches of 34 x 34 pixels.",
        input_shape=(64, 64, 1),
        num_outputs=1,
        min_size=12,
        size_multiple=4,
        params=1_033_062,
        trainable_params=623_460,
        flops=367_411_200,
        params_source="by hand: the layer list of CycleGAN, 16 filters, three blocks, two strided judging layers",
        deviations=(_NO_GAINS, _IDENTITY, "Three blocks from 16 filters on instead of nine from 64 on."),
    ),
    ModelCard(
        **_SRGAN,
        name="srgan",
        summary="Super-resolution whose textures a discriminator takes for real ones.",
        params=25_124_100,
        trainable_params=25_116_164,
        flops=4_323_633_152,
        params_source=(
            "generator 1,550,659 and discriminator 23,565,505, from the layer list of the paper's figure 4, with two "
            "moving statistics per normalised channel"
        ),
        deviations=_PIXELS,
    ),
    ModelCard(
        **_SRGAN,
        name="srgan_small",
        summary="SRGAN at the size of a laptop: twice as large, four blocks of 32 filters.",
        params=506_388,
        trainable_params=504_884,
        flops=211_488_896,
        params_source="by hand: the layer list of figure 4 with 32 filters, 4 blocks and a quarter of the judge",
        deviations=(
            *_PIXELS,
            "Four blocks of 32 filters instead of sixteen of 64, and a quarter of the discriminator.",
        ),
    ),
)
