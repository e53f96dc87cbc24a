"""Cards of the Transformers."""

from __future__ import annotations

from typing import Any

from kerazoo.card import ModelCard, Sample, Tensor

_OF_LOGITS = {"class_name": "SparseCategoricalCrossentropy", "config": {"from_logits": True}}
_TINY = {"vocab_size": 11, "max_length": 8, "num_layers": 2, "num_heads": 2, "hidden_dim": 8, "mlp_dim": 16}
_HF = "transformers 5.23, {} (the tied head counts once)"


def _bert(name: str, summary: str, params: int, flops: int, **options: Any) -> ModelCard:
    return ModelCard(
        **{
            "title": "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding",
            "authors": "J. Devlin, M.-W. Chang, K. Lee, K. Toutanova",
            "year": 2018,
            "paper_url": "https://arxiv.org/abs/1810.04805",
            **options,
        },
        name=name,
        family="bert",
        kind="language_model",
        task="masked-language-modelling",
        module="kerazoo.transformers.bert",
        summary=summary,
        input_shape=(None,),
        num_outputs=30522,
        input_range="token numbers 0 to vocab_size - 1",
        params=params,
        trainable_params=params,
        flops=flops,
        params_source=_HF.format("BertForPreTraining"),
        custom_objects=True,
        test_config={**_TINY, "head": "classifier", "num_classes": 3},
        sample=Sample(
            inputs={"token_ids": Tensor((6,), "int32", 0, 11), "segment_ids": Tensor((6,), "int32", 0, 2)},
            targets=Tensor((), "int32", 0, 3),
        ),
        deviations=("All tokens go through the masked head, not only those that were covered.",),
        unlike_default=("The authors' code has GELU in its form with tanh: gelu_approximate=True.",),
    )


_TURC = {
    "title": "Well-Read Students Learn Better: On the Importance of Pre-training Compact Models",
    "authors": "I. Turc, M.-W. Chang, K. Lee, K. Toutanova",
    "year": 2019,
    "paper_url": "https://arxiv.org/abs/1908.08962",
}


def _gpt(name: str, summary: str, params: int, flops: int, source: str, **options: Any) -> ModelCard:
    return ModelCard(
        **{
            "title": "Language Models are Unsupervised Multitask Learners",
            "authors": "A. Radford, J. Wu, R. Child, D. Luan, D. Amodei, I. Sutskever",
            "year": 2019,
            "paper_url": "https://cdn.openai.com/better-language-models/"
            "language_models_are_unsupervised_multitask_learners.pdf",
            "family": "gpt2",
            "num_outputs": 50257,
            **options,
        },
        name=name,
        kind="language_model",
        task="language-modelling",
        module="kerazoo.transformers.gpt",
        summary=summary,
        input_shape=(None,),
        input_range="token numbers 0 to vocab_size - 1",
        params=params,
        trainable_params=params,
        flops=flops,
        params_source=source,
        custom_objects=True,
        test_config=_TINY,
        sample=Sample(inputs=Tensor((6,), "int32", 0, 11), targets=Tensor((6,), "int32", 0, 11), loss=_OF_LOGITS),
    )


def _vit(size: str, params: int, flops: int) -> ModelCard:
    letter = {"tiny": "Ti", "small": "S", "base": "B"}[size]
    return ModelCard(
        name=f"vit_{size}_16",
        family="vit",
        kind="image_classifier",
        task="image-classification",
        module="kerazoo.transformers.vit",
        title="An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale",
        authors="A. Dosovitskiy, L. Beyer, A. Kolesnikov, D. Weissenborn, X. Zhai, T. Unterthiner and others",
        year=2020,
        paper_url="https://arxiv.org/abs/2010.11929",
        summary=f"A Transformer on the patches of an image; size {letter}/16.",
        input_shape=(224, 224, 3),
        num_outputs=1000,
        input_range="[-1, 1]",
        params=params,
        trainable_params=params,
        flops=flops,
        params_source="transformers 5.23, ViTForImageClassification",
        min_size=16,
        size_multiple=16,
        custom_objects=True,
        test_config={
            **{"input_shape": (32, 32, 3), "num_classes": 5},
            **{"num_layers": 2, "num_heads": 2, "hidden_dim": 8, "mlp_dim": 16},
        },
        overfit={"options": {"num_heads": 4, "hidden_dim": 32, "mlp_dim": 64}},
        sample=Sample(inputs=Tensor((32, 32, 3), low=-1.0), targets=Tensor((), "int32", 0, 5)),
        deviations=(
            "The head has a dropout like every classifier here.",
            "The biases of the perceptrons start from zero, not from N(0, 1e-6).",
        ),
        unlike_default=(
            'Hugging Face has layer-norm epsilon 1e-12: variant="hf".',
            """The authors' JAX code has GELU in its form with tanh: variant="jax".""",
        ),
    )


