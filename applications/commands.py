"""The verbs of the `kerazoo` command, each a function of the words that follow it."""

from __future__ import annotations

import argparse
import sys
import textwrap
from typing import TYPE_CHECKING, Any

from applications.core.errors import UserError, nearest

if TYPE_CHECKING:
    from applications.core.application import Application


class Parser(argparse.ArgumentParser):
    """An argument parser that complains in one sentence, with the nearest option."""

    def error(self, message: str) -> Any:
        options = [word for action in self._actions for word in action.option_strings]
        hint = ""
        if message.startswith("unrecognized arguments: "):
            hint = nearest(message.split(": ")[1].split()[0].split("=")[0], options)
        raise UserError(f"{message[0].upper()}{message[1:]}.{hint} See `{self.prog} --help`.")


def parser_of(verb: str, description: str, usage: str | None = None) -> Parser:
    """Returns the parser of a verb's words.

    Args:
        verb: The verb, such as `"export"`.
        description: What `--help` says about it.
        usage: How it is called; None makes that from its options.

    Returns:
        A parser without options yet.
    """
    return Parser(
        prog=f"kerazoo {verb}",
        usage=usage,
        description=textwrap.dedent(description),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


# Training -----------------------------------------------------------------------------------------------------------


def train(arguments: list[str]) -> int:
    """Train a model on a task: `kerazoo train TASK [--data ...] [--model ...]`."""
    from applications.core.registry import application_class, applications

    if not arguments or arguments[0] in ("-h", "--help"):
        print(_tasks_help())
        return 0
    if arguments[0].startswith("-"):
        raise UserError(f"`kerazoo train` needs a task first: {', '.join(applications())}.")
    task, words = arguments[0], arguments[1:]
    cls = application_class(task)
    if "-h" in words or "--help" in words:
        print(_options_help(cls))
        return 0
    words, print_config = _without(words, "--print-config")
    application, _ = configured(cls, words)
    if print_config:
        from applications.core.training import yaml_of

        print(yaml_of(application), end="")
        return 0
    from applications.core.training import start

    return _train_and_report(start, application)


def configured(cls: type[Application], words: list[str]) -> tuple[Application, dict[str, Any]]:
    """Returns the application that words of the command line describe, checked.

    Args:
        cls: The task's class.
        words: Its options, written `--name value`; `--config FILE` names a file that they go before.

    Returns:
        The application, and the nested values that the words alone have set.

    Raises:
        UserError: A word, a value or the file cannot be used.
    """
    from applications.core.config import from_dict, merge, parse_arguments, read_yaml

    words, file = _value_of(words, "--config")
    values, rest = parse_arguments(cls, words)
    if rest:
        raise UserError(f"Unexpected word {rest[0]!r}: options are written `--name value`.")
    base = read_yaml(file) if file else {}
    written_for = base.pop("task", cls.task)
    if written_for != cls.task:
        raise UserError(f"'{file}' is a configuration of {written_for}, not of {cls.task}.")
    application = from_dict(cls, merge(base, values))
    application.check()
    return application, values


def _train_and_report(function: Any, *arguments: Any) -> int:
    from applications.core.cluster import Cluster
    from applications.core.training import Interrupted, load_application

    try:
        run = function(*arguments)
    except Interrupted as interrupted:
        print(interrupted, file=sys.stderr)
        return interrupted.status
    if Cluster.around(load_application(run).strategy).is_chief:
        print(f"report: {run / 'report.html'}")
        print(f"model:  {run / 'model.keras'}")
    return 0


def _without(words: list[str], flag: str) -> tuple[list[str], bool]:
    return [word for word in words if word != flag], flag in words


def _value_of(words: list[str], option: str) -> tuple[list[str], str | None]:
    for position, word in enumerate(words):
        if word == option:
            if position + 1 == len(words):
                raise UserError(f"{option}: a file is missing.")
            return words[:position] + words[position + 2 :], words[position + 1]
        if word.startswith(f"{option}="):
            return words[:position] + words[position + 1 :], word.split("=", 1)[1]
    return words, None


def _tasks_help() -> str:
    from applications.core.registry import applications

    lines = [f"  {name:<24} {point.load().summary}" for name, point in applications().items()]
    return "\n".join(
        [
            "usage: kerazoo train TASK [--option value ...]",
            "",
            "tasks:",
            *lines,
            "",
            "`kerazoo train TASK --help` lists the options of a task.",
        ]
    )


def _options_help(cls: type[Application]) -> str:
    """Returns all options of a task, those everybody uses first."""
    from applications.core.config import describe

    common = (
        "data",
        "model",
        "epochs",
        "batch_size",
        "learning_rate",
        "optimizer",
        "schedule",
        "seed",
        "strategy",
        "precision",
        "out",
    )
    described = {entry.path: entry for entry in describe(cls)}

    def lines(paths: list[str]) -> list[str]:
        return _described(cls, paths)

    flat = [path for path in described if path not in common and "." not in path]
    groups = [path for path in described if "." in path]
    return "\n".join(
        [
            f"usage: kerazoo train {cls.task} [--option value ...]",
            "",
            f"{cls.summary[0].upper()}{cls.summary[1:]}.",
            "",
            "common options:",
            *lines([path for path in common if path in described]),
            "  --config (file)",
            "      YAML file with any of these options; the command line goes before it.",
            "  --print-config",
            "      Print the whole configuration and end.",
            "",
            "further options:",
            *lines(flat),
            "",
            "groups:",
            *lines(groups),
        ]
    )


def _described(cls: type, paths: list[str] | None = None) -> list[str]:
    """Returns what options of a configuration class mean; all of them where no paths are given."""
    from applications.core.config import describe, type_name

    found = []
    described = {entry.path: entry for entry in describe(cls)}
    for path in described if paths is None else paths:
        entry = described[path]
        default = "none" if entry.default in (None, "") else entry.default
        found.append(f"  --{path.replace('_', '-')} ({type_name(entry.type)})")
        found += textwrap.wrap(
            f"{entry.help} Default: {default!s}.", 100, initial_indent=" " * 6, subsequent_indent=" " * 6
        )
    return found


def resume(arguments: list[str]) -> int:
    """Go on with an interrupted training: `kerazoo resume RUN`."""
    parser = parser_of("resume", "Goes on with an interrupted training from its last checkpoint.")
    parser.add_argument("run", help="run directory")
    options = parser.parse_args(arguments)
    from applications.core.training import resume as resume_run

    return _train_and_report(resume_run, options.run)


# After the training -------------------------------------------------------------------------------------------------


def evaluate(arguments: list[str]) -> int:
    """Evaluate a finished run, on its test split or on other data: `kerazoo evaluate RUN [--data ...]`."""
    parser = parser_of("evaluate", "Evaluates the model of a run on its test split, or on all of another data set.")
    parser.add_argument("run", help="run directory")
    parser.add_argument("--data", help="other data of the same kind (all of it is used)")
    options = parser.parse_args(arguments)
    from applications.core.evaluation import evaluate_run

    name, result = evaluate_run(options.run, options.data, show=print)
    for metric, value in result.metrics.items():
        print(f"{metric:<20} {value:.4f}")
    print(f"written: {name}")
    return 0


def predict(arguments: list[str]) -> int:
    """Predict your own files with a finished run: `kerazoo predict RUN INPUT... -o out/`."""
    parser = parser_of("predict", "Predicts files, or all files in folders, with the model of a run.")
    parser.add_argument("run", help="run directory")
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="file (image, CSV or text) or folder")
    parser.add_argument("-o", "--out", required=True, help="folder for the predictions")
    parser.add_argument(
        "--on-bad-file",
        choices=("error", "skip"),
        default="error",
        help="unreadable files: end with a message, or go on without",
    )
    options = parser.parse_args(arguments)
    from applications.core.evaluation import predict_files

    written = predict_files(options.run, options.inputs, options.out, options.on_bad_file)
    print(f"{len(written)} file{'s' if len(written) != 1 else ''} written to {options.out}")
    return 0


