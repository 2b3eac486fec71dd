"""The README of a package, as Markdown."""

from collections.abc import Sequence

from cloudmask.config import SYNTHETIC_DATASETS
from cloudmask.mlperf.package.request import Request, System
from cloudmask.mlperf.score.summarize import run_table, score_summary
from cloudmask.synthetic import SYNTHETIC_NOTICE

SYNTHETIC = f"**{SYNTHETIC_NOTICE}**"


def readme(request: Request, systems: Sequence[System], pattern: str, code: str) -> str:
    """The README of a package: scores, source, and how to run and check it.

    Args:
        pattern: name of the logs, such as 'result_{}.txt'.
        code: folder of the source.
    """
    setting = systems[0].setting
    parts = [
        f"# CloudMask, {request.submitter}",
        "CloudMask, the cloud segmentation benchmark of MLCommons Science: the time from the first "
        f"byte of data, here {setting.dataset}, until validation accuracy reaches the target.",
    ]
    if setting.dataset in SYNTHETIC_DATASETS:
        parts.append(SYNTHETIC)
    for system in systems:
        score = system.score_with_names(pattern)
        parts += [run_table(score).markdown(), score_summary(score)]
    parts += [
        "## Source",
        f"`{code}` is the source that ran, commit `{setting.commit}`, unchanged but for "
        "`SOURCE_COMMIT`, which names the commit. Its `README.md` says what is timed; "
        "`requirements.txt` names the packages.",
        "## Run it again",
        f"In `{code}`, with the scenes in DATADIR:",
        *(_command(system, request.layout) for system in systems),
        "Any other `SEED` makes a run of its own; none given draws one at random. The rules of "
        "MLCommons Science list `seed` 1234 among the fixed values, and those of MLPerf ask for "
        "runs with different seeds: each log names its own, and `SEED=1234` makes the run of the "
        "list.",
        "## Check it",
        f"In `{code}`, with its packages installed:",
        _block(_checks(request, systems, pattern)),
    ]
    return "\n\n".join(parts) + "\n"


def system_readme(system: System) -> str:
    """The README of a system's folder in the HPC layout: its files, and how to use them."""
    setting = system.setting
    nodes = (
        " on each node, with MASTER_ADDR=FIRST and NODE_RANK=0, 1, ..." if setting.nodes > 1 else ""
    )
    return (
        "\n\n".join(
            [
                f"# CloudMask on {system.platform}",
                f"{setting}.",
                _block(
                    [
                        "./setup.sh                                    # packages, once",
                        "DATADIR=/path/to/data ./init_datasets.sh      # data, once",
                        "DATADIR=/path/to/data SEED=1 ./run_and_time.sh",
                    ]
                ),
                f"The last command is one timed run{nodes}; its parameters are in "
                f"`{system.platform}.yaml`, and those of the seed in each log of "
                f"`results/{system.platform}`.",
            ]
        )
        + "\n"
    )


def _command(system: System, layout: str) -> str:
    values, setting = system.configuration, system.setting
    first = system.runs[0].summary
    assert first is not None
    data = f"DATADIR=/path/to/{setting.dataset}"
    node = "MASTER_ADDR=FIRST NODE_RANK=0 " if setting.nodes > 1 else ""
    each = "  # NODE_RANK=1 and so on, on the others" if setting.nodes > 1 else ""
    if layout == "hpc":
        script = f"../../{system.platform}/run_and_time.sh"
        return _block([f"{node}{data} SEED={first.seed} {script}{each}"])
    return _block(
        [
            f"DGXSYSTEM={system.platform} DGXNNODES={setting.nodes} "
            f"DGXNGPU={values.get('processes_per_node')} SEED={first.seed} \\",
            f"    {node}{data} ./run_and_time.sh --config ../config.yaml{each}",
        ]
    )


def _checks(request: Request, systems: Sequence[System], pattern: str) -> list[str]:
    python = "python -m"
    if request.layout == "science":
        logs = " ".join(f"../{pattern.format(x)}" for x in range(len(systems[0].runs)))
        return [f"{python} cloudmask check {logs}", f"{python} cloudmask summarize .."]
    folders = [f"../../../../results/{system.platform}" for system in systems]
    return [
        *(f"{python} cloudmask check {folder}/strong/cloudmask/result_*.txt" for folder in folders),
        f"{python} cloudmask compare {' '.join(folders)}",
        f"{python} cloudmask.mlperf.package.official_checker ../../../..",
    ]


def _block(lines: Sequence[str]) -> str:
    return "\n".join(["```", *lines, "```"])
