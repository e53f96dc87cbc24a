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
        weights=("imagenet",) if bottleneck else (),
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


def _imagenet_sample(size: int, **options: Any) -> dict[str, Any]:
    """A small model of ImageNet's kind for the tests."""
    shape = (size, size, 3)
    return {"sample": _sample(size, 5), "test_config": {"input_shape": shape, "num_classes": 5, **options}}


_FULLY_CONNECTED = {"hidden_units": (64, 48)}
# Without normalisation: smaller steps, more of them, and enough units for ten classes.
_PLAIN_OVERFIT: dict[str, Any] = {
    "steps": 400,
    "learning_rate": 3e-4,
    "options": {"hidden_units": (256, 256), "dropout_rate": 0.0},
}
_DYNAMIC_RANGE = "about zero mean per channel, pixels in [0, 255] minus their mean in the paper"
_BEFORE_NORMALIZATION: dict[str, Any] = {
    "kind": "image_classifier",
    "task": "image-classification",
    "input_range": _DYNAMIC_RANGE,
    "num_outputs": 1000,
}


def _vgg(depth: int, column: str, params: int, flops: int) -> ModelCard:
    return ModelCard(
        **_BEFORE_NORMALIZATION,
        name=f"vgg{depth}",
        family="vgg",
        module="kerazoo.convnets.vgg",
        title="Very Deep Convolutional Networks for Large-Scale Image Recognition",
        authors="K. Simonyan, A. Zisserman",
        year=2014,
        paper_url="https://arxiv.org/abs/1409.1556",
        summary=f"Five stages of 3 x 3 convolutions and three dense layers; column {column} of the paper's table 1.",
        input_shape=(224, 224, 3),
        params=params,
        trainable_params=params,
        flops=flops,
        params_source=f"torchvision.models.vgg{depth}" + (", keras.applications" if depth >= 16 else ""),
        min_size=32,
        feature_levels={f"P{i}": f"stage{i + 1}_out" for i in range(5)},
        weights=("imagenet",) if depth in (16, 19) else (),
        **_imagenet_sample(32, **_FULLY_CONNECTED),
        overfit=_PLAIN_OVERFIT,
        deviations=(
            "Initial weights are Glorot's, which the paper names as the way without pre-training a smaller column.",
            "Batch normalisation came later and is an option, with the convolutions' biases kept as in torchvision.",
        ),
        unlike_default=("keras.applications has no dropout: dropout_rate=0.",),
    )


def _squeezenet(name: str, release: str, params: int, flops: int, size: int, ends: tuple[int, int]) -> ModelCard:
    return ModelCard(
        **_BEFORE_NORMALIZATION,
        name=name,
        family="squeezenet",
        module="kerazoo.convnets.squeezenet",
        title="SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size",
        authors="F. N. Iandola, S. Han, M. W. Moskewicz, K. Ashraf, W. J. Dally, K. Keutzer",
        year=2016,
        paper_url="https://arxiv.org/abs/1602.07360",
        summary=f"Fire modules that squeeze to few maps and expand again; {release}, pooled after fire{ends[0]} and "
        f"fire{ends[1]}.",
        input_shape=(224, 224, 3),
        params=params,
        trainable_params=params,
        flops=flops,
        params_source=f"the authors' release and torchvision.models.{name}",
        min_size=size,
        dynamic_size=True,
        feature_levels={"P1": "stem_out", "P2": "stage1_out", "P3": "stage2_out", "P4": "stage3_out"},
        **_imagenet_sample(40),
        overfit={"steps": 400, "learning_rate": 2e-4},
        deviations=(
            "The authors' file of version 1.0 pads the 1 x 1 convolution conv10 by one pixel, the paper's table does "
            "not; here it is not padded.",
            "The biases of conv10 start at 0.1 and not at 0: a class whose map starts negative everywhere stays dead.",
        ),
    )


_DENSENET: dict[str, Any] = {
    "kind": "image_classifier",
    "task": "image-classification",
    "module": "kerazoo.convnets.densenet",
    "title": "Densely Connected Convolutional Networks",
    "authors": "G. Huang, Z. Liu, L. van der Maaten, K. Q. Weinberger",
    "year": 2016,
    "paper_url": "https://arxiv.org/abs/1608.06993",
    "input_range": "about zero mean and unit spread per channel",
    "dynamic_size": True,
}


