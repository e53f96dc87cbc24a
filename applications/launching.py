"""`kerazoo launch`: the verb that starts several workers on this machine."""

from __future__ import annotations

from pathlib import Path

from applications.commands import configured, parser_of
from applications.core.errors import UserError


def launch(arguments: list[str]) -> int:
    """Train with several workers on this machine: `kerazoo launch --workers 2 train TASK ...`."""
    parser = parser_of(
        "launch",
        """\
        Starts several workers on this machine, each of which takes its part of every batch, and passes on what they
        print. When one of them dies, all of them start again from the last checkpoint.""",
        "kerazoo launch [--workers N] [--restarts N] (train TASK ... | resume RUN)",
    )
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes; default 2")
    parser.add_argument("--restarts", type=int, default=3, metavar="N", help="how often at most; default 3")
    place = next((i for i, word in enumerate(arguments) if word in ("train", "resume")), len(arguments))
    options = parser.parse_args(arguments[:place])
    if options.workers < 1 or options.restarts < 0:
        raise UserError("`kerazoo launch` needs --workers of at least 1 and --restarts of at least 0.")
    from applications.core.launcher import launch as launch_group

    words, run = for_workers(arguments[place:])
    return launch_group(words, run, options.workers, options.restarts, print)


def for_workers(words: list[str]) -> tuple[list[str], Path]:
    """Returns the command every worker is given, and the run it works in."""
    import time

    from applications.core.registry import application_class
    from applications.core.run_directory import RunDirectory

    if len(words) < 2:
        raise UserError("`kerazoo launch` needs the command of the workers: `train TASK ...` or `resume RUN`.")
    if words[0] == "resume":
        return words, RunDirectory.open(words[1]).path
    cls = application_class(words[1])
    words = [*words, "--strategy", "multi-worker"]
    application, _ = configured(cls, words[2:])
    if application.name is None:  # known here, so that all workers mean the same folder
        application = application.replace(name=time.strftime("%Y-%m-%d_%H%M%S"))
        words += ["--name", str(application.name)]
    RunDirectory.check_free(application.out, application.task, application.name)
    return words, Path(application.out) / application.task / str(application.name)
