"""The verb `tune` of the `kerazoo` command."""

from __future__ import annotations

import os
import sys
from typing import Any

from applications.core.errors import UserError

DESCRIPTION = """\
Searches for good values of the options of a task. Every option of `kerazoo train TASK` can be given too: it counts for
all trials, and is taken out of the task's own search space.

A range is log(1e-4,1e-1), real(0,0.5), int(2,6), int(16,128,16) or a list of values such as 16,32,64. The same command
goes on with a search that was interrupted. Results lie in OUT/tuning/NAME.

Several machines: start one process with --worker-id chief, which keeps the trials, and any number with other ids and
the same command, all with the same --chief HOST:PORT and a shared --out. The variables KERASTUNER_ORACLE_IP,
KERASTUNER_ORACLE_PORT and KERASTUNER_TUNER_ID of Keras Tuner do the same."""


def options_of_the_search() -> Any:
    """Returns the parser of the words that are not the application's."""
    from applications.commands import parser_of

    usage = "kerazoo tune TASK [--search grid|random|bayesian|hyperband] [--trials N] [--set OPTION=RANGE] ..."
    parser = parser_of("tune", DESCRIPTION, usage)
    add = parser.add_argument
    add("--search", default="random", help="grid, random, bayesian or hyperband (default: random)")
    add("--trials", type=int, default=20, help="largest number of trials (default: 20; hyperband has its own)")
    add("--set", action="append", default=[], metavar="OPTION=RANGE", help="range of one option; can be repeated")
    add("--space", metavar="FILE", help="YAML file with the whole search space, instead of the task's own")
    add("--objective", help="metric of the validation data, such as val_accuracy:max (default: what the task watches)")
    add(
        "--executions-per-trial",
        type=int,
        default=1,
        help="trainings per trial with different seeds; their mean counts",
    )
    add("--workers", type=int, default=1, help="trials at the same time on this machine; cores are divided")
    add("--budget", help="longest search, e.g. 30m")
    add("--no-prune", action="store_true", help="let trials go on that are behind the median of the others")
    add("--retrain", action="store_true", help="train the winner on training and validation data, and test it once")
    add("--name", help="name of the search (default: made from the settings)")
    add("--chief", metavar="HOST:PORT", help="where the chief of several machines listens")
    add("--worker-id", metavar="ID", help="this process among several machines; `chief` is the chief")
    add("--wait", type=float, default=600.0, metavar="SECONDS", help="how long to wait for the chief or for workers")
    add("--print-space", action="store_true", help="print the search space and its number of grid points, and end")
    return parser


def tune(arguments: list[str]) -> int:
    """Search for good hyperparameters: `kerazoo tune TASK [--search bayesian] [--trials 30]`."""
    from applications.commands import configured
    from applications.core.registry import application_class, applications

    parser = options_of_the_search()
    if not arguments or arguments[0] in ("-h", "--help") or "--help" in arguments or "-h" in arguments:
        parser.print_help()
        return 0
    if arguments[0].startswith("-"):
        raise UserError(f"`kerazoo tune` needs a task first: {', '.join(applications())}.")
    cls = application_class(arguments[0])
    mine, rest = parser.parse_known_args(arguments[1:])
    application, values = configured(cls, rest)
    settings = _settings(mine)
    settings.check()
    space = ranges_of(application, mine, _paths(values))
    from tuning.job import Job, say

    job = Job(application, space, settings, say)
    if mine.print_space:
        job.announce()
        return 0
    try:
        job.run()
    except KeyboardInterrupt:
        print("Interrupted; the same command goes on.", file=sys.stderr)
        return 130
    return 0


def _paths(values: dict[str, Any], prefix: str = "") -> list[str]:
    """Returns the dotted names of the options that were given a value."""
    found = []
    for name, value in values.items():
        path = prefix + str(name).replace("-", "_")
        found += _paths(value, f"{path}.") if isinstance(value, dict) else [path]
    return found


def _settings(mine: Any) -> Any:
    from tuning.settings import Settings

    chief, worker = mine.chief, mine.worker_id
    if chief is None and "KERASTUNER_ORACLE_IP" in os.environ:
        chief = f"{os.environ['KERASTUNER_ORACLE_IP']}:{os.environ.get('KERASTUNER_ORACLE_PORT', '')}"
        worker = worker or os.environ.get("KERASTUNER_TUNER_ID")
    return Settings(
        algorithm=mine.search,
        trials=mine.trials,
        objective=mine.objective,
        executions=mine.executions_per_trial,
        workers=mine.workers,
        budget=mine.budget,
        prune=not mine.no_prune,
        retrain=mine.retrain,
        name=mine.name,
        chief=chief,
        worker_id=worker,
        wait=mine.wait,
    )


def ranges_of(application: Any, mine: Any, fixed: list[str]) -> Any:
    """Returns the checked search space that the words describe."""
    from tuning import spaces

    given = spaces.read_file(mine.space) if mine.space else None
    settings = dict(spaces.read_setting(text) for text in mine.set)
    return spaces.space_of(application, given=given, settings=settings, fixed=fixed)
