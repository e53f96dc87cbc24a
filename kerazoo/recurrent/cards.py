"""Cards of the recurrent networks."""

from __future__ import annotations

from typing import Any

from kerazoo.card import ModelCard, Sample, Tensor

_TEST = {"input_shape": (6, 3), "num_classes": 5, "units": 4, "num_layers": 2}
_SAMPLE = Sample(inputs=Tensor((6, 3), low=-1.0), targets=Tensor((), "int32", 0, 5))
_RANGE = "features of about zero mean and unit spread; with vocab_size token numbers, 0 for padding"
_SIZE = "The papers fix no size: 128 units that read the 28 rows of a 28 x 28 image are the usual first example."


def _rnn(name: str, recurrent: int, head: int, **words: Any) -> ModelCard:
    return ModelCard(
        name=name,
        kind="sequence",
        task="sequence-classification",
        module="kerazoo.recurrent.rnn",
        input_shape=(28, 28),
        num_outputs=10,
        input_range=_RANGE,
        params=recurrent + head,
        trainable_params=recurrent + head,
        test_config=_TEST,
        sample=_SAMPLE,
        **{"family": name, **words},
    )


_SMALL = {"source_vocab_size": 11, "target_vocab_size": 9, "embedding_dim": 3}


def _translator(name: str, params: int, flops: int, **words: Any) -> ModelCard:
    return ModelCard(
        name=name,
        family=name,
        kind="encoder_decoder",
        task="sequence-to-sequence",
        input_shape=(None,),
        num_outputs=words.pop("num_outputs", 10_000),
        input_range="token numbers, 0 for padding",
        params=params,
        trainable_params=params,
        flops=flops,
        custom_objects=True,
        sample=Sample(
            inputs={"source_ids": Tensor((6,), "int32", 0, 11), "target_ids": Tensor((5,), "int32", 1, 9)},
            targets=Tensor((5,), "int32", 1, 9),
            loss={"class_name": "SparseCategoricalCrossentropy", "config": {"from_logits": True}},
        ),
        **words,
    )