def generate(arguments: list[str]) -> int:
    """Write text or draw pictures with a trained model: `kerazoo generate RUN [--prompt ...] [--count 64 -o out/]`."""
    from applications.core.config import from_dict, parse_arguments

    if not arguments or "-h" in arguments or "--help" in arguments:
        print(_generate_help())
        return 0
    path, *words = arguments
    if path.startswith("-"):
        raise UserError("`kerazoo generate` needs a run directory first: `kerazoo generate RUN ...`.")
    from applications.core.evaluation import open_finished
    from applications.core.training import load_application

    run = open_finished(path)
    application = load_application(run)
    if application.request is None:
        raise UserError(
            f"'{run.path}' is a run of {application.task}, which makes nothing new; runs of {', '.join(_makers())} do."
        )
    short = [f"--out{word[2:]}" if word.partition("=")[0] == "-o" else word for word in words]
    values, rest = parse_arguments(application.request, short)
    if rest:
        raise UserError(f"Unexpected word {rest[0]!r}: options are written `--name value`.")
    print(application.generate(run, from_dict(application.request, values)))
    return 0


def _makers() -> dict[str, type[Application]]:
    """Returns the tasks whose models make something new."""
    from applications.core.registry import applications

    found = {name: point.load() for name, point in applications().items()}
    return {name: cls for name, cls in found.items() if cls.request is not None}


