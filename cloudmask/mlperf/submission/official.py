"""Asks the official MLPerf package checker about a package in the HPC layout.

    python -m cloudmask.mlperf.submission.official FOLDER

is what `complaints` runs in a process that sees CloudMask's rules and points (`overlay.py`): the
checker, after CloudMask has been put on the lists where upstream would have it. Without that it
skips the results of a benchmark it does not know.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from cloudmask.mlperf.overlay import RULESET, USAGE, overlay, run_in
from cloudmask.mlperf.scores import FEWEST_RUNS

BENCHMARK = "cloudmask"
SUCCESS = "PACKAGE CHECKER FOUND NO ERRORS, SUCCESS !"


def complaints(package: Path) -> list[str]:
    """What the official checker objects to in the package; nothing if it accepts it."""
    with overlay() as view:
        done = run_in(view, [__name__, str(package.resolve())])
    if SUCCESS in done.stderr:
        return []
    errors = re.findall(r"^ERROR - +(.*)$", done.stderr, re.MULTILINE)
    return errors or (done.stderr.strip().splitlines() or ["it printed nothing"])[-1:]


def main() -> None:
    """Register CloudMask and run the official checker on the folder given."""
    from mlperf_logging import benchmark_meta
    from mlperf_logging.package_checker import package_checker
    from mlperf_logging.rcp_checker import rcp_checker

    benchmark_meta.get_allowed_benchmarks(USAGE, RULESET).append(BENCHMARK)
    benchmark_meta.get_result_file_counts(USAGE)[BENCHMARK] = FEWEST_RUNS
    rcp_checker.submission_runs[USAGE][BENCHMARK] = FEWEST_RUNS
    # The points are of synthetic scenes; closed results, which are of DS1, may lie beyond them.
    sys.argv = [package_checker.__name__, sys.argv[1], USAGE, RULESET, "--rcp-bypass"]
    package_checker.main()


if __name__ == "__main__":
    main()