CARDS = (
    _rnn(
        "simple_rnn",
        20_096,
        1_290,
        title="Finding structure in time",
        authors="J. L. Elman",
        year=1990,
        paper_url="https://doi.org/10.1207/s15516709cog1402_1",
        summary="A hidden state computed from the input and from itself one step before.",
        flops=2 * (28 * 128 * (28 + 128) + 1_280),
        params_source="U (I + U + 1) of the layer with I = 28, U = 128, and (U + 1) 10 of the head",
        deviations=(_SIZE, "Elman's units are logistic and learn from the last step alone; here tanh and all steps."),
    ),
    _rnn(
        "lstm",
        80_384,
        1_290,
        title="Long short-term memory",
        authors="S. Hochreiter, J. Schmidhuber",
        year=1997,
        paper_url="https://doi.org/10.1162/neco.1997.9.8.1735",
        summary="A memory that is added to, behind gates that let in, forget and let out.",
        flops=2 * (28 * 4 * 128 * (28 + 128) + 1_280),
        params_source="4 U (I + U + 1) of the layer with I = 28, U = 128, and (U + 1) 10 of the head",
        deviations=(
            _SIZE,
            "With the forget gate of Gers et al. (2000), whose bias starts at 1; without peepholes.",
            "The gradient goes through all steps, where the paper cuts it.",
        ),
        unlike_default=("PyTorch has two biases per gate, whose sum is ours, and starts the forget gate at 0.",),
    ),
    _rnn(
        "gru",
        60_672,
        1_290,
        title="Learning phrase representations using RNN encoder-decoder for statistical machine translation",
        authors="K. Cho, B. van Merrienboer, C. Gulcehre, D. Bahdanau, F. Bougares, H. Schwenk, Y. Bengio",
        year=2014,
        paper_url="https://arxiv.org/abs/1406.1078",
        summary="Two gates that reset and keep the hidden state.",
        flops=2 * (28 * 3 * 128 * (28 + 128) + 1_280),
        params_source="3 U (I + U + 2) of the layer with I = 28, U = 128, and (U + 1) 10 of the head",
        deviations=(
            _SIZE,
            "The reset gate acts behind the recurrent product, as in cuDNN; reset_after=False is the paper's form.",
        ),
    ),
    ModelCard(
        name="tcn",
        family="tcn",
        kind="sequence",
        task="sequence-classification",
        module="kerazoo.recurrent.tcn",
        title="An empirical evaluation of generic convolutional and recurrent networks for sequence modeling",
        authors="S. Bai, J. Z. Kolter, V. Koltun",
        year=2018,
        paper_url="https://arxiv.org/abs/1803.01271",
        summary="Dilated causal convolutions in residual blocks, whose view doubles from level to level.",
        input_shape=(784, 1),
        num_outputs=10,
        input_range=_RANGE,
        params=66_910,
        trainable_params=66_910,
        flops=2 * (784 * (7 * 25 + 15 * 7 * 25 * 25 + 25) + 250),
        params_source="the authors' code for MNIST pixel by pixel, the lengths g of weight normalisation included",
        custom_objects=True,
        sample=_SAMPLE,
        test_config={"input_shape": (6, 3), "num_classes": 5, "filters": 4, "num_levels": 2, "kernel_size": 2},
        deviations=("Dropout takes whole features, as the paper says; the authors' code drops single numbers.",),
    ),
    _translator(
        "seq2seq",
        9_791_248,
        298_057_728,
        module="kerazoo.recurrent.seq2seq",
        title="Sequence to sequence learning with neural networks",
        authors="I. Sutskever, O. Vinyals, Q. V. Le",
        year=2014,
        paper_url="https://arxiv.org/abs/1409.3215",
        summary="One LSTM reads the source reversed, another one writes the target from its last states.",
        params_source="two embeddings, 4 layers of 4 U (E + U + 1), head (U + 1) V; the paper's sizes give its 384 M",
        test_config={**_SMALL, "units": 4, "num_layers": 2},
        deviations=(
            "The default is laptop-sized: 10,000 words, 2 layers of 256 units; the paper's 160,000 and 80,000 words, 4 "
            "layers and embeddings of 1000 are arguments.",
        ),
    ),
    _translator(
        "bahdanau_seq2seq",
        80_443_000,
        2_708_944_000,
        module="kerazoo.recurrent.bahdanau",
        title="Neural machine translation by jointly learning to align and translate",
        authors="D. Bahdanau, K. Cho, Y. Bengio",
        year=2014,
        paper_url="https://arxiv.org/abs/1409.0473",
        num_outputs=30_000,
        summary="Before every word the decoder looks at all places of the source, weighted by how well they fit.",
        params_source="the matrices of the paper's appendix A, with one bias per gate and layer",
        test_config={**_SMALL, "units": 4, "attention_units": 3, "maxout_units": 2},
        deviations=("The encoder's unit is Cho's, whose z says how much stays; the appendix has the reverse in both.",),
    ),
    _translator(
        "luong_seq2seq",
        10_250_000,
        328_466_432,
        module="kerazoo.recurrent.luong",
        title="Effective approaches to attention-based neural machine translation",
        authors="M.-T. Luong, H. Pham, C. D. Manning",
        year=2015,
        paper_url="https://arxiv.org/abs/1508.04025",
        summary="The decoder looks at the source after its step, and is fed what it made of it.",
        params_source="two embeddings, LSTM layers, W_a, W_c and head by hand",
        test_config={**_SMALL, "units": 4, "num_layers": 2},
        deviations=(
            "The default is laptop-sized: 10,000 words, 2 layers of 256 units; the paper's 50,000 words, 4 layers and "
            "embeddings of 1000 are arguments.",
            "Global attention only; the paper's local attention is left out.",
            "No dropout between the layers of the decoder, which run inside one loop.",
        ),
    ),
)
