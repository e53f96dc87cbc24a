"""Training with TensorFlow's fused kernels where Keras computes in many small steps.

Keras writes batch normalisation and Adam in operations that every backend has. TensorFlow has one kernel for each,
which goes through memory once instead of about ten times. The methods of single objects are replaced, not classes: what
is saved is Keras's own layer and optimiser, and the numbers are the same but for rounding.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


def use_fused_kernels(model: keras.Model) -> None:
    """Makes batch normalisation in all layers of a model, and Adam in its optimisers, use the fused kernels.

    Args:
        model: A compiled model, before its training function is made. Its optimisers must not be shared by devices
            (the caller sees to that): what they update there are copies.
    """
    import keras

    from applications.core.checkpoint import optimizers

    for layer in model._flatten_layers():
        if type(layer) is keras.layers.BatchNormalization and not (layer.synchronized or layer.renorm):
            layer.call = functools.partial(_normalised, layer, layer.call)
    for optimizer in optimizers(model):
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        if type(inner) in (keras.optimizers.Adam, keras.optimizers.AdamW) and not inner.amsgrad:
            inner.update_step = functools.partial(_adam_step, inner, inner.update_step)


def _normalised(layer: Any, plain: Any, inputs: Any, training: Any = None, mask: Any = None) -> Any:
    """Stands for `BatchNormalization.call`: the same, by one kernel for images in training."""
    import tensorflow as tf

    rank = len(inputs.shape)
    if (
        training is not True
        or not layer.trainable
        or mask is not None
        or rank not in (4, 5)
        or layer.axis % rank != rank - 1
    ):
        return plain(inputs, training=training, mask=mask)
    x = tf.cast(inputs, tf.float32)
    if rank == 5:
        shape = tf.shape(x)
        x = tf.reshape(x, [shape[0] * shape[1], shape[2], shape[3], x.shape[-1]])
    channels = x.shape[-1]
    gamma = layer.gamma.value if layer.scale else tf.ones([channels])
    beta = layer.beta.value if layer.center else tf.zeros([channels])
    y, mean, variance = tf.compat.v1.nn.fused_batch_norm(x, gamma, beta, epsilon=layer.epsilon, is_training=True)
    count = tf.cast(tf.size(x) // channels, tf.float32)
    variance *= (count - 1) / count  # Keras keeps the variance of the batch, the kernel estimates that of the data
    for moving, new in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
        moving.assign(moving * layer.momentum + new * (1 - layer.momentum))
    return tf.cast(tf.reshape(y, tf.shape(inputs)) if rank == 5 else y, layer.compute_dtype)


def _adam_step(optimizer: Any, plain: Any, gradient: Any, variable: Any, learning_rate: Any) -> None:
    """Stands for `Adam.update_step`: the same by one kernel, but for gradients of single rows of a table."""
    import keras
    import tensorflow as tf

    if isinstance(gradient, tf.IndexedSlices) or variable.dtype != "float32":
        plain(gradient, variable, learning_rate)
        return
    index = optimizer._get_variable_index(variable)
    steps = keras.ops.cast(optimizer.iterations + 1, "float32")
    tf.raw_ops.ResourceApplyAdam(
        var=_handle(variable),
        m=_handle(optimizer._momentums[index]),
        v=_handle(optimizer._velocities[index]),
        beta1_power=tf.pow(tf.constant(optimizer.beta_1, tf.float32), steps),
        beta2_power=tf.pow(tf.constant(optimizer.beta_2, tf.float32), steps),
        lr=tf.cast(learning_rate, tf.float32),
        beta1=optimizer.beta_1,
        beta2=optimizer.beta_2,
        epsilon=optimizer.epsilon,
        grad=tf.cast(gradient, tf.float32),
    )


def _handle(variable: Any) -> Any:
    import keras

    return (variable.value if isinstance(variable, keras.Variable) else variable).handle
