"""The wheel holds what it should, installs into an empty environment and works there."""

import zipfile
from email.parser import Parser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("kerazoo", "applications", "tuning")


def test_contents(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    folders = {name.partition("/")[0] for name in names}
    assert {name for name in folders if not name.endswith(".dist-info")} == set(PACKAGES)
    expected = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    assert {f"{package}/py.typed" for package in PACKAGES} <= expected
    assert any(name.startswith("applications/core/templates/") for name in expected)
    assert {name for name in names if ".dist-info/" not in name} == expected


def test_metadata(wheel):
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = Parser().parsestr(archive.read(name).decode())
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Description-Content-Type"] == "text/markdown"
    extras = {"tune", "export", "imaging", "text", "forecast", "graphs", "all", "docs", "test", "parity"}
    assert set(metadata.get_all("Provides-Extra")) == extras
    assert any(line.startswith("tensorflow>=") for line in metadata.get_all("Requires-Dist"))
    assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())


def test_commands_answer(run):
    helped = run("kerazoo", "--help")
    assert helped.returncode == 0, helped.stderr
    assert "train" in helped.stdout
    listed = run("kerazoo", "models")
    assert listed.returncode == 0, listed.stderr
    assert "resnet50" in listed.stdout
    card = run("kerazoo", "card", "unet")
    assert card.returncode == 0, card.stderr
    assert "31,030,658" in card.stdout
    assert run("kerazoo", "models", "nothing-like-it").returncode == 2


def test_the_code_is_the_installed_one(run, environment):
    ran = run("python", "-c", "import kerazoo, applications, tuning; print(kerazoo.__file__, kerazoo.__version__)")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith(str(environment))


def test_a_whole_run(run, tmp_path):
    """Data, model, training, report and its template: all of it from the wheel."""
    ran = run("kerazoo", "train", "image-classification", "--fast-dev-run", "--name", "first", "--model", "mlp")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    finished = tmp_path / "runs" / "image-classification" / "first"
    assert "<html" in (finished / "report.html").read_text(encoding="utf-8")
    assert (finished / "model.keras").is_file()
