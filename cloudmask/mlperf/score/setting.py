"""The setting of a run: what runs of one score, or compared systems, have in common."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cloudmask.mlperf.log.run_summary import RunSummary
from cloudmask.tables import counted

DIRTY = "-dirty"

# Data sets whose content the benchmark defines; others are identified by their counts too.
FIXED_DATASETS = ("ds1", "ds2")


@dataclass(frozen=True)
class Setting:
    """What runs of one score have in common: everything but the seed."""

    organisation: str
    platform: str
    nodes: int
    accelerators_per_node: int
    hardware: str  # processors, accelerators and framework of the nodes; '' if not logged
    division: str
    dataset: str
    train_samples: int
    eval_samples: int
    target: float
    recipe: str
    commit: str  # without '-dirty'
    hyperparameters: str  # those of `RunSummary` as JSON, so that a setting is hashable

    @classmethod
    def of(cls, run: RunSummary) -> "Setting":
        """The setting of a run."""
        derived: dict[str, Any] = {
            "recipe": str(run.hyperparameters.get("recipe", "")),
            "commit": run.commit.removesuffix(DIRTY),
            "hardware": "; ".join(dict.fromkeys(map(hardware, run.machines))),
            "hyperparameters": json.dumps(dict(run.hyperparameters), sort_keys=True),
        }
        copied = {name: getattr(run, name) for name in cls.__annotations__ if name not in derived}
        return cls(**copied, **derived)

    @property
    def benchmark(self) -> str:
        """What ranked systems have in common: data set, division and target, in words."""
        counts = f" ({self.train_samples} + {counted(self.eval_samples, 'patch')})"
        fixed = self.dataset in FIXED_DATASETS
        return (
            f"{self.dataset} data{'' if fixed else counts}, {self.division} division, "
            f"target {self.target:g}"
        )

    @property
    def size(self) -> int:
        """World size: accelerators, or nodes where there are none."""
        return (self.nodes or 1) * (self.accelerators_per_node or 1)

    def __str__(self) -> str:
        """System, data, recipe, batch size and commit, in words."""
        size = counted(self.nodes, "node")
        if self.accelerators_per_node:
            size += f" x {counted(self.accelerators_per_node, 'accelerator')}"
        batch = json.loads(self.hyperparameters).get("global_batch_size")
        return (
            f"{self.platform} ({size}, {self.hardware or 'hardware not logged'}), "
            f"{self.benchmark}, {self.recipe} recipe, global batch {batch}, "
            f"commit {self.commit[:8]}"
        )


def hardware(machine: Mapping[str, Any]) -> str:
    """Processors, accelerators and framework of a system description, on which times depend."""
    instructions = machine.get("host_processor_bfloat16")
    parts = [
        _counted(machine, "host_processors_per_node", "host_processor_model_name"),
        f"bfloat16: {instructions}" if instructions else "",
        _counted(machine, "accelerators_per_node", "accelerator_model_name"),
        str(machine.get("framework", "")),
    ]
    return ", ".join(part for part in parts if part)


def _counted(machine: Mapping[str, Any], count: str, model: str) -> str:
    name = machine.get(model)
    return f"{machine.get(count, 1)} x {name}" if name else ""
