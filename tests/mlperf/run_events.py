"""The events of a complete run, which a test can change in one place."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlperf_logging.mllog import constants as mllog

from cloudmask.mlperf.log.logger import RunLog


@dataclass
class Event:
    """One call of a RunLog method."""

    method: str
    key: str
    value: Any = None
    metadata: dict[str, Any] = field(default_factory=dict)


class Run(list[Event]):
    """The events of a run, in order."""

    def at(self, key: str, occurrence: int = 0) -> int:
        """The index of an occurrence of the key."""
        return [index for index, event in enumerate(self) if event.key == key][occurrence]

    def event(self, key: str, occurrence: int = 0) -> Event:
        """An occurrence of the key."""
        return self[self.at(key, occurrence)]

    def move(self, key: str, before: str) -> None:
        """Moves the first occurrence of a key to stand before the first one of another."""
        event = self.pop(self.at(key))
        self.insert(self.at(before), event)

    def write(self, path: Path) -> Path:
        """Writes the events through a RunLog."""
        with RunLog(path) as log:
            for event in self:
                getattr(log, event.method)(event.key, event.value, **event.metadata)
        return path


def complete_run(division: str, accuracies: tuple[float, ...] = (0.82, 0.88, 0.911)) -> Run:
    """A run that both divisions accept."""
    run = Run()

    def event(key: str, value: Any, **metadata: Any) -> None:
        run.append(Event("event", key, value, metadata))

    def start(key: str, **metadata: Any) -> None:
        run.append(Event("start", key, None, metadata))

    def end(key: str, **metadata: Any) -> None:
        run.append(Event("end", key, None, metadata))

    event(mllog.SUBMISSION_BENCHMARK, "cloudmask")
    event(mllog.SUBMISSION_ORG, "An organisation")
    event(mllog.SUBMISSION_PLATFORM, "DGX2_2x16")
    event(mllog.SUBMISSION_DIVISION, division)
    event(mllog.SUBMISSION_STATUS, mllog.ONPREM)
    event("submission_version", "mlcommons-cloudmask-v1.1")
    event("implementation_version", "0.1.0")
    event("submission_github_commit_version", "0123456789abcdef")
    event("number_of_nodes", 2)
    event("accelerators_per_node", 16)
    event(mllog.CACHE_CLEAR, True)
    start(mllog.INIT_START)
    event(mllog.SEED, 1234)
    event(mllog.GLOBAL_BATCH_SIZE, 64)
    event(mllog.GRADIENT_ACCUMULATION_STEPS, 1)
    event(mllog.OPT_NAME, mllog.ADAM)
    event(mllog.OPT_BASE_LR, 0.001)
    event(mllog.OPT_ADAM_BETA_1, 0.9)
    event(mllog.OPT_ADAM_BETA_2, 0.999)
    event(mllog.OPT_ADAM_EPSILON, 1e-7)
    event(mllog.OPT_WEIGHT_DECAY, 0.0)
    event(mllog.OPT_LR_WARMUP_EPOCHS, 0.0)
    event("opt_learning_rate_schedule", "constant")
    event("recipe", "reference")
    event("augment", False)
    event("hole_share", 0.0)
    event(mllog.MODEL_EVAL_EMA_FACTOR, 0.0)
    event("scenes", {"training": 776, "validation": 194, "inference": 100})
    event("patch_size", 256)
    event("positive_weight", 1.0)
    event("max_epochs", 200)
    event("target_accuracy", 0.9)
    event("precision", "float16")
    event("dataset", "ds1")
    event("store", "device")
    start(mllog.POWER_MEASUREMENT_START)
    end(mllog.INIT_STOP)
    start(mllog.RUN_START)
    start(mllog.STAGING_START)
    end(mllog.STAGING_STOP)
    event(mllog.TRAIN_SAMPLES, 15488)
    event(mllog.EVAL_SAMPLES, 3840)
    for epoch, accuracy in enumerate(accuracies, 1):
        start(mllog.EPOCH_START, epoch_num=epoch)
        end(mllog.EPOCH_STOP, epoch_num=epoch)
        event("tracked_stats", {"throughput": 5000.0}, epoch_num=epoch)
        start(mllog.EVAL_START, epoch_num=epoch)
        end(mllog.EVAL_STOP, epoch_num=epoch)
        event(mllog.EVAL_ACCURACY, accuracy, epoch_num=epoch)
        event("eval_wbce", 0.4 - 0.1 * epoch, epoch_num=epoch)
    end(mllog.RUN_STOP, status=mllog.SUCCESS, epoch_num=len(accuracies))
    event("power_sensors", {"measured": ["gpu-0"], "absent": []}, node=0)
    event("utilisation", {"seconds": 10.0, "samples": 11}, node=0)
    event(mllog.POWER_READING, 9000.0, joules=90_000.0, seconds=10.0)
    end(mllog.POWER_MEASUREMENT_STOP)
    meaning = {"inference_accuracy": "share of all pixels at which network and label agree"}
    result = {"inference_accuracy": 0.905, "bayes_accuracy": 0.94}
    event("result", {**result, "meaning": meaning})
    return run
