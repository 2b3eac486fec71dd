"""Logs of runs with times that a test knows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

START = 1_700_000_000.0


def write_log(
    path: Path,
    accuracies: Sequence[float] = (0.85, 0.91),
    status: str | None = "success",
    platform: str = "Some system",
    dataset: str = "synthetic",
    epoch_seconds: float = 10.0,
    before: str | None = None,
) -> Path:
    """A run with 3 s of init, 1 s before staging, 2 s of it, and 1 s of evaluation an epoch.

    Without a status the log breaks off before run_stop, and with `before` at the event of that
    key. None of them counts: their source is not known.
    """
    lines: list[str] = []

    def event(seconds: float, key: str, value: Any = None, **metadata: Any) -> None:
        record = {"time_ms": round((START + seconds) * 1000), "key": key, "value": value}
        lines.append(f":::MLLOG {json.dumps({**record, 'metadata': metadata})}")

    event(-5, "submission_platform", platform)
    event(-5, "submission_division", "open")
    event(-4, "init_start")
    for key, value in {
        "dataset": dataset,
        "train_samples": 100,
        "seed": 7,
        "target_accuracy": 0.9,
    }.items():
        event(-4, key, value)
    event(-1, "init_stop")
    event(0, "run_start")
    event(1, "staging_start")
    event(3, "staging_stop")
    now = 3.0
    for epoch, accuracy in enumerate(accuracies, 1):
        event(now, "epoch_start", epoch_num=epoch)
        now += epoch_seconds
        event(now, "epoch_stop", epoch_num=epoch)
        event(now, "eval_start", epoch_num=epoch)
        now += 1
        event(now, "eval_accuracy", accuracy, epoch_num=epoch)
        event(now, "eval_wbce", 1 - accuracy, epoch_num=epoch)
        event(now, "eval_stop", epoch_num=epoch)
    if status is not None:
        reason = {"reason": "accuracy is below the target"} if status == "aborted" else {}
        event(now, "run_stop", status=status, **reason)
        event(now + 5, "result", {"inference_accuracy": 0.8716, "inference_scenes": 4})
    path.parent.mkdir(parents=True, exist_ok=True)
    if before is not None:
        lines = lines[: next(at for at, line in enumerate(lines) if f'"{before}"' in line)]
    path.write_text("\n".join(lines) + "\n")
    return path
