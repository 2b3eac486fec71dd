"""The scientific contribution of an MLCommons Science submission, as Markdown.

policy.adoc of MLCommons Science asks for: first a table of measurements with the values of the
reference and of the submission, and their average difference; then the model, the augmentation,
citations, and the format of the logged result.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from cloudmask.config import SYNTHETIC_DATASETS
from cloudmask.mlperf.log.run_summary import RunSummary
from cloudmask.mlperf.package.readme import SYNTHETIC
from cloudmask.mlperf.package.request import Json, Request, System
from cloudmask.tables import Table, counted, estimate, number

SCORES = ("accuracy", "balanced_accuracy", "iou", "brier", "wbce")
SST_SCORES = ("contaminated", "not_judged", "coverage", "cold_tail", "below_min_sst")
# Means of the 35 published runs of the reference on DS1 at NYU, of up to 200 epochs.
REFERENCE_ON_DS1 = {"validation accuracy": 0.8876, "inference accuracy": 0.8900}
CITATIONS = (
    "J. Thiyagalingam et al.: AI Benchmarking for Science: Efforts from the MLCommons Science "
    "Working Group, 2022.",
    "V. Chennamsetti et al.: MLCommons Cloud Masking Benchmark with Early Stopping, "
    "arXiv 2401.08636, and Improvements & Evaluations on the MLCommons CloudMask Benchmark, "
    "arXiv 2403.04553: the published runs of the reference.",
    "O. Ronneberger, P. Fischer, T. Brox: U-Net: Convolutional Networks for Biomedical Image "
    "Segmentation, 2015.",
    "C. J. Merchant et al.: Probabilistic physically based cloud screening of satellite infrared "
    "imagery for operational sea surface temperature retrieval, 2005: the Bayesian screen.",
    "D. P. Kingma, J. Ba: Adam: A Method for Stochastic Optimization, 2015.",
)
MUON = "K. Jordan et al.: Muon: An optimizer for hidden layers in neural networks, 2024."


def contribution(request: Request, system: System, report: Json) -> str:
    """The document: measurements against the reference's, then everything behind them."""
    runs = [run.summary for run in system.runs if run.summary is not None]
    parts = [
        "# Scientific contribution: cloud masks by a neural network and by Bayesian screens",
        *_measurements(system, runs),
    ]
    if system.setting.dataset in SYNTHETIC_DATASETS:
        parts.append(SYNTHETIC)
    parts += [
        *_comparison(report),
        *_model(system.configuration),
        *_result(runs),
        "## Citations",
        _items([*CITATIONS, *([MUON] if system.configuration.get("optimizer") == "muon" else [])]),
    ]
    return "\n\n".join(parts) + "\n"


def _measurements(system: System, runs: Sequence[RunSummary]) -> Iterator[str]:
    """The table that policy.adoc asks for, and the average difference."""
    on_ds1 = system.setting.dataset == "ds1"
    reference: Mapping[str, float] = REFERENCE_ON_DS1 if on_ds1 else {}
    results = [run.result["inference_accuracy"] for run in runs if run.result]
    submitted = {"validation accuracy": fmean(run.final_accuracy for run in runs)}
    if results:
        submitted["inference accuracy"] = fmean(results)
    rows = [
        [name, number(reference.get(name), 4), number(value, 4)]
        for name, value in submitted.items()
    ]
    columns = ["Measurement name", "Reference model value", "Submitted model value"]
    yield Table("", columns, rows).markdown()
    differences = [submitted[name] - reference[name] for name in submitted if name in reference]
    means = f"Values are means of {counted(len(runs), 'run')} that ended when validation accuracy "
    means += f"reached {system.setting.target:g}."
    if differences:
        yield (
            f"Average difference between submitted and reference values: "
            f"{fmean(differences):+.4f}. {means} Those of the reference are means of 35 published "
            "runs of up to 200 epochs."
        )
    else:
        yield (
            f"Average difference: none, because the reference has no published values for "
            f"{system.setting.dataset} data. {means}"
        )


