"""The request for a package, and the systems of its logs."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from cloudmask.errors import InputError
from cloudmask.mlperf.score.runs import Run
from cloudmask.mlperf.score.scores import Score, scores
from cloudmask.mlperf.score.setting import Setting

DESCRIPTIONS = Path("systems")  # output folder of `cloudmask system` in the README
_NAME = re.compile(r"\w[\w.-]*")

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """The arguments of the `package` command."""

    layout: str  # 'hpc' (MLPerf HPC) or 'science' (MLCommons Science)
    submitter: str  # the organisation, and the name of the package's folder
    runs: Sequence[Path]  # folders of logs, each folder of one system
    out: Path  # parent folder of the package's folder
    dataset: str = "ds1"  # the data set that the results are presented as
    system_description: Sequence[Path] = ()  # named after systems; systems/<SYSTEM>.json by default
    evaluation: Path | None = None  # the JSON of `evaluate`, for the science layout
    descriptor: str | None = None  # name of the entry in the science layout; <dataset>-<recipe>

    def validate(self) -> None:
        """Check the names, and that the package does not exist.

        Raises:
            InputError: a name cannot be a folder, or the package exists.
        """
        for flag, name in (("submitter", self.submitter), ("descriptor", self.descriptor)):
            if name is not None and not _NAME.fullmatch(name):
                raise InputError(
                    f"--{flag} {name!r} cannot name a folder: use letters, digits, '_', '-' and '.'"
                )
        if self.destination.exists():
            raise InputError(f"{self.destination} is there already: remove it, or give another out")

    @property
    def destination(self) -> Path:
        """The package's folder."""
        return self.out / self.submitter

    def description_file(self, platform: str, only_system: bool) -> Path:
        """The description of a system; that of the only system may have any name."""
        if only_system and len(self.system_description) == 1:
            return self.system_description[0]
        named = [path for path in self.system_description if path.stem == platform]
        return named[0] if named else DESCRIPTIONS / f"{platform}.json"


@dataclass(frozen=True)
class System:
    """A system of the package."""

    platform: str
    runs: Sequence[Run]  # in the order of their numbers in the package
    description: Path  # file of the system description

    @cached_property
    def score(self) -> Score:
        """The score of its runs, which are of one setting after validation."""
        return scores(self.runs)[0]

    @property
    def setting(self) -> Setting:
        """The setting of its runs."""
        return self.score.setting

    @property
    def configuration(self) -> Json:
        """The parameters of its runs, by name."""
        summary = self.runs[0].summary
        return summary.configuration if summary else {}

    def score_with_names(self, pattern: str) -> Score:
        """The score, with the runs named as in the package, e.g. by 'result_{}.txt'."""
        runs = [
            replace(run, path=Path(pattern.format(number))) for number, run in enumerate(self.runs)
        ]
        return scores(runs)[0]


def group_by_system(request: Request, runs: Sequence[Run]) -> list[System]:
    """The systems of the readable logs, by name.

    Of more than five runs, the HPC layout takes the five that make the score.
    """
    by_platform: dict[str, list[Run]] = {}
    for run in runs:
        if run.summary is not None:
            by_platform.setdefault(run.summary.platform, []).append(run)
    if request.layout == "hpc":
        for platform, given in by_platform.items():
            found = scores(given)
            if len(found) == 1 and found[0].official:
                by_platform[platform] = [run for run in given if run in found[0].scored_runs]
    only_system = len(by_platform) == 1
    return [
        System(platform, by_platform[platform], request.description_file(platform, only_system))
        for platform in sorted(by_platform)
    ]


def read_json(path: Path) -> Json:
    """Read a JSON file that contains an object.

    Raises:
        InputError: the file cannot be read, or contains something else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InputError(f"{path}: is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds no JSON object")
    return value
