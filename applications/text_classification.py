"""Text classification: one of several classes for each text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from applications.core.application import SEQUENCE_OPTIONS, Application, ScheduleName, Serving
from applications.core.config import option
from applications.core.errors import UserError

if TYPE_CHECKING:
    import keras

    from applications.core.pipeline import Samples
    from applications.core.report import Result
    from applications.datasets.csv_files import CsvFile
    from applications.datasets.texts import TextData
    from applications.text.tokenizer import TextTokenizer

LOSSES = ("categorical_crossentropy", "categorical_focal_crossentropy")
# What suits some thousand short texts; `--model-options` goes before it.
RECURRENT = {"units": 64, "embedding_dim": 128, "bidirectional": True, "dropout_rate": 0.5}
DEFAULTS: dict[str, dict[str, Any]] = {
    **{"lstm": RECURRENT, "gru": RECURRENT, "simple_rnn": RECURRENT},
    "text_cnn": {"embedding_dim": 128},
}
FEWEST_TOKENS = 4
SHARE_IN_FULL = 0.8  # of the training texts; the rest of longer ones is mostly padding for all others


class Prediction(NamedTuple):
    """What the model says about the texts of one file; None for a text that was skipped."""

    path: Path
    file: CsvFile | None
    labels: list[str | None]
    probabilities: list[float | None]


@dataclass(frozen=True, kw_only=True)
class TextClassification(Application):
    """Says which class each text belongs to.

    Data: `pydoc` (real English, embedded: paragraphs of Python's own documentation, by the family of their topic), or
    a CSV file with a column of texts and a column of classes.

    Example:
        >>> from applications.core.training import start
        >>> from applications.text_classification import TextClassification
        >>> run = start(TextClassification(data="pydoc", epochs=2))
    """

    task: ClassVar[str] = "text-classification"
    summary: ClassVar[str] = "one of several classes for each text"
    kinds: ClassVar[tuple[str, ...]] = ("sequence", "language_model")
    own_data: ClassVar[str] = "texts.csv"
    # On few texts the loss rises again long before the answers are best.
    monitor: ClassVar[tuple[str, str]] = ("val_accuracy", "max")
    reserved_options: ClassVar[tuple[str, ...]] = (
        *Application.reserved_options,
        *SEQUENCE_OPTIONS,
        "max_length",
        "length",
        "head",
    )

    data: str = option("pydoc", "`pydoc`, or a CSV file with columns of texts and classes.")
    model: str = option("text_cnn", "Convolutional or recurrent model of sequences, or a BERT.")
    epochs: int = option(16, "Passes over the training data.", minimum=1)
    batch_size: int = option(64, "Samples per step, over all devices together.", minimum=1)
    learning_rate: float = option(2e-3, "Largest learning rate; 5e-3 suits recurrent models.", minimum=0)
    schedule: ScheduleName = option("cosine", "How the learning rate changes.")
    loss: str = option("auto", f"{', '.join(LOSSES)}; auto: the first.")
    text_column: str = option("text", "Column of the CSV file that holds the texts.")
    label_column: str = option("label", "Column of the CSV file that holds the classes.")
    separator: str = option("auto", "Between the cells of the CSV file: one character, `tab` or auto.")
    tokenizer: Literal["auto", "word", "wordpiece", "bpe", "char"] = option(
        "auto", "What a token is; auto: wordpiece for BERT, else word."
    )
    vocab_size: int = option(4000, "Largest number of tokens.", minimum=8)
    max_length: int | None = option(
        None, "Tokens of a text that are read; none: as many as 80 % of the training texts have.", minimum=FEWEST_TOKENS
    )
    word_dropout: float = option(
        0.2, "Fraction of the tokens of a training text that are made unknown, anew each epoch.", minimum=0, maximum=0.9
    )

    embeddings: Literal["lsa", "random"] = option(
        "lsa",
        "Vectors that words begin with: by latent semantic analysis of the training texts, or random; not of BERT.",
    )

    # Data -----------------------------------------------------------------------------------------------------------

    def datasets(self, progress: Callable | None = None) -> TextData:  # type: ignore[override]
        from applications.datasets.texts import load_texts
        from applications.text.tokenizer import library

        library()
        return load_texts(
            self.data,
            text_column=self.text_column,
            label_column=self.label_column,
            separator=self.separator,
            fractions=(self.split.train, self.split.val, self.split.test),
            seed=self.seed if self.split.seed is None else self.split.seed,
        )

    def check(self) -> None:
        from applications.core.regression import check_loss

        super().check()
        check_loss(self.loss, LOSSES, self.task)

    def check_loss(self) -> None:
        """Does nothing: the names of this task's losses are known without Keras, and `check` has compared them."""

    def takes(self, model: str) -> bool:
        from kerazoo.catalog import builder_parameters

        return super().takes(model) and not {"vocab_size", "head"}.isdisjoint(_own_words(builder_parameters(model)))

    @property
    def is_bert(self) -> bool:
        """Whether the model reads [CLS] text [SEP]."""
        from kerazoo.catalog import builder_parameters

        return "head" in builder_parameters(self.model)

    def prepared(self, datasets: TextData) -> TextData:  # type: ignore[override]
        """Learns the tokeniser, and how long texts are, from the training texts."""
        import dataclasses

        import numpy as np

        from applications.text.tokenizer import train_tokenizer

        if datasets.tokenizer is not None:
            return datasets
        kind = self.tokenizer if self.tokenizer != "auto" else "wordpiece" if self.is_bert else "word"
        texts = datasets.part("train")
        tokenizer = train_tokenizer(kind, texts, self.vocab_size)
        length = self.max_length or max(
            FEWEST_TOKENS, int(np.ceil(np.quantile(tokenizer.lengths(texts), SHARE_IN_FULL)))
        )
        return dataclasses.replace(datasets, tokenizer=tokenizer.with_length(length).json)

    def files(self, datasets: TextData) -> dict[str, str]:  # type: ignore[override]
        from applications.text.tokenizer import FILE

        return {FILE: tokenizer_of(datasets).json}

    def recalled(self, datasets: TextData, known: dict[str, Any]) -> TextData:  # type: ignore[override]
        import dataclasses

        from applications.text.tokenizer import load_tokenizer

        return dataclasses.replace(datasets, tokenizer=load_tokenizer(known["folder"]).json)

    def for_other_data(self, data: str, known: dict[str, Any]) -> Application:
        from applications.core.application import Split

        return self.replace(data=data, split=Split(train=0.0, val=0.0, test=1.0))

    def as_trained(self, datasets: TextData, known: dict[str, Any]) -> TextData:  # type: ignore[override]
        import dataclasses

        import numpy as np

        names = tuple(known["class_names"])
        strangers = [name for name in datasets.class_names if name not in names]
        if strangers:
            raise UserError(f"The data have the class {strangers[0]!r}; the run was trained on {', '.join(names)}.")
        labels = np.asarray([names.index(name) for name in datasets.class_names])[datasets.labels]
        return dataclasses.replace(datasets, labels=labels, class_names=names)

    def samples(self, datasets: TextData, split: str, *, training: bool) -> Samples:  # type: ignore[override]
        import numpy as np
        import tensorflow as tf

        from applications.core.pipeline import Samples, balanced_weights

        tokenizer = tokenizer_of(datasets)
        ids, _ = tokenizer.batch(datasets.part(split))
        labels = datasets.labels[datasets.split[split]]
        inputs, targets = tf.constant(ids), tf.constant(np.eye(datasets.num_classes, dtype=np.float32)[labels])
        weights = None
        if training and self.class_weights == "balanced":
            weights = tf.constant(balanced_weights(np.bincount(labels, minlength=datasets.num_classes))[labels])
        ordinary = tf.constant(tokenizer.ordinary)

        def load(index: tf.Tensor, draws: tf.Tensor) -> tuple:
            tokens = tf.gather(inputs, index)
            if training and self.word_dropout:
                hidden = (draws < self.word_dropout) & tf.gather(ordinary, tokens)
                tokens = tf.where(hidden, tokenizer.unknown, tokens)
            pair = tokens, tf.gather(targets, index)
            return pair if weights is None else (*pair, tf.gather(weights, index))

        draws_of_words = ids.shape[1] if training and self.word_dropout else 0
        return Samples(len(labels), load, num_draws=draws_of_words, at_once=True)

    # Model ----------------------------------------------------------------------------------------------------------

    def build(self, datasets: TextData, dtype: str | None = None) -> keras.Model:  # type: ignore[override]
        tokenizer = tokenizer_of(datasets)
        length, options = tokenizer.length, {**DEFAULTS.get(self.model, {}), "dtype": dtype}
        if not self.is_bert:
            model = self.create((length,), datasets.num_classes, vocab_size=tokenizer.vocab_size, **options)
            if self.embeddings == "lsa":
                from applications.text.word_vectors import semantic_vectors

                table = model.get_layer("embedding").embeddings
                table.assign(semantic_vectors(tokenizer.batch(datasets.part("train"))[0], tokenizer, table.shape[1]))
            return model
        from applications.text.models import without_segments

        words = {"head": "classifier", "num_classes": datasets.num_classes, "length": length}
        return without_segments(self.create(tokenizer.vocab_size, length, **words, **options))

    def compile(self, model: keras.Model, optimizer: keras.Optimizer, **execution: Any) -> None:
        from applications.core.optimization import make_loss

        loss = make_loss(LOSSES[0] if self.loss == "auto" else self.loss)
        model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"], **execution)

    # Results --------------------------------------------------------------------------------------------------------

    def report(self, model: keras.Model, datasets: TextData) -> Result:  # type: ignore[override]
        from applications.core.inference import predict_array
        from applications.text.classification_report import report

        ids, cut = tokenizer_of(datasets).batch(datasets.part("test"))
        return report(datasets, tokenizer_of(datasets), ids, cut, predict_array(model, ids))

    def baseline(self, datasets: TextData) -> tuple[str, dict[str, float]]:  # type: ignore[override]
        """Logistic regression on TF-IDF of words and pairs of words."""
        from applications.text.classification_report import baseline

        return baseline(datasets)

    def find_inputs(self, inputs: Iterable[str]) -> list[Path]:
        found: list[Path] = []
        for item in map(Path, inputs):
            inside = item.rglob("*") if item.is_dir() else []
            files = sorted(path for path in inside if path.suffix.lower() in (".csv", ".tsv", ".txt"))
            if item.is_dir() and not files:
                raise UserError(f"Folder '{item}' holds neither a .txt nor a CSV file.")
            found += files or [item]
        return found

    def predict(self, model: keras.Model, inputs: Iterable[Path], about: dict[str, Any]) -> list[Prediction]:
        """Predicts the rows of CSV files, and other files as one text each."""
        from applications.datasets.text_files import read_text
        from applications.datasets.texts import read_texts
        from applications.text.tokenizer import load_tokenizer

        tokenizer, found = load_tokenizer(about["folder"]), []
        for path in inputs:
            table = path.suffix.lower() in (".csv", ".tsv")
            try:
                file = read_texts(path, self.text_column, self.separator) if table else None
                texts = file.column(self.text_column) if file is not None else [read_text(path)]
            except UserError as error:
                self._skip(str(error))
                continue
            places = [str(path)] if file is None else [f"{path}, line {line}" for line in file.lines]
            labels, probabilities = self._answers(model, tokenizer, texts, places, about["class_names"])
            found.append(Prediction(path, file, labels, probabilities))
        return found

    def _answers(
        self,
        model: keras.Model,
        tokenizer: TextTokenizer,
        texts: Sequence[str | None],
        places: list[str],
        names: list[str],
    ) -> tuple[list[str | None], list[float | None]]:
        """Returns class and probability of each text; None where a text cannot be read and may be skipped."""
        import sys

        from applications.core.inference import predict_array

        ids, cut = tokenizer.batch([text or "" for text in texts])
        usable = []
        for row, (text, place) in enumerate(zip(texts, places, strict=True)):
            if not (text or "").strip():
                self._skip(f"{place}: the text is empty.")
            elif not tokenizer.ordinary[ids[row]].any():
                self._skip(f"{place}: none of the tokens of {(text or '')[:40]!r} is known from the training.")
            else:
                usable.append(row)
        if cut[usable].any():
            count = f"{cut[usable].sum()} of {len(usable)}"
            print(f"warning: {count} texts are longer than {tokenizer.length} tokens and were cut.", file=sys.stderr)
        labels: list[str | None] = [None] * len(texts)
        probabilities: list[float | None] = [None] * len(texts)
        if usable:
            for row, outputs in zip(usable, predict_array(model, ids[usable]), strict=True):
                labels[row], probabilities[row] = names[int(outputs.argmax())], float(outputs.max())
        return labels, probabilities

    def _skip(self, sentence: str) -> None:
        """Complains, or says that something is left out, as `--on-bad-file` wants it."""
        import sys

        if self.on_bad_file == "error":
            raise UserError(sentence)
        print(f"skipped: {sentence}", file=sys.stderr)

    def write(self, predictions: list[Prediction], folder: Path) -> list[Path]:
        """Writes CSV files with the predictions in columns of their own, and `predictions.csv` for other files."""
        from applications.text.classification_report import write

        return write(predictions, folder, f"predicted {self.label_column}")

    def serving(self, datasets: TextData) -> Serving:  # type: ignore[override]
        from applications.core.report import TEMPLATES

        tokenizer = tokenizer_of(datasets)
        ids, _ = tokenizer.batch(datasets.part("train")[:64])
        return Serving(
            samples=ids,
            labels=datasets.class_names,
            signature={
                "input": f"token numbers, int32, (batch, {ids.shape[1]}), made as tokenizer.json says",
                "output": f"probabilities, float32, (batch, {datasets.num_classes}), in the order of labels.txt",
            },
            files={
                **self.files(datasets),
                "text_example.py": (TEMPLATES / "text_example.py.txt").read_text(encoding="utf-8"),
            },
        )

    def search_space(self) -> dict[str, Any]:
        from applications.core.search_space import Choice, Real, Space

        recurrent: dict[str, Space] = {
            "model_options.units": Choice(32, 64, 128),
            "model_options.embedding_dim": Choice(32, 64, 128),
            "model_options.dropout_rate": Real(0.2, 0.7),
        }
        return {
            **super().search_space(),
            "learning_rate": Real(3e-4, 1e-2, log=True),
            "optimizer": Choice("adam", "adamw"),
            "word_dropout": Real(0.0, 0.4),
            "model": Choice("lstm", "gru", children={"lstm": recurrent, "gru": recurrent}),
        }


def _own_words(parameters: dict[str, Any]) -> set[str]:
    """Returns the arguments of a builder behind the two of its spine, which of a GPT are vocabulary and length."""
    return set(list(parameters)[2:])


def tokenizer_of(datasets: TextData) -> TextTokenizer:
    """Returns the tokeniser learnt from the training texts."""
    from applications.text.tokenizer import TextTokenizer

    assert datasets.tokenizer is not None
    return TextTokenizer(datasets.tokenizer)
