"""Cards of the networks that label every pixel."""

from __future__ import annotations

from kerazoo.card import ModelCard, Sample, Tensor

CARDS = (
    ModelCard(
        name="unet",
        family="unet",
        kind="dense_prediction",
        task="semantic-segmentation",
        module="kerazoo.segmentation.unet",
        title="U-Net: Convolutional Networks for Biomedical Image Segmentation",
        authors="O. Ronneberger, P. Fischer, T. Brox",
        year=2015,
        paper_url="https://arxiv.org/abs/1505.04597",
        summary="A contracting and an expanding path, joined at every resolution, that label each pixel.",
        input_shape=(256, 256, 1),
        num_outputs=2,
        input_range="about zero mean and unit spread",
        params=31_030_658,
        trainable_params=31_030_658,
        flops=96_192_167_936,
        params_source="the paper's widths by hand; the public tests of LabRAI/PyHazards agree",
        min_size=1,
        size_multiple=16,
        dynamic_size=True,
        feature_levels={f"P{i}": f"stage{i + 1}_out" for i in range(5)},
        sample=Sample(inputs=Tensor((20, 24, 1), low=-1.0), targets=Tensor((20, 24), "int32", 0, 3)),
        test_config={"input_shape": (20, 24, 1), "num_classes": 3, "filters": 4},
        deviations=(
            'Padded convolutions keep the size of the input; padding="valid" is the original.',
            "Batch normalisation is off as in the paper and an option, since most later work has it.",
            "The skip comes first in the concatenation; the authors' Caffe release has it second, keeps 128 "
            "channels in the last up-convolution and has a ReLU after each, unlike the paper's figure.",
        ),
    ),
)
