"""Cards of the networks that find objects."""

from __future__ import annotations

from kerazoo.card import ModelCard, Sample, Tensor

CARDS = (
    ModelCard(
        name="centernet",
        family="centernet",
        kind="detector",
        task="object-detection",
        module="kerazoo.detection.centernet",
        title="Objects as Points",
        authors="X. Zhou, D. Wang, P. Kraehenbuehl",
        year=2019,
        paper_url="https://arxiv.org/abs/1904.07850",
        summary="An object is a peak of a heat map, with the size of its box beside it: no anchors, no suppression.",
        input_shape=(128, 128, 1),
        num_outputs=6,
        input_range="about zero mean and unit spread",
        params=840_794,
        trainable_params=839_066,
        flops=345_767_936,
        params_source="by hand: 3 x 3 convolutions without bias and their normalisation, three heads with biases",
        min_size=1,
        size_multiple=32,
        dynamic_size=True,
        custom_objects=True,
        feature_levels={f"P{level}": f"stage{level}_out" for level in range(1, 6)},
        sample=Sample(
            inputs=Tensor((32, 40, 2), low=-1.0),
            targets=Tensor((8, 10, 7), "int32", 0, 2),  # centres are where a target is 1
            loss={"class_name": "kerazoo>CenterNet", "config": {}},
        ),
        test_config={"input_shape": (32, 40, 2), "num_classes": 3, "filters": 4, "head_filters": 8},
        deviations=(
            "The encoder is of a laptop's size, plain convolutions of 16 to 128 filters joined as in a U-Net; the "
            "paper has ResNets with deformable convolutions, DLA-34 and Hourglass-104.",
            "Every image is divided by its own number of objects, as the paper writes; the authors' code divides by "
            "those of the batch.",
            "The radius of a bump is the correct root of CornerNet's equations; the released codes divide by 2 "
            "instead of twice the leading coefficient, which makes it larger.",
        ),
    ),
)
