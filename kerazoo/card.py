"""Model cards: what is known about a model, as plain data that needs no Keras to read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

KINDS = (
    "image_classifier",
    "dense_prediction",
    "image_to_image",
    "vector",
    "sequence",
    "language_model",
    "encoder_decoder",
    "multi_input",
    "graph",
    "autoencoder",
    "image_generator",
    "generator_discriminator",
    "image_translator",
    "instance_segmentation",
    "detector",
    "registration",
)


@dataclass(frozen=True)
class Tensor:
    """One tensor of a sample batch: its shape without the batch axis, its dtype and its range of values.

    Floating values are drawn uniformly from [low, high), integers from low to high - 1.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    low: float = 0.0
    high: float = 1.0


@dataclass(frozen=True)
class Sample:
    """A batch that fits a model built with its card's `test_config`.

    Attributes:
        inputs: One tensor, or one per name for a model with several inputs.
        targets: One tensor, one per name, or `None` for a model that learns from its inputs alone.
        loss: The loss to compile with, by name or as Keras's configuration of it; `None` for a model that computes its
            own.
        batch_size: Samples in the batch.
        training: What `fit` takes as its input where that is something else than the model is called with: images
            for a generator.
    """

    inputs: Tensor | Mapping[str, Tensor]
    targets: Tensor | Mapping[str, Tensor] | None = None
    loss: str | Mapping[str, Any] | None = "sparse_categorical_crossentropy"
    batch_size: int = 4
    training: Tensor | Mapping[str, Tensor] | None = None


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """Everything the catalogue knows about one model. The tests recompute what a card claims.

    Attributes:
        name: Catalogue id, builder name, default model name and word on the command line.
        family: Models of one paper or one spec table.
        kind: One of `KINDS`; it fixes the spine of the builder's arguments and the tests collected for it.
        task: What the model is for, e.g. `"image-classification"`.
        module: Importable module that holds the builder.
        title: Title of the paper.
        authors: Its authors.
        year: Year of publication.
        paper_url: Where to read it.
        summary: One sentence on the idea.
        input_shape: Default input, without the batch axis.
        num_outputs: Default number of classes, outputs or channels.
        input_range: Values the input is expected to have when `include_preprocessing=False`.
        params: All weights of the default model, batch-norm statistics included.
        trainable_params: The trainable ones.
        flops: Two times the multiply-accumulates of one sample at the default size; sequences of open length have the
            builder's `max_length`, or 32 steps.
        params_source: Where the figure to be matched comes from.
        min_size: Smallest height and width; `None` where the input is no image.
        size_multiple: Height and width must be a multiple of this when they are left open (`None`).
        dynamic_size: Whether height and width may be left open.
        feature_levels: Pyramid level (`"P3"` is stride 2**3) -> name of the layer that ends it.
        weights: Words accepted by `weights=` besides a path.
        exports: Formats the model can be exported to.
        custom_objects: Whether a saved file needs `import kerazoo` before it can be loaded.
        rule_trained: Trained by a rule of its own rather than by the gradient of a loss.
        test_config: Small arguments for the tests.
        overfit: How it learns a few samples by heart from random initial weights, where that is not 200 steps of Adam
            at 1e-3 with `test_config`: `steps`, `optimizer`, `learning_rate`, and `options` for the builder.
        sample: A batch for the model built with `test_config`.
        deviations: Where the model departs from the paper, one sentence each.
        unlike_default: What other well-known code does differently, and the option that reproduces it.
    """

    name: str
    family: str
    kind: str
    task: str
    module: str
    title: str
    authors: str
    year: int
    paper_url: str
    summary: str
    input_shape: tuple[int | None, ...]
    num_outputs: int
    input_range: str
    params: int
    trainable_params: int
    flops: int
    params_source: str
    sample: Sample
    min_size: int | None = None
    size_multiple: int = 1
    dynamic_size: bool = False
    feature_levels: Mapping[str, str] = field(default_factory=dict)
    weights: tuple[str, ...] = ()
    exports: tuple[str, ...] = ("saved_model", "litert", "onnx")
    custom_objects: bool = False
    rule_trained: bool = False
    test_config: Mapping[str, Any] = field(default_factory=dict)
    overfit: Mapping[str, Any] = field(default_factory=dict)
    deviations: tuple[str, ...] = ()
    unlike_default: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind of card {self.name!r} must be one of {', '.join(KINDS)}. Received: {self.kind!r}")
        for name in ("feature_levels", "test_config", "overfit"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def to_dict(self) -> dict[str, Any]:
        """Returns the card as dictionaries, lists and numbers, ready for JSON."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return plain | {
            "feature_levels": dict(self.feature_levels),
            "test_config": dict(self.test_config),
            "overfit": dict(self.overfit),
            "sample": asdict(self.sample),
        }
