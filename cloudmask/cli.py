"""The commands of `cloudmask`: parse arguments, call, return an exit code."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from cloudmask.errors import EXIT_INPUT, InputError, Stopped
from cloudmask.timed_run.launch import launch, rank_from_environment

# Each command imports the modules that it needs: `check` does not wait for torch.


def train(arguments: Sequence[str]) -> int:
    """train to the target accuracy, timed and logged"""
    from cloudmask.config import configure

    config = configure(arguments)
    if config.dry_run:
        from cloudmask.timed_run.dry_run import dry_run

        return dry_run(config)
    return launch(config, arguments)


def synthesize(arguments: Sequence[str]) -> int:
    """make synthetic scenes with a known truth"""
    from cloudmask.console import Console
    from cloudmask.synthetic import generate as synthetic

    parser = _parser("synthesize", synthesize)
    parser.add_argument("--dest", type=Path, required=True, help="folder to fill")
    parser.add_argument("--training-scenes", type=int, default=synthetic.DEFAULT_TRAINING_SCENES)
    parser.add_argument("--inference-scenes", type=int, default=synthetic.DEFAULT_INFERENCE_SCENES)
    parser.add_argument("--seed", type=int, default=synthetic.DEFAULT_SEED)
    options = parser.parse_args(arguments)
    console = Console(visible=True)
    scenes = options.training_scenes + options.inference_scenes
    with console.bar(scenes, "scenes") as progress:
        paths = synthetic.synthesize(
            options.dest,
            options.training_scenes,
            options.inference_scenes,
            options.seed,
            report=progress,
        )
    console.say(f"{len(paths)} synthetic scenes in {options.dest}")
    return 0


def fetch(arguments: Sequence[str]) -> int:
    """download the public data set, and verify it"""
    from jsonargparse import ArgumentError, ArgumentParser, set_parsing_settings

    from cloudmask.config import with_underscores
    from cloudmask.fetch.command import KNOWN_PREFIXES, FetchOptions
    from cloudmask.fetch.command import fetch as fetch_scenes

    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = ArgumentParser(prog="cloudmask fetch", exit_on_error=False)
    parser.add_argument("dataset", choices=list(KNOWN_PREFIXES))
    parser.add_class_arguments(FetchOptions, skip={"dataset", "dry_run", "verify"})
    parser.add_argument("--dry_run", action="store_true", help="only list the files")
    parser.add_argument("--verify", action="store_true", help="only read the local files again")
    try:
        options = parser.parse_args([with_underscores(item) for item in arguments])
    except ArgumentError as error:
        raise InputError(" ".join(str(error).split())) from error
    # The destination is handled with care of its own: an interrupted fetch loses nothing.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return fetch_scenes(FetchOptions(**options.as_dict()))


def infer(arguments: Sequence[str]) -> int:
    """mask your own scenes, HDF5 or Sentinel-3 products"""
    from cloudmask.inference import command as masks

    parser = _parser("infer", infer)
    parser.add_argument(
        "--weights", type=Path, required=True, help="weights_N.safetensors of a run"
    )
    parser.add_argument(
        "--scenes", type=Path, nargs="+", required=True, help="scenes, products, folders of them"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder for the masks")
    parser.add_argument("--format", choices=masks.SUFFIXES, default="netcdf")
    parser.add_argument(
        "--tiling",
        choices=("whole", "reference"),
        default="whole",
        help="the scene in one pass, or the reference's 63 overlapping tiles",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing masks")
    return masks.infer(masks.MaskOptions(**vars(parser.parse_args(arguments))))


def check(arguments: Sequence[str]) -> int:
    """check result files by the official rules, and for consistency"""
    from cloudmask.mlperf.check.command import check_files

    parser = _parser("check", check)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    return check_files(parser.parse_args(arguments).files)


def system(arguments: Sequence[str]) -> int:
    """describe this machine in the JSON of MLPerf submissions"""
    from cloudmask.mlperf import system_description as description

    parser = _parser("system", system)
    parser.add_argument("--submitter", default="")
    parser.add_argument("--division", choices=description.CHOICES["division"], default="")
    parser.add_argument("--status", choices=description.CHOICES["status"], default="")
    parser.add_argument("--name", dest="system_name", default=os.environ.get("DGXSYSTEM", ""))
    parser.add_argument("--nodes", dest="number_of_nodes", default=os.environ.get("DGXNNODES", ""))
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--output", type=Path, help="file to write, such as systems/NAME.json")
    parser.add_argument("--overwrite", action="store_true")
    options = vars(parser.parse_args(arguments))
    output, overwrite = options.pop("output"), options.pop("overwrite")
    settings = description.parse_fields(options.pop("set"))
    given = {field: value for field, value in {**options, **settings}.items() if value}
    return description.write_description(given, output, overwrite)


def result(arguments: Sequence[str]) -> int:
    """print the figures of a run, ending with its RESULT line"""
    from cloudmask.mlperf.log.run_summary import read_summary, result_lines

    parser = _parser("result", result)
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--seconds", type=int, required=True, help="end-to-end seconds of the run")
    parser.add_argument("--user", required=True)
    parser.add_argument("--start", required=True, help="when the run was started")
    options = parser.parse_args(arguments)
    summary = read_summary(options.file)
    print("\n".join(result_lines(summary, options.seconds, options.user, options.start)))
    return 0


def summarize(arguments: Sequence[str]) -> int:
    """score the runs of each system, with the reason why a run does not count"""
    from cloudmask.mlperf.score.summarize import summarize as summarize_runs
    from cloudmask.tables import FORMATS

    parser = _parser("summarize", summarize)
    parser.add_argument("folders", type=Path, nargs="+", metavar="DIR", help="folders of results")
    parser.add_argument("--format", choices=FORMATS, default=FORMATS[0])
    options = parser.parse_args(arguments)
    return summarize_runs(options.folders, options.format)


def compare(arguments: Sequence[str]) -> int:
    """rank systems, beside published figures"""
    from cloudmask.mlperf.score.compare import compare as compare_systems
    from cloudmask.tables import FORMATS

    parser = _parser("compare", compare)
    parser.add_argument("folders", type=Path, nargs="+", metavar="DIR", help="folders of results")
    parser.add_argument("--format", choices=FORMATS, default=FORMATS[0])
    options = parser.parse_args(arguments)
    return compare_systems(options.folders, options.format)


def package(arguments: Sequence[str]) -> int:
    """build a submission package of runs, or list the objections"""
    from cloudmask.mlperf.package.command import package as make_package
    from cloudmask.mlperf.package.request import LAYOUTS, Request

    parser = _parser("package", package)
    parser.add_argument("--layout", choices=LAYOUTS, required=True)
    parser.add_argument("--submitter", required=True, help="the organisation")
    parser.add_argument(
        "--runs", type=Path, nargs="+", required=True, help="folders of results, one a system"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the package's folder")
    parser.add_argument("--dataset", default=Request.dataset, help="data set of the results")
    parser.add_argument(
        "--system-description", type=Path, nargs="+", default=(), help="<SYSTEM>.json of each"
    )
    parser.add_argument("--evaluation", type=Path, help="evaluation.json, for the science layout")
    parser.add_argument("--descriptor", help="name of the entry, in the science layout")
    return make_package(Request(**vars(parser.parse_args(arguments))))


def evaluate(arguments: Sequence[str]) -> int:
    """compare the network's masks with Bayesian and threshold masks"""
    from cloudmask.science import command as science

    parser = _parser("evaluate", evaluate)
    asked = science.EvaluationOptions
    parser.add_argument("--weights", type=Path, required=True, help="weights_N.safetensors")
    parser.add_argument("--scenes", type=Path, required=True, help="folder of scenes to evaluate")
    parser.add_argument("--training-scenes", type=Path, help="scenes to fit the Bayesian screen to")
    parser.add_argument("--bayesian-screen", type=Path, help="a fitted screen to use instead")
    parser.add_argument("--output", type=Path, help="folder for JSON, text and fitted screen")
    parser.add_argument("--format", choices=("text", "json"), default=asked.format)
    parser.add_argument("--min-sst", type=float, default=asked.min_sst, help="coldest water, K")
    parser.add_argument("--positive-weight", type=float, default=asked.positive_weight)
    parser.add_argument("--batch-size", type=int, default=asked.batch_size, help="tiles at once")
    return science.evaluate(asked(**vars(parser.parse_args(arguments))))


