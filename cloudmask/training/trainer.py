"""The training loop: epochs over patches in memory, and evaluation.

The host only queues work: losses and counts stay on the device until an epoch ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from cloudmask.config import Config
from cloudmask.distributed.process_group import World, all_reduce
from cloudmask.model.loss import weighted_bce
from cloudmask.model.metrics import PixelMetrics, metrics_from_counts, pixel_counts
from cloudmask.model.precision import Precision
from cloudmask.model.prediction import inference_copy
from cloudmask.model.unet import UNet
from cloudmask.patches.store import PatchStore
from cloudmask.scenes.slstr import CHANNELS
from cloudmask.training.augmentation import (
    SYMMETRIES,
    draw_holes,
    flip_and_transpose,
    punch_holes,
    symmetries_of_square,
)
from cloudmask.training.compilation import compile_network
from cloudmask.training.cuda_graph import TrainingGraphs, leave_default_stream
from cloudmask.training.learning_rate_schedule import LearningRateSchedule
from cloudmask.training.optimizer import Optimizer
from cloudmask.training.weight_average import WeightAverage

NEVER = 2**31 - 1  # steps
SEEDS = 2**31 - 1  # of the generator on the device
# With small buckets, the all-reduce of late layers' gradients overlaps with early layers' backward.
BUCKET_MEGABYTES = 4
DEFAULT_SEED = 1234  # the reference's

Progress = Callable[[int], object]


class Trainer:
    """The network, optimizer and training loop of one rank.

    Attributes:
        network: the trained network.
        parallel: the same network, all-reducing gradients and compiled where configured.
        symmetries: see `symmetries_of_square`, on the device.
        generator: random numbers on the device, seeded for each epoch.
        schedule: the learning-rate schedule; the caller records each epoch's accuracy in it.
        graphs: the CUDA graphs of a step and of an evaluation, which `warm_up` captures, or None.
        graphs_refused: why there are none although they are wanted, or ''.
    """

    def __init__(self, config: Config, world: World, precision: Precision) -> None:
        self.config = config
        self.seed = config.seed or DEFAULT_SEED
        self.world = world
        self.precision = precision
        if world.device.type == "cuda":
            leave_default_stream(world.device)
            # cuDNN times its algorithms in the warm-up, which has all shapes of a run.
            torch.backends.cudnn.benchmark = True
        self.graphs: TrainingGraphs | None = None
        self.graphs_refused = ""
        torch.manual_seed(self.seed)  # the same weights on every rank, before any broadcast
        self.network = UNet().to(world.device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if config.cudnn_fusion:
            self.network.fuse_with_cudnn()
        self.parallel = compile_network(data_parallel(self.network, world), config.compile_mode)
        self.optimizer = Optimizer(config, self.network)
        self.symmetries = symmetries_of_square(config.patch_size, world.device)
        self.generator = torch.Generator(world.device)
        self.schedule = LearningRateSchedule(config.warmup_steps, config.patience)
        self.scaler = precision.gradient_scaler()
        decay = config.weight_averaging
        self.average = WeightAverage(self.network, decay) if decay else None

    @property
    def evaluation_model(self) -> UNet:
        """The network that is evaluated and saved: the averaged one, or else the trained one."""
        return self.network if self.average is None else self.average.network

    def train_epoch(self, epoch: int, store: PatchStore, progress: Progress) -> float:
        """Train on all patches of every rank once, each in random order; returns the mean loss.

        The loss is NaN if a weight is not finite. `progress(1)` is called as each step is queued.
        """
        self.parallel.train()
        rng = np.random.default_rng([self.seed, epoch, self.world.rank])
        order = torch.from_numpy(rng.permutation(len(store))).to(store.device)
        total = torch.zeros((), device=self.world.device)
        size, share = self.config.batch_size, self.config.hole_share
        if self.config.augment:
            self.generator.manual_seed(int(rng.integers(SEEDS)))
            symmetries = torch.randint(
                SYMMETRIES, (len(store),), generator=self.generator, device=self.world.device
            )
        if share:
            drawn = draw_holes(rng, len(store), self.config.patch_size, share)
            holes = torch.from_numpy(drawn).to(self.world.device)
        for step, indices in enumerate(order.split(size)):
            images, labels = store.batch(indices, self.world.device)
            patches = slice(step * size, (step + 1) * size)
            if share:
                images = punch_holes(images, holes[patches])
            if self.config.augment:
                total += self.step(images, labels, symmetries[patches])
            else:
                total += self.step(images, labels)
            progress(1)
        # oneDNN's ReLU maps NaN to 0, so the loss can be finite although weights are not.
        norms = torch.stack(torch._foreach_norm(list(self.network.parameters())))
        total = torch.where(norms.isfinite().all(), total, torch.nan)
        steps = len(store) // self.config.batch_size
        return float(all_reduce(total)) / float(steps * self.world.size)

    def step(self, images: Tensor, labels: Tensor, *symmetries: Tensor) -> Tensor:
        """Forward, backward, all-reduce, update; returns this rank's loss, on the device.

        With CUDA graphs, the loss is valid until the next step.

        Args:
            images: (N, 9, P, P), in channels-last layout.
            labels: (N, 1, P, P).
            symmetries: if patches are augmented, those of this batch, (N,) of 0 to 7.
        """
        scale = self.schedule.scale
        weight = 0.0 if self.average is None else self.average.next_weight()
        self.schedule.steps += 1
        if self.graphs is not None:
            return self.graphs.step.launch(images, labels, scale, weight, *symmetries)
        return self.step_on_device(images, labels, scale, weight, *symmetries)

    def step_on_device(
        self,
        images: Tensor,
        labels: Tensor,
        scale: float | Tensor,
        weight: float | Tensor,
        symmetries: Tensor | None = None,
    ) -> Tensor:
        """What a step does on the device: numbers that change between steps are arguments.

        Args:
            scale: factor of the learning rates.
            weight: weight of the network in the average.
        """
        if symmetries is not None:
            images, labels = flip_and_transpose(images, labels, self.symmetries[symmetries])
        loss = self.forward_backward(images, labels)
        self.scaler.step(self.optimizer, scale)  # type: ignore[arg-type]
        self.scaler.update()
        if self.average is not None:
            self.average.update(self.network, weight)
        return loss

    def forward_backward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Forward and backward: leaves gradients averaged over the global batch; see `step`."""
        self.network.zero_grad()
        with self.precision.autocast():
            logits = self.parallel(images)
        loss = weighted_bce(logits, labels, self.config.positive_weight)
        self.scaler.scale(loss).backward()
        return loss.detach()

    def evaluate(self, store: PatchStore, progress: Progress = lambda _: None) -> PixelMetrics:
        """Metrics of `evaluation_model` over the patches of every rank.

        `progress(n)` is called as each batch of n patches is queued.
        """
        graphs, limit = self.graphs, self.config.evaluation_batch_size
        network = self.inference_network() if graphs is None else graphs.network.launch()
        counts = torch.zeros(5, dtype=torch.float64, device=self.world.device)
        with torch.inference_mode():
            for images, labels in store.even_batches(limit, self.world.device):
                if graphs is None:
                    counts += self.counts(network, images, labels)
                else:
                    counts += graphs.evaluation.launch(images, labels)
                progress(len(labels))
        return metrics_from_counts(all_reduce(counts))

    def inference_network(self) -> UNet:
        """A copy of `evaluation_model` in the type of inference."""
        return inference_copy(self.evaluation_model, self.precision.dtype)

    def counts(self, network: UNet, images: Tensor, labels: Tensor) -> Tensor:
        """The pixel counts of a batch; see `pixel_counts`."""
        return pixel_counts(network(images), labels, self.config.positive_weight)

    def state(self) -> dict[str, Any]:
        """The state that `load_state` restores; its tensors are not copied."""
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
        """Restore the trainer to `state`."""
        self.network.load_state_dict(state["network"])
        if self.average is not None:
            self.average.load_state(state["average"])
        self.optimizer.load_state(state["optimizer"])
        self.schedule.load_state(state)
        self.scaler.load_state_dict(state["scaler"])
        torch.set_rng_state(state["random"]["host"])
        if self.world.device.type == "cuda":
            torch.cuda.set_rng_state(state["random"]["device"], self.world.device)

    def random_batch(self, patches: int) -> tuple[Tensor, Tensor]:
        """Random images, and labels of clouds only, in the shape and layout of a real batch."""
        size, device = self.config.patch_size, self.world.device
        images = torch.randn(
            (patches, size, size, CHANNELS), dtype=self.precision.store_dtype, device=device
        )
        labels = torch.ones((patches, 1, size, size), dtype=torch.uint8, device=device)
        return images.permute(0, 3, 1, 2), labels


def data_parallel(network: nn.Module, world: World) -> nn.Module:
    """The network with its gradients averaged over all ranks; itself on a single one."""
    if world.size == 1:
        return network
    parallel = DistributedDataParallel(
        network,
        device_ids=[world.device.index] if world.device.type == "cuda" else None,
        gradient_as_bucket_view=True,
        bucket_cap_mb=BUCKET_MEGABYTES,
    )
    # It would time every 100th step, for which the host waits.
    parallel._set_ddp_runtime_logging_sample_rate(NEVER)
    return parallel
