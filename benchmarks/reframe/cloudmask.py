"""The benchmark as a ReFrame test: runs it, and reads its figures.

    reframe -c benchmarks/reframe/cloudmask.py -r -S CloudMask.datadir=/data/ds1

With `--keep-stage-files -S CloudMask.logdir=DIR` the logs stay. Variables that are not set are left
to run_and_time.sh: without datadir it makes synthetic scenes, without system it takes this machine.
"""

import shlex
from pathlib import Path

import reframe as rfm
import reframe.utility.sanity as sn
from reframe.core.builtins import performance_function, run_before, sanity_function, variable

ROOT = Path(__file__).resolve().parents[2]


@rfm.simple_test
class CloudMask(rfm.RunOnlyRegressionTest):
    """One timed run to the target, its log accepted by the official checker."""

    descr = "CloudMask: time until validation accuracy reaches 0.9"
    valid_systems = ["*"]  # noqa: RUF012
    valid_prog_environs = ["*"]  # noqa: RUF012
    sourcesdir = None
    time_limit = "4h"
    system = variable(str, value="")  # DGXSYSTEM: of config_<SYSTEM>.sh
    datadir = variable(str, value="")
    logdir = variable(str, value="")  # default: the stage folder
    flags = variable(str, value="")  # of `cloudmask train`

    @run_before("run")
    def set_command(self) -> None:
        """The script, with the variables that are set."""
        self.executable = shlex.quote(str(ROOT / "run_and_time.sh"))
        self.executable_opts = self.flags.split()
        given = {"DGXSYSTEM": self.system, "DATADIR": self.datadir}
        given["LOGDIR"] = self.logdir or self.stagedir
        self.env_vars = {name: value for name, value in given.items() if value}

    @sanity_function
    def target_is_met_and_the_log_accepted(self) -> bool:
        """The script's exit code is 0 only then; both are in its output too."""
        accepted = sn.assert_found(r"^SUCCESS  \S+", self.stdout)
        return sn.all([accepted, sn.assert_found(r"^RESULT,CLOUDMASK,", self.stdout)])

    @performance_function("s")
    def time_to_solution(self) -> float:
        """From run_start to run_stop."""
        return sn.extractsingle(r"^time to solution +([\d.]+) s$", self.stdout, 1, float)

    @performance_function("s")
    def end_to_end(self) -> float:
        """The seconds of the RESULT line: fetching, the run and the checker."""
        return sn.extractsingle(r"^RESULT,CLOUDMASK,\d+,(\d+),", self.stdout, 1, float)

    @performance_function("epochs")
    def epochs(self) -> float:
        """Epochs to the target."""
        return sn.extractsingle(r"^epochs +(\d+)$", self.stdout, 1, float)

    @performance_function("share")
    def validation_accuracy(self) -> float:
        """The last validation accuracy."""
        return sn.extractsingle(r"^final accuracy +([\d.]+) ", self.stdout, 1, float)
