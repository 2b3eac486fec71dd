"""Every parameter of a run, once: its name, type, default and meaning.

Values come from the defaults below, then the recipe, then a YAML file (`--config`), then the
environment (`CLOUDMASK_<NAME>`), then flags (`--<name>`); each overrides the ones before it.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import yaml
from jsonargparse import ArgumentError, ArgumentParser, set_parsing_settings
from jsonargparse.typing import (
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    restricted_number_type,
)

from cloudmask.errors import InputError

ENVIRONMENT_PREFIX = "CLOUDMASK"
PATCH_MULTIPLE = 8  # the U-Net halves a patch three times
LARGEST_PATCH = 1200  # rows of a scene

Share = restricted_number_type("Share", float, [(">", 0), ("<=", 1)])
# Fresh water is ice below; no sea is as warm as the other end.
WaterKelvin = restricted_number_type("WaterKelvin", float, [(">=", 273.15), ("<", 320)])
Decay = restricted_number_type("Decay", float, [(">=", 0), ("<", 1)])

# What the recipes set. `fast`, whose values are the defaults below, reaches the target soonest;
# `reference` is the published training.
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
    },
}


# Parameters that name places on one machine, or what differs between runs of one system.
OF_ONE_RUN = (
    *("datadir", "scratch", "logdir", "log_pointer", "hosts", "seed", "dry_run"),
    *("fetch_seconds", "caches_cleared", "resume", "checkpoint_folder"),
)


@dataclass(frozen=True)
class Config:
    """Parameters of one run; build it with `configure`, which knows the recipes."""

    datadir: Path = Path("data/synthetic")
    """Folder with the scenes: training/**/S3*.hdf and inference/**/S3*.hdf."""
    dataset: Literal["synthetic", "ds1", "ds2", "custom"] = "custom"
    """What the log calls the data; scenes made by `synthesize` are always called synthetic."""
    fetch_seconds: NonNegativeFloat = 0.0
    """Seconds that fetching the data took just before the run, for the log; 0 if it was there."""
    skip_bad_scenes: bool = False
    """Name unusable scenes in the log and leave them out, instead of refusing to start."""

    system: str = "CPU"
    """Name of the system, as in config_<SYSTEM>.sh."""
    nodes: PositiveInt = 1
    """Nodes of the run."""
    processes_per_node: PositiveInt = 1
    """Training processes of a node, one for each accelerator."""
    hosts: str | None = None
    """Names of the nodes, separated by commas, the same on each; the first one writes the log."""
    rendezvous_timeout: PositiveInt = 120
    """Seconds that the nodes wait for each other before the run; then the missing are named."""

    seed: PositiveInt | None = None
    """Seed of weights, order and augmentation; drawn at random, and logged, if not given."""
    target_accuracy: Share = 0.9  # type: ignore[valid-type]
    """Validation pixel accuracy at which the run stops."""
    epochs: PositiveInt = 30
    """Epochs after which a run that has not reached the target gives up."""
    batch_size: PositiveInt = 4
    """Patches per process and step."""
    evaluation_batch_size: PositiveInt = 8
    """Patches per process and evaluation step, and tiles at once in whole-scene inference."""
    tiling: Literal["whole", "reference"] = "whole"
    """Whole-scene inference: the scene in one pass, or the reference's 63 overlapping tiles."""
    min_sst: WaterKelvin = 273.15  # type: ignore[valid-type]
    """Coldest sea surface temperature, K, that is water, in the result's SST consistency."""
    patch_size: PositiveInt = 256
    """Side of a training patch in pixels, a multiple of 8."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Arithmetic; auto takes the fastest that the device has in hardware."""
    compile_mode: Literal["off", "default", "reduce-overhead", "max-autotune"] = "off"
    """Mode in which torch.compile makes the network's two passes of a training step, before the
    clock; the last two use CUDA graphs."""

    recipe: Literal["fast", "reference"] = "fast"
    """Training recipe: sets the parameters from here to `augment` where they are not given."""
    optimizer: Literal["adam", "adamw", "muon"] = "muon"
    """Adam, AdamW with decoupled weight decay, or Muon: AdamW with orthogonal steps of kernels."""
    learning_rate: PositiveFloat = 2e-3
    """Peak learning rate, reached at the end of the warm-up."""
    kernel_learning_rate: PositiveFloat = 3e-2
    """The same of the 3x3 kernels, with muon: the spectral norm of a step."""
    kernel_momentum: Decay = 0.6  # type: ignore[valid-type]
    """Share of its last direction in a kernel's next one, with muon."""
    warmup_steps: NonNegativeInt = 5
    """Steps over which the learning rate rises linearly to its peak."""
    patience: NonNegativeInt = 2
    """Epochs without a better validation accuracy after which the rate is halved; 0: never."""
    adam_epsilon: PositiveFloat = 1e-7
    """Adam's epsilon."""
    weight_decay: NonNegativeFloat = 1e-2
    """Weight decay of each step, as a share of the learning rate."""
    positive_weight: PositiveFloat = 1.0
    """Weight b of cloudy pixels in the loss; 1 is plain binary cross entropy."""
    weight_averaging: Decay = 0.98  # type: ignore[valid-type]
    """Decay per step of the averaged weights that are evaluated; 0 evaluates the raw ones."""
    augment: bool = True
    """Flip and turn the patches at random."""

    store: Literal["auto", "device", "host", "mapped"] = "auto"
    """Where the patches live: device memory, host memory, or a file mapped from `scratch`."""
    scratch: Path = Path("/tmp")
    """Node-local folder for a mapped store."""
    workers: NonNegativeInt = 0
    """Processes that read scenes, per rank; 0 shares the node's cores among its ranks."""
    clear_caches: bool = True
    """Ask the kernel to drop its file caches before the run; needs root, else it is logged so."""
    caches_cleared: bool = False
    """Whoever started the run has just dropped the caches of all nodes, for a run that may not."""

    resume: Literal["never", "auto"] | Path = "never"
    """Go on from a checkpoint: this file, or auto: the newest good one that fits, if there is one.
    A resumed run says so in its log and is no timed result."""
    checkpoint_epochs: NonNegativeInt = 0
    """Epochs between checkpoints; 0: only when a signal stops the run, of the last whole epoch."""
    checkpoint_folder: Path | None = None
    """Folder for checkpoints; that of the log if not given."""
    fault_timeout: PositiveFloat = 120.0
    """Seconds without progress after which a rank, or a node, is given up and the run ended."""
    max_restarts: NonNegativeInt = 0
    """How often a run that lost a rank goes on from its last checkpoint, or else from the start."""

    logdir: Path | None = None
    """Folder for result_N.txt and weights_N.safetensors; logs/<system> if not given."""
    log_pointer: Path | None = None
    """File into which the path of the run's log is written, for scripts."""
    division: Literal["open", "closed"] = "open"
    """MLPerf division; closed needs the reference recipe as it is."""
    organisation: str = "CloudMask"
    """Submitter, as logged."""
    status: Literal["cloud", "onprem", "preview", "research"] = "onprem"
    """Availability of the system, as logged."""

    sample_seconds: NonNegativeFloat = 1.0
    """Seconds between samples of power and utilisation, kept beside the log; 0 takes none."""
    profile: bool = False
    """Write trace_N.json beside the log: some steps, for trace viewers; it costs time."""
    dry_run: bool = False
    """Print what each rank would get and check the wiring with a fake process group; no data."""

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
        """The effective values, in a form that `--config` reads."""
        return str(yaml.safe_dump(self._as_dict(), sort_keys=False))

    def for_reruns(self) -> dict[str, Any]:
        """What a rerun elsewhere needs: the values by name, without those of `OF_ONE_RUN`."""
        return {name: value for name, value in self._as_dict().items() if name not in OF_ONE_RUN}

    def _as_dict(self) -> dict[str, Any]:
        return {item.name: _plain(getattr(self, item.name)) for item in fields(self)}

    def validate(self) -> None:
        """Refuse values that are impossible by themselves or together.

        Raises:
            InputError: names the parameter and says what is allowed.
        """
        if self.patch_size % PATCH_MULTIPLE or self.patch_size > LARGEST_PATCH:
            raise InputError(
                f"patch_size is {self.patch_size}: it must be a multiple of {PATCH_MULTIPLE}, "
                f"at most {LARGEST_PATCH}"
            )
        for name in ("organisation", "system"):
            if not getattr(self, name).strip():
                raise InputError(f"{name} is empty: give the name that the log shall carry")
        if self.division == "closed":
            for name, value in RECIPES["reference"].items():
                if getattr(self, name) != value:
                    raise InputError(
                        f"{name} is {getattr(self, name)}: division closed needs the reference "
                        f"recipe's {value}; use recipe reference, or division open"
                    )


