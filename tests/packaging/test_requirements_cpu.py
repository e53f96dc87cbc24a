"""requirements-cpu.txt is setup.cfg with tensorflow-cpu for tensorflow."""

import configparser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = ("tune", "export", "imaging", "text", "forecast", "graphs")


def _setup_cfg() -> configparser.ConfigParser:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return config


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def test_requirements_cpu_equal_setup_cfg():
    config = _setup_cfg()
    expected = _lines(config["options"]["install_requires"])
    for extra in EXTRAS:
        expected += _lines(config["options.extras_require"][extra])
    assert any(line.startswith("tensorflow>=") for line in expected)
    expected = [line.replace("tensorflow>=", "tensorflow-cpu>=") for line in expected]
    written = _lines((ROOT / "requirements-cpu.txt").read_text(encoding="utf-8"))
    assert sorted(written) == sorted(expected)


def test_all_is_the_extras_together_and_no_others():
    extras = _setup_cfg()["options.extras_require"]
    assert _lines(extras["all"]) == [f"kerazoo[{','.join(EXTRAS)}]"]
    assert set(extras) == {*EXTRAS, "all", "docs", "test", "parity"}
