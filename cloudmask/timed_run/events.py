"""The MLPerf events that describe a run: submitter, system, software, data and parameters."""

from __future__ import annotations

from mlperf_logging.mllog import constants

from cloudmask import __version__
from cloudmask.config import Config
from cloudmask.distributed.process_group import World
from cloudmask.mlperf.log.logger import RunLog
from cloudmask.model.precision import Precision
from cloudmask.source import source_commit
from cloudmask.timed_run.plan import Plan
from cloudmask.training.optimizer import BETAS

BENCHMARK = "cloudmask"
# VERSION.txt of the benchmark in the repository of MLCommons Science.
BENCHMARK_VERSION = "mlcommons-cloudmask-v1.1"


def log_submission(log: RunLog, config: Config, world: World) -> None:
    """Log submitter, system and source of the run."""
    log.event(constants.SUBMISSION_BENCHMARK, BENCHMARK)
    log.event(constants.SUBMISSION_ORG, config.organisation)
    log.event(constants.SUBMISSION_PLATFORM, config.system)
    log.event(constants.SUBMISSION_DIVISION, config.division)
    log.event(constants.SUBMISSION_STATUS, config.status)
    log.event("submission_version", BENCHMARK_VERSION)
    log.event("implementation_version", __version__)
    log.event("submission_github_commit_version", source_commit())
    log.event("number_of_nodes", world.nodes)
    # The rules count accelerators, not processes: a system without them has 0.
    on_gpus = world.device.type == "cuda"
    log.event("accelerators_per_node", world.local_size if on_gpus else 0)


def log_parameters(
    log: RunLog, config: Config, plan: Plan, precision: Precision, store: str
) -> None:
    """Log data set, counts and hyperparameters as they are used."""
    counts = plan.counts
    log.event("dataset", plan.dataset)
    if config.fetch_seconds:
        log.event("fetch_seconds", config.fetch_seconds)
    for problem in plan.skipped:
        log.event("skipped_scene", problem)
    names = ("training", "validation", "inference")
    log.event("scenes", {name: len(getattr(plan, name)) for name in names})
    log.event(constants.TRAIN_SAMPLES, counts.train_samples)
    log.event(constants.EVAL_SAMPLES, counts.eval_samples)
    log.event(constants.GLOBAL_BATCH_SIZE, counts.global_batch_size)
    log.event(constants.GRADIENT_ACCUMULATION_STEPS, 1)
    log.event(constants.SEED, config.seed)
    log.event("patch_size", config.patch_size)
    log.event("min_sst", config.min_sst)
    log.event("target_accuracy", config.target_accuracy)
    log.event("max_epochs", config.epochs)
    log.event("recipe", config.recipe)
    log.event("augment", config.augment)
    log.event("hole_share", config.hole_share)
    log.event("positive_weight", config.positive_weight)
    log.event(constants.MODEL_EVAL_EMA_FACTOR, config.weight_averaging)
    log.event(constants.OPT_NAME, config.optimizer)
    log.event(constants.OPT_BASE_LR, config.learning_rate)
    if config.optimizer == "muon":
        log.event("opt_kernel_learning_rate", config.kernel_learning_rate)
        log.event("opt_kernel_momentum", config.kernel_momentum)
    log.event(constants.OPT_ADAM_BETA_1, BETAS[0])
    log.event(constants.OPT_ADAM_BETA_2, BETAS[1])
    log.event(constants.OPT_ADAM_EPSILON, config.adam_epsilon)
    log.event(constants.OPT_WEIGHT_DECAY, config.weight_decay)
    steps_per_epoch = counts.train_samples // counts.global_batch_size
    log.event(constants.OPT_LR_WARMUP_EPOCHS, config.warmup_steps / steps_per_epoch)
    plateau = (
        f"halved after {config.patience} epochs without gain" if config.patience else "constant"
    )
    warm_up = "linear warm-up, then " if config.warmup_steps else ""
    log.event("opt_learning_rate_schedule", warm_up + plateau)
    log.event("precision", precision.name)
    log.event("store", store)
    log.event("configuration", config.for_reruns())
    if config.profile:
        log.event("profiled", True)
