"""The parameters of a run: names, types, defaults and descriptions.

Values come from the defaults below, the recipe, the system's file (config_<SYSTEM>.sh), a YAML file
(`--config`), the environment (`CLOUDMASK_<NAME>`) and flags (`--<name>`); each source overrides the
ones before it.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from cloudmask.errors import InputError
from cloudmask.parameters import convert, parameters_of, parse_yaml, read_yaml, variables
from cloudmask.parser import Parser, add_parameters, given_flags
from cloudmask.value_types import (
    Decay,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Share,
    ShareOrNone,
    WaterKelvin,
)

ENVIRONMENT_PREFIX = "CLOUDMASK"
# CLOUDMASK_SYSTEM_DEFAULTS: YAML that the system's file exports and run_and_time.sh completes.
SYSTEM_DEFAULTS = "system_defaults"
# Data sets of `synthesize`, whose results say nothing about the real sky.
SYNTHETIC_DATASETS = ("synthetic", "twin")
PATCH_MULTIPLE = 8  # the U-Net halves a patch three times
LARGEST_PATCH = 1200  # rows of a scene

# Values that differ from the defaults below, which are the recipe `fast`: it reaches the target
# soonest. `reference` is the published training.
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "fast": {},
    "reference": {
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "warmup_steps": 0,
        "patience": 0,
        "adam_epsilon": 1e-7,
        "weight_decay": 0.0,
        "positive_weight": 1.0,
        "weight_averaging": 0.0,
        "augment": False,
        "hole_share": 0.0,
    },
}


# Parameters that are paths or names of one machine, or differ between runs of one system.
OF_ONE_RUN = (
    *("datadir", "scratch", "logdir", "log_pointer", "seed", "dry_run"),
    *("fetch_seconds", "caches_cleared", "resume", "checkpoint_folder"),
)


@dataclass(frozen=True)
class Config:
    """Parameters of one run; `configure` makes it, with the values of the recipe."""

    datadir: Path = Path("data/synthetic")
    """Folder with the scenes: training/**/S3*.hdf and inference/**/S3*.hdf."""
    dataset: Literal["synthetic", "twin", "ds1", "ds2", "custom"] = "custom"
    """Name of the data set in the log; that of scenes made by `synthesize` is always synthetic, or
    twin if they were made with --like ds1."""
    fetch_seconds: NonNegativeFloat = 0.0
    """Seconds that fetching the data took before the run, for the log; 0 if it was not fetched."""
    skip_bad_scenes: bool = False
    """Leave out unusable scenes and list them in the log, instead of refusing to start."""

    system: str = "CPU"
    """Name of the system, as in config_<SYSTEM>.sh."""
    nodes: PositiveInt = 1
    """Nodes of the run."""
    processes_per_node: PositiveInt = 1
    """Training processes of a node, one for each accelerator."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device of every process: a CPU, or a GPU each; auto: the system's, or else a GPU if any."""
    rendezvous_timeout: PositiveInt = 120
    """Seconds that the ranks of several nodes wait for each other, to join and until staging."""

    seed: PositiveInt | None = None
    """Seed of weights, data order and augmentation; random if not given, and logged."""
    target_accuracy: Share = 0.9
    """Validation pixel accuracy at which the run stops."""
    epochs: PositiveInt = 30
    """Largest number of epochs; a run that has not reached the target then ends."""
    batch_size: PositiveInt = 4
    """Patches per process and step."""
    evaluation_batch_size: PositiveInt = 8
    """Largest number of patches per process and evaluation step, of which a whole number makes the
    process's patches; tiles at once in whole-scene inference."""
    tiling: Literal["whole", "reference"] = "whole"
    """Whole-scene inference: the scene in one pass, or in the reference's 63 overlapping tiles."""
    min_sst: WaterKelvin = 273.15
    """Lowest sea surface temperature of water, K, in the SST consistency of the result."""
    patch_size: PositiveInt = 256
    """Side of a training patch in pixels, a multiple of 8."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Arithmetic; auto is the fastest that the device has in hardware."""
    compile_mode: Literal["off", "default", "reduce-overhead", "max-autotune"] = "off"
    """Mode of torch.compile for the forward and backward pass of a training step, compiled before
    the clock; the last two use CUDA graphs."""
    cuda_graph: bool = True
    """On a GPU, launch a training step and an evaluation batch as one CUDA graph each, captured
    before the clock, instead of kernel by kernel; not with compile_mode."""
    cudnn_fusion: bool = False
    """On a GPU, let cuDNN's convolutions add bias and sum and apply the ReLU in training and
    evaluation; not with compile_mode. Off, since it has not been timed on a GPU."""

    recipe: Literal["fast", "reference"] = "fast"
    """Training recipe: values of the parameters from here to `hole_share` that are not given."""
    optimizer: Literal["adam", "adamw", "muon"] = "muon"
    """Adam, AdamW (decoupled weight decay), or Muon for the 3x3 kernels with AdamW for the rest."""
    learning_rate: PositiveFloat = 2e-3
    """Learning rate after the warm-up."""
    kernel_learning_rate: PositiveFloat = 3e-2
    """Learning rate of the 3x3 kernels with muon: the spectral norm of a step."""
    kernel_momentum: Decay = 0.6
    """Momentum of the 3x3 kernels with muon."""
    warmup_steps: NonNegativeInt = 5
    """Steps over which the learning rate rises linearly."""
    patience: NonNegativeInt = 2
    """Epochs without better validation accuracy that halve the learning rate; 0: never halved."""
    adam_epsilon: PositiveFloat = 1e-7
    """Adam's epsilon."""
    weight_decay: NonNegativeFloat = 1e-2
    """Weight decay of a step, relative to the learning rate."""
    positive_weight: PositiveFloat = 1.0
    """Weight b of cloudy pixels in the loss; 1 is binary cross entropy."""
    weight_averaging: Decay = 0.98
    """Decay per step of the averaged weights, which are evaluated; 0: no averaging."""
    augment: bool = True
    """Flip and rotate the patches at random."""
    hole_share: ShareOrNone = 0.0
    """Share of the training patches in which values are made missing at random: rectangles, frames,
    scan lines, channels. 0: none."""

    store: Literal["auto", "device", "host", "mapped"] = "auto"
    """Memory of the patches: device, host, or a file in `scratch` that is mapped."""
    scratch: Path = Path("/tmp")
    """Node-local folder for a mapped store."""
    workers: NonNegativeInt = 0
    """Processes per rank that read scenes; 0: one for each core of the rank's share."""
    clear_caches: bool = True
    """Drop the kernel's page cache before the run; needs root. The log records the success."""
    caches_cleared: bool = False
    """The page cache of all nodes was dropped before the run, by the script that started it."""

    resume: Literal["never", "auto"] | Path = "never"
    """Resume from a checkpoint: this file, or auto: the newest one of the same training, if any.
    A resumed run is logged as such and gives no timed result."""
    checkpoint_epochs: NonNegativeInt = 0
    """Epochs between checkpoints; 0: only when a signal stops the run, of the last whole epoch."""
    checkpoint_folder: Path | None = None
    """Folder of the checkpoints; default: that of the log."""
    fault_timeout: PositiveFloat = 120.0
    """Seconds without progress of a rank, or answer of another one, after which the run ends."""
    max_restarts: NonNegativeInt = 0
    """Restarts of a run that lost a rank: from its last checkpoint, or else from the start."""

    logdir: Path | None = None
    """Folder of result_N.txt and weights_N.safetensors; default: logs/<system>."""
    log_pointer: Path | None = None
    """File to write the path of the run's log to, for scripts."""
    division: Literal["open", "closed"] = "open"
    """MLPerf division; closed needs the unchanged reference recipe."""
    organisation: str = "CloudMask"
    """Submitter, in the log."""
    status: Literal["cloud", "onprem", "preview", "research"] = "onprem"
    """Availability of the system, in the log."""

    sample_seconds: NonNegativeFloat = 1.0
    """Seconds between samples of power and utilisation, written beside the log; 0: no samples."""
    power_command: str = ""
    """Command that prints the watts of the whole node, e.g. 'ipmitool dcmi power reading'."""
    profile: bool = False
    """Write trace_N.json of some steps beside the log, for trace viewers; this costs time."""
    dry_run: bool = False
    """Print the share of each rank, and take one step with a fake process group, without data."""

    @property
    def log_folder(self) -> Path:
        """`logdir`, or its default."""
        return self.logdir or Path("logs") / self.system

    @property
    def checkpoints(self) -> Path:
        """`checkpoint_folder`, or its default."""
        return self.checkpoint_folder or self.log_folder

    @property
    def world_size(self) -> int:
        """Training processes of the whole run."""
        return int(self.nodes * self.processes_per_node)

    def as_yaml(self) -> str:
        """The effective values as YAML that `--config` reads."""
        return str(yaml.safe_dump(self._as_dict(), sort_keys=False))

    def for_reruns(self) -> dict[str, Any]:
        """The values by name that a rerun elsewhere needs: all but `OF_ONE_RUN`."""
        return {name: value for name, value in self._as_dict().items() if name not in OF_ONE_RUN}

    def _as_dict(self) -> dict[str, Any]:
        return {item.name: _plain(getattr(self, item.name)) for item in fields(self)}

    def validate(self) -> None:
        """Refuse values that are invalid by themselves or together.

        Raises:
            InputError: names the parameter and the values that are allowed.
        """
        if self.patch_size % PATCH_MULTIPLE or self.patch_size > LARGEST_PATCH:
            raise InputError(
                f"patch_size is {self.patch_size}: it must be a multiple of {PATCH_MULTIPLE}, "
                f"at most {LARGEST_PATCH}"
            )
        for name in ("organisation", "system"):
            if not getattr(self, name).strip():
                raise InputError(f"{name} is empty: give the name for the log")
        if self.division == "closed":
            for name, value in RECIPES["reference"].items():
                if getattr(self, name) != value:
                    raise InputError(
                        f"{name} is {getattr(self, name)}: division closed needs the reference "
                        f"recipe's {value}; use recipe reference, or division open"
                    )


