"""Power and utilisation of a run: a sampler on every node, and the figures in the log."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from mlperf_logging.mllog import constants

from cloudmask.config import Config
from cloudmask.console import Console
from cloudmask.distributed.process_group import World, gather, pci_address
from cloudmask.machine.sensors.sampler_process import SamplerProcess
from cloudmask.machine.sensors.usage import Usage, read_usage
from cloudmask.mlperf.log.logger import RunLog, companion_path


@dataclass(frozen=True)
class NodeReport:
    """One node's usage, the sensors it lacks, and what its sampler used itself."""

    node: int
    usage: Usage
    unavailable: list[str]
    of_sampler: dict[str, Any]
    node_meters: list[str]


class PowerSampling:
    """Samples this node from `begin` to the end of the context; rank 0 logs the figures.

    The samples are written to utilisation_N.csv beside result_N.txt, those of the second node to
    utilisation_N_node1.csv. With `sample_seconds` 0, nothing is sampled or logged. If the context
    ends with an error, other nodes may be lost, and rank 0 logs its own node alone.
    """

    def __init__(self, config: Config, world: World, log: RunLog, console: Console) -> None:
        self._seconds, self._command = config.sample_seconds, config.power_command
        self._world, self._log, self._console = world, log, console
        self._sampler: SamplerProcess | None = None
        self._begun = self._measures_power = False

    def __enter__(self) -> PowerSampling:
        """Start the node's sampler, which opens its sensors while the run initialises."""
        log = gather(self._log.path)[0] if self._seconds else None
        world = self._world
        if log is not None and world.local_rank == 0:
            node = world.node
            file = companion_path(log, "utilisation", f"_node{node}.csv" if node else ".csv")
            cuda = world.device.type == "cuda"
            addresses = map(pci_address, range(world.local_size if cuda else 0))
            gpus = [x for x in addresses if x]
            self._sampler = SamplerProcess(file, self._seconds, gpus, command=self._command)
        return self

    def begin(self) -> None:
        """Take the first sample, and log the start of the measurement if a node measures power."""
        if not self._seconds:
            return
        if self._sampler is not None:
            self._sampler.start_sampling()
        measures_power = self._sampler is not None and self._sampler.measures_power
        self._measures_power = any(gather(measures_power))
        if self._measures_power:
            self._log.start(constants.POWER_MEASUREMENT_START)
        self._begun = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take the last sample, and log the figures."""
        report = None
        if self._sampler is not None:
            of_sampler = self._sampler.stop()
            usage = read_usage(self._sampler.file) if self._begun else Usage()
            node = self._world.node
            sampler = self._sampler
            report = NodeReport(node, usage, sampler.unavailable, of_sampler, sampler.node_meters)
        if not self._begun:
            return
        reports = gather(report) if kind is None else [report]
        self._log_nodes([report for report in reports if report is not None])

    def _log_nodes(self, reports: list[NodeReport]) -> None:
        for report in reports:
            devices = sorted(report.usage.joules)
            sensors = {"measured": devices, "absent": report.unavailable}
            sensors["node_meter"] = report.node_meters
            self._log.event("power_sensors", sensors, node=report.node)
            figures = {"seconds": report.usage.seconds, "samples": report.usage.samples}
            figures |= report.usage.figures | report.of_sampler
            self._log.event("utilisation", figures, node=report.node)
        measured = [x.usage for x in reports if x.usage.joules and x.usage.seconds > 0]
        if measured:
            self._log_power(measured)
        elif reports:
            self._console.say(f"power not measured: {', '.join(reports[0].unavailable)}")
        if self._measures_power:
            self._log.end(constants.POWER_MEASUREMENT_STOP)

    def _log_power(self, measured: list[Usage]) -> None:
        """Log the mean power of all nodes together, as in the official power logs."""
        kinds: dict[str, float] = defaultdict(float)
        for usage in measured:
            for kind, joules in usage.by_kind().items():
                kinds[kind] += joules
        seconds = max(usage.seconds for usage in measured)
        devices = {
            kind: {"joules": round(joules, 3), "watts": round(joules / seconds, 3)}
            for kind, joules in kinds.items()
        }
        joules = sum(usage.total_joules() for usage in measured)
        self._log.event(
            constants.POWER_READING,
            round(joules / seconds, 3),
            joules=round(joules, 3),
            seconds=seconds,
            nodes=len(measured),
            devices=devices,
        )
        parts = ", ".join(f"{kind} {figures['watts']:.0f} W" for kind, figures in devices.items())
        self._console.say(f"power {joules / seconds:.0f} W, energy {joules / 1e3:.1f} kJ ({parts})")
