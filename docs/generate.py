"""Writes the generated pages of the site: one per model, one per application, and their overviews.

    python docs/generate.py [FOLDER]

FOLDER (default: docs/) receives `models/*.md`, `applications/*.md`, `simulated.md` and its pictures, `fidelity.md`,
`quality.md`, `speed.md` and `exports.md`. All of it comes from where it is said already: cards, docstrings and
signatures of the builders (from their source), configuration classes of the applications, the simulators, the
references of the tests in `tests/kerazoo/references/`, and the measurements in `benchmarks/results/`.
Neither Keras nor TensorFlow is imported.
"""

import ast
import configparser
import dataclasses
import importlib
import importlib.util
import inspect
import json
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

import exports  # noqa: E402
import quality  # noqa: E402
import simulated  # noqa: E402
import speed  # noqa: E402
from markup import bullets, page, section, table  # noqa: E402

from applications.core import config  # noqa: E402
from kerazoo import catalog  # noqa: E402
from kerazoo.card import ModelCard  # noqa: E402

SECTIONS = ("Args", "Arguments", "Attributes", "Returns", "Raises", "Example", "Examples", "References")
KINDS = {
    "image_classifier": "image classifier",
    "dense_prediction": "dense prediction: one class per pixel",
    "image_to_image": "image to image",
    "vector": "vectors in, numbers or classes out",
    "sequence": "sequence",
    "language_model": "language model",
    "encoder_decoder": "encoder and decoder of sequences",
    "multi_input": "several inputs",
    "graph": "graph",
    "autoencoder": "autoencoder",
    "image_generator": "generator of images by a likelihood or by denoising",
    "generator_discriminator": "generator and discriminator",
    "image_translator": "image to image, with a discriminator",
    "instance_segmentation": "instance segmentation: maps that objects are made of",
    "detector": "detector: maps that objects are read off",
    "registration": "registration of two images",
}


# --- docstrings, read from source -----------------------------------------------------------------


