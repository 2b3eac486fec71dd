"""The sections about the runs of one system: time by phase, and learning curves."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from mlperf_logging.mllog import constants

from cloudmask.config import SYNTHETIC_DATASETS
from cloudmask.mlperf.log.run_summary import RunSummary
from cloudmask.mlperf.score.scores import Score, scores
from cloudmask.mlperf.score.summarize import score_summary
from cloudmask.report.blocks import Block, FigureBlock, Section, TableBlock
from cloudmask.report.figure_style import COLOURS, WIDE, blank, both_layouts, colour_of, marker_of
from cloudmask.report.runs import EVALUATION, INIT, PHASES, REST, STAGING, TRAINING, Run, RunFolder
from cloudmask.synthetic import SYNTHETIC_NOTICE
from cloudmask.tables import Table, number

PHASE_COLOURS = {
    INIT: COLOURS["muted"],
    STAGING: COLOURS["orange"],
    TRAINING: COLOURS["blue"],
    EVALUATION: COLOURS["green"],
    REST: COLOURS["purple"],
}
RUN_COLUMNS = ("run", "outcome", "counts", "time to solution, s", "epochs", "accuracy", "seed")
POWER_COLUMNS = ("energy, kJ", "mean power, W")
ONE_EPOCH = "Each run was evaluated after one epoch only, so there is no curve to draw."
NO_SCORE = "No score: no log is that of a whole run."

LEGEND_COLUMN = 85  # points
VISIBLE = 0.001  # share of all time below which a phase is not in the legend
MAX_MARKERS = 20  # of a curve
MOST_DRAWN = 100  # runs in a figure: more are no longer told apart, and take gigabytes to draw


def timing_section(folder: RunFolder, anchor: str) -> Section:
    """Score, time to solution and time by phase of all runs."""
    blocks = _scores(folder)
    if set(SYNTHETIC_DATASETS) & set(folder.logged("dataset")):
        blocks.append(SYNTHETIC_NOTICE)
    unfinished = [run for run in folder.runs if run.summary is None]
    blocks += [f"{run.name} {run.status}: {' '.join(run.checked.reasons)}" for run in unfinished]
    blocks += _results_table(folder)
    timed = [run for run in folder.runs if run.phases]
    drawn = timed[-MOST_DRAWN:]
    blocks.append(
        FigureBlock(
            name=f"{anchor}-time",
            caption="Time by phase. The clock starts at 0; init is before it." + _left_out(timed),
            alt="Bars of seconds. " + " ".join(_phases_in_words(run) for run in drawn),
            figure=_draw_phases(drawn),
            numbers=_phases_table(timed),
        )
    )
    return Section(anchor, f"Time to solution: {folder.name}", blocks)


def learning_section(folder: RunFolder, anchor: str) -> Section:
    """Validation accuracy and cross entropy after each epoch of each run."""
    title = f"Learning curves: {folder.name}"
    learned = [run for run in folder.runs if run.epochs]
    if not learned:
        return Section(anchor, title, ["No run reached an evaluation."])
    targets = folder.logged("target")
    rows = [
        [
            run.name,
            str(epoch.number),
            number(epoch.seconds, 1),
            number(epoch.accuracy, 4),
            number(epoch.wbce, 4),
        ]
        for run in learned
        for epoch in run.epochs
    ]
    columns = ["run", "epoch", "s since start", "accuracy", "WBCE"]
    table = Table("All evaluations", columns, rows)
    if all(len(run.epochs) == 1 for run in learned):
        return Section(anchor, title, [ONE_EPOCH, TableBlock(table)])
    target = f", target {targets[0]:g}" if targets else ""
    drawn = learned[-MOST_DRAWN:]
    figure = FigureBlock(
        name=f"{anchor}-curves",
        caption=f"Validation accuracy{target}, and weighted binary cross entropy (WBCE). Curves of "
        "runs that missed the target are dashed." + _left_out(learned),
        alt=f"Curves of validation accuracy{target}. " + " ".join(map(_curve_in_words, drawn)),
        figure=_draw_curves(drawn, targets),
        numbers=table,
    )
    return Section(anchor, title, [figure])


def _scores(folder: RunFolder) -> list[Block]:
    """The runs of each setting and their score."""
    blocks: list[Block] = []
    for score in scores([run.checked for run in folder.runs]):
        blocks += [_runs_table(score), score_summary(score)]
    return blocks or [NO_SCORE]


def _runs_table(score: Score) -> TableBlock:
    """The runs of a setting; below a run that does not count, the reasons."""
    runs = [(run, run.summary) for run in score.runs if run.summary is not None]
    measured = any(summary.power is not None for _, summary in runs)
    columns = RUN_COLUMNS + (POWER_COLUMNS if measured else ())
    rows = [_run_cells(run.valid, summary)[: len(columns)] for run, summary in runs]
    reasons = ["; ".join(run.reasons) for run, _ in runs]
    return TableBlock(Table(str(score.setting), columns, rows, notes=reasons))


def _run_cells(counts: bool, run: RunSummary) -> list[str]:
    seconds = number(run.time_to_solution, 1)
    return [
        run.path.stem,
        run.status,
        "yes" if counts else "no",
        seconds if run.status == constants.SUCCESS else f"none, ended at {seconds}",
        str(run.epochs),
        number(run.final_accuracy, 4),
        str(run.seed),
        number(None if run.energy is None else run.energy / 1000, 2),
        number(run.power, 0),
    ]


def _results_table(folder: RunFolder) -> list[Block]:
    """Scores of the inference scenes, a row for each run that logged them."""
    results = {run.name: run.summary.result for run in folder.runs if run.summary is not None}
    names = list(dict.fromkeys(name for result in results.values() for name in result))
    rows = [
        [run, *(_cell(result.get(name)) for name in names)]
        for run, result in results.items()
        if result
    ]
    columns = ["run", *(name.replace("_", " ") for name in names)]
    table = Table("Result on the inference scenes, after the clock", columns, rows)
    return [TableBlock(table, collapsed=True)] if rows else []


def _left_out(runs: list[Run]) -> str:
    if len(runs) <= MOST_DRAWN:
        return ""
    return f" The last {MOST_DRAWN} of {len(runs)} runs are drawn; the table has all."


def _cell(value: Any) -> str:
    return number(value, 4) if isinstance(value, float) else str(value)


def _phases_table(runs: list[Run]) -> Table:
    rows = [
        [
            run.name,
            run.status,
            *(number(run.phases.get(phase), 1) for phase in PHASES),
            number(run.summary.time_to_solution if run.summary else None, 1),
        ]
        for run in runs
    ]
    return Table("Seconds by phase", ["run", "outcome", *PHASES, "on the clock"], rows)


def _phases_in_words(run: Run) -> str:
    parts = ", ".join(f"{phase} {number(spent, 1)} s" for phase, spent in run.phases.items())
    return f"{run.name}, {run.status}: {parts}."


def _curve_in_words(run: Run) -> str:
    best = max(epoch.accuracy for epoch in run.epochs)
    first, last = run.epochs[0], run.epochs[-1]
    return (
        f"{run.name}, {run.status}: {number(first.accuracy, 3)} after epoch {first.number}, "
        f"{number(last.accuracy, 3)} after epoch {last.number}, at best {number(best, 3)}."
    )


@both_layouts
def _draw_phases(width: float, runs: list[Run]) -> Figure:
    figure, (axes,) = blank(width, 90 + 24 * len(runs))
    for row, run in enumerate(runs):
        left = -run.phases.get(INIT, 0.0)
        for phase in PHASES:
            spent = run.phases.get(phase, 0.0)
            axes.barh(
                row,
                spent,
                left=left,
                color=PHASE_COLOURS[phase],
                hatch="" if run.reached_target else "///",
                edgecolor=COLOURS["paper"],
                linewidth=0.5,
            )
            left += spent
        end = f"{left:.1f}" if run.reached_target else run.status
        axes.annotate(end, (left, row), (4, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(runs)), [run.name.replace("result_", "run ") for run in runs])
    axes.set_ylim(len(runs) - 0.4, -0.6)
    axes.use_sticky_edges = False  # of the bars, which would leave no margin
    axes.margins(x=0.02)
    first, last = axes.get_xlim()
    axes.set_xlim(first, last + 0.14 * (last - first))  # for the text beside the bars
    axes.axvline(0, color=COLOURS["ink"], linewidth=1)
    axes.grid(axis="x")
    axes.set_xlabel("seconds")
    spent_in = {phase: sum(run.phases.get(phase, 0.0) for run in runs) for phase in PHASES}
    visible = VISIBLE * sum(spent_in.values())
    shown = [phase for phase in PHASES if spent_in[phase] > visible]
    colours = [Patch(color=PHASE_COLOURS[phase], label=phase) for phase in shown]
    columns = len(shown) if width == WIDE else 3
    figure.legend(handles=colours, loc="outside upper center", ncols=columns)
    return figure


@both_layouts
def _draw_curves(width: float, runs: list[Run], targets: list[float]) -> Figure:
    columns = int(width / LEGEND_COLUMN)
    height = 330 + 16 * (len(runs) // columns + 1)
    figure, (accuracy, wbce) = blank(width, height, ratios=(3, 2))
    for index, run in enumerate(runs):
        look: dict[str, Any] = {
            "color": colour_of(index),
            "marker": marker_of(index),
            "markersize": 4,
            "markevery": -(-len(run.epochs) // MAX_MARKERS),
            "linestyle": "-" if run.reached_target else "--",
        }
        epochs = [epoch.number for epoch in run.epochs]
        label = run.name.replace("result_", "run ")
        accuracy.plot(epochs, [epoch.accuracy for epoch in run.epochs], label=label, **look)
        wbce.plot(epochs, [epoch.wbce for epoch in run.epochs], **look)
    for target in targets:
        accuracy.axhline(target, color=COLOURS["ink"], linestyle=":", label=f"target {target:g}")
    accuracy.set_ylabel("accuracy")
    wbce.set_ylabel("WBCE")
    wbce.set_xlabel("epoch")
    wbce.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    for axes in (accuracy, wbce):
        axes.grid()
    figure.legend(loc="outside upper center", ncols=columns)
    return figure
