"""Which tests run where: the quick part, what is left out of it, and the skips that are expected.

A test that takes more than a few seconds on two slow cores is marked `slow`. One that needs a
system package needs it for a fixture (NEEDS); it gets that marker, and `slow` as well. So the
quick part is `-m "not slow"`. With --fail-on-skip, a skip that EXPECTED_SKIPS does not list is a
failure.
"""

from __future__ import annotations

import re
import shlex
import signal
import sys
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.paths import ROOT

# By fixture: the marker of the tests that use it, and what they need on the machine.
NEEDS = {
    "browser": ("browser", "chromium, chromium-driver"),
    "cpp_compiler": ("compiler", "gcc, g++"),
    "engine": ("container", "root, podman, runc, debootstrap"),
    "nvidia_driver": ("compiler", "gcc, g++"),
    "rehearsal": ("rehearsal", "gcc, g++, binutils, 530 MB from the package index once"),
    "slurm": ("slurm", "root, slurm-wlm, munge"),
    "mount_disk": ("mount", "root"),
    "two_nodes": ("namespaces", "root, iproute2"),
}
# Start of a test's name, and the reason for which it may be skipped on some machines.
EXPECTED_SKIPS = (
    ("tests/fetch/test_fetch_slow.py::", "no tmpfs can be mounted: .*"),
    ("tests/model/test_convolution.py::", "no bfloat16 in this processor"),
    ("tests/mlperf/package/", "no git clone"),
    ("tests/", "no real material: .*"),
    ("tests/rehearsal/", "no stand-ins for CUDA: .*"),
    ("tests/test_committed_logs.py::", "no git clone"),
    ("tests/machine/system/test_cgroups.py::", "no cgroup can be made here .*"),
    ("tests/timed_run/test_read_only.py::", "nothing can be mounted here: .*"),
    ("tests/machine/sensors/test_rapl.py::", "this machine has energy counters"),
)

# The same examples every time, however slow the machine is.
hypothesis.settings.register_profile(
    "gate",
    derandomize=True,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("gate")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option of `./run_tests.sh --all`."""
    parser.addoption(
        "--fail-on-skip",
        action="store_true",
        help="a skip that EXPECTED_SKIPS in tests/gate.py does not list is a failure",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, and for the quick part the plugin that counts what is left out.

    Where a shell has started the tests in the background, they and their processes would ignore
    Ctrl-C.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "slow: more than a few seconds on two slow cores")
    for marker, packages in NEEDS.values():
        config.addinivalue_line("markers", f"{marker}: needs {packages}")
    if config.option.markexpr == "not slow":
        config.pluginmanager.register(LeftOut())


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a system package, before `-m` selects."""
    for item in items:
        for fixture in NEEDS.keys() & getattr(item, "fixturenames", ()):
            item.add_marker(NEEDS[fixture][0])
            item.add_marker("slow")


class LeftOut:
    """Counts the slow tests that were not selected, and says at the end how to run them."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Count tests by what they need."""
        for item in items:
            if item.get_closest_marker("slow"):
                needs = [need for need in NEEDS.values() if item.get_closest_marker(need[0])]
                self.counts[needs[0] if needs else ("slow", "")] += 1

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print the counts."""
        if not self.counts:
            return
        terminalreporter.section("left out")
        for (marker, packages), count in sorted(self.counts.items()):
            need = f" (need {packages})" if packages else ""
            terminalreporter.line(f"{count:4} {marker}{need}")
        terminalreporter.line("./run_tests.sh --all runs them too")
        if Path(sys.prefix) == ROOT / ".venv":
            activate = shlex.quote(f"{sys.prefix}/bin/activate")
            terminalreporter.line(f"other commands: source {activate}, then cloudmask help")


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup() -> Generator[None, object, object]:
    """A command that runs in this process for a fixture does not keep its signal handlers."""
    with _signal_handlers_kept():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, None, None]:
    """Nor does one that runs for a test: Ctrl-C works, and fails no other test."""
    with _signal_handlers_kept():
        yield


@contextmanager
def _signal_handlers_kept() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    handlers = [signal.getsignal(number) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, handlers, strict=True):
            signal.signal(number, handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With --fail-on-skip, turn an unexpected skip of a test into a failure."""
    report = yield
    return _without_unexpected_skip(item.config, report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """With --fail-on-skip, turn an unexpected skip of a whole module into a failure."""
    report = yield
    return _without_unexpected_skip(collector.config, report)


def _without_unexpected_skip(config: pytest.Config, report: Any) -> Any:
    if not (report.skipped and config.getoption("--fail-on-skip")):
        return report
    _, _, reason = report.longrepr
    reason = reason.removeprefix("Skipped: ")
    expected = any(
        report.nodeid.startswith(start) and re.fullmatch(pattern, reason)
        for start, pattern in EXPECTED_SKIPS
    )
    if not expected:
        report.outcome = "failed"
        report.longrepr = f"unexpected skip of {report.nodeid}: {reason}"
    return report
