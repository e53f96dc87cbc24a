"""Cards of the convolutional classifiers."""

from __future__ import annotations

from typing import Any

from kerazoo.card import ModelCard, Sample, Tensor


def _sample(size: int, classes: int, channels: int = 3) -> Sample:
    return Sample(inputs=Tensor((size, size, channels), low=-1.0), targets=Tensor((), "int32", 0, classes))


_RESNET: dict[str, Any] = {
    "kind": "image_classifier",
    "task": "image-classification",
    "title": "Deep Residual Learning for Image Recognition",
    "authors": "K. He, X. Zhang, S. Ren, J. Sun",
    "year": 2015,
    "paper_url": "https://arxiv.org/abs/1512.03385",
    "input_range": "about zero mean and unit spread per channel",
    "min_size": 1,
    "dynamic_size": True,
}
_IMAGENET_LEVELS = {"P1": "stem_out", **{f"P{i + 1}": f"stage{i}_out" for i in (1, 2, 3, 4)}}


def _imagenet(depth: int, trainable: int, total: int, flops: int, blocks: str) -> ModelCard:
    bottleneck = depth >= 50
    return ModelCard(
        **_RESNET,
        name=f"resnet{depth}",
        family="resnet",
        module="kerazoo.convnets.resnet",
        summary=f"{blocks} that learn a residual to their input; the paper's {depth}-layer ImageNet network.",
        input_shape=(224, 224, 3),
        num_outputs=1000,
        params=total,
        trainable_params=trainable,
        flops=flops,
        params_source=f"torchvision.models.resnet{depth} (parameters; with running statistics for the total)",
        feature_levels=_IMAGENET_LEVELS,
        sample=_sample(32, 5),
        test_config={"input_shape": (32, 32, 3), "num_classes": 5},
        deviations=("The stem's pooling is padded by one pixel on each side, as in the authors' Torch release.",),
        unlike_default=(
            *(('torchvision has the stride in the 3 x 3 convolution: stride_in="3x3".',) if bottleneck else ()),
            "keras.applications has a bias in every convolution and batch-norm epsilon 1.001e-5.",
        ),
    )


def _cifar(depth: int, trainable: int, total: int, flops: int) -> ModelCard:
    return ModelCard(
        **_RESNET,
        name=f"resnet{depth}",
        family="resnet_cifar",
        module="kerazoo.convnets.resnet_cifar",
        summary=f"The paper's thin {depth}-layer CIFAR-10 network, with shortcuts that have no weights.",
        input_shape=(32, 32, 3),
        num_outputs=10,
        params=total,
        trainable_params=trainable,
        flops=flops,
        params_source="akamaster/pytorch_resnet_cifar10, option A (agrees with the paper's table 6)",
        feature_levels={"P0": "stage1_out", "P1": "stage2_out", "P2": "stage3_out"},
        sample=_sample(16, 5),
        test_config={"input_shape": (16, 16, 3), "num_classes": 5},
        deviations=("The paper does not say where the zero channels go: they follow the others.",),
        unlike_default=('akamaster/pytorch_resnet_cifar10 has half of the zero channels in front: pad="both".',),
    )


CARDS = (
    ModelCard(
        name="lenet5",
        family="lenet",
        kind="image_classifier",
        task="image-classification",
        module="kerazoo.convnets.lenet",
        title="Gradient-based learning applied to document recognition",
        authors="Y. LeCun, L. Bottou, Y. Bengio, P. Haffner",
        year=1998,
        paper_url="https://doi.org/10.1109/5.726791",
        summary="Convolution and sub-sampling in turn, then the distance to a bitmap of each digit.",
        input_shape=(32, 32, 1),
        num_outputs=10,
        input_range="paper -0.1, ink 1.175",
        params=60_840,
        trainable_params=60_000,
        flops=656_192,
        params_source="the paper: 60,000 trainable; the 840 code values are fixed",
        min_size=32,
        feature_levels={"P1": "stage1_out", "P2": "stage3_out"},
        custom_objects=True,
        sample=_sample(32, 5, 1),
        test_config={"num_classes": 5},
        deviations=(
            "The digits' bitmaps are kerazoo's own: the paper shows its 7 x 12 codes only as a figure.",
            "Trained by cross-entropy on the softmax of minus the distances: the paper's criterion without "
            "its rubbish class.",
        ),
        unlike_default=('Most code called LeNet-5 is the simplified form with 61,706 weights: variant="common".',),
    ),
    ModelCard(
        name="cnn",
        family="cnn",
        kind="image_classifier",
        task="image-classification",
        module="kerazoo.convnets.cnn",
        title="Backpropagation Applied to Handwritten Zip Code Recognition",
        authors="Y. LeCun, B. Boser, J. S. Denker, D. Henderson, R. E. Howard, W. Hubbard, L. D. Jackel",
        year=1989,
        paper_url="https://doi.org/10.1162/neco.1989.1.4.541",
        summary="Shared local filters and pooling, put together by arguments for images or signals.",
        input_shape=(32, 32, 3),
        num_outputs=10,
        input_range="about zero mean and unit spread per channel",
        params=95_210,
        trainable_params=94_762,
        flops=20_646_400,
        params_source="kernels 9 * (3 * 32 + 32 * 64 + 64 * 128), batch norms 4 * 224, dense 129 * 10",
        min_size=1,
        dynamic_size=True,
        feature_levels={"P0": "stage1_out", "P1": "stage2_out", "P2": "stage3_out"},
        sample=_sample(16, 5),
        test_config={"input_shape": (16, 16, 3), "num_classes": 5, "filters": (8, 16, 16)},
        deviations=("Not one network but the general form; its defaults are a small modern one for 32 x 32 images.",),
    ),
    _imagenet(18, 11_689_512, 11_699_112, 3_628_146_688, "Basic blocks"),
    _imagenet(34, 21_797_672, 21_814_696, 7_327_522_816, "Basic blocks"),
    _imagenet(50, 25_557_032, 25_610_152, 7_715_946_496, "Bottleneck blocks"),
    _imagenet(101, 44_549_160, 44_654_504, 15_140_388_864, "Bottleneck blocks"),
    _imagenet(152, 60_192_808, 60_344_232, 22_564_831_232, "Bottleneck blocks"),
    _cifar(20, 269_722, 271_098, 81_102_080),
    _cifar(32, 464_154, 466_426, 137_725_184),
    _cifar(56, 853_018, 857_082, 250_971_392),
    _cifar(110, 1_727_962, 1_736_058, 505_775_360),
)
