"""The page of the measurements of speed that `benchmarks/` left in the repository."""

import functools
from pathlib import Path
from typing import Any

from markup import bullets, json_of, page, section, table

INTRODUCTION = """# Speed

All figures are measured side by side, one after the other within each round, on one machine; ratios are the medians of
the rounds' ratios. Other machines have other figures: the commands repeat them there."""

# Found by profiles; what was tried beside is told, so that nobody needs to try it again.
KERNELS = """Convolutions take most of the time of the convolutional networks, and oneDNN computes them in both
libraries. What Keras adds was found by profiles, and mended where TensorFlow can do it in one go:

- Batch normalisation and Adam are written in about ten operations each; kerazoo trains with one kernel for each.
- Keras gathers its arrays sample by sample; kerazoo takes whole batches where all samples have one size.
- Of small networks several steps are one graph, over batches that come as one block: neither the pipeline nor XLA is
  entered for every step.
- XLA makes recurrent networks faster and plain convolutional networks slower, so it is tried, never assumed.
- Not closed: PyTorch has one operator for a whole LSTM, Keras a loop of small matrix products, which XLA compiles. A
  loop of our own, with the products of the inputs before it, was no faster: 14.5 ms against 13.6 ms of processor time
  a step, 9.7 against 8.4 ms under XLA (GRU 12.5 against 18.2, and 7.4 against 7.5 ms)."""


def speed_page(results: Path) -> str:
    """Returns the page; what has not been measured is left out."""

    known = functools.partial(json_of, results)
    return page(
        INTRODUCTION,
        section("Training", training(known("training"))),
        section("What the time goes into", page(KERNELS, choices(known("training")))),
        section("Predicting", predicting(known("inference"))),
        section("Data", data(known("pipeline"))),
        section("Several workers", scaling(known("scaling"))),
        section("Starting", starting(known("startup"))),
        section("Generating text", generating(known("generation"))),
    )


def machine(found: dict[str, Any]) -> str:
    """Returns what a measurement was made on."""
    versions = ", ".join(f"{name} {version}" for name, version in found["packages"].items())
    cores = f"{found['cores']} cores, " if "cores" in found else ""
    return f"Measured with {cores}{versions}."


def training(found: dict[str, Any]) -> str:
    """Returns the table of training steps."""
    if not found:
        return ""
    rows = [
        [
            name,
            *(f"{row['milliseconds'].get(peer, float('nan')):.2f}" for peer in ("kerazoo", "keras", "torch")),
            *(f"{row['ratios'].get(peer, float('nan')):.2f}" for peer in ("keras", "torch")),
            row["plan"],
        ]
        for name, row in found["models"].items()
    ]
    for label, key in (("geometric mean", "geometric_mean"), ("of the convolutional ones", "convolutional")):
        means = [found["summary"].get(peer, {}).get(key) or float("nan") for peer in ("keras", "torch")]
        rows.append([label, "", "", "", *(f"**{mean:.2f}**" for mean in means), ""])
    header = [
        "network",
        "kerazoo, ms",
        "plain Keras, ms",
        "PyTorch, ms",
        "Keras / kerazoo",
        "PyTorch / kerazoo",
        "plan",
    ]
    return page(
        f"A training step of batch {found['batch']}: kerazoo with the plan it finds for itself, `compile` and `fit` "
        "of Keras as its guide has them, and the same network in PyTorch, eager. Above 1 kerazoo is faster. "
        "`python -m benchmarks.training` repeats this.",
        table(header, rows),
        f"A product of two matrices of 1024 x 1024 reaches {found['matmul_gflops_per_second']:.0f} GFLOP/s here. "
        + machine(found),
    )


def choices(found: dict[str, Any]) -> str:
    """Returns the table of what the fused kernels and XLA do to each network."""
    rows = []
    for name, row in found.get("models", {}).items():
        ways = row["ways"]
        without = min(time for way, time in ways.items() if way.startswith("plain"))
        compiled = min((time for way, time in ways.items() if way.startswith("xla")), default=float("nan"))
        fused = row["ratios"].get("unfused")
        rows.append([name, "" if fused is None else f"{fused:.2f}", f"{without / compiled:.2f}"])
    if not rows:
        return ""
    return page(
        "How many times as fast each of the two makes a training step; XLA as the planner saw it in its few steps:",
        table(["network", "fused kernels", "XLA"], rows),
    )