def _plain(value: Any) -> Any:
    """Convert paths and restricted numbers to types that YAML knows."""
    if isinstance(value, Path):
        return str(value)
    for kind in (bool, int, float):
        if isinstance(value, kind):
            return kind(value)
    return value


# Set by the scripts that start a run: not in the help.
SET_BY_SCRIPTS = ("fetch_seconds", "caches_cleared", "log_pointer")
# Title of each group of parameters, by its first.
GROUPS = {
    "datadir": "data",
    "system": "system",
    "seed": "run",
    "recipe": "recipe",
    "store": "memory and caches",
    "resume": "checkpoints and faults",
    "logdir": "log",
    "sample_seconds": "measurement and trial",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of a run: every parameter, `--config` and `--print-config`."""
    parser.usage = "%(prog)s [FLAG ...]"
    parser.epilog = (
        f"A parameter is taken from its flag, else from {ENVIRONMENT_PREFIX}_<NAME> in the\n"
        "environment, else from the YAML file, else it is the system's, the recipe's or\n"
        "the default. docs/parameters.md lists them all."
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML file of parameters")
    parser.add_argument(
        "--print-config", action="store_true", help="print the values in effect as YAML, and exit"
    )
    add_parameters(parser, parameters_of(Config), SET_BY_SCRIPTS, GROUPS)


def configure(arguments: Sequence[str]) -> Config:
    """The configuration of flags, environment and YAML file; see `from_options`."""
    parser = Parser("train", "")
    add_arguments(parser)
    return from_options(parser.parse_arguments(arguments))


def from_options(options: argparse.Namespace) -> Config:
    """The configuration of parsed flags, over the environment, the YAML file and the recipe.

    Raises:
        InputError: an unknown name, a value of the wrong type, or an invalid value.
    """
    parameters = parameters_of(Config)
    names = [parameter.name for parameter in parameters]
    environment = variables(ENVIRONMENT_PREFIX, [*names, SYSTEM_DEFAULTS])
    system_yaml = environment.pop(SYSTEM_DEFAULTS, None)
    system = parse_yaml(system_yaml.text or "", "the system's file", names) if system_yaml else {}
    given = read_yaml(options.config, names) if options.config else {}
    given = system | given | environment | given_flags(options, parameters)
    values = convert(Config, given)
    config = Config(**{**RECIPES[values.get("recipe", Config.recipe)], **values})
    config = _on_device_of(config, convert(Config, system))
    config.validate()
    return config


def _on_device_of(config: Config, system: Mapping[str, Any]) -> Config:
    """The configuration with the system's device for auto; no other one under the system's name."""
    device = system.get("device", "auto")
    if device == "auto" or config.system != system.get("system"):
        return config
    if config.device not in ("auto", device):
        raise InputError(
            f"device is {config.device} but system {config.system} is of device {device}: take "
            "another system file by DGXSYSTEM, or another name by --system"
        )
    return replace(config, device=device)
