"""One wheel, built once, in an environment of its own beside the test interpreter's dependencies."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE")
FOLDERS = ("kerazoo", "applications", "tuning", "tests", "benchmarks", "docs")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """The wheel of a clean copy of the tree (`build` writes into the tree it builds)."""
    tree = tmp_path_factory.mktemp("tree")
    for name in FILES:
        shutil.copy2(ROOT / name, tree)
    for name in FOLDERS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    # A setuptools that is recent enough spares the network; an older one is replaced in an isolated build.
    recent = int(version("setuptools").partition(".")[0]) >= 77
    options = ["--no-isolation"] if recent else []
    command = [sys.executable, "-m", "build", "--wheel", *options, "--outdir", str(tree / "out"), str(tree)]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tree)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (found,) = (tree / "out").glob("*.whl")
    return found


@pytest.fixture(scope="session")
def environment(wheel, tmp_path_factory) -> Path:
    """An environment that holds the wheel and nothing else; the dependencies come after it on the path."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = str(folder / "bin" / "python")
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--no-deps",
        "--no-index",
        str(wheel),
    ]
    # On PYTHONPATH pip would find the package installed already.
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ran = subprocess.run(install, capture_output=True, text=True, env=variables)
    assert ran.returncode == 0, ran.stderr
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return folder


@pytest.fixture
def run(environment, tmp_path):
    """Returns a function that runs a program of the environment, outside the checkout."""

    def call(program: str, *arguments: str) -> subprocess.CompletedProcess:
        variables = {
            "PATH": os.defpath,
            "HOME": str(tmp_path),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "LC_ALL": "C.UTF-8",
        }
        command = [str(environment / "bin" / program), *arguments]
        return subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True)

    return call
