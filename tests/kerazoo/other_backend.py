"""Computes and trains models on the backend of the environment, beside what TensorFlow has computed.

usage: KERAS_BACKEND=jax python other_backend.py FOLDER; FOLDER/NAME.npz holds weights (w0, w1, ...) and outputs (y0,
y1, ...) of a model for the inputs of `zoo.batch`. Prints a line of JSON per model: largest difference, losses of two
steps.
"""

import json
import sys
from pathlib import Path

import keras
import numpy as np
import zoo


def compared(file: Path) -> dict[str, object]:
    """Returns how far the outputs are off, relative to their largest value, and the losses of two training steps."""
    name, model = file.stem, zoo.fresh(file.stem)
    with np.load(file) as saved:
        model.set_weights([saved[f"w{index}"] for index in range(len(model.weights))])
        found = zoo.outputs(model, zoo.batch(name)[0])
        expected = [saved[f"y{index}"] for index in range(len(found))]
    off = max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(found, expected, strict=True))
    x, y = zoo.training_batch(name)
    model.compile(keras.optimizers.SGD(1e-4), loss=zoo.loss(name), run_eagerly=True)
    steps = model.fit(x, y, epochs=2, batch_size=len(keras.tree.flatten(x)[0]), verbose=0).history["loss"]
    return {"name": name, "backend": keras.backend.backend(), "off": off, "losses": steps}


if __name__ == "__main__":
    for file in sorted(Path(sys.argv[1]).glob("*.npz")):
        print(json.dumps(compared(file)), flush=True)
    keras.backend.clear_session()
    guide = (Path(__file__).parents[2] / "docs" / "guide" / "scaling.md").read_text(encoding="utf-8")
    names: dict = {}
    exec(guide.partition("<!-- test: model parallelism -->\n```python\n")[2].partition("```")[0], names)
    split = {weight.path: str(weight.value.sharding.spec) for weight in names["model"].weights}
    found = {"name": "split", "losses": names["model"].history.history["loss"], "split": split}
    print("\n" + json.dumps(found), flush=True)
