"""The `kerazoo` command. Verbs come from the entry-point group `kerazoo.commands`; help imports no TensorFlow."""

from __future__ import annotations

import errno
import os
import sys
from importlib.metadata import EntryPoint, entry_points

from applications.core.errors import UserError, nearest

# Shown first and in this order; verbs of other packages follow.
ORDER = (
    "quickstart",
    "train",
    "resume",
    "launch",
    "evaluate",
    "predict",
    "generate",
    "export",
    "benchmark",
    "report",
    "tune",
    "models",
    "card",
    "doctor",
)


def commands() -> dict[str, EntryPoint]:
    """Returns the entry points of all verbs by name."""
    found = {point.name: point for point in entry_points(group="kerazoo.commands")}
    rank = {name: number for number, name in enumerate(ORDER)}
    return dict(sorted(found.items(), key=lambda item: (rank.get(item[0], len(rank)), item[0])))


def overview() -> str:
    """Returns the text of `kerazoo --help`."""
    known = commands()
    lines = [f"  {name:<12} {first_line(point)}" for name, point in known.items()]
    return "\n".join(
        [
            "usage: kerazoo COMMAND ...",
            "",
            "Textbook deep-learning architectures, the tasks around them, and the road to a deployed model.",
            "",
            "commands:",
            *lines,
            "",
            "`kerazoo COMMAND --help` explains a command, `kerazoo train TASK --help` lists a task's options.",
        ]
    )


def first_line(point: EntryPoint) -> str:
    """Returns the first line of a verb's docstring."""
    return (point.load().__doc__ or "").strip().splitlines()[0].rstrip(".")


def main(arguments: list[str] | None = None) -> int:
    """Runs the `kerazoo` command.

    Args:
        arguments: The words after `kerazoo`; None takes them from the command line.

    Returns:
        The exit status: 0, or 2 where the user has to change something, or 128 + the number of the signal.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    quiet_tensorflow()
    try:
        status = run(arguments)
        sys.stdout.flush()  # here, where a closed pipe is noticed and forgiven
        return status
    except UserError as error:
        return complain(str(error))
    except BrokenPipeError:  # the reader of a pipe (`| head`) has seen enough
        from applications.core.quiet import discard_output

        discard_output()
        return 0
    except OSError as error:
        return complain_about_system(error)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130


def run(arguments: list[str]) -> int:
    """Finds the verb and calls it with the remaining words."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if arguments[0] == "--version":
        from kerazoo import __version__

        print(f"kerazoo {__version__}")
        return 0
    known = commands()
    if arguments[0] not in known:
        raise UserError(
            f"Unknown command {arguments[0]!r}; there are {', '.join(known)}.{nearest(arguments[0], known)}"
        )
    return known[arguments[0]].load()(arguments[1:]) or 0


def complain_about_system(error: OSError) -> int:
    """Prints what the operating system refused; an error without a file, or a bug of ours, shows its traceback."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f" while writing '{error.filename}'" if error.filename else ""
        return complain(f"No space is left on the disk{where}: free some, then go on with `kerazoo resume RUN`.")
    if error.filename is None or error.strerror is None:
        raise error
    return complain(f"{error.strerror}: '{error.filename}'.")


def complain(sentence: str) -> int:
    """Prints one sentence for the user and returns exit status 2."""
    if debugging():
        raise
    print(f"kerazoo: {sentence}", file=sys.stderr)
    return 2


def debugging() -> bool:
    """Whether `KERAZOO_DEBUG=1` asks for tracebacks instead of sentences."""
    return os.environ.get("KERAZOO_DEBUG", "") not in ("", "0")


def quiet_tensorflow() -> None:
    """Silences TensorFlow's start-up messages unless the user has set the variables."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    os.environ.setdefault("GLOG_minloglevel", "3")


if __name__ == "__main__":
    sys.exit(main())
