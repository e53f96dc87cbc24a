"""The site: every model and application has a page, every link leads somewhere, no Keras is needed."""

import configparser
import dataclasses
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import kerazoo
from applications.core import config

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def _applications() -> list[str]:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = setup["options.entry_points"]["kerazoo.applications"].strip().splitlines()
    return [line.partition("=")[0].strip() for line in lines]


@pytest.fixture(scope="module")
def generated(tmp_path_factory) -> Path:
    """The generated pages, written by the command itself, which must not import Keras."""
    folder = tmp_path_factory.mktemp("site")
    program = (
        "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__'); "
        "sys.exit(f'imported: {found}' if (found := {'keras', 'tensorflow'} & set(sys.modules)) else 0)"
    )
    command = [sys.executable, "-c", program, str(DOCS / "generate.py"), str(folder)]
    subprocess.run(command, check=True, cwd=folder)
    return folder


def _pages(generated: Path) -> dict[str, str]:
    """Returns all pages of the site, hand-written and generated, by their path below docs/."""
    pages = {}
    for folder in (DOCS, generated):
        for path in folder.rglob("*.md"):
            name = path.relative_to(folder).as_posix()
            if folder == generated or not name.startswith(("models/", "applications/")):
                pages[name] = path.read_text(encoding="utf-8")
    return pages


def _without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))


def test_every_model_has_a_page_with_its_card(generated):
    assert len(kerazoo.list_models()) >= 10
    written = {path.stem for path in (generated / "models").glob("*.md")} - {"index"}
    assert written == set(kerazoo.list_models())
    overview = (generated / "models" / "index.md").read_text(encoding="utf-8")
    for name in kerazoo.list_models():
        text, card = (
            (generated / "models" / f"{name}.md").read_text(encoding="utf-8"),
            kerazoo.model_card(name),
        )
        for fact in (card.title, card.paper_url, f"{card.params:,}", card.params_source, *card.deviations):
            assert " ".join(fact.replace("|", "\\|").split()) in " ".join(text.split()), (name, fact)
        for level, layer in card.feature_levels.items():
            assert f"| {level} | `{layer}` |" in text
        for argument in kerazoo.catalog.builder_parameters(name):
            row = re.search(rf"^\| `{argument}` \| .+? \| (.*) \|$", text, flags=re.M)
            assert row, f"{name}.md does not list the argument {argument}"
            assert len(row[1]) > 10, f"{name}.md does not explain the argument {argument}"
        assert f"]({name}.md)" in overview


def test_every_application_has_a_page_with_all_options(generated):
    from applications.core.registry import application_class

    names = _applications()
    assert {path.stem for path in (generated / "applications").glob("*.md")} == {*names, "index"}
    for name in names:
        text = (generated / "applications" / f"{name}.md").read_text(encoding="utf-8")
        for entry in config.describe(application_class(name)):
            row = re.search(rf"^\| `--{re.escape(entry.path.replace('_', '-'))}` \|.*$", text, flags=re.M)
            assert row, f"{name}.md does not list --{entry.path}"
            assert entry.help, f"{name}: --{entry.path} has no help text"
            assert entry.help.replace("|", "\\|") in row[0]


def _parameters_of_simulators() -> list[type]:
    """Returns the dataclasses of parameters of all simulators."""
    folder = ROOT / "applications" / "datasets" / "simulators"
    modules = [importlib.import_module(f"applications.datasets.simulators.{path.stem}") for path in folder.glob("*.py")]
    classes = [value for module in modules for value in vars(module).values() if isinstance(value, type)]
    return list({cls for cls in classes if cls.__name__.endswith("Parameters") and dataclasses.is_dataclass(cls)})


def test_every_simulator_has_a_picture_and_all_its_parameters(generated):
    from PIL import Image

    text = (generated / "simulated.md").read_text(encoding="utf-8")
    pictures, classes = re.findall(r"\]\((simulated/\w+\.png)\)", text), _parameters_of_simulators()
    assert len(pictures) == len(classes) >= 11
    for name in pictures:
        extremes = Image.open(generated / name).convert("RGB").getextrema()
        assert all(high - low > 128 for low, high in extremes), f"{name} shows nothing"
    for cls in classes:
        for field in dataclasses.fields(cls):
            row = re.search(rf"^\| `{field.name}` \| `{re.escape(repr(field.default))}` \| (.*) \|$", text, flags=re.M)
            assert row, f"simulated.md does not list {field.name} of {cls.__name__}"
            assert len(row[1]) > 10, f"simulated.md does not explain {field.name} of {cls.__name__}"


def test_internal_links_resolve(generated):
    pages = _pages(generated)
    broken, seen = [], 0
    for name, text in pages.items():
        for target in LINK.findall(_without_code(text)):
            if "://" in target or target.startswith("#"):
                continue
            seen += 1
            resolved = (Path("/") / Path(name).parent / target.partition("#")[0]).resolve().relative_to("/").as_posix()
            if resolved not in pages:
                broken.append(f"{name}: {target}")
    assert not broken
    assert seen > 2 * len(kerazoo.list_models())


def test_navigation_and_readme_links_resolve(generated):
    def files(entry) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        return [name for part in (entry.values() if isinstance(entry, dict) else entry) for name in files(part)]

    pages = _pages(generated)
    navigation = files(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])
    assert set(navigation) <= set(pages)
    hand_written = {name for name in pages if not name.startswith(("models/", "applications/"))}
    assert hand_written <= set(navigation)
    for document in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / document).read_text(encoding="utf-8")
        for target in LINK.findall(_without_code(text)):
            assert "://" in target or (ROOT / target).exists(), f"{document}: {target}"


def test_api_page_names_what_exists():
    """mkdocstrings reads source, so a misspelt name would leave a hole in the page."""
    import ast

    text = (DOCS / "api.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^::: (\S+)\n(?:    options:\n      members: \[(.*)\]\n)?", text, flags=re.M)
    assert len(blocks) >= 8
    for module, members in blocks:
        path = ROOT / module.replace(".", "/")
        source = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text(encoding="utf-8")
        tree = ast.parse(source)
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        wanted = {name.strip() for name in members.split(",") if name.strip()}
        assert wanted <= names, f"{module} has no {sorted(wanted - names)}"
