"""Every classifier learns 32 digits by heart, every segmentation network four images of nuclei.

usage: python -m benchmarks.overfit [MODEL ...]

The results go to `benchmarks/results/overfit.json` after each model; without names only those models are trained that
it does not hold as their cards are now. The tests repeat the quick ones.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "kerazoo"))

RESULTS = Path(__file__).parent / "results" / "overfit.json"


def main(names: list[str]) -> int:
    """Trains the models and writes what came of it; the exit status tells whether all learnt their samples."""
    import keras
    import overfitting
    import zoo

    import kerazoo
    from applications.core.run_directory import environment, write_atomically

    everything = zoo.models(lambda card: card.kind in overfitting.GOAL)
    known = json.loads(RESULTS.read_text())["models"] if RESULTS.exists() else {}
    for name in names or everything:
        plan = {**overfitting.DEFAULTS, **kerazoo.model_card(name).overfit}
        same = all(known.get(name, {}).get(key) == plan[key] for key in ("optimizer", "learning_rate"))
        if not names and same and known[name]["reached"]:
            continue
        start = time.process_time()
        known[name] = overfitting.learn(name) | {"cpu_seconds": round(time.process_time() - start, 1)}
        keras.backend.clear_session()
        print(f"{name:20}", known[name], flush=True)
        content = {
            "packages": environment()["packages"],
            "cores": len(os.sched_getaffinity(0)),
            "models": {key: known[key] for key in everything if key in known},
        }
        write_atomically(RESULTS, json.dumps(content, indent=1) + "\n")
    return 0 if all(known[name]["reached"] for name in names or everything) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