def _densenet(depth: int, repeats: str, trainable: int, total: int, flops: int) -> ModelCard:
    return ModelCard(
        **_DENSENET,
        name=f"densenet{depth}",
        family="densenet",
        summary=f"Dense blocks of {repeats} layers, each of which sees the maps of all before it.",
        input_shape=(224, 224, 3),
        num_outputs=1000,
        params=total,
        trainable_params=trainable,
        flops=flops,
        params_source=f"torchvision.models.densenet{depth}, keras.applications",
        min_size=29,
        feature_levels=_IMAGENET_LEVELS,
        weights=("imagenet",),
        **_imagenet_sample(32),
        unlike_default=("keras.applications has batch-norm epsilon 1.001e-5 and momentum 0.99.",),
    )


_CLASSIFIER: dict[str, Any] = {
    "kind": "image_classifier",
    "task": "image-classification",
    "input_shape": (224, 224, 3),
    "num_outputs": 1000,
    "dynamic_size": True,
    # the last map has 2 x 2 pixels: batch statistics of single pixels would mean nothing
    "sample": _sample(64, 5),
    "test_config": {"input_shape": (64, 64, 3), "num_classes": 5},
}
_MOMENTUM = "Batch-norm momentum is 0.9: that of the released code, 0.99 and more, needs thousands of steps to settle."


def _levels(*stages: str) -> dict[str, str]:
    """Names the layers that end P1, P2, ..."""
    return {f"P{level}": f"{stage}_out" for level, stage in enumerate(stages, start=1)}


def _resnet_v2(depth: int, trainable: int, total: int, flops: int) -> ModelCard:
    return ModelCard(
        **_CLASSIFIER,
        name=f"resnet{depth}_v2",
        family="resnet_v2",
        module="kerazoo.convnets.resnet_v2",
        title="Identity Mappings in Deep Residual Networks",
        authors="K. He, X. Zhang, S. Ren, J. Sun",
        year=2016,
        paper_url="https://arxiv.org/abs/1603.05027",
        summary=f"ResNet-{depth} with normalisation and ReLU in front of each convolution: sums pass unchanged.",
        input_range="about zero mean and unit spread per channel",
        params=total,
        trainable_params=trainable,
        flops=flops,
        params_source=f"timm resnetv2_{depth} (parameters; with running statistics for the total)",
        min_size=1,
        feature_levels=_levels("stem", "stage1", "stage2", "stage3", "stage4"),
        deviations=(
            "The paper shows the units; stem and place of the strides are timm's: no normalisation in the stem, "
            "strides in the 3 x 3 convolution of a stage's first unit.",
        ),
        unlike_default=(
            "The authors' Torch release normalises the stem and leaves the first pre-activation out, of the same size.",
            f"keras.applications.ResNet{depth}V2 is another network: resnet{depth}_v2_keras."
            if depth >= 50
            else "keras.applications has no such network.",
        ),
    )


def _resnet_v2_keras(depth: int, trainable: int, total: int, flops: int) -> ModelCard:
    return ModelCard(
        **_CLASSIFIER,
        name=f"resnet{depth}_v2_keras",
        family="resnet_v2_keras",
        module="kerazoo.convnets.resnet_v2_keras",
        title="Identity Mappings in Deep Residual Networks",
        authors="K. He, X. Zhang, S. Ren, J. Sun",
        year=2016,
        paper_url="https://arxiv.org/abs/1603.05027",
        summary=f"The ResNet{depth}V2 of keras.applications, with strides at the stages' ends and some biases.",
        input_range="[-1, 1]",
        params=total,
        trainable_params=trainable,
        flops=flops,
        params_source=f"keras.applications.ResNet{depth}V2",
        weights=("imagenet",),
        min_size=1,
        feature_levels=_levels("stem", "stage1", "stage2", "stage3", "stage4"),
        deviations=(
            f"The paper's network is resnet{depth}_v2: no biases, strides in a stage's first unit, projections "
            "wherever the size changes.",
            "Batch-norm momentum is 0.9 and not 0.99.",
        ),
    )