def predicting(found: dict[str, Any]) -> str:
    """Returns the table of predictions."""
    if not found:
        return ""
    rows = [
        [name, count]
        + [f"{row['milliseconds'][way]:.2f}" for way in ("predictor", "auto", "bare", "predict")]
        + [f"{row['predictor_over_bare']:.2f}"]
        + [f"{row[ratio]:.1f}" for ratio in ("predict_over_predictor", "predict_over_auto")]
        for name, counts in found["models"].items()
        for count, row in counts.items()
    ]
    header = ["network", "samples", "Predictor, ms", "auto, ms", "bare call, ms", "predict, ms"]
    return page(
        '`Predictor`, by itself and with `execution="auto"`, beside a bare `tf.function` of the model and '
        "`model.predict`. `python -m benchmarks.inference` repeats this. What `predict` adds is the same for all, so "
        "the longer a network itself takes, the less is to be gained: many images are oneDNN's work either way.",
        table([*header, "Predictor / bare", "predict / Predictor", "predict / auto"], rows),
        machine(found),
    )


def data(found: dict[str, Any]) -> str:
    """Returns what reading files and making batches costs."""
    if not found:
        return ""
    reading, batches = found["reading"], found["batches_from_memory"]
    ways = "; ".join(
        f"{name} {row['images_per_second']:.0f} images per second on {row['cores']:.1f} cores"
        for name, row in reading.items()
    )
    milliseconds = batches["milliseconds"]
    return page(
        f"`python -m benchmarks.pipeline`, {found['images']:,} JPEGs of 256 x 256 pixels:",
        bullets(
            (
                f"resnet20 on crops of 32 x 32 waits for its data {found['resnet20']['data_wait']:.2%} of the time: "
                "kerazoo decodes every file once.",
                f"Decoding bounds what reads files again in every epoch: {ways}.",
                f"A batch of 32 augmented images from memory takes {milliseconds['kerazoo']:.2f} ms, with the layers "
                f"of Keras {milliseconds['keras']:.2f} ms.",
            )
        ),
        machine(found),
    )


def scaling(found: dict[str, Any]) -> str:
    """Returns what workers beside each other cost."""
    if not found:
        return ""
    rows = [
        [name, workers, f"{row['seconds_per_epoch']:.2f}", f"{row['times_as_fast']:.2f}"]
        for name, counts in found["models"].items()
        for workers, row in counts.items()
    ]
    return page(
        "`python -m benchmarks.scaling`: the same training by workers that share the cores of one machine, so at best "
        "as fast as one process.",
        table(["network", "workers", "seconds per epoch", "times as fast"], rows),
        machine(found),
    )


def starting(found: dict[str, Any]) -> str:
    """Returns what starts cost."""
    if not found:
        return ""
    rows = [
        [name, f"{row['seconds']:.2f}", f"{row['processor_seconds']:.2f}"] for name, row in found["processes"].items()
    ]
    return page(
        "`python -m benchmarks.startup`: whole processes. First steps are two training steps of the digits.",
        table(["process", "clock, s", "processor, s"], rows),
        f"kerazoo's first steps take {found['first_steps_over_plain_keras']:.2f} times as long as plain Keras with its "
        "import of TensorFlow.",
    )


def generating(found: dict[str, Any]) -> str:
    """Returns what a token costs at two positions."""
    if not found:
        return ""
    rows = [
        [
            {"cached": "kept", "whole": "computed again"}[way],
            *(f"{row[position]:.1f}" for position in ("64", "256", "512")),
        ]
        for way, row in found["milliseconds"].items()
    ]
    return page(
        "Milliseconds of a token of a GPT of 4.9 M weights, with keys and values kept and without: "
        "`python -m benchmarks.generation`.",
        table(["keys and values", "position 64", "position 256", "position 512"], rows),
    )
