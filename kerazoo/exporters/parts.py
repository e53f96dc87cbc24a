"""Models that are used in several parts, or step by step: each part a file, and an example that runs the whole.

An encoder and its decoder, the halves of an autoencoder, the generators of networks that train against each other, the
two encoders of a CLIP, the networks that take noise away; and one step of whatever writes tokens, with all it remembers
(keys and values, hidden states) as inputs and outputs. The example needs NumPy and the runtime, nothing else.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kerazoo.exporters import SUFFIXES, ExportReport, export, suffix
from kerazoo.exporters.files import move, workspace

EXAMPLES = Path(__file__).parent / "examples"
GENERATORS = ("generator", "generator_ab", "generator_ba")


@dataclass(frozen=True)
class Parts:
    """The parts of a model.

    Attributes:
        models: Functional models by the names of their files.
        examples: Names of the example that runs them and of what it imports.
        facts: What the example must know, for `parts.json`; `{name}` stands for the file of a part.
        samples: Inputs of a part, where random ones would make no sense.
    """

    models: dict[str, Any]
    examples: tuple[str, ...]
    facts: dict[str, Any]
    samples: dict[str, Any] = field(default_factory=dict)


def export_parts(
    model: Any,
    folder: str | os.PathLike[str],
    format: str = "litert",
    *,
    context: int | None = None,
    start_id: int | None = None,
    end_id: int | None = None,
    metadata: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> dict[str, ExportReport]:
    """Writes the inference parts of a model, each checked like any export, with an example that runs the whole.

    Args:
        model: An autoencoder, a CLIP, a model with generators, a diffusion model, an unCLIP, a language model, or an
            encoder with a decoder.
        folder: Where the parts go; made, and nothing may be there yet.
        format: `"litert"` or `"onnx"`; a LiteRT step takes one sequence.
        context: How many tokens a Transformer's step can keep. Defaults to the longest sequence of the model.
        start_id: First token of every target, of an encoder with a decoder.
        end_id: The token that ends a sequence. Defaults to `None`, which ends none.
        metadata: Plain data for each file, as in `kerazoo.export`.
        overwrite: Whether a folder this function wrote may be replaced. Defaults to `False`.

    Returns:
        The report of each part by its name.

    Raises:
        ValueError: If the model has no parts, an argument is missing, or a part cannot be exported. Nothing is left.

    Example:
        ```python
        kerazoo.exporters.export_parts(kerazoo.gpt2_tiny(), "writer")  # python writer/write_tokens.py "5 3 8" 20
        ```
    """
    if format not in ("litert", "onnx"):
        raise ValueError(f"Parts are exported to litert or onnx, received format={format!r}.")
    target = _checked_folder(folder, overwrite)
    parts = inference_parts(model, context=context, start_id=start_id, end_id=end_id)
    reports: dict[str, ExportReport] = {}
    with workspace(target) as scratch:
        draft = scratch / target.name
        draft.mkdir()
        for name, part in parts.models.items():
            batch = 1 if name == "step" and format == "litert" else None
            options: dict[str, Any] = {"samples": parts.samples.get(name), "metadata": metadata, "batch": batch}
            reports[name] = export(part, draft / f"{name}{suffix(format)}", format, **options)
        files = {name: f"{name}{suffix(format)}" for name in parts.models}
        facts = json.dumps({"format": format, **parts.facts}, indent=1)
        for name, file in files.items():
            facts = facts.replace(f"{{{name}}}", file)
        (draft / "parts.json").write_text(facts, encoding="utf-8")
        for source in ("runtime.py", *parts.examples):
            shutil.copyfile(EXAMPLES / source, draft / source)
        move(draft, target)
    return reports


def _checked_folder(folder: str | os.PathLike[str], overwrite: bool) -> Path:
    target = Path(os.path.abspath(os.path.expanduser(folder)))
    if target.suffix in [ending for ending in SUFFIXES.values() if ending]:
        raise ValueError(f"Parts go into a folder, {target.name!r} is the name of a file; {target.stem!r} would work.")
    nearest = next(parent for parent in target.parents if os.path.lexists(parent))
    if not nearest.is_dir():
        raise ValueError(f"{str(nearest)!r} is no folder, so {str(target)!r} cannot be written; choose another path.")
    if not os.path.lexists(target):
        return target
    if not overwrite:
        raise ValueError(f"{str(target)!r} already exists; pass overwrite=True or choose another name.")
    if target.is_symlink() or not (target / "parts.json").is_file():
        raise ValueError(f"{str(target)!r} holds no exported parts, so overwrite=True does not replace it.")
    return target


def inference_parts(
    model: Any, *, context: int | None = None, start_id: int | None = None, end_id: int | None = None
) -> Parts:
    """Returns the parts of a model that are exported; arguments as in `export_parts`.

    Raises:
        ValueError: If the model has none, or an argument is missing.
    """
    import keras

    from kerazoo.diffusion import _models, unclip
    from kerazoo.layers.attentive_rnn import AttentiveRNN

    if isinstance(model, unclip.UnCLIP):
        return _unclip(model)
    if isinstance(model, _models.Diffusion):
        return Parts({"denoiser": model.average}, ("denoise.py",), **_noise({"denoiser": model}))
    names = {layer.name for layer in getattr(model, "layers", ())}
    models = {name: getattr(model, name) for name in GENERATORS if isinstance(getattr(model, name, None), keras.Model)}
    if callable(getattr(model, "sampler", None)):  # which of several generators draws, such as the averaged one
        models = {"generator": model.sampler()}
    if "code" in names:
        return _autoencoder(model)
    if models:
        return Parts(models, ("run_chain.py",), {"chain": [f"{{{next(iter(models))}}}"], "parts": list(models)})
    if hasattr(model, "image_encoder") and hasattr(model, "text_encoder"):
        return _clip(model)
    inputs = [tensor.name for tensor in getattr(model, "inputs", None) or ()]
    if sorted(inputs) == ["source_ids", "target_ids"]:
        if start_id is None:
            raise ValueError(f"{model.name!r} writes behind a first token: pass start_id=.")
        attentive = any(isinstance(layer, AttentiveRNN) for layer in model.layers)
        return _translator(model, attentive, context, {"start_id": start_id, "end_id": end_id})
    if inputs == ["token_ids"]:
        return _language_model(model, context, {"start_id": None, "end_id": end_id})
    raise ValueError(f"{model.name!r} has no parts of its own; kerazoo.export writes it whole.")


def _autoencoder(model: Any) -> Parts:
    from kerazoo import autoencoders

    models = {"encoder": autoencoders.encoder(model), "decoder": autoencoders.decoder(model)}
    return Parts(models, ("run_chain.py",), {"chain": ["{encoder}", "{decoder}"]})


def _clip(model: Any) -> Parts:
    import numpy as np

    scale = float(np.exp(min(float(model.logit_scale), np.log(100.0))))
    files = {"image_encoder": "{image_encoder}", "text_encoder": "{text_encoder}"}
    models = {"image_encoder": model.image_encoder, "text_encoder": model.text_encoder}
    return Parts(models, ("match.py",), {**files, "scale": scale})


def _noise(diffusions: Mapping[str, Any], words: int = 1) -> dict[str, dict[str, Any]]:
    """Returns the facts about networks that take noise away, by name, and samples for them; `words` are known."""
    import numpy as np

    from kerazoo.diffusion import _models, unclip

    facts, samples, random = {}, {}, np.random.default_rng(0)
    for name, model in diffusions.items():
        facts[name] = {
            "network": f"{{{name}}}",
            "alpha_bars": model.schedule.alpha_bars.tolist(),
            "target": model.target,
            "limits": model.limits,
            "nothing": model.nothing,
            "told": sorted(model.denoiser.input.keys() - {_models.INPUT, _models.STEP}),
        }
        highest = {"step": model.schedule.timesteps, "label": model.nothing + 1, unclip.TOKENS: words}
        samples[name] = {
            tensor.name: random.integers(highest[tensor.name], size=(4, *tensor.shape[1:])).astype(tensor.dtype)
            if tensor.name in highest
            else random.normal(size=(4, *tensor.shape[1:])).astype(tensor.dtype)
            for tensor in model.average.inputs
        }
    return {"facts": facts, "samples": samples}


def _unclip(model: Any) -> Parts:
    import keras

    reader = model.reader
    diffusions = {"prior": model.prior, "decoder": model.decoder}
    found = _noise(diffusions, words=reader.get_layer("token_embedding").input_dim)
    models = {"reader": keras.Model(reader.input, [reader.output["embedding"], reader.output["features"]])}
    models |= {name: diffusion.average for name, diffusion in diffusions.items()}
    return Parts(models, ("draw.py", "denoise.py"), {"reader": "{reader}", **found["facts"]}, found["samples"])


def _language_model(model: Any, context: int | None, facts: dict[str, Any]) -> Parts:
    import keras

    from kerazoo.generation import decoder
    from kerazoo.recurrent import rnn

    if any(isinstance(layer, keras.layers.MultiHeadAttention) for layer in model.layers):
        longest = decoder.longest(model)
        step = decoder.step_models(model, _checked_context(context, longest))[1]
    else:
        step = rnn.step_model(model)
    return _steps(None, step, facts)


def _translator(model: Any, attentive: bool, context: int | None, facts: dict[str, Any]) -> Parts:
    from kerazoo.recurrent import bahdanau, luong, seq2seq
    from kerazoo.transformers import translation

    names = [layer.name for layer in model.layers]
    if "target_positions" in names:
        longest = int(model.get_layer("target_positions").max_length)
        reader, step = translation.step_models(model, _checked_context(context, longest))
    elif attentive:
        reader, step = (bahdanau if "deep_output" in names else luong).step_models(model)
    else:
        reader, step = seq2seq.step_models(model)
    return _steps(reader, step, facts)


def _checked_context(context: int | None, longest: int) -> int:
    if context is None:
        return longest
    if not 1 <= context <= longest:
        raise ValueError(f"context must be between 1 and {longest}, the longest sequence, received {context!r}.")
    return context


def _steps(reader: Any, step: Any, facts: dict[str, Any]) -> Parts:
    """Returns the parts of a model that writes tokens; inputs and outputs become flat lists."""
    import keras

    token, *others = step.inputs
    models = {"step": keras.Model(step.inputs, step.outputs, name=step.name)}
    state = [tensor.name for tensor in others if tensor.name not in ("slot", "pads")]
    from_reader: list[str] = []
    if reader is not None:
        models = {"reader": keras.Model(reader.inputs, reader.outputs, name=reader.name), **models}
        from_reader = state[: len(reader.outputs)]
    # What a step gives back comes last among its inputs; keys and values of a source never change.
    changing = state[len(state) - (len(step.outputs) - 1) :]
    facts = {"reader": "{reader}" if reader is not None else None, "step": "{step}", "token": token.name, **facts}
    rooms = [tensor.shape[2] for tensor in step.inputs if tensor.name in changing and len(tensor.shape) == 4]
    facts |= {"from_reader": from_reader, "state": changing, "context": rooms[0] if rooms else None}
    samples = {name: [_sample(tensor, part) for tensor in part.inputs] for name, part in models.items()}
    return Parts(models, ("write_tokens.py",), facts, samples)


def _sample(tensor: Any, part: Any) -> Any:
    """Returns values that can stand together: a slot and no padding, tokens that exist, states of a common size."""
    import numpy as np

    random = np.random.default_rng(0)
    shape = (4, *(5 if size is None else size for size in tensor.shape[1:]))
    if tensor.name in ("slot", "pads"):
        return np.full(shape, 2 if tensor.name == "slot" else 0, "int32")
    if tensor.dtype == "bool":
        return np.ones(shape, "bool")
    if str(tensor.dtype).startswith("int"):
        tables = [layer.input_dim for layer in part.layers if hasattr(layer, "input_dim")]
        return random.integers(1, min(tables), shape).astype(tensor.dtype)
    return random.normal(size=shape).astype(tensor.dtype)