def report(arguments: Sequence[str]) -> int:
    """make one page of runs, an evaluation and quick-looks of scenes"""
    from cloudmask.report import command as page

    parser = _parser("report", report)
    asked = page.ReportOptions
    parser.add_argument(
        "logs", type=Path, nargs="+", metavar="LOGS", help="folder of logs, such as logs/<system>"
    )
    parser.add_argument("--evaluation", type=Path, help="evaluation.json, or its folder")
    parser.add_argument("--weights", type=Path, help="weights_N.safetensors, for quick-looks")
    parser.add_argument("--bayesian-screen", type=Path, help="default: beside the evaluation")
    parser.add_argument(
        "--scenes", type=Path, nargs="+", default=(), help="scenes to show, or folders of them"
    )
    parser.add_argument(
        "--quicklooks", type=int, default=asked.quicklooks, help="scenes to show of each folder"
    )
    parser.add_argument("--output", type=Path, default=asked.output, help="folder for the page")
    return page.report(asked(**vars(parser.parse_args(arguments))))


def doctor(arguments: Sequence[str]) -> int:
    """check whether this machine can do the run of the same parameters"""
    from cloudmask.config import configure
    from cloudmask.doctor.command import diagnose, health_line

    health = "--health" in arguments
    config = configure([item for item in arguments if item != "--health"])
    if health:  # one line, for the start of a job's output
        print(health_line(), flush=True)
        return 0
    return diagnose(config)


