"""The timed run on one rank: the benchmark's sequence of events, from page cache to result."""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

from mlperf_logging.mllog import constants

from cloudmask.checkpoints.resume import find_resume_point
from cloudmask.checkpoints.save import CheckpointWriter
from cloudmask.config import Config
from cloudmask.console import Console
from cloudmask.distributed.heartbeat import Heartbeat
from cloudmask.distributed.host_allocator import keep_freed_memory
from cloudmask.distributed.own_speed import at_own_speed
from cloudmask.distributed.process_group import (
    World,
    barrier,
    destroy_process_group,
    gather,
    initialise_process_group,
    limit_waiting,
    on_rank_zero,
)
from cloudmask.errors import EXIT_OK, EXIT_TARGET_MISSED, InputError, Stopped
from cloudmask.mlperf.log.logger import RunLog, companion_path
from cloudmask.mlperf.log.run_summary import MEANING
from cloudmask.model.card import Card
from cloudmask.model.metrics import PixelMetrics
from cloudmask.model.precision import Precision, choose_precision
from cloudmask.model.weights import save_weights
from cloudmask.patches.staging import Staging
from cloudmask.patches.store import PatchStore, StorePlan, choose_store
from cloudmask.scenes.baseline import mixed_baselines
from cloudmask.tables import counted
from cloudmask.timed_run.clock import clock_jump, clock_offset
from cloudmask.timed_run.events import log_parameters, log_submission
from cloudmask.timed_run.failures import failures_as_errors
from cloudmask.timed_run.hardware import log_hardware
from cloudmask.timed_run.log_file import reserve_log
from cloudmask.timed_run.page_cache import drop_page_cache
from cloudmask.timed_run.plan import Plan, make_plan, training_parameters
from cloudmask.timed_run.power_sampling import PowerSampling
from cloudmask.timed_run.profiling import trace_steps
from cloudmask.timed_run.progress import both, phase
from cloudmask.training.trainer import Progress, Trainer
from cloudmask.training.warm_up import warm_up

STORES_BY_SPEED = ("device", "host", "mapped")


def timed_run(config: Config, heartbeat: Heartbeat) -> int:
    """Train to the target on this rank, timed and logged, then score the inference scenes.

    Returns the exit code: 0 if the target was reached, 3 if it was missed or the system's clock
    jumped.

    Raises:
        InputError: before `run_start`, for data, configuration and folders; at any time, if
            memory is too small.
        Stopped: a stop signal ended the run; its log is complete.
    """
    keep_freed_memory()
    try:
        with failures_as_errors():
            return _run(config, heartbeat)
    finally:
        destroy_process_group()


def _run(config: Config, heartbeat: Heartbeat) -> int:
    world = initialise_process_group(config.device, config.rendezvous_timeout)
    if world.device.type == "cuda" and config.system == Config.system:
        raise InputError(
            f"system is {config.system} but this run would use {world.size} GPUs: name the "
            "system with --system, or give --device cpu"
        )
    precision = choose_precision(config.precision, world.device)
    plan = make_plan(config, world, heartbeat.progress)
    parameters = training_parameters(config, plan, world, precision.name)
    console = Console(visible=world.is_rank_zero)
    resume_point = find_resume_point(config, parameters, world, console.say)
    config = replace(config, seed=resume_point.seed)
    path = on_rank_zero(world, lambda: reserve_log(config, heartbeat))
    with RunLog(path) as log:
        checkpoints = CheckpointWriter(config, parameters, resume_point, log, console)
        run = TimedRun(config, world, precision, plan, log, console, heartbeat, checkpoints)
        exit_code = run.execute()
    barrier(world)  # a rank that left while others still write would be taken for lost
    return exit_code