@cache
def parsed(module: str) -> ast.Module:
    """Returns the syntax tree of a module, found without importing it (its package is)."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ValueError(f"The module {module!r} has no source file.")
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))


def function(module: str, name: str) -> ast.FunctionDef:
    """Returns the top-level function `name` of `module`."""
    for node in parsed(module).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return node
    raise ValueError(f"The module {module!r} holds no function {name!r}.")


def constant(module: str, name: str) -> Any:
    """Returns the literal assigned to `name` at the top of `module`."""
    for node in parsed(module).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            return ast.literal_eval(node.value)
    raise ValueError(f"The module {module!r} assigns no {name!r}.")


def sections(docstring: str | None) -> dict[str, str]:
    """Splits a Google-style docstring into its head (under "") and its sections, dedented."""
    text = inspect.cleandoc(docstring or "")
    parts = re.split(rf"^({'|'.join(SECTIONS)}):\n", text, flags=re.M)
    bodies = {name: inspect.cleandoc("\n" + body) for name, body in zip(parts[1::2], parts[2::2], strict=True)}
    return {"": parts[0].strip(), **bodies}


def entries(section: str) -> dict[str, str]:
    """Splits an `Args` section into name -> description in one line."""
    parts = re.split(r"^\*{0,2}(\w+)(?: \([^)]*\))?: ", section, flags=re.M)
    return {name: " ".join(body.split()) for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def builder_sections(card: ModelCard) -> tuple[dict[str, str], dict[str, str]]:
    """Returns the docstring sections of a builder and the description of each of its arguments.

    A variant's own words come before its family's, and both before the words that hold for all builders.
    """
    node = function(card.module, card.name)
    own = sections(ast.get_docstring(node))
    families = [
        keyword.value.id
        for decorator in node.decorator_list
        if isinstance(decorator, ast.Call)
        for keyword in decorator.keywords
        if keyword.arg == "family" and isinstance(keyword.value, ast.Name)
    ]
    family = sections(ast.get_docstring(function(card.module, families[0]))) if families else {}
    arguments = constant("kerazoo._contract", "SPINE") | entries(family.get("Args", "")) | entries(own.get("Args", ""))
    return family | own, arguments


# --- Markdown -------------------------------------------------------------------------------------


def example(section: str) -> str:
    """Returns an `Example` section as a code block."""
    if "```" in section:
        return section
    return f"```{'pycon' if '>>>' in section else 'python'}\n{section}\n```"


def code(value: Any) -> str:
    return f"`{value!r}`" if not isinstance(value, str) or value else '`""`'


def dimensions(shape: tuple[int | None, ...]) -> str:
    return " x ".join("any" if size is None else str(size) for size in shape)


def flops(count: int) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return str(count)


# --- models ---------------------------------------------------------------------------------------


def figures(card: ModelCard) -> str:
    """Returns the table of what the card claims (and the tests recompute)."""
    siblings = [name for name in catalog.list_models(family=card.family) if name != card.name]
    rows = [
        ["kind", f"{KINDS.get(card.kind, card.kind)} (`{card.kind}`)"],
        ["task", card.task],
        ["default input", f"{dimensions(card.input_shape)}, {card.input_range}"],
        ["default outputs", f"{card.num_outputs:,}"],
        ["parameters", f"{card.params:,}, of which {card.trainable_params:,} trainable"],
        ["source of the count", card.params_source],
        ["FLOPs of one sample", f"{flops(card.flops)} (two per multiply-accumulate, default input)"],
    ]
    if card.min_size is not None:
        free = "may be left open (`None`)" if card.dynamic_size else "must be given"
        multiple = f", a multiple of {card.size_multiple} where left open" if card.size_multiple > 1 else ""
        rows.append(["height and width", f"at least {card.min_size}{multiple}; {free}"])
    rows += [
        ["pretrained weights", ", ".join(f"`{word}`" for word in card.weights) or "none"],
        ["exports", ", ".join(card.exports)],
        [
            "reloading a saved file",
            "needs `import kerazoo` first" if card.custom_objects else "needs Keras only",
        ],
        ["family", f"`{card.family}`" + "".join(f", [{name}]({name}.md)" for name in siblings)],
    ]
    return table(["", ""], rows)


def model_page(card: ModelCard) -> str:
    """Returns the page of one model."""
    doc, meanings = builder_sections(card)
    levels = [[level, f"`{layer}`", str(2 ** int(level[1:]))] for level, layer in card.feature_levels.items()]
    arguments = [
        [f"`{name}`", code(default), meanings.get(name, "")]
        for name, default in catalog.builder_parameters(card.name).items()
    ]
    usage = doc.get("Example") or doc.get("Examples") or f"import kerazoo\n\nmodel = kerazoo.{card.name}()"
    return page(
        f"# {card.name}",
        card.summary,
        f"{card.authors}: [{card.title}]({card.paper_url}), {card.year}.",
        section("What it is", doc[""]),
        section("Figures", figures(card)),
        section("Example", example(usage)),
        section("Arguments", table(["argument", "default", "meaning"], arguments)),
        section("Returns", " ".join(doc.get("Returns", "").split())),
        section("Feature levels", table(["level", "layer", "stride"], levels) if levels else ""),
        section("Deviations from the paper", bullets(card.deviations) or "None."),
        section("Unlike other code", bullets(card.unlike_default)),
        section("References", doc.get("References", "")),
        "[All models](index.md)",
    )


def models_index(cards: list[ModelCard]) -> str:
    """Returns the overview of the catalogue, one table per task."""
    parts = []
    for task in sorted({card.task for card in cards}):
        rows = [
            [
                f"[{card.name}]({card.name}.md)",
                card.summary,
                str(card.year),
                f"{card.params:,}",
                flops(card.flops),
            ]
            for card in cards
            if card.task == task
        ]
        parts.append(section(task, table(["model", "idea", "year", "parameters", "FLOPs"], rows)))
    head = (
        "Parameters and FLOPs are those of the default arguments; the tests recompute every figure. "
        "`kerazoo models` prints this list, `kerazoo card NAME` one of the cards."
    )
    return page("# Models", head, *parts)


# --- fidelity to the papers -----------------------------------------------------------------------


def arguments(options: dict[str, Any]) -> str:
    """Returns arguments as one writes them: `input_shape=(64, 64, 3), padding='valid'`."""
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
    return ", ".join(f"{name}={value!r}" for name, value in values.items())


def fidelity_page(cards: list[ModelCard]) -> str:
    """Returns the page of the counts and the transplants that the tests compare our networks with."""
    references = ROOT / "tests" / "kerazoo" / "references"
    counts = [row for path in sorted(references.glob("counts*.json")) for row in json.loads(path.read_text("utf-8"))]
    rows, others = [], []
    for card in cards:
        found = {str(row["arguments"]): row for row in counts if row["builder"] == card.name}
        default = found.pop("{}", {"trainable": None, "total": None})
        ours = [f"{card.params:,}", f"{card.trainable_params:,}"]
        theirs = [f"{count:,}" if count else "" for count in (default["total"], default["trainable"])]
        rows.append([f"[{card.name}](models/{card.name}.md)", *ours, *theirs, card.params_source])
        others += [
            [f"`{card.name}({arguments(row['arguments'])})`", f"{row['total'] or row['trainable']:,}", row["source"]]
            for row in found.values()
        ]
    cases = [
        [f"`{name}`", f"`{case['builder']}({arguments(case['options'])})`", dimensions(tuple(case["shape"]))]
        for file in sorted(references.glob("torch_*.json"))
        for name, case in json.loads(file.read_text(encoding="utf-8"))["cases"].items()
    ]
    header = ["model", "ours", "ours, trainable", "source's", "source's, trainable", "source"]
    return page(
        "# Faithful to the papers",
        "Every default network has exactly as many parameters as its source says; the tests build each and compare. "
        "An empty cell is a figure that no source gives: general networks have widths of their own, and some sources "
        "count with other arguments, which stand below.",
        table(header, rows),
        section(
            "Other arguments",
            "The same with options. Running statistics are included where the source counts them.\n\n"
            + table(["model", "parameters", "source"], others),
        ),
        section(
            "Equal outputs",
            "A count says nothing about order, padding or epsilon. So each of these was written a second time in "
            "PyTorch, from the paper and the published code, and given the same seeded weights and images: outputs "
            "agree to 5e-6 of the largest. `pytest -m parity` compares live, every other run of the "
            "tests with the recorded outputs. The networks of keras.applications are compared with keras.applications "
            "itself, by way of files of its weights, at sizes where a padding on the wrong side shows. BERT, GPT-2, "
            "vision transformers and CLIP are compared with Hugging Face's `transformers`: its models with random "
            "weights, written by `save_pretrained`, are read by `kerazoo.load_safetensors` and give the same to 1e-5, "
            "and the same greedy text token by token; the Transformer agrees with its FSMT and with "
            "`torch.nn.Transformer`.\n\n" + table(["reference", "ours", "image"], cases),
        ),
    )


# --- applications ---------------------------------------------------------------------------------


def application_classes() -> dict[str, type]:
    """Returns name -> class of the applications this repository ships, as setup.cfg lists them."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    found = {}
    for line in setup["options.entry_points"]["kerazoo.applications"].strip().splitlines():
        name, _, target = (part.strip() for part in line.partition("="))
        module, _, attribute = target.partition(":")
        found[name] = getattr(importlib.import_module(module), attribute)
    return found


