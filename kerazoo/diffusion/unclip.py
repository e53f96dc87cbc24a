"""unCLIP, the scheme of DALL-E 2: from a text to the embedding of a picture, and from that to the picture.

A. Ramesh, P. Dhariwal, A. Nichol, C. Chu, M. Chen, "Hierarchical text-conditional image generation with CLIP latents",
arXiv:2204.06125 (2022).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

import kerazoo.diffusion.ddpm as unets  # names are taken when they are needed: these modules may be half there
import kerazoo.transformers.clip as clips
from kerazoo import checks
from kerazoo.blocks.transformer import Transformer
from kerazoo.catalog import register_model
from kerazoo.diffusion._models import INPUT, STEP, Diffusion, OwnOptimizer
from kerazoo.layers.bias import Bias
from kerazoo.layers.position import PositionEmbedding
from kerazoo.layers.step_embedding import StepEmbedding
from kerazoo.layers.take_token import TakeToken

_PARTS = ("clip", "prior", "decoder")
IMAGES, TOKENS = "images", "token_ids"
EMBEDDING, FEATURES = "embedding", "features"


@keras.saving.register_keras_serializable(package="kerazoo")
class UnCLIP(OwnOptimizer):
    """CLIP, a prior that turns the text into the embedding of a picture, and a decoder that draws what it stands for.

    `fit({"images": ..., "token_ids": ...})` trains all three at once, each by its own loss: no gradient goes from one
    to another. What is frozen (`model.clip.trainable = False`) is left out, so that they can be trained one after
    another, as in the paper.

    Args:
        clip: Encoders of pictures and texts, a `kerazoo.clip_tiny` or the like.
        prior: `Diffusion` of embeddings of length sqrt(d), told `embedding` and `features` of a text.
        decoder: `Diffusion` of pictures in [-1, 1], told `embedding` of a picture and `features` of a text, or its
            `token_ids`.
        **options: Those of every `keras.Model`.
    """

    def __init__(self, clip: keras.Model, prior: Diffusion, decoder: Diffusion, **options: Any) -> None:
        super().__init__(**{"autocast": False, **options})
        self.clip, self.prior, self.decoder = clip, prior, decoder
        self.trackers = {part: keras.metrics.Mean(name=f"{part}_loss") for part in _PARTS}
        self.build()

    def build(self, input_shape: Any = None) -> None:
        self.built = True

    @functools.cached_property  # no part of the model: it shares the layers of the text encoder
    def reader(self) -> keras.Model:
        """What encodes texts: from token numbers to their `embedding` and the `features` of each token."""
        encoder = self.clip.text_encoder
        real = ops.cast(ops.expand_dims(ops.not_equal(encoder.input, 0), -1), "float32")
        features = ops.cast(encoder.get_layer("final_norm").output, "float32") * real
        return keras.Model(encoder.input, {FEATURES: features, EMBEDDING: encoder.output})

    def default_optimizer(self) -> keras.Optimizer:
        """Returns Adam with a rate of 1.1e-4, that of the paper's prior."""
        return keras.optimizers.Adam(1.1e-4)

    def call(self, inputs: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Returns of each part that is not frozen what it says: CLIP how well pictures and texts fit, the other two
        how wrong they are about the noise."""
        pictures, texts = self.clip.image_encoder(inputs[IMAGES], training=training), self.reader(inputs[TOKENS])
        found = {"clip": self.clip.scores(pictures, texts[EMBEDDING])}
        pictures, texts = ops.stop_gradient(self._scaled(pictures)), self._told(texts)
        if self.prior.trainable:
            found["prior"] = self.prior({INPUT: pictures, **texts}, training=training)
        if self.decoder.trainable:
            told = self._told_decoder(pictures, texts[FEATURES], inputs[TOKENS])
            found["decoder"] = self.decoder({INPUT: inputs[IMAGES], **told}, training=training)
        return found

    def _scaled(self, embedding: Any) -> Any:
        """Gives an embedding the length sqrt(d), so that its numbers are about as large as the noise."""
        return clips.unit(embedding) * math.sqrt(embedding.shape[-1])

    def _told(self, texts: dict[str, Any]) -> dict[str, Any]:
        return {name: ops.stop_gradient(self._scaled(x) if name == EMBEDDING else x) for name, x in texts.items()}

    def _told_decoder(self, embedding: Any, features: Any, token_ids: Any) -> dict[str, Any]:
        known = {EMBEDDING: embedding, FEATURES: features, TOKENS: token_ids}
        return {name: value for name, value in known.items() if name in self.decoder.denoiser.input}

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Returns the sum of the losses of all parts that are not frozen; each is a metric, too."""
        total: Any = 0.0
        for part in _PARTS:
            if getattr(self, part).trainable:
                loss = getattr(self, part).compute_loss(x, y, y_pred[part], sample_weight, training)
                self.trackers[part].update_state(loss)
                total = total + loss
        return total

    def generate(
        self,
        token_ids: Any,
        *,
        candidates: int = 2,
        guidance_scale: float = 3.0,
        prior_guidance_scale: float = 1.0,
        steps: int | None = None,
        batch_size: int = 64,
        seed: int | None = None,
    ) -> np.ndarray:
        """Draws one picture for each text.

        Args:
            token_ids: Texts (count, max_length), each ended by its largest token number, 0 behind it.
            candidates: How many embeddings the prior draws of each text; the one closest to the text is decoded.
            guidance_scale: How much the decoder exaggerates what it is told; 1 does not.
            prior_guidance_scale: The same for the prior.
            steps: Steps of both; `None` for 50.
            batch_size: Pictures at once.
            seed: Fixes the noise.

        Returns:
            Array (count, height, width, channels) in [-1, 1].

        Raises:
            ValueError: If an argument has a value that cannot work.

        Example:
            >>> pictures = model.generate(token_ids, seed=0)
        """
        token_ids, candidates = np.asarray(token_ids, "int32"), checks.positive_int("candidates", candidates)
        length = self.clip.text_encoder.input_shape[1]
        if token_ids.ndim != 2 or token_ids.shape[1] != length:
            raise ValueError(f"token_ids must have the shape (count, {length}). Received: {token_ids.shape}")
        options: dict[str, Any] = {"steps": steps, "batch_size": batch_size, "seed": seed}
        texts = {name: ops.convert_to_numpy(x) for name, x in self._told(self.reader(token_ids)).items()}
        repeated = {name: np.repeat(x, candidates, axis=0) for name, x in texts.items()}
        drawn = self.prior.generate(
            len(token_ids) * candidates, told=repeated, guidance_scale=prior_guidance_scale, **options
        )
        drawn = ops.convert_to_numpy(self._scaled(ops.convert_to_tensor(drawn))).reshape(
            -1, candidates, drawn.shape[-1]
        )
        closest = np.einsum("ncd,nd->nc", drawn, texts[EMBEDDING]).argmax(1)
        told = self._told_decoder(drawn[np.arange(len(drawn)), closest], texts[FEATURES], token_ids)
        return self.decoder.generate(len(token_ids), told=told, guidance_scale=guidance_scale, **options)

    def vary(self, images: Any, *, guidance_scale: float = 3.0, **options: Any) -> np.ndarray:
        """Draws other pictures with the same meaning: each is decoded from its own embedding, without a text.

        Args:
            images: (count, height, width, channels) in [-1, 1].
            guidance_scale: How much the decoder exaggerates what it is told.
            **options: Those of `Diffusion.generate`: `steps`, `eta`, `seed` ...

        Returns:
            The same shape.
        """
        told = {EMBEDDING: ops.convert_to_numpy(self._scaled(self.clip.image_encoder(np.asarray(images, "float32"))))}
        return self.decoder.generate(len(images), told=told, guidance_scale=guidance_scale, **options)

    def get_config(self) -> dict[str, Any]:
        parts = {part: keras.saving.serialize_keras_object(getattr(self, part)) for part in _PARTS}
        return {"name": self.name, **parts}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> UnCLIP:
        parts = {part: keras.saving.deserialize_keras_object(config[part], custom_objects) for part in _PARTS}
        return cls(**{**config, **parts})


def _prior(length: int, text_dim: int, dim: int, width: int, num_layers: int, num_heads: int) -> keras.Model:
    """The network of the prior: a Transformer that looks back over the encoded text, its embedding, the step and the
    noisy embedding of the picture, to a last token in whose place the embedding without noise stands."""
    inputs = {
        INPUT: keras.Input((dim,), name=INPUT),
        STEP: keras.Input((), dtype="int32", name=STEP),
        EMBEDDING: keras.Input((dim,), name=EMBEDDING),
        FEATURES: keras.Input((length, text_dim), name=FEATURES),
    }
    step = layers.Dense(width, name="step_fc1")(StepEmbedding(width, name="step_sinusoids")(inputs[STEP]))
    step = layers.Dense(width, name="step_fc2")(layers.Activation("silu", name="step_act")(step))
    text = layers.Dense(width, name="text_embedding")(inputs[EMBEDDING])
    noisy = layers.Dense(width, name="noisy_embedding")(inputs[INPUT])
    query = Bias("random_normal", name="query")(layers.Rescaling(0.0, name="query_place")(noisy))
    single = {"text": text, "step": step, "noisy": noisy, "query": query}
    tokens = [layers.Reshape((1, width), name=f"{name}_token")(x) for name, x in single.items()]
    x = layers.Concatenate(axis=1, name="tokens")(
        [layers.Dense(width, name="text_features")(inputs[FEATURES]), *tokens]
    )
    x = PositionEmbedding(length + len(tokens), name="positions")(x)
    transformer = Transformer(
        num_heads=num_heads, mlp_dim=4 * width, pre_norm=True, epsilon=1e-5, activation="gelu", dropout_rate=0.0
    )
    for index in range(1, num_layers + 1):
        x = transformer.block(x, f"block{index}", causal=True)
    x = layers.LayerNormalization(epsilon=1e-5, name="final_norm")(x)
    outputs = layers.Dense(dim, dtype="float32", name="estimate")(TakeToken(-1, name="answer")(x))
    return keras.Model(inputs, outputs, name="prior_denoiser")


def _text_encoder(tokens: Any, vocab_size: int, width: int, num_layers: int, num_heads: int) -> keras.KerasTensor:
    """What the decoder reads of a text itself: a vector for each token, as in GLIDE."""
    x = layers.Embedding(vocab_size, width, name="text_tokens")(tokens)
    x = PositionEmbedding(tokens.shape[1], name="text_positions")(x)
    transformer = Transformer(
        num_heads=num_heads, mlp_dim=4 * width, pre_norm=True, epsilon=1e-5, activation="gelu", dropout_rate=0.0
    )
    for index in range(1, num_layers + 1):
        x = transformer.block(x, f"text_block{index}")
    return layers.LayerNormalization(epsilon=1e-5, name="text_norm")(x)


def _decoder(
    network: unets.DenoisingUNet, image_shape: Any, told: dict[str, keras.KerasTensor], features: Any, count: int
) -> keras.Model:
    """The U-Net, told an embedding, which joins the step and becomes `count` tokens beside the features of the text. A
    text that it reads itself joins the step, too, with its last token."""
    vector, text_dim = layers.Dense(4 * network.filters, name="embedding_fc")(told[EMBEDDING]), features.shape[-1]
    if TOKENS in told:
        whole = layers.Dense(4 * network.filters, name="text_fc")(TakeToken(-1, name="text_whole")(features))
        vector = layers.Add(name="vector")([vector, whole])
    own = layers.Dense(count * text_dim, name="embedding_context")(told[EMBEDDING])
    own = layers.Reshape((count, text_dim), name="embedding_tokens")(own)
    context = layers.Concatenate(axis=1, name="context")([own, features])
    return network.build("unclip", image_shape, told=told, vector=vector, context=context)


@register_model
def unclip(
    image_shape: Sequence[int] = (32, 32, 3),
    max_length: int = 32,
    *,
    patch_size: int = 4,
    image_layers: int = 6,
    image_heads: int = 3,
    image_dim: int = 192,
    vocab_size: int = 1000,
    num_layers: int = 4,
    num_heads: int = 2,
    hidden_dim: int = 128,
    embedding_dim: int = 128,
    prior_layers: int = 4,
    prior_heads: int = 3,
    prior_dim: int = 192,
    filters: int = 64,
    multipliers: Sequence[int] = (1, 2, 3),
    blocks_per_stage: int = 1,
    attention_sizes: Sequence[int] = (16, 8),
    decoder_heads: int = 1,
    groups: int = 32,
    context_tokens: int = 4,
    text_layers: int = 0,
    schedule: str = "cosine",
    timesteps: int = 1000,
    target: str = "noise",
    prior_dropout: float = 0.1,
    embedding_dropout: float = 0.1,
    text_dropout: float = 0.5,
    multi_positive: bool = True,
    ema_decay: float = 0.999,
    dropout_rate: float = 0.0,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "unclip",
) -> keras.Model:
    """The scheme of DALL-E 2 in a size for a laptop: pictures from texts, by way of the embeddings of CLIP.

    Args:
        image_shape: Shape of one picture in [-1, 1], channels last, fixed.
        max_length: Tokens of a text, padding (0) behind its end included; the end is its largest token number.
        patch_size: Height and width of a patch of CLIP's image encoder.
        image_layers: Blocks of CLIP's image encoder.
        image_heads: Its attention heads.
        image_dim: Its features of a patch.
        vocab_size: Number of tokens.
        num_layers: Blocks of CLIP's text encoder.
        num_heads: Its attention heads.
        hidden_dim: Its features of a token.
        embedding_dim: Length of the embeddings of CLIP.
        prior_layers: Blocks of the prior.
        prior_heads: Its attention heads.
        prior_dim: Its features of a token.
        filters: Filters of the decoder's first stage.
        multipliers: How many times as many each of its stages has; between stages the map is halved.
        blocks_per_stage: Residual blocks of a stage on the way down; one more on the way up.
        attention_sizes: Heights of the maps with attention, which look at the context, too; the middle has it always.
        decoder_heads: Heads of every attention of the decoder.
        groups: Groups of its normalisations.
        context_tokens: How many tokens the embedding of a picture becomes in the context.
        text_layers: Blocks of a text encoder of the decoder's own, with the widths of CLIP's, as in GLIDE, from which
            the paper has its decoder: it learns what CLIP need not know, such as which thing is left of which. With 0
            the decoder is told CLIP's features of the text, as in karlo, the open implementation.
        schedule: Noise of the steps, `"linear"` or `"cosine"`.
        timesteps: Number of steps.
        target: What the decoder estimates, `"noise"` or the `"clean"` picture, which short trainings learn sooner.
        prior_dropout: How often the prior is told nothing in training, in [0, 1).
        embedding_dropout: How often the decoder is not told the embedding in training, in [0, 1).
        text_dropout: How often the decoder is not told the text in training, in [0, 1); of another value than
            `embedding_dropout` it is dropped independently of it, of the same value together with it.
        multi_positive: Whether equal texts in a batch all count as right for CLIP.
        ema_decay: Share of the averaged weights that a step keeps, in [0, 1).
        dropout_rate: Fraction of values dropped inside the decoder's residual blocks, in [0, 1).

    Returns:
        A `keras.Model` with `generate(token_ids, seed=...)` and `vary(images)`. Its parts are `clip` (`image_encoder`
        and `text_encoder`), `prior` and `decoder` (`denoiser`, and `average` with averaged weights).

    Example:
        >>> model = kerazoo.unclip((32, 32, 3), 16, vocab_size=50)
        >>> model.compile(keras.optimizers.Adam(1e-3))
        >>> model.fit({"images": images, "token_ids": token_ids}, epochs=20)
        >>> pictures = model.generate(token_ids[:4], seed=0)

    References:
        Ramesh et al. (2022), https://arxiv.org/abs/2204.06125
    """
    rates = {"prior_dropout": prior_dropout, "embedding_dropout": embedding_dropout, "text_dropout": text_dropout}
    for word, rate in rates.items():
        checks.fraction(word, rate)
    counts = {"prior_layers": prior_layers, "prior_heads": prior_heads, "prior_dim": prior_dim}
    for word, value in {**counts, "decoder_heads": decoder_heads, "context_tokens": context_tokens}.items():
        checks.positive_int(word, value)
    checks.positive_int("text_layers", text_layers, minimum=0)
    if prior_dim % prior_heads or prior_dim % 2:
        raise ValueError(
            "prior_dim must be even and a multiple of prior_heads. "
            f"Received: prior_dim={prior_dim}, prior_heads={prior_heads}"
        )
    network = unets.DenoisingUNet(filters=filters, multipliers=multipliers, blocks_per_stage=blocks_per_stage,
        attention_sizes=attention_sizes, num_heads=decoder_heads, groups=groups, dropout_rate=dropout_rate)  # fmt: skip
    clip = clips._clip(
        image_shape, max_length, patch_size=patch_size, image_layers=image_layers, image_heads=image_heads,
        image_dim=image_dim, vocab_size=vocab_size, num_layers=num_layers, num_heads=num_heads, hidden_dim=hidden_dim,
        embedding_dim=embedding_dim, multi_positive=multi_positive, name="clip",
    )  # fmt: skip
    noise: dict[str, Any] = {"schedule": schedule, "timesteps": timesteps, "ema_decay": ema_decay}
    prior = Diffusion(
        _prior(max_length, hidden_dim, embedding_dim, prior_dim, prior_layers, prior_heads),
        target="clean",
        limits=None,
        dropped=dict.fromkeys((EMBEDDING, FEATURES), prior_dropout),
        **noise,
        name="prior",
    )
    told = {EMBEDDING: keras.Input((embedding_dim,), name=EMBEDDING)}
    if text_layers:
        told[TOKENS] = keras.Input((max_length,), dtype="int32", name=TOKENS)
        features = _text_encoder(told[TOKENS], vocab_size, hidden_dim, text_layers, num_heads)
    else:
        features = told[FEATURES] = keras.Input((max_length, hidden_dim), name=FEATURES)
    decoder = Diffusion(
        _decoder(network, image_shape, told, features, context_tokens),
        target=target,
        dropped={**dict.fromkeys(told, text_dropout), EMBEDDING: embedding_dropout},
        **noise,
        name="decoder",
    )
    return UnCLIP(clip, prior, decoder, name=name)
