"""The data sets described for machines, judged by the official validator."""

import hashlib
import json
import logging
from pathlib import Path

import mlcroissant
import pytest

from cloudmask.errors import InputError
from cloudmask.fetch.croissant import BANDS, describe, write
from cloudmask.fetch.places import BUCKET, ENDPOINT, KNOWN_PREFIXES
from cloudmask.scenes.slstr import CHANNEL_NAMES, INFRARED_BANDS_UM
from tests.fetch.scene_bucket import Bucket, name, scene
from tests.paths import ROOT

# The date on which the data set was published is not documented.
KNOWN_WARNING = 'Property "https://schema.org/datePublished" is recommended, but does not exist'


def problems(path: Path, caplog: pytest.LogCaptureFixture) -> str:
    """The validator's warnings; it raises ValidationError where there are errors."""
    with caplog.at_level(logging.WARNING):
        mlcroissant.Dataset(jsonld=path)
    return caplog.text


@pytest.mark.parametrize("dataset", KNOWN_PREFIXES)
def test_the_validator_finds_nothing_but_the_missing_date(
    dataset: str, caplog: pytest.LogCaptureFixture
) -> None:
    found = problems(ROOT / "docs" / "croissant" / f"{dataset}.json", caplog)
    assert found.count("WARNING") <= 1
    assert KNOWN_WARNING in found


def test_the_validator_would_find_an_error(tmp_path: Path) -> None:
    document = describe("ds1")
    document["recordSet"][0]["field"][0]["source"]["fileSet"] = {"@id": "nowhere"}
    (tmp_path / "ds1.json").write_text(json.dumps(document))
    with pytest.raises(mlcroissant.ValidationError):
        mlcroissant.Dataset(jsonld=tmp_path / "ds1.json")


def test_fetch_writes_every_verified_file_with_size_and_digest(
    bucket: Bucket, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for index in range(2):
        bucket.put(name(index), scene(index))
    path = tmp_path / "croissant.json"
    assert bucket.fetch(tmp_path / "data", croissant=path) == 0
    assert KNOWN_WARNING in problems(path, caplog)
    files = {
        each["@id"]: each
        for each in json.loads(path.read_text())["distribution"]
        if each["@type"] == "cr:FileObject" and each["@id"] != "store"
    }
    assert list(files) == [name(0), name(1)]
    assert files[name(1)]["sha256"] == hashlib.sha256(scene(1)).hexdigest()
    assert files[name(1)]["contentSize"] == f"{len(scene(1))} B"
    assert files[name(1)]["contentUrl"].startswith(f"{ENDPOINT}/{BUCKET}/")


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--croissant .*nowhere/ds1.json: cannot be written"):
        write("ds1", {}, tmp_path / "nowhere" / "ds1.json")


def test_its_channels_are_those_of_the_program() -> None:
    assert tuple(BANDS) == CHANNEL_NAMES
    centres = [BANDS[channel][0] / 1000 for channel in ("S7", "S8", "S9")]
    assert centres == pytest.approx(INFRARED_BANDS_UM, abs=0.03)
