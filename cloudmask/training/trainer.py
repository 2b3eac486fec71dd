"""The training loop: epochs over resident patches, evaluation, and nothing that waits for a device.

Losses and counts stay on the device until an epoch ends; the host only hands out work.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from cloudmask.config import Config
from cloudmask.distributed.process_group import World, all_reduce
from cloudmask.model.loss import weighted_bce
from cloudmask.model.metrics import PixelMetrics, metrics_of, pixel_counts
from cloudmask.model.precision import Precision
from cloudmask.model.prediction import predictor
from cloudmask.model.unet import UNet
from cloudmask.patches.store import PatchStore
from cloudmask.scenes.slstr import CHANNELS
from cloudmask.training.augmentation import SYMMETRIES, flip_and_transpose
from cloudmask.training.compilation import OFF, compiled, compiling
from cloudmask.training.learning_rate_schedule import LearningRateSchedule
from cloudmask.training.optimizer import Optimizer
from cloudmask.training.weight_average import WeightAverage

# The first step makes kernels. DistributedDataParallel settles its buckets in the second. CUDA
# graphs are recorded in the second use of what was compiled, and first replayed in the third.
WARM_UP_STEPS, WARM_UP_STEPS_OF_RANKS, WARM_UP_STEPS_COMPILED = 1, 2, 3
# Small buckets let the sum over ranks of late layers' gradients overlap with early layers' work.
BUCKET_MEGABYTES = 4
DEFAULT_SEED = 1234  # the reference's

Progress = Callable[[int], object]


class Trainer:
    """A network with its optimizer on one rank of a world that trains it together."""

    def __init__(self, config: Config, world: World, precision: Precision) -> None:
        self.config = config
        self.seed = config.seed or DEFAULT_SEED
        self.world = world
        self.precision = precision
        torch.manual_seed(self.seed)  # the same weights on every rank, before any broadcast
        self.network = UNet().to(world.device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.parallel = compiled(_parallel(self.network, world), config.compile_mode)
        self.optimizer = Optimizer(config, self.network)
        self.schedule = LearningRateSchedule(config.warmup_steps, config.patience)
        self.scaler = precision.gradient_scaler()
        self.average = (
            WeightAverage(self.network, config.weight_averaging)
            if config.weight_averaging
            else None
        )

    @property
    def evaluation_model(self) -> nn.Module:
        """The network that is evaluated and saved: the averaged one, or else the trained one."""
        return self.network if self.average is None else self.average.network

    def train_epoch(self, epoch: int, store: PatchStore, progress: Progress) -> float:
        """One pass over the rank's patches in an order of its own; returns the mean loss.

        It is NaN if the weights are no finite numbers any more. `progress(1)` is called as each
        step is handed out.
        """
        self.parallel.train()
        rng = np.random.default_rng([self.seed, epoch, self.world.rank])
        order = torch.from_numpy(rng.permutation(len(store))).to(store.device)
        total = torch.zeros((), device=self.world.device)
        for indices in order.split(self.config.batch_size):
            images, labels = store.batch(indices, self.world.device)
            if self.config.augment:
                images, labels = flip_and_transpose(images, labels, int(rng.integers(SYMMETRIES)))
            total += self.step(images, labels)
            progress(1)
        # oneDNN's ReLU turns NaNs into zeros, so that the loss alone would not tell.
        sizes = torch.stack(torch._foreach_norm(list(self.network.parameters())))
        total = torch.where(sizes.isfinite().all(), total, torch.nan)
        steps = len(store) // self.config.batch_size
        return float(all_reduce(total)) / float(steps * self.world.size)

    def step(self, images: Tensor, labels: Tensor) -> Tensor:
        """Forward, backward, sum over ranks, update; returns the loss, still on the device."""
        loss = self.gradients(images, labels)
        self.scaler.step(self.optimizer, self.schedule.scale)  # type: ignore[arg-type]
        self.scaler.update()
        self.schedule.count_step()
        if self.average is not None:
            self.average.update(self.network)
        return loss

    def gradients(self, images: Tensor, labels: Tensor) -> Tensor:
        """Forward and backward; the gradients are then the mean over the global batch."""
        self.network.zero_grad()
        with self.precision.autocast():
            logits = self.parallel(images)
        loss = weighted_bce(logits, labels, self.config.positive_weight)
        self.scaler.scale(loss).backward()
        return loss.detach()

    def evaluate(self, store: PatchStore, progress: Progress = lambda steps: None) -> PixelMetrics:
        """Metrics over the whole validation share of every rank."""
        network = predictor(self.evaluation_model, self.precision.dtype)
        counts = torch.zeros(5, dtype=torch.float64, device=self.world.device)
        with torch.inference_mode():
            everything = torch.arange(len(store), device=store.device)
            for indices in everything.split(self.config.evaluation_batch_size):
                images, labels = store.batch(indices, self.world.device)
                counts += pixel_counts(network(images), labels, self.config.positive_weight)
                progress(1)
        return metrics_of(all_reduce(counts))

    def state(self) -> dict[str, Any]:
        """Everything that training changes: the tensors themselves, numbers, lists and None."""
        random = {"host": torch.get_rng_state()}
        if self.world.device.type == "cuda":
            random["device"] = torch.cuda.get_rng_state(self.world.device)
        return {
            "network": self.network.state_dict(),
            "average": None if self.average is None else self.average.state(),
            "optimizer": self.optimizer.state(),
            **self.schedule.state(),
            "scaler": self.scaler.state_dict(),
            "random": random,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Stand where `state` was taken."""
        self.network.load_state_dict(state["network"])
        if self.average is not None:
            self.average.load_state(state["average"])
        self.optimizer.load_state(state["optimizer"])
        self.schedule.load_state(state)
        self.scaler.load_state_dict(state["scaler"])
        torch.set_rng_state(state["random"]["host"])
        if self.world.device.type == "cuda":
            torch.cuda.set_rng_state(state["random"]["device"], self.world.device)

    def warm_up(self) -> None:
        """Take steps and evaluate on random numbers, so that nothing is prepared under the clock.

        Training stands where it stood before.

        Raises:
            InputError: see `compiling`.
        """
        before = copy.deepcopy(self.state())
        self.parallel.train()
        with compiling(self.config.compile_mode):
            for _ in range(self._warm_up_steps):
                self.step(*self.random_batch(self.config.batch_size))
        self.network.zero_grad()
        self.load_state(before)
        with torch.inference_mode():
            images, labels = self.random_batch(self.config.evaluation_batch_size)
            metrics_of(
                pixel_counts(predictor(self.evaluation_model, self.precision.dtype)(images), labels)
            )

    @property
    def _warm_up_steps(self) -> int:
        if self.config.compile_mode != OFF:
            return WARM_UP_STEPS_COMPILED
        return WARM_UP_STEPS if self.world.size == 1 else WARM_UP_STEPS_OF_RANKS

    def random_batch(self, patches: int) -> tuple[Tensor, Tensor]:
        """Random images and labels of a batch, shaped and laid out like real ones."""
        size, device = self.config.patch_size, self.world.device
        images = torch.randn(
            (patches, size, size, CHANNELS), dtype=self.precision.store_dtype, device=device
        )
        labels = torch.ones((patches, 1, size, size), dtype=torch.uint8, device=device)
        return images.permute(0, 3, 1, 2), labels


def _parallel(network: nn.Module, world: World) -> nn.Module:
    if world.size == 1:
        return network
    return DistributedDataParallel(
        network,
        device_ids=[world.device.index] if world.device.type == "cuda" else None,
        gradient_as_bucket_view=True,
        bucket_cap_mb=BUCKET_MEGABYTES,
    )
