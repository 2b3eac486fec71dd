"""One timed run: the benchmark's sequence of events, from cleared caches to the result."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
from mlperf_logging.mllog import constants
from numpy.typing import NDArray

from cloudmask.checkpoints.folder import make_folder
from cloudmask.checkpoints.resume import find_resume_point
from cloudmask.checkpoints.save import CheckpointWriter
from cloudmask.config import Config
from cloudmask.console import Console
from cloudmask.distributed.heartbeat import Heartbeat
from cloudmask.distributed.host_allocator import keep_freed_memory
from cloudmask.distributed.process_group import (
    World,
    barrier,
    destroy_process_group,
    gather,
    initialise_process_group,
    on_rank_zero,
)
from cloudmask.errors import EXIT_OK, EXIT_TARGET_MISSED, InputError, Stopped
from cloudmask.files import preallocate
from cloudmask.mlperf.log.logger import RunLog, beside, reserve_result_path
from cloudmask.model.precision import Precision, choose_precision
from cloudmask.model.prediction import predictor
from cloudmask.model.weights import save_weights
from cloudmask.patches.staging import Staging
from cloudmask.patches.store import PatchStore, StorePlan, choose_store
from cloudmask.timed_run.events import log_parameters, log_submission
from cloudmask.timed_run.page_cache import clear_caches
from cloudmask.timed_run.plan import Plan, make_plan, training_parameters
from cloudmask.timed_run.power_sampling import Sampling
from cloudmask.timed_run.profiling import both, profiled
from cloudmask.training.trainer import Progress, Trainer

STORES_BY_SPEED = ("device", "host", "mapped")
LOG_ROOM = 2**20  # bytes, of which an epoch takes about 2500
# Slewing by NTP moves both clocks alike; more than this is a jump of the one that dates the log.
LARGEST_DRIFT = 1.0  # seconds


def timed_run(config: Config, pulse: Heartbeat) -> int:
    """Train to the target on this rank of the run, log it, then answer the scientific question.

    Returns the exit code: 0 if the target was reached, 3 if not, or if nobody can say when.

    Raises:
        InputError: before `run_start`, for anything about data, configuration or folders.
    """
    keep_freed_memory()
    world = initialise_process_group()
    try:
        precision = choose_precision(config.precision, world.device)
        plan = make_plan(config, world, pulse.beat)
        parameters = training_parameters(config, plan, world)
        console = Console(visible=world.leads)
        beginning = find_resume_point(config, parameters, world, console.say)
        config = replace(config, seed=beginning.seed)
        path = on_rank_zero(world, lambda: _reserve_log(config, pulse))
        with RunLog(path) as log:
            checkpoints = CheckpointWriter(config, parameters, beginning, log, console)
            code = TimedRun(config, world, precision, plan, log, pulse, checkpoints).go()
        barrier(world)  # no rank leaves, and is taken for lost, while another still writes
        return code
    finally:
        destroy_process_group()


class TimedRun:
    """The steps of a run on one rank, in order."""

    def __init__(
        self,
        config: Config,
        world: World,
        precision: Precision,
        plan: Plan,
        log: RunLog,
        pulse: Heartbeat,
        checkpoints: CheckpointWriter,
    ) -> None:
        self.config = config
        self.world = world
        self.precision = precision
        self.plan = plan
        self.log = log
        self.pulse = pulse
        self.console = Console(visible=world.leads)
        self.checkpoints = checkpoints

    def go(self) -> int:
        """Everything, from the cleared cache to the result."""
        log = self.log
        log_submission(log, self.config, self.world)
        log.event(constants.CACHE_CLEAR, clear_caches(self.config, self.world))

        log.start(constants.INIT_START)
        sampling = Sampling(self.config, self.world, log, self.console)
        with self._staging() as staging, sampling:
            log_parameters(log, self.config, self.plan, self.precision, staging.kind)
            trainer = Trainer(self.config, self.world, self.precision)
            self.checkpoints.begin(trainer)
            trainer.warm_up()
            self._announce(staging)
            sampling.begin()
            barrier(self.world)
            log.end(constants.INIT_STOP)

            log.start(constants.RUN_START)
            clocks = time.time(), time.monotonic()
            try:
                missed = self._train_to_target(trainer, staging)
            except BaseException as error:
                self.checkpoints.save()
                # What is wrong with this rank may come from another: the supervisor knows.
                if isinstance(error, Stopped) or not self.pulse.supervised:
                    self._stop(constants.ABORTED, reason=f"{type(error).__name__}: {error}")
                raise
            jumped = _clock_jump(*clocks)
            reason = missed or jumped or self.checkpoints.untimed
            self._stop(constants.ABORTED if reason else constants.SUCCESS, reason=reason)

        self._keep_weights(trainer)
        self._answer(trainer)
        if not missed:
            self.checkpoints.clear()
        return EXIT_TARGET_MISSED if missed or jumped else EXIT_OK

    def _train_to_target(self, trainer: Trainer, staging: Staging) -> str:
        """Stage, then epochs of training and evaluation; returns why it failed, or ''."""
        training, validation = self._stage(staging)
        config, log = self.config, self.log
        for epoch in range(self.checkpoints.beginning.epoch + 1, config.epochs + 1):
            log.start(constants.EPOCH_START, epoch_num=epoch)
            began = time.perf_counter()
            steps = len(training) // config.batch_size
            with self._part(steps, f"epoch {epoch}") as bar, self._profile(epoch) as profiler:
                loss = trainer.train_epoch(epoch, training, both(bar, profiler))
            trained = time.perf_counter()
            log.end(constants.EPOCH_STOP, epoch_num=epoch)
            if not math.isfinite(loss):
                return f"the training loss of epoch {epoch} is {loss}: use a lower learning_rate"

            log.start(constants.EVAL_START, epoch_num=epoch)
            batches = -(-len(validation) // config.evaluation_batch_size)
            with self._part(batches, f"evaluation {epoch}") as progress:
                metrics = trainer.evaluate(validation, progress)
            trainer.schedule.record_accuracy(metrics.accuracy)
            evaluated = time.perf_counter()
            log.event(constants.EVAL_ACCURACY, metrics.accuracy, epoch_num=epoch)
            log.event("eval_wbce", metrics.wbce, epoch_num=epoch)
            log.end(constants.EVAL_STOP, epoch_num=epoch)

            counts = self.plan.counts
            rates = {
                "train_loss": loss,
                "train_throughput": counts.train_samples / (trained - began),
                "eval_throughput": counts.eval_samples / (evaluated - trained),
                **metrics.as_dict(),
            }
            log.event("tracked_stats", rates, epoch_num=epoch)
            self.console.say(
                f"epoch {epoch:3d}   loss {loss:.4f}   accuracy {metrics.accuracy:.4f}   "
                f"WBCE {metrics.wbce:.4f}   {evaluated - began:6.1f} s   "
                f"{rates['train_throughput']:.1f} patches/s"
            )
            if metrics.accuracy >= config.target_accuracy:
                return ""
            self.checkpoints.remember(epoch, trainer)
        return (
            f"accuracy {metrics.accuracy:.4f} after {config.epochs} epochs is below the target "
            f"{config.target_accuracy}"
        )

    def _profile(self, epoch: int) -> AbstractContextManager[Progress]:
        """The profiler in the first epoch of a run that asks for it, else nothing."""
        if self.log.path is None or not self.config.profile or epoch > 1:
            return nullcontext(lambda steps: None)
        return profiled(beside(self.log.path, "trace", ".json"), self.world)

    def _stage(self, staging: Staging) -> list[PatchStore]:
        self.log.start(constants.STAGING_START)
        began = time.perf_counter()
        with self._part(staging.slice_count, "staging") as progress:
            stores = staging.fill(progress)
        barrier(self.world)
        self.log.end(constants.STAGING_STOP)
        self.console.say(f"staged in {time.perf_counter() - began:.1f} s")
        return stores

    @contextmanager
    def _part(self, total: int, label: str) -> Iterator[Progress]:
        """A part of the run: gives what is to be called as it gets on, for people and supervisor.

        After it, this rank may have to wait for the others.
        """
        self.pulse.enter(label)
        with self.console.bar(total, label) as bar:
            yield both(bar, self.pulse.beat)
        self.pulse.wait()

    def _stop(self, status: str, reason: str) -> None:
        self.log.end(constants.RUN_STOP, status=status, **({"reason": reason} if reason else {}))
        self.console.say(f"run {status}" + (f": {reason}" if reason else ""))

    def _staging(self) -> Staging:
        """Memory for the patches of this rank, and waiting workers, by what fits on every rank."""
        config, world, counts = self.config, self.world, self.plan.counts
        plans = [
            StorePlan(scenes, share, config.patch_size, self.precision.store_dtype)
            for scenes, share in (
                (self.plan.training, counts.train_share(world.rank)),
                (self.plan.validation, counts.eval_share(world.rank)),
            )
        ]
        needed = sum(plan.nbytes for plan in plans)
        wish = choose_store(config.store, needed, world.device, world.local_size)
        kind = max(gather(wish), key=STORES_BY_SPEED.index)
        workers = config.workers or world.cores
        return Staging(plans, kind, world.device, workers, config.scratch)

    def _announce(self, staging: Staging) -> None:
        counts = self.plan.counts
        self.console.say(
            f"CloudMask on {self.config.system}: {self.world.size} x "
            f"{self.world.device.type}, {self.precision.name}, {self.config.recipe} recipe, "
            f"seed {self.config.seed}, patches in {staging.kind} memory"
        )
        self.console.say(
            f"{self.plan.dataset} data: {counts.train_samples} training and {counts.eval_samples} "
            f"validation patches of {self.config.patch_size} pixels, global batch "
            f"{counts.global_batch_size}; target accuracy {self.config.target_accuracy}"
        )
        for problem in self.plan.skipped:
            self.console.say(f"skipped {problem}")
        if self.log.path is not None:
            self.console.say(f"log {self.log.path}")

    def _keep_weights(self, trainer: Trainer) -> None:
        if self.log.path is not None:
            path = beside(self.log.path, "weights", ".safetensors")
            save_weights(path, trainer.evaluation_model)
            self.console.say(f"weights {path}")

    def _answer(self, trainer: Trainer) -> None:
        """Masks of the inference scenes, each rank every n-th, and the `result` event."""
        # What this takes is imported now: nothing before the clock waits for it.
        from cloudmask.inference.whole_scene import overlapped, predict_scene
        from cloudmask.science.scene_scores import (
            Labelled,
            mean_over_scenes,
            read_labelled,
            score_scene,
        )

        mine = self.plan.inference[self.world.rank :: self.world.size]
        network = predictor(trainer.evaluation_model, self.precision.dtype)
        batch_size, tiling = self.config.evaluation_batch_size, self.config.tiling

        def predict(scene: Labelled) -> tuple[Labelled, NDArray[np.float32]]:
            return scene, predict_scene(network, scene.image, self.precision, batch_size, tiling)

        def score(_: Path, predicted: tuple[Labelled, NDArray[np.float32]]) -> dict[str, float]:
            return score_scene(*predicted, self.config.min_sst)

        scores = []
        began = time.perf_counter()
        with self._part(len(mine), "inference") as progress:
            for _, scored in overlapped(mine, read_labelled, predict, score):
                scores.append(scored.result())
                progress(1)
        result = mean_over_scenes([score for part in gather(scores) for score in part])
        result["seconds_per_scene"] = round(
            (time.perf_counter() - began) / len(self.plan.inference), 3
        )
        self.log.event("result", result)
        for name, value in result.items():
            self.console.say(f"{name.replace('_', ' '):40s} {value}")


def _reserve_log(config: Config, pulse: Heartbeat) -> Path:
    """The path of the log, with room for it, so that a disk that fills up later does not cut it."""
    if config.checkpoint_folder is not None:
        make_folder(config.checkpoint_folder)
    path = reserve_result_path(config.log_folder)
    try:
        preallocate(path, LOG_ROOM)
    except OSError as error:
        path.unlink()
        raise InputError(
            f"{config.log_folder}: no room for the log ({error.strerror}): "
            "free some, or choose another LOGDIR"
        ) from error
    pulse.tell_log(path)
    if config.log_pointer is not None:
        config.log_pointer.write_text(f"{path}\n")
    return path


def _clock_jump(wall: float, monotonic: float) -> str:
    """What is wrong with the clock that dates the log, since both clocks were read, or ''."""
    drift = (time.time() - wall) - (time.monotonic() - monotonic)
    if abs(drift) < LARGEST_DRIFT:
        return ""
    return f"the system's clock jumped by {drift:+.1f} s during the run: its log tells no time"