def _comparison(report: Json) -> Iterator[str]:
    weights = Path(str(report["settings"].get("weights", ""))).name
    yield "## The question"
    yield (
        "Sea surface temperature can be retrieved only where no cloud is in the way. The question "
        "is whether a U-Net finds cloud more accurately than a Bayesian screen. Measured by "
        f"`cloudmask evaluate` on {counted(len(report['scenes']), 'scene')}, with the "
        f"weights `{weights}`; the same figures and more are in `evaluation.json`, whose "
        "`definitions` explain every term."
    )
    for name, part in report["references"].items():
        yield from _scores(f"Against {name}", part, SCORES)
    yield from _scores("SST consistency, which needs no truth", report["sst"], SST_SCORES)
    yield "## Findings"
    yield _items(report["findings"])
    yield "## Notes"
    yield _items(report["notes"])


def _model(values: Json) -> Iterator[str]:
    yield "## Model, training and augmentation"
    yield (
        "The network is the benchmark's U-Net: 1,948,609 parameters; widths 32, 64, 128 and 256; "
        "3 x 3 convolutions with ReLU, 2 x 2 max pooling, nearest-neighbour upsampling, no "
        "normalisation layers. Its input are 9 channels on the 1 km grid: reflectance of S1 to S6 "
        "minus 0.5, brightness temperature of S7 to S9 minus 270 K, divided by 22 K. Its label is "
        "`bayes` > 0, the operational Bayesian screen. Patches are of "
        f"{values.get('patch_size', 256)} x {values.get('patch_size', 256)} pixels."
    )
    optimizer = {
        "adam": "Adam",
        "adamw": "AdamW",
        "muon": "Muon for the 3 x 3 kernels and AdamW for all other parameters",
    }.get(str(values.get("optimizer")), str(values.get("optimizer")))
    loss = "binary cross entropy"
    if values.get("positive_weight") != 1.0:
        loss = f"weighted {loss}, weight of cloud {values.get('positive_weight')}"
    averaging = values.get("weight_averaging") or 0
    yield _items(
        [
            f"Recipe `{values.get('recipe')}`: {optimizer}; {loss}.",
            _augmentation(values),
            f"Evaluated weights: an average over training, with a decay of {averaging:g}."
            if averaging
            else "Evaluated weights: those of the last step.",
            "Every parameter is in `config.yaml`, and the source in `scripts`.",
        ]
    )


def _augmentation(values: Json) -> str:
    parts = []
    if values.get("augment"):
        parts.append("patches are mirrored and turned at random")
    if share := values.get("hole_share"):
        parts.append(f"in {share:.0%} of the patches, values are made missing at random")
    return f"Augmentation: {'; '.join(parts) or 'none'}."


def _result(runs: Sequence[RunSummary]) -> Iterator[str]:
    """The logged results, and what they mean."""
    keys = list(dict.fromkeys(key for run in runs for key in run.result))
    meaning = {key: text for run in runs for key, text in run.result_meaning.items()}
    yield "## The logged result"
    yield (
        "Each log has one event `result`, whose value is a dictionary of numbers, and under "
        "`meaning` what each is."
    )
    rows = [[f"`{key}`", meaning.get(key, "not said in the log")] for key in keys]
    if rows:
        yield Table("Format", ["name", "meaning"], rows, "ll").markdown()
    rows = [
        [f"{index}", *(_cell(run.result.get(key)) for key in keys)]
        for index, run in enumerate(runs)
    ]
    yield Table(
        "What each timed run logged", ["run", *(key.replace("_", " ") for key in keys)], rows
    ).markdown()


def _scores(title: str, part: Json, names: Sequence[str]) -> Iterator[str]:
    present = [name for name in names if any(name in scores for scores in part["masks"].values())]
    rows = [
        [f"`{mask}`", *(estimate(scores.get(name), 4) for name in present)]
        for mask, scores in part["masks"].items()
    ]
    columns = ["mask", *(name.replace("_", " ") for name in present)]
    yield Table(f"{title}: value (95 % interval)", columns, rows).markdown()
    rows = [
        [f"`{mask}`", *(estimate(scores.get(name), 4, sign=True) for name in present)]
        for mask, scores in part["differences"].items()
    ]
    if rows:
        columns = ["network minus", *columns[1:]]
        yield Table(f"{title}: differences", columns, rows).markdown()


def _items(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _cell(value: Any) -> str:
    return number(value, 4) if isinstance(value, float) else str(value)