COMMANDS = {
    command.__name__: command
    for command in (
        *(train, synthesize, fetch, infer, evaluate, doctor),
        *(check, result, summarize, compare, report, system, package),
    )
}


# Slurm sends SIGUSR1 before the end of the time limit.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code: 2 for bad input, 128 + n when stopped by signal n."""
    _print_any_text()
    arguments = sys.argv[1:] if arguments is None else arguments
    overview = "\n".join(f"  {name:12s}{run.__doc__}" for name, run in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="cloudmask",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"commands:\n{overview}",
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND")
    command = parser.parse_args(arguments[:1]).command
    for number in STOP_SIGNALS:
        signal.signal(number, _stop)
    try:
        return COMMANDS[command](arguments[1:])
    except InputError as error:
        if rank_from_environment() == 0:
            print(f"cloudmask {command}: error: {error}", file=sys.stderr)
        return EXIT_INPUT
    except Stopped as stop:
        return 128 + stop.number


def _print_any_text() -> None:
    """Let standard output and error take all text: what their encoding lacks becomes an escape.

    Encodings of a locale, such as EUC-JP, lack characters that logs and names of files have; names
    of files can have bytes that are no characters at all.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not in notebooks, whose output takes all
            stream.reconfigure(errors="backslashreplace")


def _stop(number: int, frame: FrameType | None) -> None:
    # Slurm signals every process, and the supervisor signals its ranks again: only the first
    # signal counts.
    for later in STOP_SIGNALS:
        signal.signal(later, signal.SIG_IGN)
    raise Stopped(number)


def _parser(name: str, command: object) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=f"cloudmask {name}", description=command.__doc__, allow_abbrev=False
    )
