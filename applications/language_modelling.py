"""Language modelling: which character or token comes next, or what stood in a gap."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from applications.core.application import SEQUENCE_OPTIONS, Application, ScheduleName, Serving, Split
from applications.core.config import group, option
from applications.core.errors import UserError

if TYPE_CHECKING:
    import keras

    from applications.core.pipeline import Samples
    from applications.core.report import Result
    from applications.core.run_directory import RunDirectory
    from applications.datasets.streams import StreamData
    from applications.text.tokenizer import TextTokenizer

# What suits half a million characters and a laptop; `--model-options` goes before it.
RECURRENT = {"units": 256, "embedding_dim": 64, "dropout_rate": 0.1}
DEFAULTS: dict[str, dict[str, Any]] = {"lstm": RECURRENT, "gru": RECURRENT, "simple_rnn": RECURRENT}


class Prediction(NamedTuple):
    """How well the model foresees one file."""

    path: Path
    characters: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class TextRequest:
    """What `kerazoo generate` is asked for."""

    prompt: str = option("", "What the text begins with.")
    max_new_tokens: int = option(300, "Tokens to write.", minimum=1)
    temperature: float = option(0.8, "0 takes the likeliest token always.")
    top_k: int | None = option(None, "Draw among this many of the likeliest tokens only.")
    top_p: float | None = option(None, "Draw among the likeliest that make up this share only.")
    seed: int | None = option(None, "Of the draws; none: another text each time.")


@dataclass(frozen=True)
class StreamSplit(Split):
    """How a text is divided: what is tested stands behind what is learnt."""

    train: float = option(0.8, "Fraction for training, the beginning of the text.", minimum=0, maximum=1)
    val: float = option(0.1, "Fraction for validation, behind it.", minimum=0, maximum=1)
    test: float = option(0.1, "Fraction for the one test at the end, the end of the text.", minimum=0, maximum=1)


@dataclass(frozen=True, kw_only=True)
class LanguageModelling(Application):
    """Learns to foresee a text, and to write on.

    Data: `pydoc` (real English, embedded: Python's own documentation), a .txt file, or a folder of them. An epoch is a
    number of windows at random places of the training text. A GPT or a recurrent network foresees the next token; a
    BERT fills in tokens that were covered.

    Example:
        >>> from applications.core.training import start
        >>> from applications.language_modelling import LanguageModelling
        >>> run = start(LanguageModelling(data="pydoc", epochs=2))
    """

    task: ClassVar[str] = "language-modelling"
    summary: ClassVar[str] = "the next character or token of a text"
    kinds: ClassVar[tuple[str, ...]] = ("sequence", "language_model")
    own_data: ClassVar[str] = "book.txt"
    monitor: ClassVar[tuple[str, str]] = ("val_loss", "min")
    request: ClassVar[type | None] = TextRequest
    reserved_options: ClassVar[tuple[str, ...]] = (
        *Application.reserved_options,
        *SEQUENCE_OPTIONS,
        "max_length",
        "length",
        "head",
        "bidirectional",
    )

    data: str = option("pydoc", "`pydoc`, a .txt file, or a folder of .txt files (UTF-8).")
    model: str = option("lstm", "Recurrent model, GPT, or BERT (which fills in covered tokens).")
    epochs: int = option(20, "Epochs of `windows` windows each.", minimum=1)
    learning_rate: float = option(3e-3, "Largest learning rate.", minimum=0)
    schedule: ScheduleName = option("cosine", "How the learning rate changes.")
    tokenizer: Literal["char", "bpe"] = option("char", "What a token is: a character, or a byte pair encoding.")
    vocab_size: int = option(1000, "Largest number of tokens of `bpe`.", minimum=8)
    context: int = option(128, "Tokens of a window.", minimum=2)
    windows: int | None = option(
        None, "Random windows of an epoch; none: as many as have the length of the training text.", minimum=1
    )
    mask_rate: float = option(0.15, "BERT: fraction of the tokens to be filled in.", above=0, maximum=0.9)
    split: Split = group(StreamSplit, "Training, validation and test, one behind the other.")

    # Data -----------------------------------------------------------------------------------------------------------

    def datasets(self, progress: Callable | None = None) -> StreamData:  # type: ignore[override]
        from applications.datasets.streams import load_stream
        from applications.text.tokenizer import library

        library()
        return load_stream(self.data, fractions=(self.split.train, self.split.val, self.split.test))

    def check(self) -> None:
        super().check()
        for name, usual in {"k_folds": 0, "class_weights": "none", "loss": "auto"}.items():
            if getattr(self, name) != usual:
                raise UserError(f"{name}: {self.task} has none, since it learns from one text; leave it at {usual}.")

    def takes(self, model: str) -> bool:
        from kerazoo.catalog import builder_parameters

        words = list(builder_parameters(model))  # a TCN foresees, too, but does not write
        return super().takes(model) and ("stateful" in words or words[:2] == ["vocab_size", "max_length"])

    @property
    def family(self) -> str:
        """ "recurrent", "causal" (GPT) or "masked" (BERT)."""
        from kerazoo.catalog import builder_parameters

        words = builder_parameters(self.model)
        return "recurrent" if "stateful" in words else "masked" if "head" in words else "causal"

    @property
    def measure(self) -> str:
        """Name of the main metric."""
        return "bits_per_masked_token" if self.family == "masked" else "bits_per_character"

    def prepared(self, datasets: StreamData) -> StreamData:  # type: ignore[override]
        """Learns the tokeniser from the training text."""
        import dataclasses

        from applications.text.tokenizer import train_tokenizer

        if datasets.tokenizer is not None:
            return datasets
        texts = datasets.part("train").splitlines(keepends=True)  # pairs of bytes are joined within words anyway
        vocab_size = self.vocab_size if self.tokenizer == "bpe" else 1 << 21
        datasets = dataclasses.replace(datasets, tokenizer=train_tokenizer(self.tokenizer, texts, vocab_size).json)
        for part in ("train", "val"):
            count = len(tokenizer_of(datasets).encode(datasets.part(part)))
            if count <= self.context:
                raise UserError(
                    f"The {part} part of the text has {count} tokens, too few for windows of --context {self.context}; "
                    "give a smaller context or more text."
                )
        return datasets

    def files(self, datasets: StreamData) -> dict[str, str]:  # type: ignore[override]
        from applications.text.tokenizer import FILE

        return {FILE: tokenizer_of(datasets).json}

    def recalled(self, datasets: StreamData, known: dict[str, Any]) -> StreamData:  # type: ignore[override]
        import dataclasses

        from applications.text.tokenizer import load_tokenizer

        return dataclasses.replace(datasets, tokenizer=load_tokenizer(known["folder"]).json)

    def for_other_data(self, data: str, known: dict[str, Any]) -> Application:
        return self.replace(data=data, split=Split(train=0.0, val=0.0, test=1.0))

    def as_trained(self, datasets: StreamData, known: dict[str, Any]) -> StreamData:  # type: ignore[override]
        return datasets

    def samples(self, datasets: StreamData, split: str, *, training: bool) -> Samples:  # type: ignore[override]
        import numpy as np
        import tensorflow as tf

        from applications.core.pipeline import Samples, sample_draws
        from applications.text.windows import cover

        tokenizer, masked = tokenizer_of(datasets), self.family == "masked"
        ids = np.array(tokenizer.encode(datasets.part(split)), np.int32)
        width = self.context + (not masked)  # the next token of the last one, too
        places, length = len(ids) - width + 1, self.context
        size = (self.windows if training else None) or max(1, len(ids) // length)
        stream, draws_of_tokens = tf.constant(ids), length if masked else 0

        def load(index: tf.Tensor, draws: tf.Tensor) -> tuple:
            if training:
                start = tf.minimum(tf.cast(draws[:, 0] * float(places), tf.int64), places - 1)
                draws = draws[:, 1:]
            else:  # side by side, the last one flush with the end; covered alike in every epoch
                start = tf.minimum(index * length, places - 1)
                draws = sample_draws(draws_of_tokens, 0, tf.constant(0, tf.int64), index)
            windows = tf.gather(stream, start[:, None] + tf.range(width, dtype=tf.int64))
            if masked:
                return cover(windows, draws, self.mask_rate, tokenizer)
            return windows[:, :-1], windows[:, 1:]

        return Samples(size, load, num_draws=1 + draws_of_tokens if training else 0, at_once=True)

    # Model ----------------------------------------------------------------------------------------------------------

    def build(self, datasets: StreamData, dtype: str | None = None) -> keras.Model:  # type: ignore[override]
        from applications.text.models import without_segments

        tokenizer, options = tokenizer_of(datasets), {**DEFAULTS.get(self.model, {}), "dtype": dtype}
        size, length = tokenizer.vocab_size, self.context
        if self.family == "recurrent":
            words = {"mode": "many_to_many", "vocab_size": size, "classifier_activation": None}
            model = self.create((length,), size, **words, **options)
        elif self.family == "masked":
            model = without_segments(self.create(size, length, head="masked_lm", length=length, **options))
        else:
            model = self.create(size, length, length=length, **options)
        text = datasets.part("train")[:200_000]  # `compile` sees the model alone
        model.tokens_per_character = len(tokenizer.encode(text)) / max(1, len(text))
        return model

    def compile(self, model: keras.Model, optimizer: keras.Optimizer, **execution: Any) -> None:
        import keras

        from applications.text.models import bits_metric

        # Of a BERT only covered tokens count, which are the weights.
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight")
        scale = 1.0 if self.family == "masked" else model.tokens_per_character
        metric = bits_metric(self.measure, scale)
        model.compile(optimizer=optimizer, loss=loss, weighted_metrics=[metric], **execution)

    # Results --------------------------------------------------------------------------------------------------------

    def report(self, model: keras.Model, datasets: StreamData) -> Result:  # type: ignore[override]
        from applications.text import masked_report, stream_report

        made = masked_report if self.family == "masked" else stream_report
        return made.report(self, model, datasets, tokenizer_of(datasets))

    def scores(self, model: keras.Model, datasets: StreamData) -> tuple[str, dict[str, float]]:  # type: ignore[override]
        from applications.text import stream_report

        if self.family == "masked":
            return super().scores(model, datasets)  # type: ignore[arg-type]
        return self.measure, stream_report.scores(model, datasets, tokenizer_of(datasets))

    def baseline(self, datasets: StreamData) -> tuple[str, dict[str, float]]:  # type: ignore[override]
        """Counts of the characters behind the last few, or of those between two neighbours for a BERT."""
        from applications.text import masked_report, stream_report

        if self.family == "masked":
            return masked_report.baseline(self, datasets, tokenizer_of(datasets))
        return stream_report.baseline(datasets)

    def find_inputs(self, inputs: Iterable[str]) -> list[Path]:
        from applications.datasets.text_files import text_files

        return [path for item in map(Path, inputs) for path in (text_files(item) if item.is_dir() else [item])]

    def predict(self, model: keras.Model, inputs: Iterable[Path], about: dict[str, Any]) -> list[Prediction]:
        """Says how well the model foresees each file."""
        from applications.core.inference import each_usable
        from applications.datasets.text_files import read_text
        from applications.text.tokenizer import load_tokenizer

        tokenizer = load_tokenizer(about["folder"])

        def judged(path: Path) -> Prediction:
            text = read_text(path)
            return Prediction(path, len(text), self.measured(model, tokenizer, text))

        return [found for _, found in each_usable(inputs, judged, self.on_bad_file)]

    def measured(self, model: keras.Model, tokenizer: TextTokenizer, text: str) -> dict[str, float]:
        """Returns the metrics of a text that has nothing in front of it."""
        from applications.text import masked_report, stream_report

        if self.family == "masked":
            return masked_report.measured(model, tokenizer, text, self.mask_rate)
        return stream_report.measured(model, tokenizer, text)

    def write(self, predictions: list[Prediction], folder: Path) -> list[Path]:
        """Writes `predictions.csv`: file, characters and metrics."""
        import csv
        import io

        from applications.core.run_directory import write_atomically

        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["file", "characters", *predictions[0].metrics])
        writer.writerows([p.path, p.characters, *(f"{v:.6f}" for v in p.metrics.values())] for p in predictions)
        write_atomically(folder / "predictions.csv", text.getvalue())
        return [folder / "predictions.csv"]

    def generate(self, run: RunDirectory, request: TextRequest) -> str:
        """Writes on behind a prompt."""
        from applications.core.evaluation import load_run_model
        from applications.text.tokenizer import load_tokenizer
        from applications.text.writing import write_on

        if self.family == "masked":
            raise UserError(f"'{run.path}' has a {self.model}, which fills in gaps; a GPT or an LSTM writes text.")
        how = {"temperature": request.temperature, "top_k": request.top_k, "top_p": request.top_p}
        model, tokenizer = load_run_model(run), load_tokenizer(run.path)
        prompt, count = request.prompt, request.max_new_tokens
        return prompt + write_on(model, tokenizer, prompt, count, seed=request.seed, **how)

    def serving(self, datasets: StreamData) -> Serving:  # type: ignore[override]
        import numpy as np

        from applications.core.report import TEMPLATES
        from applications.text.tokenizer import FILE

        tokenizer, length = tokenizer_of(datasets), self.context
        ids = np.array(tokenizer.encode(datasets.part("train")[: 64 * 8 * length]), np.int32)
        rows = max(1, min(64, len(ids) // length))
        return Serving(
            samples=ids[: rows * length].reshape(rows, length),
            labels=(),
            signature={
                "input": f"token numbers, int32, (batch, {length}), made as tokenizer.json says",
                "output": f"logits of every token, float32, (batch, {length}, {tokenizer.vocab_size}): "
                + ("of what stands there" if self.family == "masked" else "of what comes next"),
            },
            files={
                FILE: tokenizer.with_length(length).json,
                "text_example.py": (TEMPLATES / "text_example.py.txt").read_text(encoding="utf-8"),
            },
        )

    def search_space(self) -> dict[str, Any]:
        from applications.core.search_space import Choice, Real, Space

        recurrent: dict[str, Space] = {
            "model_options.units": Choice(128, 256, 512),
            "model_options.num_layers": Choice(1, 2),
            "model_options.dropout_rate": Real(0.0, 0.5),
        }
        gpt: dict[str, Space] = {
            "model_options.num_layers": Choice(2, 4, 6),
            "model_options.dropout_rate": Real(0.0, 0.3),
        }
        return {
            **super().search_space(),
            "learning_rate": Real(3e-4, 1e-2, log=True),
            "optimizer": Choice("adam", "adamw"),
            "model": Choice("lstm", "gpt2_tiny", children={"lstm": recurrent, "gpt2_tiny": gpt}),
        }


def tokenizer_of(datasets: StreamData) -> TextTokenizer:
    """Returns the tokeniser learnt from the training text."""
    from applications.text.tokenizer import TextTokenizer

    assert datasets.tokenizer is not None
    return TextTokenizer(datasets.tokenizer)