def option_tables(cls: type) -> str:
    """Returns the options of an application: the flat ones first, then one table per group."""
    groups: dict[str, list[list[str]]] = {"": []}
    for entry in config.describe(cls):
        group = entry.path.rpartition(".")[0]
        word = "--" + entry.path.replace("_", "-")
        row = [f"`{word}`", config.type_name(entry.type), code(entry.default), entry.help]
        groups.setdefault(group, []).append(row)
    header = ["option", "value", "default", "meaning"]
    return "\n\n".join(
        (f"### {group}\n\n" if group else "") + table(header, rows) for group, rows in groups.items() if rows
    )


def application_page(name: str, cls: Any) -> str:
    """Returns the page of one application."""
    doc = sections(cls.__doc__)
    takes_files = "predict" in vars(cls)
    use = (
        f"kerazoo predict runs/{name}/RUN INPUT -o out/" if takes_files else f"kerazoo generate runs/{name}/RUN -o out/"
    )
    commands = f"""kerazoo train {name}                          # on its own data, no network needed
kerazoo train {name} --data {cls.own_data:<18}# on yours
kerazoo train {name} --print-config > my.yaml # every option as a file
kerazoo train {name} --config my.yaml
kerazoo tune {name} --trials 20               # search for good options
kerazoo resume runs/{name}/RUN                # go on where it stopped
kerazoo evaluate runs/{name}/RUN
{use}
kerazoo export runs/{name}/RUN --format litert"""
    written = doc.get("Example") or doc.get("Examples")
    return page(
        f"# {name}",
        doc[""],
        section("Commands", f"```bash\n{commands}\n```"),
        section("From Python", example(written) if written else ""),
        section(
            "Options",
            "On the command line as written here; in a YAML file with underscores, groups nested.\n\n"
            + option_tables(cls),
        ),
        section("References", doc.get("References", "")),
        "[All applications](index.md)",
    )


