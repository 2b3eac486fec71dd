"""`cloudmask result`: the figures of one run."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from cloudmask.errors import EXIT_OK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The result file, and what only the script that started the run knows."""
    parser.add_argument("file", type=Path, metavar="FILE", help="result_N.txt of a run")
    parser.add_argument("--seconds", type=int, required=True, help="end-to-end seconds of the run")
    parser.add_argument("--user", required=True, help="who started the run")
    parser.add_argument("--start", required=True, help="when the run was started")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def run(options: argparse.Namespace) -> int:
    """Print the figures."""
    from cloudmask.mlperf.log.run_summary import read_summary, result_figures, result_lines

    summary = read_summary(options.file)
    given = (options.seconds, options.user, options.start)
    if options.json:
        print(json.dumps(result_figures(summary, *given), indent=2))
    else:
        print("\n".join(result_lines(summary, *given)))
    return EXIT_OK
