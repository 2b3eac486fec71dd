"""What a run is on, read from every node of it, and logged."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cloudmask.distributed.process_group import World, gather
from cloudmask.machine.system.accelerators import describe_accelerators
from cloudmask.machine.system.file_system import file_system_type
from cloudmask.machine.system.node import describe_node
from cloudmask.machine.system.processors import describe_processors
from cloudmask.machine.system.software import describe_software
from cloudmask.mlperf.log.logger import RunLog
from cloudmask.mlperf.log.run_summary import DATA_FILE_SYSTEM, SYSTEM_DESCRIPTION

# It is read at one moment, so that equal nodes have different values.
VARYING = "host_processor_frequency"

Description = dict[str, str]


def log_hardware(log: RunLog, world: World, datadir: Path) -> None:
    """Log the system description of every node; every rank takes part.

    Nodes that are alike make one event, which says how many they are. Accelerators are described
    only in a run that uses them. The file system of DATADIR is that of the first node.
    """
    first_of_node = world.local_rank == 0
    described = gather(_description(world.device.type == "cuda") if first_of_node else None)
    if log.path is None:
        return
    for description, count in count_alike(one for one in described if one):
        log.event(SYSTEM_DESCRIPTION, description, nodes=count)
    log.event(DATA_FILE_SYSTEM, file_system_type(datadir))


def count_alike(descriptions: Iterable[Description]) -> list[tuple[Description, int]]:
    """Different descriptions in order, with the number of nodes of each."""
    alike: list[tuple[Description, int]] = []
    for one in descriptions:
        for index, (other, count) in enumerate(alike):
            if {**one, VARYING: ""} == {**other, VARYING: ""}:
                alike[index] = (other, count + 1)
                break
        else:
            alike.append((one, 1))
    return alike


def _description(on_gpus: bool) -> Description:
    """The known fields of this node's system description."""
    fields = {**describe_processors(), **describe_node(), **describe_software()}
    if on_gpus:
        fields |= describe_accelerators()
    return {name: value for name, value in fields.items() if value}
