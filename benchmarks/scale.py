"""How time and memory grow with the number of scenes, logs and objects; fits an exponent to each.

    python -m benchmarks.scale [STAGE ...] [--largest N] [--output FILE]

Each measurement is a process of its own (`benchmarks/scale_stages.py`): it prepares cheap inputs
(links to one small scene, copies of one log, objects of one body), measures one call, and reports
its wall time, its processor time and by how much its peak memory grew. The exponent e of t ~ n^e
is of processor time, which other load changes little, between the two largest sizes at which it is
over 50 ms (below, constant costs hide the growth).
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.scale_stages import STAGES
from cloudmask.tables import Table

DEFAULT_OUTPUT = Path("benchmarks/results/scale.json")
SHORTEST = 0.05  # seconds
SMALLEST = 8.0  # MiB of memory
HEADINGS = ("stage", "of", "n", "processor seconds", "exponent", "MiB", "exponent of memory")


def measure(stage: str, size: int) -> dict[str, float]:
    """One measurement in a process of its own: `size`, `seconds`, `cpu` and `mib`."""
    command = [sys.executable, "-m", "benchmarks.scale_stages", stage, str(size)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{stage} of {size} failed:\n{done.stderr}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return {"size": size, **found}


def exponent(rows: Sequence[dict[str, float]], value: str, least: float) -> float:
    """The exponent between the two largest sizes with `least` or more; NaN without two of them."""
    large = [row for row in rows if row[value] >= least]
    if len(large) < 2:
        return math.nan
    before, last = large[-2:]
    return math.log(last[value] / before[value]) / math.log(last["size"] / before["size"])


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale")
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"of {', '.join(STAGES)}")
    parser.add_argument("--largest", type=int, default=28000, help="leave out larger sizes")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT)
    options = parser.parse_args()
    if unknown := sorted(set(options.stages) - set(STAGES)):
        parser.error(f"no stage {', '.join(unknown)}: give some of {', '.join(STAGES)}")
    results, rows = {}, []
    for name in options.stages or STAGES:
        sizes = [size for size in STAGES[name].sizes if size <= options.largest]
        measured = [measure(name, size) for size in sizes]
        results[name] = measured
        growth = exponent(measured, "cpu", SHORTEST), exponent(measured, "mib", SMALLEST)
        shown = ["-" if math.isnan(value) else f"{value:.2f}" for value in growth]
        last = measured[-1]
        seconds = " ".join(f"{row['cpu']:.3g}" for row in measured)
        where = " ".join(f"{size}" for size in sizes)
        rows.append(
            (name, STAGES[name].of, where, seconds, shown[0], f"{last['mib']:.0f}", shown[1])
        )
        print(f"{name}: {seconds} s", file=sys.stderr)
    print(Table("", HEADINGS, rows, "lllllrl").render("markdown"))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
