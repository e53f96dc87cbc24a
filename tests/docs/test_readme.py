"""The README does what it says: CI extracts its commands from it, and its example runs."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXTS = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs/guide").glob("*.md")),
]


def _marked(mark: str) -> str:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.findall(rf"^<!-- {mark} -->\n```\w+\n(.*?)^```", readme, flags=re.M | re.S)
    assert len(found) == 1, f"README.md must have exactly one block marked {mark!r}"
    return found[0]


def _commands() -> list[tuple[str, str]]:
    """Returns (document, command) for every line of a shell block that starts with `kerazoo`."""
    found = []
    for path in TEXTS:
        for block in re.findall(r"^```bash\n(.*?)^```", path.read_text(encoding="utf-8"), flags=re.M | re.S):
            found += [
                (path.name, line) for line in block.replace("\\\n", " ").splitlines() if line.startswith("kerazoo ")
            ]
    return found


def test_the_two_commands():
    assert _marked("ci: quickstart").strip() == "pip install -e '.[all]' && kerazoo quickstart"
    assert _marked("ci: tests").strip() == "pip install -e '.[all,test]' && pytest"


@pytest.mark.parametrize("mark", ["quickstart", "tests"])
def test_ci_finds_the_commands_of_the_readme(mark, tmp_path):
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    function = re.search(r"^readme\(\) \{.*?^\}", script, flags=re.M | re.S)[0]
    assert f"$(readme {mark})" in script
    ran = subprocess.run(["bash", "-c", f"{function}\nreadme {mark}"], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0
    assert ran.stdout == _marked(f"ci: {mark}")
    (tmp_path / "README.md").write_text("# nothing here\n")
    assert subprocess.run(["bash", "-c", f"{function}\nreadme {mark}"], cwd=tmp_path).returncode != 0


def test_the_example_runs(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-c", _marked("test: example")],
        cwd=tmp_path,
        env={
            "PYTHONPATH": str(ROOT),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert "'resnet20'" in ran.stdout


@pytest.mark.parametrize(("document", "command"), _commands())
def test_commands_in_the_documents_parse(document, command):
    """Verbs, tasks and options exist; nothing is trained."""
    from importlib.metadata import entry_points

    from applications import commands
    from applications.core.config import from_dict, parse_arguments
    from applications.core.registry import application_class

    words = shlex.split(command.partition("#")[0].partition(">")[0])[1:]
    verb, rest = words[0], words[1:]
    assert verb in {point.name for point in entry_points(group="kerazoo.commands")} or hasattr(commands, verb)
    if verb not in ("train", "tune"):
        return
    cls = application_class(rest[0])
    if verb == "tune":
        from tuning.cli import options_of_the_search, ranges_of

        mine, others = options_of_the_search().parse_known_args(rest[1:])
        mine.space = None  # a file the reader is to write
        application = from_dict(cls, parse_arguments(cls, others)[0])
        assert ranges_of(application, mine, [])
        rest = [rest[0], *others]
    options = [word for word in rest[1:] if word not in ("--help", "--print-config")]
    if "--config" in options:
        at = options.index("--config")
        options = options[:at] + options[at + 2 :]
    values, loose = parse_arguments(cls, options)
    assert loose == []
    from_dict(cls, values).check()