def _generate_help() -> str:
    lines = ["usage: kerazoo generate RUN [--option value ...]", "", "Makes something new with the model of a run."]
    for name, cls in _makers().items():
        assert cls.request is not None
        lines += ["", f"runs of {name}:", *_described(cls.request)]
    return "\n".join(lines)


def export(arguments: list[str]) -> int:
    """Export a finished run or a Keras model and check the file: `kerazoo export RUN --format litert`."""
    parser = parser_of(
        "export",
        "Exports the model of a run, runs the file in its real runtime and compares it with the model.",
    )
    parser.add_argument("run", help="run directory, or the .keras file of any Keras model")
    parser.add_argument("--format", required=True, help="saved_model, litert or onnx")
    parser.add_argument(
        "--quantize", default="none", help="litert: none, float16, dynamic (8-bit weights), int8 or int8-float-io"
    )
    parser.add_argument("--batch", default="dynamic", help="samples the file takes at once; dynamic: any number")
    parser.add_argument(
        "--signature", default="auto", help="saved_model: array, image-bytes (takes image files, too) or auto"
    )
    parser.add_argument(
        "--parts", action="store_true", help="write each part of a model of several, and an example that runs the whole"
    )
    parser.add_argument("--calibrate", metavar="FILE", help="int8: .npy or .npz of samples; default: those of the run")
    parser.add_argument("--keep-float", metavar="LAYER", action="append", default=[], help="int8: spare this layer")
    parser.add_argument("--list-errors", action="store_true", help="int8: say which operations are the worst")
    parser.add_argument(
        "--tolerance",
        type=float,
        metavar="X",
        help="largest accepted difference, as a part of the largest output; default 1e-4, float16: 1e-2, 8 bits: 20 dB",
    )
    parser.add_argument("-o", "--out", help="path of the export; default RUN/exports/FORMAT")
    parser.add_argument("--overwrite", action="store_true", help="replace an export that is there already")
    options = parser.parse_args(arguments)
    from applications.core.exporting import ExportOptions, export_parts
    from applications.core.exporting import export as export_any

    if options.batch != "dynamic" and not (options.batch.isdigit() and int(options.batch)):
        raise UserError(f"--batch: expected dynamic or a number of samples, received {options.batch!r}.")
    wanted = ExportOptions(
        format=options.format,
        quantize=options.quantize,
        batch=None if options.batch == "dynamic" else int(options.batch),
        keep_float=tuple(options.keep_float),
        list_errors=options.list_errors,
        tolerance=options.tolerance,
        calibrate=options.calibrate,
        out=options.out,
        overwrite=options.overwrite,
        signature=options.signature,
        parts=options.parts,
    )
    if options.parts:
        folder, reports = export_parts(options.run, wanted)
        for name, part in reports.items():
            print(f"{folder / name}: {part.bytes / 1e6:.2f} MB, largest difference {part.max_abs_diff:.2e}")
        return 0
    path, report = export_any(options.run, wanted)
    decisions = "" if report.agreement is None else f", same decision for {report.agreement:.1%} of the samples"
    print(f"{path}: {report.bytes / 1e6:.2f} MB, largest difference {report.max_abs_diff:.2e}{decisions}")
    if report.metric:
        print(f"{report.metric} on the test split: {report.metric_after:.4f}, of the model {report.metric_before:.4f}")
    times = report.times
    print(f"one sample: {times.one:.3g} ms (95 % below {times.one_p95:.3g} ms), on {report.samples}")
    memory = "" if report.peak_memory is None else f"; {report.peak_memory / 1e6:.0f} MB in a process of its own"
    print(f"32 samples: {times.many:.3g} ms (95 % below {times.many_p95:.3g} ms){memory}")
    for row in report.errors[:10]:
        print(f"  {row['error']:6.2f} steps of 8 bits: {row['operation']} {', '.join(row['layers'])}")
    for note in report.notes:
        print(f"note: {note}")
    return 0


def benchmark(arguments: list[str]) -> int:
    """Compare a run in several formats: `kerazoo benchmark RUN --formats all`."""
    parser = parser_of(
        "benchmark",
        "Exports the model of a run in several formats and measures each: the task's metric on the test split, times, "
        "size and memory. The files are not kept, the figures are (exports/benchmark.json).",
    )
    parser.add_argument("run", help="run directory")
    parser.add_argument(
        "--formats",
        default="all",
        help="all, or some with commas: saved_model, litert, litert-float16, litert-dynamic, litert-int8, onnx",
    )
    options = parser.parse_args(arguments)
    from applications.core.benchmarking import benchmark_run, chosen

    found = benchmark_run(options.run, chosen(options.formats))
    return 1 if any("reason" in row for row in found["formats"].values()) else 0