_DROPOUT = "Dropout as in Hugging Face's configuration; the paper does not say, the released code has none."
_LABEL = "The paper's own label of its size, {}, is wrong."


_CLIP_SOURCE = "transformers 5.23, CLIPModel, and the authors' code"


def _clip(name: str, summary: str, size: int, params: int, flops: int, source: str = _CLIP_SOURCE) -> ModelCard:
    image = {"image_shape": (16, 16, 3), "patch_size": 8, "image_layers": 1, "image_heads": 2, "image_dim": 8}
    text = {"max_length": 6, "vocab_size": 11, "num_layers": 1, "num_heads": 2, "hidden_dim": 8, "embedding_dim": 6}
    return ModelCard(
        name=name,
        family="clip",
        kind="multi_input",
        task="image-text-matching",
        module="kerazoo.transformers.clip",
        title="Learning Transferable Visual Models From Natural Language Supervision",
        authors="A. Radford, J. W. Kim, C. Hallacy, A. Ramesh, G. Goh, S. Agarwal, G. Sastry, A. Askell and others",
        year=2021,
        paper_url="https://arxiv.org/abs/2103.00020",
        summary=summary,
        input_shape=(size, size, 3),
        num_outputs=1,
        input_range="about zero mean and unit spread per channel",
        params=params,
        trainable_params=params,
        flops=flops,
        params_source=source,
        custom_objects=True,
        test_config={**image, **text},
        sample=Sample(
            inputs={"images": Tensor((16, 16, 3), low=-1.0), "token_ids": Tensor((6,), "int32", 0, 11)}, loss=None
        ),
        unlike_default=("OpenCLIP has exact GELU in the place of x sigmoid(1.702 x).",),
    )


def _transformer(name: str, summary: str, vocab_size: int, params: int, flops: int, source: str) -> ModelCard:
    return ModelCard(
        name=name,
        family="transformer",
        kind="encoder_decoder",
        task="translation",
        module="kerazoo.transformers.transformer",
        title="Attention Is All You Need",
        authors="A. Vaswani, N. Shazeer, N. Parmar, J. Uszkoreit, L. Jones, A. N. Gomez, L. Kaiser, I. Polosukhin",
        year=2017,
        paper_url="https://arxiv.org/abs/1706.03762",
        summary=summary,
        input_shape=(None,),
        num_outputs=vocab_size,
        input_range="token numbers 0 to source_vocab_size - 1 and target_vocab_size - 1",
        params=params,
        trainable_params=params,
        flops=flops,
        params_source=source,
        custom_objects=True,
        test_config={
            **{"source_vocab_size": 11, "target_vocab_size": 11, "max_length": 8},
            **{"num_layers": 2, "num_heads": 2, "hidden_dim": 8, "mlp_dim": 16},
        },
        sample=Sample(
            inputs={"source_ids": Tensor((6,), "int32", 0, 11), "target_ids": Tensor((5,), "int32", 0, 11)},
            targets=Tensor((5,), "int32", 0, 11),
            loss=_OF_LOGITS,
        ),
        deviations=("The paper's 65 and 213 million weights cannot be had with a table of 37,000 tokens.",),
        unlike_default=(
            "torch.nn.Transformer has biases in the attention and one more norm: use_bias=True, final_norm=True.",
            'tensor2tensor and fairseq have all sines first: positions="halves".',
        ),
    )


_BY_HAND = "the paper's matrices without biases in the attention, by hand; with them MarianMTModel of transformers 5.23"

