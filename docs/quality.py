"""The page of the figures of quality that `benchmarks/` left in the repository."""

import json
import statistics
from pathlib import Path
from typing import Any

from markup import bullets, json_of, page, section, table


def quality_page(results: Path) -> str:
    """Returns the page of the measurements that `python -m benchmarks.quality` left in the repository."""
    parts = [
        "# Measured quality",
        "Each row is a whole training with another seed: another split, other initial weights. The simple method "
        "beside it was fitted and tested on the very same splits. `python -m benchmarks.quality TASK` repeats a table.",
    ]
    for file in sorted(results.glob("quality_*.json")):
        found = json.loads(file.read_text(encoding="utf-8"))
        name, summary = found["headline"], found["summary"]
        data = ", ".join((found["data"], *(f"{k} {v}" for k, v in found["options"].get("data_options", {}).items())))
        rows = [
            [
                str(row["seed"]),
                f"{row['test'][name]:.4f}",
                f"{row['baseline'][name]:.4f}" if name in row["baseline"] else "",
                str(row["epochs"]),
                f"{row['training_seconds']:.0f}",
                str(row["cores"]),
            ]
            for row in found["seeds"]
        ]
        means = [
            f"**{summary[part]['mean']:.4f}** +- {summary[part]['spread']:.4f}" if summary[part] else ""
            for part in ("model", "baseline")
        ]
        rows.append(["mean", *means, "", f"{summary['median_training_seconds']:.0f} (median)", ""])
        versions = ", ".join(f"{package} {version}" for package, version in found["packages"].items())
        parts.append(
            section(
                f"{found['task']}: {found['model']} on {data}, up to {found['options']['epochs']} epochs",
                f"`{found['model']}` ({found['params']:,} parameters) on `{found['data']}`; {name.replace('_', ' ')} "
                f"on the test split, beside {found['baseline_name']}.\n\n"
                + table(["seed", found["model"], "simple method", "epochs", "training, s", "cores"], rows)
                + f"\n\n{other_figures(found)}Measured with {versions}.",
            )
        )
    return page(
        *parts,
        section("Linking", linking_figures(json_of(results, "linking"))),
        section("The package stardist", peer_figures(json_of(results, "stardist_package"))),
        section("Memory of large images", memory_figures(json_of(results, "tiling"))),
        section("Searches", search_figures(json_of(results, "tuning"))),
    )


def other_figures(found: dict[str, Any]) -> str:
    """Returns a sentence with the means of what else was measured on the test split."""
    rows = [row["test"] for row in found["seeds"]]
    names = [name for name in rows[0] if name != found["headline"] and all(name in row for row in rows)]
    if not names:
        return ""
    means = (f"{name.replace('_', ' ')} {statistics.mean(row[name] for row in rows):.4g}" for name in names)
    return f"Means of the other figures: {', '.join(means)}.\n\n"


def linking_figures(found: list[dict[str, Any]]) -> str:
    """Returns what `python -m benchmarks.linking` measured."""
    if not found:
        return ""
    rows = [
        [
            str(row["particles"]),
            *(f"**{row['mean'][way]:.4f}**" for way in ("assignment", "closest")),
            f"{min(seed['assignment'] for seed in row['seeds']):.4f}",
        ]
        for row in found
    ]
    return page(
        f"Share of the true links from one frame to the next that are found: films of {found[0]['frames']} frames, "
        f"{len(found[0]['seeds'])} seeds, Brownian particles with steps of 2.8 pixels in a field of 256 x 256 pixels, "
        "5 % of the detections missed. `python -m benchmarks.linking` repeats this.",
        table(["particles", "assignment", "closest pairs", "assignment, worst seed"], rows),
    )


def peer_figures(found: dict[str, Any]) -> str:
    """Returns what `python -m benchmarks.stardist_package` measured."""
    if not found:
        return ""
    rows = [
        [
            str(row["seed"]),
            *(f"{row['test'][name]:.4f}" for name in ("ap_50", "ap_75")),
            str(row["epochs"]),
            f"{row['training_seconds']:.0f}",
            str(row["cores"]),
        ]
        for row in sorted(found["seeds"], key=lambda row: row["seed"])
    ]
    mean = statistics.mean(row["test"]["ap_50"] for row in found["seeds"])
    return page(
        f"The package {found['package']}, trained on the same nuclei, the same split and for as long as `stardist` "
        f"above: mean AP at an IoU of 0.5 of **{mean:.4f}**. `python -m benchmarks.stardist_package` repeats this.",
        table(["seed", "AP 0.5", "AP 0.75", "epochs", "training, s", "cores"], rows),
    )


def memory_figures(found: list[dict[str, Any]]) -> str:
    """Returns what `python -m benchmarks.tiling` measured."""
    if not found:
        return ""
    rows = [
        [
            f"`{row['model']}`",
            f"{row['size']} x {row['size']} x {row['channels']}",
            f"{row['output_size']} x {row['output_size']}",
            f"{row['peak_mib']:.0f}",
            f"{row['mib_before_prediction']:.0f}",
        ]
        for row in sorted(found, key=lambda row: row["model"])
    ]
    return page(
        "Largest resident memory of a process that predicts one image in windows, from a file into a file. "
        "`python -m benchmarks.tiling` repeats this.",
        table(["model", "image", "prediction", "MiB", "MiB before the prediction"], rows),
    )


def search_figures(found: dict[str, Any]) -> str:
    """Returns what `python -m benchmarks.tuning` measured."""
    if not found:
        return ""
    digits, overhead, branin = found["digits"], found["overhead"], found["branin"]
    seeds = sorted({row["seed"] for row in digits["seeds"]})
    rows = []
    for algorithm, summary in digits["summary"].items():
        mine = {row["seed"]: row for row in digits["seeds"] if row["algorithm"] == algorithm}
        trials = ", ".join(sorted({f"{row['trials']} trials, {row['epochs']} epochs" for row in mine.values()}))
        best = [f"{mine[seed]['best']:.4f}" for seed in seeds]
        rows.append([algorithm, trials, *best, f"**{summary['mean']:.4f}** +- {summary['spread']:.4f}"])
    paired = digits["bayesian_less_random"]
    workers = {
        name: " and ".join(f"{run['seconds']:.1f}" for run in runs) + " s" for name, runs in found["workers"].items()
    }
    return page(
        "Smallest validation log-loss of an `mlp` on `digits` that each search found, over five parameters (learning "
        "rate, optimiser, batch size, hidden units, dropout). `tpe` is Optuna's. `python -m benchmarks.tuning` repeats "
        "this.",
        table(["search", "of one seed", *[f"seed {seed}" for seed in seeds], "mean"], rows),
        bullets(
            (
                f"Bayesian less random on the same seed: {paired['mean']:+.4f} +- {paired['spread']:.4f}, better on "
                f"{paired['better_on']} of {len(seeds)}.",
                f"Branin's function: within 1 % of the minimum after at most 40 trials in {branin['found']} of 10 "
                f"seeds; {branin['seconds_per_suggestion']:.2f} s per suggestion.",
                f"A trial takes {overhead['mean_overhead_seconds']:.2f} s longer than plain Keras takes to build and "
                "fit the same configuration, on average.",
                f"Twelve trials under a chief: {workers['1_workers']} with one worker, {workers['2_workers']} with "
                "two, each on one core, measured in turn.",
            )
        ),
    )
