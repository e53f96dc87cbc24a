"""Sequence to sequence: one text from another, such as a date in ISO 8601 from one as people write it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from applications.core.application import Application, ScheduleName, Serving
from applications.core.config import option
from applications.core.errors import UserError

if TYPE_CHECKING:
    import keras
    import numpy as np

    from applications.core.pipeline import Samples
    from applications.core.report import Result
    from applications.datasets.pairs import PairData
    from applications.text.tokenizer import TextTokenizer

FILES = ("tokenizer.json", "target_tokenizer.json")
_SMALL = {"embedding_dim": 32, "units": 128}
# What suits texts of some ten characters on a laptop; `--model-options` goes before it.
DEFAULTS: dict[str, dict[str, Any]] = {
    "seq2seq": {**_SMALL, "num_layers": 1},
    "luong_seq2seq": {**_SMALL, "units": 96, "num_layers": 1, "reverse_source": False},
    "bahdanau_seq2seq": {"embedding_dim": 32, "units": 64, "attention_units": 64, "maxout_units": 64},
}


class Prediction(NamedTuple):
    """What the model makes of one file."""

    path: Path
    sources: list[str]
    answers: list[str]


@dataclass(frozen=True, kw_only=True)
class SequenceToSequence(Application):
    """Turns one text into another: translation, spelling, dates and the like.

    Data: `dates` (simulated: calendar dates from 1969 to 2068 in fifteen formats, some months mistyped, to be turned
    into ISO 8601; the test has calendar dates that the training never saw), or a TSV file of your own, source and
    target of each pair in one line. The same source never lies in two parts. The model learns with the true target in
    front of it (teacher forcing), and is judged by what it writes alone: the whole text must be right.

    Example:
        >>> from applications.core.training import start
        >>> from applications.sequence_to_sequence import SequenceToSequence
        >>> run = start(SequenceToSequence(model="luong_seq2seq", epochs=10))
    """

    task: ClassVar[str] = "sequence-to-sequence"
    summary: ClassVar[str] = "one text from another: translation, spelling, dates"
    kinds: ClassVar[tuple[str, ...]] = ("encoder_decoder",)
    own_data: ClassVar[str] = "pairs.tsv"
    reserved_options: ClassVar[tuple[str, ...]] = (
        *Application.reserved_options,
        "source_vocab_size",
        "target_vocab_size",
        "max_length",
        "tie_embeddings",
        "pad_id",
    )

    data: str = option("dates", "`dates`, or a TSV file of pairs.")
    model: str = option("bahdanau_seq2seq", "Recurrent model with or without attention, or a Transformer.")
    epochs: int = option(5, "Passes over the training data; a few hundred pairs need fifty or more.", minimum=1)
    batch_size: int = option(64, "Samples per step, over all devices together.", minimum=1)
    learning_rate: float = option(5e-3, "Largest learning rate.", minimum=0)
    schedule: ScheduleName = option("cosine", "How the learning rate changes.")
    tokenizer: Literal["char", "bpe", "word"] = option("char", "What a token is, on both sides.")
    vocab_size: int = option(4000, "Largest number of tokens of `bpe` and `word`, on each side.", minimum=8)
    max_length: int | None = option(
        None, "Most tokens of a source, and of a target; none: as many as the longest of the data has.", minimum=1
    )
    bucketing: bool = option(
        False, "Train sources of like length together: quicker where lengths differ much, but batches are less varied."
    )
    label_smoothing: float = option(0.0, "Probability spread over all tokens.", minimum=0, maximum=0.9)
    beam_size: int = option(
        1, "Beginnings followed at once in writing; 1 takes the likeliest token each time.", minimum=1
    )

    # Data -----------------------------------------------------------------------------------------------------------

    def datasets(self, progress: Callable | None = None) -> PairData:  # type: ignore[override]
        from applications.datasets.pairs import load_pairs
        from applications.text.tokenizer import library

        library()
        return load_pairs(
            self.data,
            options=self.data_options,
            fractions=(self.split.train, self.split.val, self.split.test),
            seed=self.seed if self.split.seed is None else self.split.seed,
        )

    def check(self) -> None:
        super().check()
        for name, usual in {"class_weights": "none", "loss": "auto"}.items():
            if getattr(self, name) != usual:
                raise UserError(f"{name}: {self.task} has none, since it writes texts; leave it at {usual}.")

    def prepared(self, datasets: PairData) -> PairData:  # type: ignore[override]
        """Learns the tokenisers of both sides from the training pairs; lengths are those of all pairs."""
        import dataclasses

        from applications.text.tokenizer import train_tokenizer

        if datasets.tokenizers is not None:
            return datasets
        found = []
        for side, texts in enumerate((datasets.sources, datasets.targets)):
            training = datasets.part("train")[side]
            tokenizer = train_tokenizer(
                self.tokenizer, training, 1 << 21 if self.tokenizer == "char" else self.vocab_size
            )
            tokenizer = tokenizer if side == 0 else tokenizer.with_ends()
            lengths = tokenizer.lengths(texts)
            longest, worst = int(lengths.max()), datasets.ids[int(lengths.argmax())]
            allowed = longest if self.max_length is None else self.max_length + 2 * side
            if longest > allowed:
                what = ("source", "target")[side]
                raise UserError(
                    f"max_length: the {what} of pair {worst} has {longest - 2 * side} tokens; allow as many, or none."
                )
            found.append(tokenizer.with_length(allowed).json)
        return dataclasses.replace(datasets, tokenizers=(found[0], found[1]))

    def files(self, datasets: PairData) -> dict[str, str]:  # type: ignore[override]
        return {name: tokenizer.json for name, tokenizer in zip(FILES, tokenizers_of(datasets), strict=True)}

    def recalled(self, datasets: PairData, known: dict[str, Any]) -> PairData:  # type: ignore[override]
        import dataclasses

        from applications.text.tokenizer import load_tokenizer

        source, target = (load_tokenizer(known["folder"], name).json for name in FILES)
        return dataclasses.replace(datasets, tokenizers=(source, target))

    def for_other_data(self, data: str, known: dict[str, Any]) -> Application:
        from applications.core.application import Split

        return self.replace(data=data, data_options={}, split=Split(train=0.0, val=0.0, test=1.0))

    def as_trained(self, datasets: PairData, known: dict[str, Any]) -> PairData:  # type: ignore[override]
        return datasets

    def samples(self, datasets: PairData, split: str, *, training: bool) -> Samples:  # type: ignore[override]
        """Source and target up to each token go in, the tokens behind them come out.

        With `bucketing` padding that all of a batch have at their end is cut.
        """
        import numpy as np
        import tensorflow as tf

        from applications.core.pipeline import Samples, longest

        (sources, targets), (source, target) = datasets.part(split), tokenizers_of(datasets)
        inputs, answers = tf.constant(source.batch(sources)[0]), tf.constant(target.batch(targets)[0])
        lengths = np.asarray(source.lengths(sources))
        own, others = tf.constant(lengths, tf.int32), tf.constant(target.lengths(targets), tf.int32)

        def load(index: tf.Tensor, _: tf.Tensor) -> tuple:
            tokens, given = tf.gather(answers, index), tf.gather(inputs, index)
            if self.bucketing:
                tokens = tokens[:, : longest(tf.gather(others, index), answers.shape[1])]
                given = given[:, : longest(tf.gather(own, index), inputs.shape[1])]
            return {"source_ids": given, "target_ids": tokens[:, :-1]}, tokens[:, 1:]

        return Samples(len(sources), load, at_once=True, lengths=lengths if self.bucketing else None)

    # Model ----------------------------------------------------------------------------------------------------------

    def build(self, datasets: PairData, dtype: str | None = None) -> keras.Model:  # type: ignore[override]
        from kerazoo.catalog import builder_parameters

        source, target = tokenizers_of(datasets)
        options = {**DEFAULTS.get(self.model, {}), "dtype": dtype}
        if "max_length" in builder_parameters(self.model):  # a Transformer
            assert source.length is not None
            assert target.length is not None
            options |= {"max_length": max(source.length, target.length), "tie_embeddings": False}  # two vocabularies
        return self.create(source.vocab_size, target.vocab_size, **options)

    def compile(self, model: keras.Model, optimizer: keras.Optimizer, **execution: Any) -> None:
        from kerazoo.losses import SequenceCrossentropy
        from kerazoo.metrics import TokenAccuracy

        loss = SequenceCrossentropy(label_smoothing=self.label_smoothing)
        model.compile(optimizer=optimizer, loss=loss, metrics=[TokenAccuracy(name="token_accuracy")], **execution)

    # Results --------------------------------------------------------------------------------------------------------

    def written(self, model: keras.Model, datasets: PairData, sources: Sequence[str]) -> list[str]:
        """Returns what the model makes of sources."""
        import numpy as np

        from kerazoo.generation import beam_search, greedy

        source, target = tokenizers_of(datasets)
        assert target.length is not None
        stepper = stepper_of(model, self.model, target)
        how = {"max_new_tokens": target.length - 1, "end_id": target.end}
        ids, found = source.batch(sources)[0], []
        for rows in np.array_split(ids, -(-len(ids) // 512)):
            if self.beam_size == 1:
                tokens = greedy(stepper, rows, **how)
            else:
                tokens = beam_search(stepper, rows, beam_size=self.beam_size, **how)[0][:, 0]
            found += [target.decode(up_to_end(row, target.end)) for row in tokens]
        return found

    def report(self, model: keras.Model, datasets: PairData) -> Result:  # type: ignore[override]
        from applications.text import pair_report

        answers = self.written(model, datasets, datasets.part("test")[0])
        return pair_report.result(model, datasets, answers, tokenizers_of(datasets))

    def scores(self, model: keras.Model, datasets: PairData) -> tuple[str, dict[str, float]]:  # type: ignore[override]
        """The share of right tokens behind the true ones before them: what the exported graph computes at once."""
        import numpy as np

        (sources, targets), (source, target) = datasets.part("test"), tokenizers_of(datasets)
        ids, answers = source.batch(sources)[0], target.batch(targets)[0]
        right = []
        for rows in np.array_split(np.arange(len(ids)), -(-len(ids) // 64)):
            outputs = model({"source_ids": ids[rows], "target_ids": answers[rows, :-1]}, training=False)
            wanted = answers[rows, 1:]
            right.append((np.asarray(outputs).argmax(-1) == wanted)[wanted != 0])
        return "token_accuracy", {"token_accuracy": float(np.concatenate(right).mean())}

    def baseline(self, datasets: PairData) -> tuple[str, dict[str, float]]:  # type: ignore[override]
        """For dates the formats of `datetime.strptime`, else the target of the most similar training source."""
        from applications.text import pair_report

        return pair_report.baseline(datasets)

    def find_inputs(self, inputs: Iterable[str]) -> list[Path]:
        found: list[Path] = []
        for item in map(Path, inputs):
            inside = sorted(p for p in item.iterdir() if p.suffix.lower() in (".txt", ".tsv")) if item.is_dir() else []
            if item.is_dir() and not inside:
                raise UserError(f"Folder '{item}' holds neither a .txt nor a .tsv file.")
            found += inside or [item]
        return found

    def predict(self, model: keras.Model, inputs: Iterable[Path], about: dict[str, Any]) -> list[Prediction]:
        """Turns the lines of text files, or the first column of TSV files."""
        from applications.datasets.pairs import PairData, read_sources

        empty = PairData("", "", (), (), {}, ())
        known, found = self.recalled(empty, about), []
        source, _ = tokenizers_of(known)
        for path in inputs:
            sources, lines = read_sources(path)
            check_sources(path, sources, lines, source, self.tokenizer == "char")
            found.append(Prediction(path, sources, self.written(model, known, sources)))
        return found

    def write(self, predictions: list[Prediction], folder: Path) -> list[Path]:
        """Writes one `NAME_predictions.tsv` per file: source, tab, what was made of it."""
        from applications.core.inference import unique_stems
        from applications.core.run_directory import write_atomically

        written = []
        for prediction, name in zip(predictions, unique_stems(p.path for p in predictions), strict=True):
            text = "".join(f"{a}\t{b}\n" for a, b in zip(prediction.sources, prediction.answers, strict=True))
            written.append(folder / f"{name}_predictions.tsv")
            write_atomically(written[-1], text)
        return written

    def parts_options(self, datasets: PairData) -> dict[str, Any]:  # type: ignore[override]
        _, target = tokenizers_of(datasets)
        return {"start_id": target.start, "end_id": target.end}

    def serving(self, datasets: PairData) -> Serving:  # type: ignore[override]
        (sources, targets), (source, target) = datasets.part("train"), tokenizers_of(datasets)
        samples = {
            "source_ids": source.batch(sources[:64])[0],
            "target_ids": target.batch(targets[:64])[0][:, :-1],
        }
        shapes = {name: f"{name}, int32, (batch, {ids.shape[1]})" for name, ids in samples.items()}
        return Serving(
            samples=samples,
            labels=(),
            signature={
                "input": f"{shapes['source_ids']}, made as tokenizer.json says, and {shapes['target_ids']}: [CLS] and "
                "what was written so far, made as target_tokenizer.json says",
                "output": f"logits, float32, (batch, length, {target.vocab_size}), of the token behind each token of "
                "target_ids",
            },
            files=self.files(datasets),
        )

    def search_space(self) -> dict[str, Any]:
        from applications.core.search_space import Choice, Real, Space

        sizes: dict[str, Space] = {
            "model_options.units": Choice(64, 128, 256),
            "model_options.embedding_dim": Choice(16, 32, 64),
            "model_options.dropout_rate": Real(0.0, 0.5),
        }
        return {
            **super().search_space(),
            "learning_rate": Real(1e-3, 2e-2, log=True),
            "optimizer": Choice("adam", "adamw"),
            "model": Choice(
                "luong_seq2seq",
                "bahdanau_seq2seq",
                children=dict.fromkeys(("luong_seq2seq", "bahdanau_seq2seq"), sizes),
            ),
        }


def tokenizers_of(datasets: PairData) -> tuple[TextTokenizer, TextTokenizer]:
    """Returns the tokenisers of sources and of targets."""
    from applications.text.tokenizer import TextTokenizer

    assert datasets.tokenizers is not None
    source, target = datasets.tokenizers
    return TextTokenizer(source), TextTokenizer(target)


def up_to_end(tokens: np.ndarray, end: int) -> np.ndarray:
    """Returns the tokens in front of the first end token, or all."""
    places = (tokens == end).nonzero()[0]
    return tokens[: places[0]] if places.size else tokens


def stepper_of(model: keras.Model, builder: str, target: TextTokenizer) -> Any:
    """Returns a model as one that writes token after token from [CLS] on."""
    import importlib

    import kerazoo

    module = kerazoo.model_card(builder).module
    # The steps of all Transformers stand in one module, those of a recurrent network beside it.
    module = "kerazoo.transformers.translation" if module.startswith("kerazoo.transformers.") else module
    return importlib.import_module(module).stepper(model, start_id=target.start)


def check_sources(
    path: Path, sources: Sequence[str], lines: Sequence[int], tokenizer: TextTokenizer, characters: bool
) -> None:
    """Refuses sources the model cannot read: unknown characters, more tokens than it takes."""
    lengths = tokenizer.uncut().lengths(sources)
    assert tokenizer.length is not None
    for source, line, length in zip(sources, lines, lengths, strict=True):
        strangers = tokenizer.unknown_characters(source) if characters else []
        if strangers:
            raise UserError(
                f"File {str(path)!r}, line {line}: the training sources have no character {strangers[0]!r}."
            )
        if length > tokenizer.length:
            raise UserError(
                f"File {str(path)!r}, line {line}: {length} tokens, the model takes at most {tokenizer.length}."
            )