CARDS = (
    _transformer(
        "transformer_base",
        "Attention from one sequence to another, without recurrence.",
        37000,
        63_045_632,
        74_159_489_024,
        _BY_HAND,
    ),
    _transformer(
        "transformer_big", "The paper's larger network, twice as wide.", 37000, 214_171_648, 238_513_291_264, _BY_HAND
    ),
    _transformer(
        "transformer_small", "The paper's network in a size for a laptop.", 8000, 1_946_624, 2_793_406_464, _BY_HAND
    ),
    ModelCard(
        name="transformer_encoder",
        family="transformer_encoder",
        kind="sequence",
        task="sequence-classification",
        module="kerazoo.transformers.encoder",
        title="Attention Is All You Need",
        authors="A. Vaswani, N. Shazeer, N. Parmar, J. Uszkoreit, L. Jones, A. N. Gomez, L. Kaiser, I. Polosukhin",
        year=2017,
        paper_url="https://arxiv.org/abs/1706.03762",
        summary="The Transformer's encoder for features or tokens: every step sees all others.",
        input_shape=(28, 28),
        num_outputs=10,
        input_range="features of about zero mean and unit spread; with vocab_size token numbers, 0 for padding",
        params=400_522,
        trainable_params=400_522,
        flops=2 * (28 * 28 * 128 + 2 * 28 * (4 * 128**2 + 2 * 28 * 128 + 2 * 128 * 512) + 1_280),
        params_source="by hand: (I + 1) d + N (4 d^2 + 2 d m + m + 5 d) + (d + 1) C, as torch.nn.TransformerEncoder "
        "has it but for the biases of its attention",
        custom_objects=True,
        sample=Sample(inputs=Tensor((6, 3), low=-1.0), targets=Tensor((), "int32", 0, 5)),
        test_config={
            **{"input_shape": (6, 3), "num_classes": 5},
            **{"num_layers": 1, "num_heads": 2, "hidden_dim": 8, "mlp_dim": 8},
        },
        deviations=(
            "The paper has a decoder behind it; here the mean of the steps goes to a linear head.",
            "The paper's encoder has 6 blocks of 512 features: num_layers, num_heads, hidden_dim and mlp_dim.",
        ),
    ),
    _bert(
        "bert_tiny",
        "BERT of 2 blocks and 128 features, which a laptop fine-tunes in minutes.",
        4_433_468,
        4_688_478_720,
        **_TURC,
    ),
    _bert("bert_mini", "BERT of 4 blocks and 256 features.", 11_267_900, 12_363_367_424, **_TURC),
    _bert("bert_small", "BERT of 4 blocks and 512 features.", 29_058_876, 31_303_665_664, **_TURC),
    _bert("bert_medium", "BERT of 8 blocks and 512 features.", 41_668_412, 46_336_051_200, **_TURC),
    _bert(
        "bert_base", "The paper's smaller network: a token sees its whole surroundings.", 110_106_428, 121_245_404_160
    ),
    _bert("bert_large", "The paper's larger network: 24 blocks, 1024 features.", 336_226_108, 368_087_928_832),
    _gpt(
        "gpt",
        "A Transformer that predicts the next token, pre-trained on text and fine-tuned on tasks.",
        116_534_784,
        128_469_958_656,
        _HF.format("OpenAIGPTLMHeadModel"),
        family="gpt",
        title="Improving Language Understanding by Generative Pre-Training",
        authors="A. Radford, K. Narasimhan, T. Salimans, I. Sutskever",
        year=2018,
        paper_url="https://cdn.openai.com/research-covers/language-unsupervised/language_understanding_paper.pdf",
        num_outputs=40478,
    ),
    _gpt(
        "gpt2",
        "A Transformer that predicts the next token; the smallest of the four published.",
        124_439_808,
        291_648_307_200,
        _HF.format("GPT2LMHeadModel"),
        deviations=(_DROPOUT,),
        unlike_default=(_LABEL.format("117M"),),
    ),
    _gpt(
        "gpt2_tiny",
        "GPT-2 in a size that a laptop trains on characters.",
        842_496,
        545_259_520,
        "embeddings V d + L d, blocks 12 d^2 + 13 d each, final norm 2 d, by hand",
        num_outputs=128,
        deviations=("Not one of the paper's sizes.",),
    ),
    _gpt(
        "gpt2_medium",
        "GPT-2 with 24 blocks.",
        354_823_168,
        826_951_073_792,
        _HF.format("GPT2LMHeadModel"),
        deviations=(_DROPOUT,),
        unlike_default=(_LABEL.format("345M"),),
    ),
    _gpt(
        "gpt2_large",
        "GPT-2 with 36 blocks.",
        774_030_080,
        1_774_570_700_800,
        _HF.format("GPT2LMHeadModel"),
        deviations=(_DROPOUT,),
        unlike_default=(_LABEL.format("762M"),),
    ),
    _gpt(
        "gpt2_xl",
        "GPT-2 with 48 blocks.",
        1_557_611_200,
        3_506_703_564_800,
        _HF.format("GPT2LMHeadModel"),
        deviations=(_DROPOUT,),
        unlike_default=(_LABEL.format("1542M"),),
    ),
    _vit("tiny", 5_717_416, 2_507_366_400),
    _vit("small", 22_050_664, 9_197_764_608),
    _vit("base", 86_567_656, 35_127_656_448),
    _clip(
        "clip_vit_b_32",
        "Captions as labels, with a ViT-B/32.",
        224,
        151_277_313,
        14_777_163_776,
    ),
    _clip(
        "clip_vit_b_16",
        "Captions as labels, with a ViT-B/16.",
        224,
        149_620_737,
        41_086_447_616,
    ),
    _clip(
        "clip_vit_l_14",
        "Captions as labels, with a ViT-L/14.",
        224,
        427_616_513,
        175_325_220_864,
    ),
    _clip(
        "clip_tiny",
        "CLIP in a size for a laptop.",
        32,
        3_658_241,
        418_206_208,
        "the authors' code at these sizes",
    ),
)
