"""What is to be packaged, and the systems that its logs turn out to be of."""

from __future__ import annotations

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

LAYOUTS = ("hpc", "science")
DESCRIPTIONS = Path("systems")  # where `python -m cloudmask system` is told to write, by the README
_NAME = re.compile(r"\w[\w.-]*")

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """What the user asked for.

    Attributes:
        layout: 'hpc' (MLPerf HPC) or 'science' (MLCommons Science).
        submitter: the organisation; names the package's folder.
        runs: folders of logs, each of one system.
        out: folder in which the package's folder is made.
        dataset: the data set that the package presents its results to be of.
        system_description: files, each named after its system; systems/<SYSTEM>.json by default.
        evaluation: the JSON of `evaluate`, which the science layout needs.
        descriptor: names the entry in the science layout; from data set and recipe by default.
    """

    layout: str
    submitter: str
    runs: Sequence[Path]
    out: Path
    dataset: str = "ds1"
    system_description: Sequence[Path] = ()
    evaluation: Path | None = None
    descriptor: str | None = None

    def validate(self) -> None:
        """Refuse names that cannot be folders, and to write over what is there.

        Raises:
            InputError: says which.
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

    def description_of(self, platform: str, alone: bool) -> Path:
        """The file that describes a system; one given for the only system may have any name."""
        if alone and len(self.system_description) == 1:
            return self.system_description[0]
        named = [path for path in self.system_description if path.stem == platform]
        return named[0] if named else DESCRIPTIONS / f"{platform}.json"


@dataclass(frozen=True)
class System:
    """A system of the package.

    `runs` are in the order in which the package numbers them; `description` is the file that
    describes the system.
    """

    platform: str
    runs: Sequence[Run]
    description: Path

    @cached_property
    def score(self) -> Score:
        """The score of its runs, which are all of one setting if nothing was objected to."""
        return scores(self.runs)[0]

    @property
    def setting(self) -> Setting:
        """The setting of its runs."""
        return self.score.setting

    @property
    def configuration(self) -> Json:
        """The parameters of its runs, by the names that the program knows them by."""
        summary = self.runs[0].summary
        return summary.configuration if summary else {}

    def numbered(self, pattern: str) -> Score:
        """The score with the runs called what the package calls them, e.g. 'result_{}.txt'."""
        runs = [
            replace(run, path=Path(pattern.format(number))) for number, run in enumerate(self.runs)
        ]
        return scores(runs)[0]


def systems_of(request: Request, runs: Sequence[Run]) -> list[System]:
    """The systems that the readable logs are of, by name."""
    by_platform: dict[str, list[Run]] = {}
    for run in runs:
        if run.summary is not None:
            by_platform.setdefault(run.summary.platform, []).append(run)
    alone = len(by_platform) == 1
    return [
        System(platform, by_platform[platform], request.description_of(platform, alone))
        for platform in sorted(by_platform)
    ]


def read_json(path: Path) -> Json:
    """A JSON file that holds an object.

    Raises:
        InputError: it is not there, or holds something else.
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
