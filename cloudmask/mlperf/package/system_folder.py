"""The folder of a system in the HPC layout: how to set it up, get the data, and run it again.

submission_rules.adoc of MLPerf names the files.
"""

import json
from pathlib import Path

from cloudmask.mlperf.package.readme import system_readme
from cloudmask.mlperf.package.request import System

IMPLEMENTATION = "cloudmask"  # folder below implementations/, and in the name of the metadata
_HEAD = """\
#!/usr/bin/env bash
# {what}
set -euo pipefail
here=$(cd -- "$(dirname -- "${{BASH_SOURCE[0]}}")" && pwd)
root=$(cd -- "$here/../implementations/{implementation}" && pwd)
"""
_PACKAGES = """\
source "$root/environment.sh"
prepare_environment "$root/requirements.txt"
"""
_SETUP = _HEAD + _PACKAGES
_INIT = (
    _HEAD
    + _PACKAGES
    + """\
exec "$PYTHON" -m cloudmask {command} --dest "${{DATADIR:-$root/data/{dataset}}}" "$@"
"""
)
_RUN = (
    _HEAD
    + """\
export DGXSYSTEM={system} DGXNNODES={nodes} DGXNGPU={processes}
exec "$root/run_and_time.sh" --config "$here/{system}.yaml" "$@"
"""
)
_COMMANDS = {
    "ds1": "fetch ds1",
    "ds2": "fetch ds2",
    "synthetic": "synthesize",
    "twin": "synthesize --like ds1",
}


def write_system_folder(system: System, folder: Path) -> None:
    """Write README.md, setup.sh, init_datasets.sh, run_and_time.sh and the metadata."""
    setting = system.setting
    precision = json.loads(setting.hyperparameters).get("precision", "unknown")
    metadata = {
        "Starting weights filename?": "none: drawn at random from the seed of each run",
        "Weight transformations?": "No",
        "Weight data type(s)": "float32",
        "Input data type(s)": precision,
        "Retraining": "No",
        "Notes": "",
    }
    name = f"{system.platform}_{IMPLEMENTATION}.json"
    (folder / name).write_text(json.dumps(metadata, indent=4) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(system_readme(system), encoding="utf-8")
    values = {
        "implementation": IMPLEMENTATION,
        "system": system.platform,
        "nodes": setting.nodes,
        "processes": system.configuration.get("processes_per_node"),
        "dataset": setting.dataset,
        "command": _COMMANDS.get(setting.dataset, ""),
    }
    _script(folder / "setup.sh", _SETUP, {**values, "what": "Installs the packages, once."})
    if values["command"]:
        what = "Brings the data to DATADIR, once."
        _script(folder / "init_datasets.sh", _INIT, {**values, "what": what})
    what = "One timed run: [DATADIR=dir] [SEED=n] ./run_and_time.sh [FLAG ...]"
    _script(folder / "run_and_time.sh", _RUN, {**values, "what": what})


def _script(path: Path, text: str, values: dict[str, object]) -> None:
    path.write_text(text.format(**values), encoding="utf-8")
    path.chmod(0o755)
