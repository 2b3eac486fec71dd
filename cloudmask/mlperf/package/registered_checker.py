"""The official MLPerf package checker with CloudMask added to its lists of benchmarks.

`official_checker` runs this in the overlay with CloudMask's rules and convergence points. The
checker skips the results of benchmarks that are not on its lists.
"""

import sys

from mlperf_logging import benchmark_meta
from mlperf_logging.package_checker import package_checker
from mlperf_logging.rcp_checker import rcp_checker

from cloudmask.mlperf.check.official_tools import RULESET, USAGE
from cloudmask.mlperf.score.scores import RUNS

BENCHMARK = "cloudmask"


def main() -> None:
    """Run the checker on the folder that is the only argument."""
    benchmark_meta.get_allowed_benchmarks(USAGE, RULESET).append(BENCHMARK)
    benchmark_meta.get_result_file_counts(USAGE)[BENCHMARK] = RUNS
    rcp_checker.submission_runs[USAGE][BENCHMARK] = RUNS
    # The convergence points are of synthetic scenes and do not apply to results on DS1.
    sys.argv = [package_checker.__name__, sys.argv[1], USAGE, RULESET, "--rcp-bypass"]
    package_checker.main()


if __name__ == "__main__":
    main()
