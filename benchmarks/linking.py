"""Linking of simulated particles: how many true links are found, beside linking of the closest pairs.

usage: python -m benchmarks.linking [--seeds 5] [--frames 40]

Brownian particles with steps of 2.8 pixels (root mean square) in a field of 256 x 256 pixels; 5 % of the detections
are missed, others are false. The figures go to `benchmarks/results/linking.json`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

RESULT = Path(__file__).parent / "results" / "linking.json"
PARTICLES = (50, 200, 800)
MAX_DISTANCE = 8.0
MAX_GAP = 2


def measure(particles: int, seeds: int, frames: int) -> dict[str, Any]:
    """Returns the share of the true links from one frame to the next that each way finds, seed by seed."""
    from applications.datasets.simulators.particles import ParticleParameters, simulate_particles
    from kerazoo.metrics.tracking import link_scores
    from kerazoo.tracking import link, link_nearest

    rows = []
    for seed in range(seeds):
        scene = simulate_particles(ParticleParameters(particles=particles, frames=frames), seed)
        began = time.perf_counter()
        assigned = link(scene.points, MAX_DISTANCE, max_gap=MAX_GAP)
        seconds = time.perf_counter() - began
        closest = link_nearest(scene.points, MAX_DISTANCE)
        recalls = [link_scores(scene.links, tracks, consecutive=True).recall for tracks in (assigned, closest)]
        rows.append({"seed": seed, "assignment": recalls[0], "closest": recalls[1], "seconds": round(seconds, 2)})
    means = {name: statistics.mean(row[name] for row in rows) for name in ("assignment", "closest")}
    return {"particles": particles, "frames": frames, "seeds": rows, "mean": means}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=40)
    options = parser.parse_args()
    found = [measure(particles, options.seeds, options.frames) for particles in PARTICLES]
    RESULT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for row in found:
        mean = row["mean"]
        print(f"{row['particles']} particles: {mean['assignment']:.4f}, closest pairs {mean['closest']:.4f}")


if __name__ == "__main__":
    main()
