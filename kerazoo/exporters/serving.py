"""The signature `serve_bytes` of a SavedModel: image files in, classes or masks out, nothing left to the caller.

Files are read as `kerazoo predict` reads them, but for the marks of orientation, which TensorFlow does not obey, and
TIFF, which it cannot read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kerazoo.exporters.plan import ImageBytes

LUMINANCE = (0.299, 0.587, 0.114)


def check(image: ImageBytes | None, model: Any, format: str) -> None:
    """Refuses image files where they make no sense.

    Raises:
        ValueError: One sentence.
    """
    if image is None:
        return
    if format != "saved_model":
        raise ValueError(
            f"image= is for SavedModels, received format={format!r}; other runtimes decode no image files."
        )
    inputs = getattr(model, "inputs", None) or []
    shapes = [tuple(tensor.shape) for tensor in inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][-1] != image.channels:
        raise ValueError(
            f"image= needs a model of one image with {image.channels} channels, {model.name!r} takes {shapes}."
        )
    if len(model.outputs) != 1:
        raise ValueError(f"image= needs a model with one output, {model.name!r} has {len(model.outputs)}.")
    classes = max(2, model.outputs[0].shape[-1])
    if image.labels and image.answer != "values" and len(image.labels) != classes:
        raise ValueError(f"image= has {len(image.labels)} labels, {model.name!r} has {classes} classes.")


def write(model: Any, specs: Any, path: Path, image: ImageBytes) -> None:
    """Writes a SavedModel with the signatures `serve` (arrays) and `serve_bytes`."""
    import functools

    import keras
    import tensorflow as tf

    archive = keras.export.ExportArchive()
    archive.track(model)
    call = functools.partial(model.__call__, training=False)
    archive.add_endpoint("serve", call, input_signature=[specs])
    files = [tf.TensorSpec([None], tf.string, name="image_bytes")]
    archive.add_endpoint("serve_bytes", endpoint(model, image), input_signature=files)
    archive.write_out(str(path), verbose=False)


def endpoint(model: Any, image: ImageBytes) -> Any:
    """Returns the function behind `serve_bytes`, of one argument `image_bytes`."""
    import tensorflow as tf

    size = tuple(model.inputs[0].shape[1:3])
    spec = tf.TensorSpec([*size, image.channels], tf.float32)

    def serve_bytes(image_bytes: Any) -> dict[str, Any]:
        batch = tf.map_fn(lambda data: _pixels(data, image, size), image_bytes, fn_output_signature=spec)
        height, width = tf.shape(batch)[1], tf.shape(batch)[2]
        if None in size and image.size_multiple > 1:
            batch = _continued(batch, image.size_multiple)
        outputs = model(tf.cast(batch, model.inputs[0].dtype), training=False)
        if image.answer == "values":
            return {"values": outputs}
        if image.answer == "mask":
            outputs = outputs[:, :height, :width]
            return {"probabilities": outputs, "mask": tf.cast(_classes(outputs), tf.uint8)}
        found = {"probabilities": outputs, "class": _classes(outputs)}
        return found | ({"label": tf.gather(tf.constant(image.labels), found["class"])} if image.labels else {})

    return serve_bytes


def _classes(outputs: Any) -> Any:
    """Returns the likeliest class; a single output is the probability of class 1."""
    import tensorflow as tf

    return tf.argmax(outputs, axis=-1) if outputs.shape[-1] > 1 else tf.cast(outputs[..., 0] > 0.5, tf.int64)


def _pixels(data: Any, image: ImageBytes, size: tuple[int | None, int | None]) -> Any:
    """Returns one file as float32 (height, width, channels), in the depth, the colours and the size of the model."""
    import tensorflow as tf

    def png() -> Any:  # 8 bits become 16: 255 becomes 65535
        return tf.cast(tf.io.decode_png(data, channels=3, dtype=tf.uint16), tf.int32)

    def jpeg() -> Any:  # the decoder's default is up to 9 levels off
        return 257 * tf.cast(tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE"), tf.int32)

    def other() -> Any:  # which `decode_image` would multiply by 256
        return 257 * tf.cast(tf.io.decode_image(data, channels=3, expand_animations=False), tf.int32)

    is_png = tf.equal(tf.strings.substr(data, 0, 4), b"\x89PNG")
    pixels = tf.case([(is_png, png), (tf.io.is_jpeg(data), jpeg)], default=other)
    pixels = tf.cast(pixels, tf.float32) * (image.brightest / 65535)
    pixels = tf.ensure_shape(pixels, (None, None, 3))
    if image.channels == 1:
        pixels = tf.reduce_sum(pixels * LUMINANCE, axis=-1, keepdims=True)
    if None not in size:
        pixels = tf.image.resize(pixels, size, antialias=True)
    return pixels


def _continued(batch: Any, multiple: int) -> Any:
    """Returns images continued by reflection to the next multiple in height and width (at bottom and right)."""
    import tensorflow as tf

    have = tf.shape(batch)[1:3]
    missing = -have % multiple
    edges = [[0, 0], [0, missing[0]], [0, missing[1]], [0, 0]]
    return tf.cond(
        tf.reduce_all(missing < have),
        lambda: tf.pad(batch, edges, "REFLECT"),
        lambda: tf.pad(batch, edges, "SYMMETRIC"),
    )
