"""What must answer at once does: user CPU of a child process, best of three, and no Keras in it."""

import os

import pytest


def _user_seconds(program, *arguments: str) -> float:
    """Returns the user CPU time of the best of three runs."""
    times = []
    null = os.open(os.devnull, os.O_WRONLY)
    redirect = [(os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, null, 2)]
    for _ in range(3):
        command = [str(program), *arguments]
        pid = os.posix_spawn(command[0], command, {"PATH": os.defpath}, file_actions=redirect)
        _, status, usage = os.wait4(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0, command
        times.append(usage.ru_utime)
    os.close(null)
    return min(times)


COMMANDS = [
    ["--help"],
    ["models"],
    ["card", "unet"],
    ["train", "--help"],
    ["train", "image-classification", "--help"],
    ["train", "semantic-segmentation", "--help"],
    ["train", "language-modelling", "--help"],
    ["generate", "--help"],
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_commands_answer_at_once(environment, run, words):
    _user_seconds(environment / "bin" / "kerazoo", *words)  # compiles the bytecode
    assert _user_seconds(environment / "bin" / "kerazoo", *words) < 0.4
    program = (
        "import sys; from applications.cli import main; status = main(sys.argv[1:]); "
        "found = {'keras', 'tensorflow'} & set(sys.modules); sys.exit(str(found) if found else status)"
    )
    ran = run("python", "-c", program, *words)
    assert ran.returncode == 0, ran.stderr


def test_import_costs_milliseconds(environment, run):
    python = environment / "bin" / "python"
    _user_seconds(python, "-c", "import kerazoo")
    assert _user_seconds(python, "-c", "import kerazoo") < 0.1
    ran = run(
        "python",
        "-c",
        "import sys, kerazoo; sys.exit(bool({'keras', 'tensorflow', 'numpy'} & set(sys.modules)))",
    )
    assert ran.returncode == 0, ran.stderr