def report(arguments: list[str]) -> int:
    """Write the report of a run anew: `kerazoo report RUN`."""
    parser = parser_of("report", "Writes report.html anew from the files of a run.")
    parser.add_argument("run", help="run directory")
    options = parser.parse_args(arguments)
    from applications.core.report import write_html
    from applications.core.run_directory import RunDirectory

    run = RunDirectory.open(options.run)
    if not (run / "report.json").is_file():
        raise UserError(f"'{run.path}' has no results yet: finish it with `kerazoo resume {run.path}`.")
    print(f"report: {write_html(run.path)}")
    return 0


def quickstart(arguments: list[str]) -> int:
    """Train, report and export a classifier and a segmentation network in a few minutes, without a network."""
    parser = parser_of("quickstart", "Trains the digit classifier and the nuclei segmentation, exports both to LiteRT.")
    parser.add_argument("--out", default="runs", help="folder of all runs")
    parser.add_argument("--fast-dev-run", action="store_true", help="try everything on two batches only")
    options = parser.parse_args(arguments)
    from applications.quickstart import run_quickstart

    run_quickstart(options.out, options.fast_dev_run)
    return 0


# The catalogue ------------------------------------------------------------------------------------------------------


def models(arguments: list[str]) -> int:
    """List the models of the catalogue: `kerazoo models ['res*']`."""
    parser = parser_of("models", "Lists the models of the catalogue.")
    parser.add_argument("pattern", nargs="?", default="*", help="name with wildcards, e.g. 'res*'")
    parser.add_argument("--task", help="only models for this task")
    options = parser.parse_args(arguments)
    import kerazoo

    tasks = sorted({kerazoo.model_card(name).task for name in kerazoo.list_models()})
    if options.task is not None and options.task not in tasks:
        raise UserError(
            f"No model is for {options.task!r}; tasks are {', '.join(tasks)}.{nearest(options.task, tasks)}"
        )
    names = kerazoo.list_models(options.pattern, task=options.task)
    if not names:
        everything = kerazoo.list_models()
        raise UserError(f"No model matches {options.pattern!r}.{nearest(options.pattern.strip('*'), everything)}")
    width = max(map(len, names))
    for name in names:
        card = kerazoo.model_card(name)
        print(f"{name:<{width}}  {card.params:>13,}  {card.year}  {card.task:<22}  {card.summary}")
    return 0


def card(arguments: list[str]) -> int:
    """Show what is known about a model: `kerazoo card unet`."""
    parser = parser_of("card", "Shows a model's card: paper, figures, arguments, deviations.")
    parser.add_argument("model", help="name of a model")
    options = parser.parse_args(arguments)
    import kerazoo
    from kerazoo.catalog import builder_parameters

    try:
        found = kerazoo.model_card(options.model)
    except ValueError as error:
        raise UserError(str(error)) from None
    rows = {
        "summary": found.summary,
        "paper": f"{found.authors}: {found.title}, {found.year}",
        "url": found.paper_url,
        "kind": found.kind.replace("_", " "),
        "task": found.task,
        "input": f"{found.input_shape}, {found.input_range}",
        "parameters": f"{found.params:,} ({found.trainable_params:,} trainable; source: {found.params_source})",
        "FLOPs": f"{found.flops:,}",
        "features": ", ".join(f"{level} {name}" for level, name in found.feature_levels.items()),
        "exports": ", ".join(found.exports),
        "weights": ", ".join(found.weights),
    }
    print(found.name)
    for label, text in rows.items():
        if text:
            print(textwrap.fill(str(text), 110, initial_indent=f"  {label:<11} ", subsequent_indent=" " * 14))
    print(
        "  arguments   "
        + "\n              ".join(f"{name}={value!r}" for name, value in builder_parameters(options.model).items())
    )
    for label, sentences in (("deviations", found.deviations), ("elsewhere", found.unlike_default)):
        for number, sentence in enumerate(sentences):
            head = label if number == 0 else ""
            print(textwrap.fill(sentence, 110, initial_indent=f"  {head:<11} - ", subsequent_indent=" " * 16))
    return 0


def doctor(arguments: list[str]) -> int:
    """Show versions, devices, memory and optional packages, and say what is missing."""
    parser_of("doctor", "Shows what this machine offers and what is missing.").parse_args(arguments)
    from applications.doctor import examine

    return examine()
