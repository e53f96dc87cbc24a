"""The import contracts of pyproject.toml hold, and each of them can fail."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VIOLATIONS = [
    ("never upward", "kerazoo/_words.py", "import applications.core"),
    ("never upward", "applications/core/errors.py", "import tuning"),
    ("any Keras backend", "kerazoo/blocks/conv.py", "import tensorflow"),
    ("any Keras backend", "kerazoo/weights/files.py", "import torch"),
    ("Cards are plain data", "kerazoo/convnets/cards.py", "import keras"),
    ("Cards are plain data", "kerazoo/classic/cards.py", "import kerazoo.catalog"),
    ("The card itself", "kerazoo/card.py", "import numpy"),
    ("The card itself", "kerazoo/card.py", "from kerazoo import _words"),
]


@pytest.fixture
def tree(tmp_path) -> Path:
    shutil.copy2(ROOT / "pyproject.toml", tmp_path)
    for package in ("kerazoo", "applications", "tuning"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def _lint_imports(tree: Path) -> subprocess.CompletedProcess:
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=tree,
        env={"PYTHONPATH": str(tree), "PATH": "/usr/bin:/bin", "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )


def test_contracts_hold(tree):
    ran = _lint_imports(tree)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(("contract", "file", "line"), VIOLATIONS)
def test_each_contract_can_fail(tree, contract, file, line):
    with (tree / file).open("a", encoding="utf-8") as source:
        source.write(f"\n{line}\n")
    ran = _lint_imports(tree)
    broken = [text for text in ran.stdout.splitlines() if text.strip().endswith("BROKEN") or "BROKEN (" in text]
    assert ran.returncode == 1
    assert any(contract in text for text in broken), ran.stdout


@pytest.mark.parametrize("line", ["import keras.src.layers", "from keras.src import ops", "import pickle"])
def test_ruff_refuses_private_keras_and_pickle(line):
    options = ["check", "--select", "TID251", "--config", str(ROOT / "pyproject.toml"), "-"]
    ran = subprocess.run([sys.executable, "-m", "ruff", *options], input=f"{line}\n", capture_output=True, text=True)
    assert ran.returncode == 1
    assert "TID251" in ran.stdout