def _mobilenet_v3(size: str, trainable: int, total: int, flops: int, stages: int) -> ModelCard:
    first = ("stem", "stage1") if size == "large" else ("stem",)
    return ModelCard(
        **_CLASSIFIER,
        name=f"mobilenet_v3_{size}",
        family="mobilenet_v3",
        module="kerazoo.convnets.mobilenet_v3",
        title="Searching for MobileNetV3",
        authors="A. Howard, M. Sandler, G. Chu, L.-C. Chen, B. Chen, M. Tan and others",
        year=2019,
        paper_url="https://arxiv.org/abs/1905.02244",
        summary=f"The {size} network found by a search over inverted residuals with squeeze-and-excitation.",
        input_range="[-1, 1]",
        params=total,
        trainable_params=trainable,
        flops=flops,
        params_source=f"keras.applications.MobileNetV3{size.capitalize()} and torchvision (the same figure)",
        min_size=1,
        weights=("imagenet",),
        feature_levels=_levels(*first[-1:], *(f"stage{i}" for i in range(len(first), stages + 1))),
        deviations=(_MOMENTUM,),
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
        flops=653_040,
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
        overfit={"learning_rate": 0.01},
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
    ModelCard(
        **_BEFORE_NORMALIZATION,
        name="alexnet",
        family="alexnet",
        module="kerazoo.convnets.alexnet",
        title="ImageNet Classification with Deep Convolutional Neural Networks",
        authors="A. Krizhevsky, I. Sutskever, G. E. Hinton",
        year=2012,
        paper_url="https://doi.org/10.1145/3065386",
        summary="Five convolutions in two towers, ReLU, dropout: the network that won ImageNet 2012.",
        input_shape=(227, 227, 3),
        params=60_965_224,
        trainable_params=60_965_224,
        flops=1_448_813_632,
        params_source="the authors' layers by hand; the BVLC reference model agrees",
        min_size=67,
        feature_levels={"P2": "stage1_out", "P3": "stage2_out", "P4": "stage3_out"},
        custom_objects=True,
        **_imagenet_sample(67, **_FULLY_CONNECTED),
        overfit=_PLAIN_OVERFIT,
        deviations=("The default input is 227 x 227: the printed 224 cannot give the paper's maps of 55 x 55.",),
        unlike_default=(
            'torchvision has the one-tower network of arXiv:1404.5997: variant="one_tower".',
            "Caffe's reference model has k = 1 and a fifth of alpha in the local response normalisation.",
        ),
    ),
    ModelCard(
        **_BEFORE_NORMALIZATION,
        name="zfnet",
        family="zfnet",
        module="kerazoo.convnets.zfnet",
        title="Visualizing and Understanding Convolutional Networks",
        authors="M. D. Zeiler, R. Fergus",
        year=2013,
        paper_url="https://arxiv.org/abs/1311.2901",
        summary="AlexNet with smaller filters and a smaller stride in the first layers, and all maps connected.",
        input_shape=(224, 224, 3),
        params=62_357_608,
        trainable_params=62_357_608,
        flops=2_336_065_792,
        params_source="the widths of the paper's figure 3 by hand",
        min_size=63,
        feature_levels={"P1": "stage1_out", "P3": "stage2_out", "P4": "stage3_out"},
        custom_objects=True,
        **_imagenet_sample(63, **_FULLY_CONNECTED),
        overfit=_PLAIN_OVERFIT,
        deviations=(
            "The paper does not print the constants of its contrast normalisation: they are AlexNet's.",
            "Filters of the first layer are not rescaled during training.",
        ),
    ),
    _vgg(11, "A", 132_863_336, 15_218_180_096),
    _vgg(13, "B", 133_047_848, 22_616_932_352),
    _vgg(16, "D", 138_357_544, 30_940_528_640),
    _vgg(19, "E", 143_667_240, 39_264_124_928),
    ModelCard(
        **_BEFORE_NORMALIZATION,
        name="googlenet",
        family="googlenet",
        module="kerazoo.convnets.googlenet",
        title="Going Deeper with Convolutions",
        authors="C. Szegedy, W. Liu, Y. Jia, P. Sermanet, S. Reed, D. Anguelov, D. Erhan, V. Vanhoucke, A. Rabinovich",
        year=2014,
        paper_url="https://arxiv.org/abs/1409.4842",
        summary="Nine inception modules: filters of several sizes side by side, narrowed by 1 x 1 convolutions.",
        input_shape=(224, 224, 3),
        params=6_998_552,
        trainable_params=6_998_552,
        flops=3_165_343_744,
        params_source="the BVLC reference model (13,378,280 with both auxiliary heads)",
        min_size=31,
        dynamic_size=True,
        feature_levels=_IMAGENET_LEVELS,
        custom_objects=True,
        **_imagenet_sample(32),
        overfit={"steps": 400, "options": {"dropout_rate": 0.0}},
        deviations=(
            "The auxiliary heads, which the paper drops after training, are an option.",
            "Initial weights and the constants of the normalisation, which the paper does not give, are those of the "
            "BVLC reference model.",
        ),
        unlike_default=(
            "torchvision's googlenet is another network: batch normalisation, no biases, 3 x 3 for 5 x 5 filters.",
        ),
    ),
    _squeezenet("squeezenet1_0", "the paper's version", 1_248_424, 1_637_849_152, 21, (4, 8)),
    _squeezenet("squeezenet1_1", "the authors' cheaper release 1.1", 1_235_496, 698_303_872, 17, (3, 5)),
    _densenet(121, "6, 12, 24 and 16", 7_978_856, 8_062_504, 5_668_323_328),
    _densenet(169, "6, 12, 32 and 32", 14_149_480, 14_307_880, 6_719_686_656),
    _densenet(201, "6, 12, 48 and 32", 20_013_928, 20_242_984, 8_582_731_776),
    ModelCard(
        **_DENSENET,
        name="densenet_cifar",
        family="densenet_cifar",
        summary="The paper's networks for 32 x 32 images, of any depth and growth rate; by default DenseNet-BC "
        "(L = 100, k = 12).",
        input_shape=(32, 32, 3),
        num_outputs=10,
        params=793_150,
        trainable_params=769_162,
        flops=575_859_384,
        params_source="the paper's widths by hand; its table 2 gives 0.8 M",
        min_size=4,
        feature_levels={"P0": "stage1_out", "P1": "stage2_out", "P2": "stage3_out"},
        sample=_sample(16, 5),
        test_config={"input_shape": (16, 16, 3), "num_classes": 5, "depth": 16, "growth_rate": 6},
    ),
    _resnet_v2(18, 11_687_720, 11_695_528, 3_628_146_688),
    _resnet_v2(34, 21_795_880, 21_811_112, 7_327_522_816),
    _resnet_v2(50, 25_549_352, 25_594_792, 8_178_368_512),
    _resnet_v2(101, 44_541_480, 44_639_144, 15_602_810_880),
    _resnet_v2(152, 60_185_128, 60_328_872, 23_027_253_248),
    _resnet_v2_keras(50, 25_568_360, 25_613_800, 6_964_510_720),
    _resnet_v2_keras(101, 44_577_896, 44_675_560, 14_388_953_088),
    _resnet_v2_keras(152, 60_236_904, 60_380_648, 21_813_395_456),
    ModelCard(
        **_CLASSIFIER,
        name="mobilenet",
        family="mobilenet",
        module="kerazoo.convnets.mobilenet",
        title="MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications",
        authors="A. Howard, M. Zhu, B. Chen, D. Kalenichenko, W. Wang, T. Weyand, M. Andreetto, H. Adam",
        year=2017,
        paper_url="https://arxiv.org/abs/1704.04861",
        summary="Each convolution is taken apart into one filter per channel and a 1 x 1 convolution.",
        input_range="[-1, 1]",
        params=4_253_864,
        trainable_params=4_231_976,
        flops=1_137_480_704,
        params_source="keras.applications.MobileNet and timm mobilenetv1_100 (the same figure)",
        weights=("imagenet",),
        min_size=31,
        feature_levels=_levels("stage1", "stage2", "stage3", "stage4", "stage5"),
        deviations=(
            "ReLU6 as in the released code, where the paper has ReLU.",
            "The last depthwise convolution has stride 1: the paper's table prints 2 but keeps the 7 x 7 map.",
            "Strided depthwise convolutions are padded on the far side only, as in keras.applications.",
            _MOMENTUM,
        ),
        unlike_default=("TF-Slim pads an odd map on both sides.",),
    ),
    ModelCard(
        **_CLASSIFIER,
        name="mobilenet_v2",
        family="mobilenet_v2",
        module="kerazoo.convnets.mobilenet_v2",
        title="MobileNetV2: Inverted Residuals and Linear Bottlenecks",
        authors="M. Sandler, A. Howard, M. Zhu, A. Zhmoginov, L.-C. Chen",
        year=2018,
        paper_url="https://arxiv.org/abs/1801.04381",
        summary="Residual blocks that are wide inside and narrow, without activation, at their ends.",
        input_range="[-1, 1]",
        params=3_538_984,
        trainable_params=3_504_872,
        flops=601_548_544,
        params_source="keras.applications.MobileNetV2 and torchvision (the same figure)",
        weights=("imagenet",),
        min_size=1,
        feature_levels=_levels("stage1", "stage2", "stage3", "stage5", "stage7"),
        deviations=(_MOMENTUM,),
        unlike_default=("torchvision pads even maps on both sides and drops 20 % in front of the classifier.",),
    ),
    _mobilenet_v3("small", 2_542_856, 2_554_968, 113_020_800, stages=4),
    _mobilenet_v3("large", 5_483_032, 5_507_432, 433_179_520, stages=5),
    ModelCard(
        **_CLASSIFIER,
        name="efficientnet_b0",
        family="efficientnet",
        module="kerazoo.convnets.efficientnet",
        title="EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
        authors="M. Tan, Q. V. Le",
        year=2019,
        paper_url="https://arxiv.org/abs/1905.11946",
        summary="A searched network of inverted residuals, the base of a family scaled in depth, width and size.",
        input_range="about zero mean and unit spread per channel",
        params=5_330_564,
        trainable_params=5_288_548,
        flops=771_629_504,
        params_source="keras.applications.EfficientNetB0 without the 7 numbers of its input normalisation; torchvision",
        weights=("imagenet",),
        min_size=1,
        feature_levels=_levels("stage1", "stage2", "stage3", "stage5", "stage7"),
        deviations=(_MOMENTUM,),
    ),
    ModelCard(
        **_CLASSIFIER,
        name="convnext_tiny",
        family="convnext",
        module="kerazoo.convnets.convnext",
        title="A ConvNet for the 2020s",
        authors="Z. Liu, H. Mao, C.-Y. Wu, C. Feichtenhofer, T. Darrell, S. Xie",
        year=2022,
        paper_url="https://arxiv.org/abs/2201.03545",
        summary="A residual network with the patches, wide kernels and layer normalisation of vision transformers.",
        input_range="about zero mean and unit spread per channel",
        params=28_589_128,
        trainable_params=28_589_128,
        flops=8_911_062_528,
        params_source="keras.applications.ConvNeXtTiny and torchvision (the same figure)",
        weights=("imagenet",),
        min_size=32,
        feature_levels={f"P{i + 1}": f"stage{i}_out" for i in (1, 2, 3, 4)},
    ),
    ModelCard(
        name="text_cnn",
        family="text_cnn",
        kind="sequence",
        task="sequence-classification",
        module="kerazoo.convnets.text_cnn",
        title="Convolutional Neural Networks for Sentence Classification",
        authors="Y. Kim",
        year=2014,
        paper_url="https://arxiv.org/abs/1408.5882",
        summary="Convolutions of several widths over the words of a text, and the largest value of each feature.",
        input_shape=(56,),
        num_outputs=2,
        input_range="token numbers, 0 for padding; without vocab_size features of about zero mean and unit spread",
        params=5_990_702,
        trainable_params=5_990_702,
        flops=2 * (56 * 300 * 100 * (3 + 4 + 5) + 300 * 2),
        params_source="by hand: V d + sum over the widths w of (w d + 1) f + (3 f + 1) C",
        custom_objects=True,
        sample=Sample(inputs=Tensor((6,), "int32", 0, 11), targets=Tensor((), "int32", 0, 5)),
        test_config={
            **{"input_shape": (6,), "num_classes": 5, "vocab_size": 11},
            **{"embedding_dim": 4, "filters": 4, "kernel_sizes": (1, 2, 3)},
        },
        deviations=(
            "Word vectors begin at random: the paper's come from word2vec, trained on news.",
            "A window may reach over the ends of a text by half of its width, in the paper's code by all of it.",
        ),
    ),
)
