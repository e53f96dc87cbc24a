"""Text to image: pictures of what a caption says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from applications.core.application import Application, OptimizerName, ScheduleName, Serving
from applications.core.config import group, option
from applications.core.errors import UserError
from applications.core.optimization import OptimizerOptions, ScheduleOptions

if TYPE_CHECKING:
    import keras
    import numpy as np

    from applications.core.pipeline import Samples
    from applications.core.report import Result
    from applications.core.run_directory import RunDirectory
    from applications.datasets.captions import CaptionedImages
    from applications.text.vocabulary import Vocabulary

# What learns the shapes within minutes on two cores; `--model-options` goes before it.
SIZES: dict[str, Any] = {
    **{"image_layers": 2, "image_heads": 2, "image_dim": 64},
    **{"num_layers": 2, "num_heads": 2, "hidden_dim": 64, "embedding_dim": 64},
    **{"prior_layers": 2, "prior_heads": 2, "prior_dim": 96},
    **{"filters": 16, "multipliers": (1, 2, 4), "attention_sizes": (12, 6), "groups": 8},
    # The decoder reads the text itself, often without an embedding: from CLIP it hardly learns which thing is left of
    # which, since CLIP need not know.
    **{"text_layers": 2, "embedding_dropout": 0.75, "text_dropout": 0.1},
    **{"target": "clean", "schedule": "linear", "ema_decay": 0.995},
}


@dataclass(frozen=True)
class Warmup(ScheduleOptions):
    """How the learning rate changes: Transformers want a small one first."""

    warmup_epochs: float = option(1.0, "Epochs over which the learning rate rises linearly from zero.", minimum=0)


@dataclass(frozen=True)
class Decay(OptimizerOptions):
    """What the optimiser does beyond its learning rate: without decay CLIP learns few captions by heart."""

    weight_decay: float | None = option(
        0.1, "Decoupled weight decay per step, biases and norm gains are spared; none: 0.004 for `adamw`.", minimum=0
    )


@dataclass(frozen=True)
class PictureRequest:
    """What `kerazoo generate` is asked for."""

    prompt: str = option("", "What is to be seen, in words of the training captions.")
    count: int = option(4, "Number of pictures.", minimum=1)
    steps: int = option(50, "Steps of the sampler.", minimum=1)
    guidance: float = option(2.0, "Above 1 exaggerates what is told.", minimum=0)
    seed: int = option(0, "Of the noise; the same one draws the same pictures.", minimum=0)
    out: str = option("generated", "Folder for the pictures (also `-o`).")


@dataclass(frozen=True, kw_only=True)
class TextToImage(Application):
    """Draws what a caption says, with the scheme of DALL-E 2: CLIP, a prior, and a decoder, trained at once.

    Data: `shapes` (simulated pictures of two coloured shapes, embedded: "a red circle left of a blue square"), or a CSV
    file of `file,caption` beside the images. All pictures of one caption are in one part of the split, so that what is
    tested was never seen in training; of the shapes, nor was the same scene in other words.

    Example:
        >>> from applications.core.training import start
        >>> from applications.text_to_image import TextToImage
        >>> run = start(TextToImage(data="shapes", epochs=2))
    """

    task: ClassVar[str] = "text-to-image"
    summary: ClassVar[str] = "a picture of what a caption says"
    kinds: ClassVar[tuple[str, ...]] = ()
    further_models: ClassVar[tuple[str, ...]] = ("unclip",)
    own_data: ClassVar[str] = "captions.csv"
    request: ClassVar[type | None] = PictureRequest
    reserved_options: ClassVar[tuple[str, ...]] = (
        *Application.reserved_options,
        "image_shape",
        "max_length",
        "vocab_size",
    )

    data: str = option("shapes", "`shapes`, a CSV file of file,caption, or a folder with one.")
    model: str = option("unclip", "Model of the catalogue.")
    epochs: int = option(12, "Passes over the training data.", minimum=1)
    batch_size: int = option(16, "Samples per step, over all devices together.", minimum=1)
    learning_rate: float = option(1e-3, "Largest learning rate.", minimum=0)
    optimizer: OptimizerName = option("adamw", "Optimiser.")
    optimizer_options: OptimizerOptions = group(Decay, "Optimiser.")
    schedule: ScheduleName = option("cosine", "How the learning rate changes.")
    schedule_options: ScheduleOptions = group(Warmup, "Learning rate.")
    image_size: tuple[int, ...] | None = option(
        None, "Size all images are resized to, `32` or `HEIGHT,WIDTH`; none: their common size.", minimum=8
    )
    steps: int = option(30, "Steps of the sampler for samples and scores.", minimum=1)
    guidance: float = option(2.0, "How much drawing exaggerates what it is told there; 1 does not.", minimum=0)
    scored: int = option(200, "Test captions that are drawn for the scores.", minimum=2)

    # Data -----------------------------------------------------------------------------------------------------------

    def datasets(self, progress: Callable | None = None) -> CaptionedImages:
        from applications.datasets.captions import load_captioned

        size = None if self.image_size is None else (self.image_size[0], self.image_size[-1])
        return load_captioned(self.data, image_size=size, **self.loading(progress))

    def check(self) -> None:
        super().check()
        for name, usual in {"k_folds": 0, "class_weights": "none", "loss": "auto"}.items():
            if getattr(self, name) != usual:
                raise UserError(f"{name}: {self.task} has none; leave it at {usual}.")
        if self.image_size is not None and len(self.image_size) not in (1, 2):
            raise UserError(f"image_size: expected one or two numbers, received {len(self.image_size)}.")

    def prepared(self, datasets: CaptionedImages) -> CaptionedImages:  # type: ignore[override]
        """Learns the words of the training captions."""
        from applications.text.vocabulary import Vocabulary

        if datasets.vocabulary:
            return datasets
        return with_words(datasets, Vocabulary.learnt(datasets.captions[i] for i in datasets.split["train"]))

    def files(self, datasets: CaptionedImages) -> dict[str, str]:  # type: ignore[override]
        from applications.text.vocabulary import FILE

        return {FILE: vocabulary_of(datasets).json}

    def recalled(self, datasets: CaptionedImages, known: dict[str, Any]) -> CaptionedImages:  # type: ignore[override]
        from applications.text.vocabulary import Vocabulary

        return with_words(datasets, Vocabulary.read(known["folder"]))

    def for_other_data(self, data: str, known: dict[str, Any]) -> Application:
        return super().for_other_data(data, known).replace(image_size=tuple(known["image_shape"][:2]))

    def samples(self, datasets: CaptionedImages, split: str, *, training: bool) -> Samples:  # type: ignore[override]
        import tensorflow as tf

        from applications.core.pipeline import ImageReader, Samples

        chosen, read = datasets.split[split], ImageReader(datasets.images)
        indices, (low, high) = tf.constant(chosen, tf.int64), datasets.value_range
        tokens = tf.constant(vocabulary_of(datasets).encode([datasets.captions[i] for i in chosen]))
        scale = 2 / (high - low)

        def load(index: tf.Tensor, _: tf.Tensor) -> tuple:
            pixels = tf.cast(read(tf.gather(indices, index)), tf.float32)
            return ({"images": (pixels - low) * scale - 1, "token_ids": tf.gather(tokens, index)},)

        return Samples(len(chosen), load, at_once=read.at_once)

    # Model ----------------------------------------------------------------------------------------------------------

    def build(self, datasets: CaptionedImages, dtype: str | None = None) -> keras.Model:  # type: ignore[override]
        words, shape = vocabulary_of(datasets), tuple(int(n) for n in datasets.images.max_shape)
        options = {**SIZES, "patch_size": patch_size(shape), "dtype": dtype}
        return self.create(shape, words.length, vocab_size=words.size, **options)

    def compile(self, model: keras.Model, optimizer: keras.Optimizer, **execution: Any) -> None:
        model.compile(optimizer=optimizer, **execution)

    def exported(self, model: keras.Model) -> keras.Model:
        """Returns the decoder's network, which takes the noise away."""
        return model.decoder.average

    # Results --------------------------------------------------------------------------------------------------------

    def drawn(self, model: keras.Model, datasets: CaptionedImages) -> np.ndarray:  # type: ignore[override]
        """Draws the first test captions."""
        captions = chosen_captions(datasets, 8)
        return self.pictures(model, vocabulary_of(datasets), captions, steps=self.steps, seed=self.seed)

    def pictures(
        self, model: keras.Model, words: Vocabulary, captions: list[str], *, steps: int, seed: int | None,
        guidance_scale: float | None = None,
    ) -> np.ndarray:  # fmt: skip
        """Draws captions: uint8 (count, height, width, channels)."""
        from applications.core.pictures import as_bytes

        scale = self.guidance if guidance_scale is None else guidance_scale
        found = model.generate(words.encode(captions), steps=steps, seed=seed, guidance_scale=scale)
        return as_bytes(found, -1.0, 1.0)

    def scores(self, model: keras.Model, datasets: Any) -> tuple[str, dict[str, float]]:
        """Nothing: what is exported is one step of drawing, or takes noise, and the scores are those of pictures."""
        return "", {}

    def report(self, model: keras.Model, datasets: CaptionedImages) -> Result:  # type: ignore[override]
        from applications.generation.captioned_report import report

        return report(self, model, datasets)

    def baseline(self, datasets: CaptionedImages) -> tuple[str, dict[str, float]]:  # type: ignore[override]
        """The picture of the training caption that has the most words in common."""
        from applications.generation.captioned_report import baseline

        return baseline(self, datasets)

    def generate(self, run: RunDirectory, request: PictureRequest) -> str:
        """Draws a prompt and writes the pictures as PNG files."""
        from applications.core.evaluation import load_run_model
        from applications.core.pictures import save_picture, save_sheet
        from applications.text.vocabulary import Vocabulary

        words, folder = Vocabulary.read(run.path), Path(request.out).expanduser()
        words.check(request.prompt)
        if folder.exists() and not folder.is_dir():
            raise UserError(f"--out: '{folder}' is a file; give the folder for the pictures.")
        model, captions = load_run_model(run), [request.prompt] * request.count
        how: dict[str, Any] = {"steps": request.steps, "seed": request.seed, "guidance_scale": request.guidance}
        try:
            found = self.pictures(model, words, captions, **how)
        except ValueError as error:
            raise UserError(str(error)) from error
        for number, picture in enumerate(found, start=1):
            save_picture(folder / f"picture_{number:04d}.png", picture)
        save_sheet(folder / "sheet.png", found)
        return f"{len(found)} pictures written to {folder}"

    def serving(self, datasets: CaptionedImages) -> Serving:  # type: ignore[override]
        """Gives the decoder's network samples of the right shapes: what it is told comes out of other networks."""
        import numpy as np

        from applications.text.vocabulary import FILE

        sizes, random = {**SIZES, **self.model_options}, np.random.default_rng(0)
        low, high = datasets.value_range
        chosen, words = datasets.split["train"][:16], vocabulary_of(datasets)
        pixels, count = datasets.images.as_array(chosen).astype(np.float32), len(chosen)
        samples = {
            "input": (pixels - low) * (2 / (high - low)) - 1,
            "step": random.integers(0, 1000, count).astype(np.int32),
            "embedding": random.normal(size=(count, sizes["embedding_dim"])).astype(np.float32),
        }
        if sizes["text_layers"]:
            samples["token_ids"], text = words.encode([datasets.captions[i] for i in chosen]), "the token numbers"
        else:
            shape, text = (count, words.length, sizes["hidden_dim"]), "the features, as the other parts make them,"
            samples["features"] = random.normal(size=shape).astype(np.float32)
        return Serving(
            samples=samples,
            labels=(),
            signature={
                "input": "a noisy picture from -1 to 1, the number of its step, the embedding of a picture (times the "
                f"root of its length) as the other parts of model.keras make it, and {text} of a text",
                "output": "the clean picture" if sizes["target"] == "clean" else "the noise in the picture",
            },
            files={FILE: words.json},
        )

    def search_space(self) -> dict[str, Any]:
        from applications.core.search_space import Choice, Real, Space

        sizes: dict[str, Space] = {
            "learning_rate": Real(3e-4, 3e-3, log=True),
            "batch_size": Choice(16, 32, 64),
            "model_options.filters": Choice(16, 32, 48),
            "model_options.schedule": Choice("linear", "cosine"),
        }
        return sizes


def patch_size(shape: tuple[int, ...]) -> int:
    """Returns the patch of CLIP's image encoder: a quarter of the shorter side where it divides both sides, else 4."""
    height, width = shape[:2]
    quarter = min(height, width) // 4
    return quarter if quarter and height % quarter == width % quarter == 0 else 4


def with_words(datasets: CaptionedImages, words: Vocabulary) -> CaptionedImages:
    """Returns the data with known words."""
    import dataclasses

    return dataclasses.replace(datasets, vocabulary=words.words, length=words.length)


def vocabulary_of(datasets: CaptionedImages) -> Vocabulary:
    """Returns the words of the data."""
    from applications.text.vocabulary import Vocabulary

    return Vocabulary(datasets.vocabulary, datasets.length)


def chosen_captions(datasets: CaptionedImages, count: int) -> list[str]:
    """Returns the first different captions of the test split."""
    return list(dict.fromkeys(datasets.captions[i] for i in datasets.split["test"]))[:count]