def _plain(value: Any) -> Any:
    """A value in YAML's own types: paths and restricted numbers are subclasses of none or one."""
    if isinstance(value, Path):
        return str(value)
    for kind in (bool, int, float):
        if isinstance(value, kind):
            return kind(value)
    return value


def configure(arguments: Sequence[str]) -> Config:
    """The configuration that command-line arguments, environment and YAML file give together.

    `--config FILE` names the YAML file; `--print-config` prints the effective values and exits.
    Dashes and underscores in names of flags are the same.

    Raises:
        InputError: an unknown name, a value of the wrong type, or an impossible one.
    """
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument("--config", type=Path)
    finder.add_argument("--print_config", action="store_true")
    found, rest = finder.parse_known_args([with_underscores(item) for item in arguments])
    if found.config is not None and not found.config.is_file():
        raise InputError(f"--config {found.config}: there is no such file")
    _refuse_unknown_variables()
    try:
        # The recipe is itself a parameter, so it is found first; it then sets the defaults that
        # file, environment and flags override.
        recipe = _parser(found.config, "fast").parse_args(rest).recipe
        values = _parser(found.config, recipe).parse_args(rest)
    except (ArgumentError, ValueError, TypeError) as error:
        raise InputError(_sentence(error)) from error
    config = Config(**{item.name: values[item.name] for item in fields(Config)})
    config.validate()
    if found.print_config:
        print(config.as_yaml(), end="")
        raise SystemExit(0)
    return config