def applications_index(classes: dict[str, type]) -> str:
    rows = [
        [f"[{name}]({name}.md)", sections(cls.__doc__)[""].split("\n\n")[0]] for name, cls in sorted(classes.items())
    ]
    return page("# Applications", table(["task", "what it does"], rows))


# --- simulated data -------------------------------------------------------------------------------


def simulated_page() -> str:
    """Returns the page of the simulators: a picture of each, and its parameters."""
    parts = []
    for entry in simulated.SIMULATED:
        attributes = sections(entry.parameters.__doc__)["Attributes"]
        # `gain, read_noise: of the camera` explains two.
        meanings = {
            name: meaning
            for names, meaning in re.findall(r"^(\w+(?:, \w+)*): (.*(?:\n +.*)*)", attributes, flags=re.M)
            for name in names.split(", ")
        }
        rows = [
            [f"`{field.name}`", code(field.default), meanings[field.name]]
            for field in dataclasses.fields(entry.parameters)
        ]
        body = f"{entry.caption} For {entry.task}."
        parts.append(
            section(
                entry.name,
                page(
                    body,
                    f"![{entry.caption}](simulated/{entry.name}.png)",
                    table(["option", "default", "meaning"], rows),
                ),
            )
        )
    head = (
        "What the tasks learn from where no data are given, and how a method is tested where the truth must be known. "
        "`--data NAME` chooses one, `--data-options.OPTION VALUE` changes how it is drawn; of a pair of numbers each "
        "example draws its own value. All but `beads` and `shapes` are data sets of TFDS, prepared once; each is a "
        "function in `applications.datasets.simulators` of parameters and a seed."
    )
    return page("# Simulated data", head, *parts)


# --- all of it ------------------------------------------------------------------------------------


def generate(folder: Path) -> list[Path]:
    """Writes all generated pages below `folder` and returns their paths; older ones are removed."""
    cards = [catalog.model_card(name) for name in catalog.list_models()]
    classes = application_classes()
    pages = {"models/index.md": models_index(cards), "applications/index.md": applications_index(classes)}
    pages |= {f"models/{card.name}.md": model_page(card) for card in cards}
    results = ROOT / "benchmarks" / "results"
    pages |= {"fidelity.md": fidelity_page(cards), "quality.md": quality.quality_page(results)}
    pages |= {"exports.md": exports.exports_page(results, len(cards)), "speed.md": speed.speed_page(results)}
    pages |= {f"applications/{name}.md": application_page(name, cls) for name, cls in classes.items()}
    pages["simulated.md"] = simulated_page()
    for kind, ending in {"models": "md", "applications": "md", "simulated": "png"}.items():
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for old in (folder / kind).glob(f"*.{ending}"):
            old.unlink()
    for name, text in pages.items():
        (folder / name).write_text(text, encoding="utf-8")
    for entry in simulated.SIMULATED:
        (folder / "simulated" / f"{entry.name}.png").write_bytes(simulated.picture(entry))
    return [folder / name for name in pages]


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent
    print(f"{len(generate(target))} pages written below {target}")