@dataclass(frozen=True)
class TimedRun:
    """The steps of a run on one rank, in order."""

    config: Config
    world: World
    precision: Precision
    plan: Plan
    log: RunLog
    console: Console
    heartbeat: Heartbeat
    checkpoints: CheckpointWriter

    def execute(self) -> int:
        """Do the whole run, from the page cache to the result; returns its exit code."""
        log = self.log
        log_submission(log, self.config, self.world)
        log_hardware(log, self.world, self.config.datadir)
        scenes = [*self.plan.training, *self.plan.validation, *self.plan.inference]
        log.event(constants.CACHE_CLEAR, drop_page_cache(self.config, self.world, scenes))

        log.start(constants.INIT_START)
        sampling = PowerSampling(self.config, self.world, log, self.console)
        with self._allocate_stores() as staging:
            with sampling:
                log_parameters(log, self.config, self.plan, self.precision, staging.kind)
                trainer = Trainer(self.config, self.world, self.precision)
                self.checkpoints.resume(trainer)
                on_host = staging.kind != "device"
                warm_up(trainer, on_host, self.plan.counts.eval_share(self.world.rank).count)
                self.checkpoints.prepare(trainer)
                self._print_header(staging, trainer)
                sampling.begin()
                barrier(self.world)
                limit_waiting(self.config.fault_timeout)
                log.end(constants.INIT_STOP)

                log.start(constants.RUN_START)
                offset = clock_offset()
                try:
                    stores = self._stage(staging)
                    missed = self._train_to_target(trainer, stores)
                except BaseException as error:
                    self.checkpoints.save()
                    # The cause may be another rank, which the supervisor knows and logs.
                    if isinstance(error, Stopped) or not self.heartbeat.supervised:
                        self._stop(constants.ABORTED, reason=f"{type(error).__name__}: {error}")
                    raise
                jumped = clock_jump(offset)
                reason = missed or jumped or self.checkpoints.why_untimed
                self._stop(constants.ABORTED if reason else constants.SUCCESS, reason=reason)
            card = self._card(trainer, stores[1])

        self._save_weights(trainer, card)
        self._log_result(trainer)
        if not missed:
            self.checkpoints.clear()
        return EXIT_TARGET_MISSED if missed or jumped else EXIT_OK

    def _train_to_target(self, trainer: Trainer, stores: list[PatchStore]) -> str:
        """Train and evaluate by epochs; returns why the target was missed, or ''."""
        training, validation = stores
        counts, target = self.plan.counts, self.config.target_accuracy
        for epoch in range(self.checkpoints.resume_point.epoch + 1, self.config.epochs + 1):
            began = time.perf_counter()
            loss = self._train_epoch(epoch, trainer, training)
            trained = time.perf_counter()
            if not math.isfinite(loss):
                return f"the training loss of epoch {epoch} is {loss}: use a lower learning_rate"
            metrics = self._evaluate(epoch, trainer, validation)
            evaluated = time.perf_counter()

            statistics = {
                "train_loss": loss,
                "train_throughput": counts.train_samples / (trained - began),
                "eval_throughput": counts.eval_samples / (evaluated - trained),
                **metrics.as_dict(),
            }
            self.log.event("tracked_stats", statistics, epoch_num=epoch)
            self.console.say(
                f"epoch {epoch:3d}   loss {loss:.4f}   accuracy {metrics.accuracy:.4f}   "
                f"WBCE {metrics.wbce:.4f}   {evaluated - began:6.1f} s   "
                f"{statistics['train_throughput']:.1f} patches/s"
            )
            if metrics.accuracy >= target:
                return ""
            self.checkpoints.record(epoch, trainer)
        return (
            f"accuracy {metrics.accuracy:.4f} after {counted(self.config.epochs, 'epoch')} "
            f"is below the target {target}"
        )

    def _stage(self, staging: Staging) -> list[PatchStore]:
        self.log.start(constants.STAGING_START)
        began = time.perf_counter()
        with (
            at_own_speed() as check,
            self._phase(staging.slice_count, "staging") as progress,
        ):
            stores = staging.fill(both(progress, check))
        barrier(self.world)
        self.log.end(constants.STAGING_STOP)
        self.console.say(f"staged in {time.perf_counter() - began:.1f} s")
        return stores

    def _train_epoch(self, epoch: int, trainer: Trainer, store: PatchStore) -> float:
        self.log.start(constants.EPOCH_START, epoch_num=epoch)
        steps = len(store) // self.config.batch_size
        with (
            self._phase(steps, f"epoch {epoch}") as progress,
            self._profiler(epoch) as profiler,
        ):
            loss = trainer.train_epoch(epoch, store, both(progress, profiler))
        self.log.end(constants.EPOCH_STOP, epoch_num=epoch)
        return loss

    def _evaluate(self, epoch: int, trainer: Trainer, store: PatchStore) -> PixelMetrics:
        self.log.start(constants.EVAL_START, epoch_num=epoch)
        with self._phase(len(store), f"evaluation {epoch}") as progress:
            metrics = trainer.evaluate(store, progress)
        trainer.schedule.record_accuracy(metrics.accuracy)
        self.log.event(constants.EVAL_ACCURACY, metrics.accuracy, epoch_num=epoch)
        self.log.event("eval_wbce", metrics.wbce, epoch_num=epoch)
        self.log.end(constants.EVAL_STOP, epoch_num=epoch)
        return metrics

    def _phase(self, steps: int, label: str) -> AbstractContextManager[Progress]:
        return phase(self.console, self.heartbeat, steps, label)

    def _profiler(self, epoch: int) -> AbstractContextManager[Progress]:
        """The profiler in epoch 1 on rank 0 of a run with `profile`, else a no-op."""
        if self.log.path is None or not self.config.profile or epoch > 1:
            return nullcontext(lambda steps: None)
        return trace_steps(companion_path(self.log.path, "trace", ".json"), self.world.device)

    def _stop(self, status: str, reason: str) -> None:
        self.log.end(constants.RUN_STOP, status=status, **({"reason": reason} if reason else {}))
        self.console.say(f"run {status}" + (f": {reason}" if reason else ""))

    def _allocate_stores(self) -> Staging:
        """Allocate this rank's patch stores, of the fastest kind that fits on every rank."""
        config, world, counts = self.config, self.world, self.plan.counts
        shares = (
            (self.plan.training, counts.train_share(world.rank)),
            (self.plan.validation, counts.eval_share(world.rank)),
        )
        dtype = self.precision.store_dtype
        plans = [StorePlan(scenes, share, config.patch_size, dtype) for scenes, share in shares]
        size = sum(plan.nbytes for plan in plans)
        fastest = choose_store(config.store, size, world.device, world.local_size)
        kind = max(gather(fastest), key=STORES_BY_SPEED.index)
        return Staging(plans, kind, world.device, config.workers or world.cores, config.scratch)

    def _print_header(self, staging: Staging, trainer: Trainer) -> None:
        counts = self.plan.counts
        patches = counted(counts.eval_samples, "patch", "validation")
        self.console.say(
            f"CloudMask on {self.config.system}: {self.world.size} x "
            f"{self.world.device.type}, {self.precision.name}, {self.config.recipe} recipe, "
            f"seed {self.config.seed}, patches in {staging.kind} memory"
        )
        self.console.say(
            f"{self.plan.dataset} data: {counts.train_samples} training and {patches} of "
            f"{self.config.patch_size} pixels, global batch {counts.global_batch_size}; "
            f"target accuracy {self.config.target_accuracy}"
        )
        if staging.pinning_refused:
            self.console.say(
                "the system refuses to lock pages (cudaHostRegister): staging to the GPU is "
                "slower; raise the limit of locked memory (ulimit -l)"
            )
        if trainer.graphs_refused:
            self.console.say(
                "training and evaluation launch their kernels one by one, which is slower: no CUDA "
                f"graph can be captured ({trainer.graphs_refused})"
            )
        for problem in self.plan.skipped:
            self.console.say(f"skipped {problem}")
        scenes = (*self.plan.training, *self.plan.validation)
        if mixed := mixed_baselines(path.name for path in scenes):
            self.console.say(f"note: {mixed}")
        if self.log.path is not None:
            self.console.say(f"log {self.log.path}")

    def _card(self, trainer: Trainer, validation: PatchStore) -> Card:
        """What is stored with the weights; made after the clock, as it calibrates the network."""
        from cloudmask.timed_run.weights_card import make_card

        with self._phase(len(validation), "calibration") as progress:
            return make_card(self.config, self.plan, trainer, validation, progress)

    def _save_weights(self, trainer: Trainer, card: Card) -> None:
        if self.log.path is not None:
            path = companion_path(self.log.path, "weights", ".safetensors")
            save_weights(path, trainer.evaluation_model, card)
            self.console.say(f"weights {path}")

    def _log_result(self, trainer: Trainer) -> None:
        """Score the inference scenes, every n-th on each of n ranks, and log the means."""
        # Imported here because nothing before the end of the clock needs them.
        from cloudmask.science.inference_result import mean_over_scenes, meanings
        from cloudmask.timed_run.result import score_scenes

        scenes, network = self.plan.inference, trainer.evaluation_model
        share = scenes[self.world.rank :: self.world.size]
        began = time.perf_counter()
        with (
            at_own_speed() as check,
            self._phase(len(share), "inference") as progress,
        ):
            report = both(progress, check)
            scores = score_scenes(share, network, self.config, self.precision, report)
        result = mean_over_scenes([score for of_rank in gather(scores) for score in of_rank])
        result["seconds_per_scene"] = round((time.perf_counter() - began) / len(scenes), 3)
        self.log.event("result", {**result, MEANING: meanings(result)})
        for name, value in result.items():
            self.console.say(f"{name.replace('_', ' '):40s} {value}")