def _parser(file: Path | None, recipe: str) -> ArgumentParser:
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = ArgumentParser(
        prog="python -m cloudmask train",
        description="Train to the target accuracy, timed and logged.",
        epilog="--config FILE reads parameters from YAML; --print-config prints those in effect.",
        default_env=True,
        env_prefix=ENVIRONMENT_PREFIX,
        default_config_files=[str(file)] if file else [],
        exit_on_error=False,
    )
    parser.add_class_arguments(Config)
    parser.set_defaults(dict(RECIPES[recipe]))
    return parser


def _sentence(error: Exception) -> str:
    text = re.sub(r'Parser key "(\w+)":', r"parameter \1:", " ".join(str(error).split()))
    return f"{text}; see train --help"


def with_underscores(argument: str) -> str:
    """A flag with the dashes in its name written as underscores, as parameters have them."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument[2:].partition("=")
    return f"--{name.replace('-', '_')}{equals}{value}"


def _refuse_unknown_variables() -> None:
    known = {f"{ENVIRONMENT_PREFIX}_{item.name.upper()}" for item in fields(Config)}
    for name in os.environ:
        if name.startswith(f"{ENVIRONMENT_PREFIX}_") and name not in known:
            raise InputError(f"environment variable {name} is not a parameter; see train --help")
