"""Where the ImageNet weights of keras.applications lie and how they differ from kerazoo's networks: a table.

The networks are compared tensor by tensor in the order of the layers (`kerazoo/weights/transplant.py`), so a row says
only what that order does not: which file, what its images were scaled to, and what its layers have that ours have not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

_BASE = "https://storage.googleapis.com/tensorflow/keras-applications"
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CAFFE_MEAN = (123.68, 116.779, 103.939)
_TF_ORDER = "tf_dim_ordering_tf_kernels"

SCALES: dict[str, tuple[Any, Any]] = {
    "caffe": (1.0, tuple(-mean for mean in _CAFFE_MEAN)),
    "torch": (
        tuple(1 / (255 * std) for std in _STD),
        tuple(-mean / std for mean, std in zip(_MEAN, _STD, strict=True)),
    ),
    "tf": (1 / 127.5, -1.0),
}
"""Scale and offset, of all channels or per channel, that bring RGB in [0, 255] to what the weights know."""


@dataclass(frozen=True)
class Published:
    """The published files of one builder, and how they differ from its network.

    Attributes:
        url: Address without the ending; `{word}` stands for the variant, e.g. the width multiplier.
        hashes: Variant -> hash of the file with and without the classifier (`None` where Keras publishes none).
        scaling: Key of `SCALES`. With `"caffe"` the file's network takes BGR: its first kernel is turned round.
        endings: Endings of the names of the two files.
        epsilon: Epsilon of the file's batch normalisations; `None` where it is ours.
        biased: Whether every convolution of the file has a bias, which goes into the batch norm behind it.
        kinds: Ending of our layer's name -> class of the file's layer, where it is another one.
        skipped: Class of layers in the file that belong to its preprocessing.
        head: Numbers of tensors that may be left over when the classifier is not wanted.
        requires: Layer, and the strides it must have.
    """

    url: str
    hashes: Mapping[str, tuple[str | None, str | None]]
    scaling: str
    endings: tuple[str, str] = (".h5", "_notop.h5")
    epsilon: float | None = None
    biased: bool = False
    kinds: Mapping[str, str] = field(default_factory=dict)
    skipped: str | None = None
    head: tuple[int, ...] = (0, 2)
    requires: tuple[str, tuple[int, int]] | None = None


def _kernels(folder: str, name: str, top: str, notop: str, scaling: str, **more: Any) -> Published:
    return Published(f"{_BASE}/{folder}/{name}_weights_{_TF_ORDER}", {"": (top, notop)}, scaling, **more)


_RESNET: dict[str, Any] = {
    "epsilon": 1.001e-5,
    "biased": True,
    "requires": ("stage2_block1_conv1", (2, 2)),
}
_V3: dict[str, Any] = {
    "scaling": "tf",
    "endings": ("_float.h5", "_float_no_top_v2.h5"),
    "kinds": {"head_dense": "conv2d", "predictions": "conv2d"},
    "head": (0, 4),
}
_MOBILENET_SIZES = (128, 160, 192, 224)
_NO_HASH = (None, None)

PUBLISHED: dict[str, Published] = {
    "vgg16": _kernels(
        "vgg16",
        "vgg16",
        "64373286793e3c8b2b4e3219cbf3544b",
        "6d6bbae143d832006294945121d1f1fc",
        "caffe",
        head=(0, 6),
    ),
    "vgg19": _kernels(
        "vgg19",
        "vgg19",
        "cbe5617147190e668d6c5d5026f83318",
        "253f8cb515780f3b799900260a226db6",
        "caffe",
        head=(0, 6),
    ),
    "resnet50": _kernels(
        "resnet",
        "resnet50",
        "2cb95161c43110f7111970584f804107",
        "4d473c1dd8becc155b73f8504c6f6626",
        "caffe",
        **_RESNET,
    ),
    "resnet101": _kernels(
        "resnet",
        "resnet101",
        "f1aeb4b969a6efcfb50fad2f0c20cfc5",
        "88cf7a10940856eca736dc7b7e228a21",
        "caffe",
        **_RESNET,
    ),
    "resnet152": _kernels(
        "resnet",
        "resnet152",
        "100835be76be38e30d865e96f2aaae62",
        "ee4c566cf9a93f14d82f913c2dc6dd0c",
        "caffe",
        **_RESNET,
    ),
    "resnet50_v2_keras": _kernels(
        "resnet", "resnet50v2", "3ef43a0b657b3be2300d5770ece849e0", "fac2f116257151a9d068a22e544a4917", "tf"
    ),
    "resnet101_v2_keras": _kernels(
        "resnet", "resnet101v2", "6343647c601c52e1368623803854d971", "c0ed64b8031c3730f411d2eb4eea35b5", "tf"
    ),
    "resnet152_v2_keras": _kernels(
        "resnet", "resnet152v2", "a49b44d1979771252814e80f8ec446f9", "ed17cf2e0169df9d443503ef94b23b33", "tf"
    ),
    "densenet121": _kernels(
        "densenet",
        "densenet121",
        "9d60b8095a5708f2dcce2bca79d332c7",
        "30ee3e1110167f948a6b9946edeeb738",
        "torch",
        epsilon=1.001e-5,
    ),
    "densenet169": _kernels(
        "densenet",
        "densenet169",
        "d699b8f76981ab1b30698df4c175e90b",
        "b8c4d4c20dd625c148057b9ff1c1176b",
        "torch",
        epsilon=1.001e-5,
    ),
    "densenet201": _kernels(
        "densenet",
        "densenet201",
        "1ceb130c1ea1b78c3bf6114dbdfd8807",
        "c13680b51ded0fb44dff2d8f86ac8bb1",
        "torch",
        epsilon=1.001e-5,
    ),
    "mobilenet": Published(
        f"{_BASE}/mobilenet/mobilenet_{{word}}_tf",
        {f"{a}_{size}": _NO_HASH for a in ("1_0", "7_5", "5_0", "2_5") for size in _MOBILENET_SIZES},
        "tf",
        endings=(".h5", "_no_top.h5"),
        kinds={"predictions": "conv2d"},
    ),
    "mobilenet_v2": Published(
        f"{_BASE}/mobilenet_v2/mobilenet_v2_weights_{_TF_ORDER}_{{word}}",
        {f"{a}_{size}": _NO_HASH for a in (0.35, 0.5, 0.75, 1.0, 1.3, 1.4) for size in (96, *_MOBILENET_SIZES)},
        "tf",
        endings=(".h5", "_no_top.h5"),
    ),
    "mobilenet_v3_small": Published(
        f"{_BASE}/mobilenet_v3/weights_mobilenet_v3_small{{word}}",
        {
            "_224_0.75": ("cb65d4e5be93758266aa0a7f2c6708b7", "ebdb5cc8e0b497cd13a7c275d475c819"),
            "_224_1.0": ("8768d4c2e7dee89b9d02b2d03d65d862", "d3e8ec802a04aa4fc771ee12a9a9b836"),
            "_minimalistic_224_1.0": ("99cd97fb2fcdad2bf028eb838de69e37", "cde8136e733e811080d9fcd8a252f7e4"),
        },
        **_V3,
    ),
    "mobilenet_v3_large": Published(
        f"{_BASE}/mobilenet_v3/weights_mobilenet_v3_large{{word}}",
        {
            "_224_0.75": ("765b44a33ad4005b3ac83185abf1d0eb", "40af19a13ebea4e2ee0c676887f69a2e"),
            "_224_1.0": ("59e551e166be033d707958cf9e29a6a7", "07fb09a5933dd0c8eaafa16978110389"),
            "_minimalistic_224_1.0": ("675e7b876c45c57e9e63e6d90a36599c", "ec5221f64a2f6d1ef965a614bdae7973"),
        },
        **_V3,
    ),
    "efficientnet_b0": Published(
        "https://storage.googleapis.com/keras-applications/efficientnetb0",
        {"": ("902e53a9f72be733fc0bcb005b3ebbac", "50bc09e76180e00e4465e1a485ddc09d")},
        # its Normalization takes the spread for the variance, and a factor only of weights="imagenet" makes up for it
        "torch",
        skipped="normalization",
    ),
    "convnext_tiny": Published(
        f"{_BASE}/convnext/convnext_tiny",
        {
            "": (
                "8ae6e78ce2933352b1ef4008e6dd2f17bc40771563877d156bc6426c7cf503ff",
                "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1",
            )
        },
        "torch",
        kinds={
            "_depthwise": "conv2d",
            "_scale": "layer_scale",
            **{
                f"{place}_{kind[0]}": f"sequential/{kind[1]}"
                for place in ("stem", "_down")
                for kind in (("conv", "conv2d"), ("norm", "layer_normalization"))
            },
        },
        head=(0, 2, 4),
    ),
}

OTHERS: dict[str, str] = {
    **{
        f"resnet{depth}_v2": f"keras.applications.ResNet{depth}V2 is another network, kerazoo.resnet{depth}_v2_keras"
        for depth in (50, 101, 152)
    },
    **dict.fromkeys(("resnet18", "resnet34"), "keras.applications has ResNet 50, 101 and 152 only"),
}
"""Builder -> why it has no ImageNet weights, where one could expect them."""


def variant(name: str, options: Mapping[str, Any]) -> Published:
    """Returns the row of a builder with the one pair of hashes its arguments ask for.

    Args:
        name: Name of the builder.
        options: Its arguments.

    Raises:
        ValueError: If there are no weights for these arguments.
    """
    row = PUBLISHED[name]
    word = _word(name, options)
    if word not in row.hashes:
        raise ValueError(
            f"weights: there are no ImageNet weights of {name!r} with these arguments; there are those with "
            f"{_known(name)}. Received: "
            + ", ".join(f"{key}={options[key]!r}" for key in ("alpha", "minimalistic") if key in options)
        )
    return replace(row, url=row.url.format(word=word), hashes={"": row.hashes[word]})


def _word(name: str, options: Mapping[str, Any]) -> str:
    if "alpha" not in options:
        return ""
    alpha = float(options["alpha"])
    if name.startswith("mobilenet_v3"):
        return f"{'_minimalistic' if options['minimalistic'] else ''}_224_{alpha}"
    height, width = options["input_shape"][:2]
    known = {int(word.rpartition("_")[2]) for word in PUBLISHED[name].hashes}
    size = height if height == width and height in known else 224
    first = {0.25: "2_5", 0.5: "5_0", 0.75: "7_5", 1.0: "1_0"}  # as the files of version 1 are named
    return f"{first.get(alpha, alpha) if name == 'mobilenet' else alpha}_{size}"


def _known(name: str) -> str:
    if name.startswith("mobilenet_v3"):
        return "alpha=0.75 or 1.0, or minimalistic=True and alpha=1.0"
    return "alpha=0.25, 0.5, 0.75 or 1.0" if name == "mobilenet" else "alpha=0.35, 0.5, 0.75, 1.0, 1.3 or 1.4"
