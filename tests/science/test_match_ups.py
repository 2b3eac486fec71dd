"""Satellite minus buoy SST at match-ups: tables, criteria, and masks over a sea that is known."""

from __future__ import annotations

import csv
import json

import h5py
import numpy as np
import pytest

from cloudmask.cli import main
from cloudmask.errors import InputError
from cloudmask.model.unet import UNet
from cloudmask.model.weights import save_weights
from cloudmask.science.match_ups import clear_at, compare, select
from cloudmask.science.sst.matchup_table import MatchUps, read_match_ups
from tests.scenes.sen3_product import small_content, write_product

SHAPE = (64, 72)
SCENES = [f"S3A_{number:02d}" for number in range(20)]
SATELLITE_BIAS, SATELLITE_NOISE, CLOUD_COOLING = -0.17, 0.4, 6.0


def row(product="S3A_00", **changes):
    """A match-up that meets all criteria."""
    good = {"product": product, "x_cems": 5, "y_cems": 3, "isst": 15.0, "sat_sst_2": 288.0}
    good |= {"quality_level": 5, "satzan": 30.0, "satzao": 55.0}
    good |= {"slat": 10.0, "slon": 179.995, "latitude_an": 10.004, "longitude_an": -179.998}
    return good | changes


def write_csv(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def table_of(tmp_path, rows):
    return read_match_ups(write_csv(tmp_path / "table.csv", rows))


def paths(tmp_path, names=SCENES):
    return [tmp_path / f"{name}.hdf" for name in names]


@pytest.fixture(scope="module")
def sea():
    """20 scenes: the sea, a third of each under cloud, and 40 buoys a scene at known places."""
    rng = np.random.default_rng(5)
    rows, clouds = [], {}
    for name in SCENES:
        celsius = rng.uniform(10, 25) + 3 * np.linspace(0, 1, SHAPE[1])
        clouds[name] = cloud = np.zeros(SHAPE, bool)
        cloud[:, : SHAPE[1] // 3] = True
        for _ in range(40):
            y, x = (int(rng.integers(length)) for length in SHAPE)
            seen = celsius[x] + SATELLITE_BIAS + SATELLITE_NOISE * rng.standard_normal()
            seen -= CLOUD_COOLING * cloud[y, x]
            probability = 0.95 if cloud[y, x] else 0.1
            at = {"x_cems": x, "y_cems": y, "isst": celsius[x], "sat_sst_2": seen + 273.15}
            rows.append(row(f"/data/{name}.SEN3", **at, pcloudn=probability, pcloudo=0.1))
    return rows, clouds


def test_clear_sea_has_the_satellite_s_own_error_and_missed_cloud_adds_to_it(tmp_path, sea):
    rows, clouds = sea
    table = table_of(tmp_path, rows)
    kept, left_out = select(table, paths(tmp_path), 273.15)
    assert left_out == {}
    half = {name: cloud & (np.arange(SHAPE[0])[:, None] % 2 == 0) for name, cloud in clouds.items()}
    found = compare(
        table,
        [
            clear_at(
                table,
                kept,
                name,
                {"network": cloud, "bayes": half[name], "none": np.zeros(SHAPE, bool)},
                np.ones(SHAPE, bool),
            )
            for name, cloud in clouds.items()
        ],
    )
    masks = found["masks"]
    assert found["match_ups"] == masks["none"]["clear"].value == len(rows)
    network = masks["network"]
    for score, truth in (
        ("median_kelvin", SATELLITE_BIAS),
        ("robust_deviation_kelvin", SATELLITE_NOISE),
    ):
        assert network[score].value == pytest.approx(truth, abs=0.05)
        assert network[score].low < truth < network[score].high
        assert masks["bayes_probability"][score] == network[score]
        assert found["differences"]["bayes_probability"][score].value == 0
        assert masks["none"][score].value != pytest.approx(truth, abs=0.15)
    wider = found["differences"]["none"]["robust_deviation_kelvin"]
    assert wider.high < 0
    assert masks["bayes"]["median_kelvin"].value < network["median_kelvin"].value


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"product": "S3A_99.SEN3.zip"}, "not of these scenes"),
        ({"quality_level": 4}, "quality level below 5"),
        ({"quality_level": ""}, "quality level below 5"),
        ({"satzan": 55.1}, "view zenith over 55 degrees"),
        ({"satzao": 55.1}, "view zenith over 55 degrees"),
        ({"isst": 0.0}, "an SST not above 273.15 K"),
        ({"sat_sst_2": 273.15}, "an SST not above 273.15 K"),
        ({"slat": 10.01}, "buoy too far from its pixel"),
        ({"slon": 179.99}, "buoy too far from its pixel"),
    ],
)
def test_rows_that_the_authors_leave_out_are_left_out_for_their_reason(tmp_path, changes, reason):
    table = table_of(tmp_path, [row(), row(**changes)])
    kept, left_out = select(table, paths(tmp_path), 273.15)
    assert kept.tolist() == [True, False]
    assert left_out == {reason: 1}


def test_pixels_that_were_not_seen_or_are_outside_have_no_mask(tmp_path):
    table = table_of(tmp_path, [row(), row(x_cems=6), row(y_cems=64), row(x_cems="")])
    kept, _ = select(table, paths(tmp_path), 273.15)
    seen = np.ones(SHAPE, bool)
    seen[3, 6] = False
    found = clear_at(table, kept, "S3A_00", {"network": np.zeros(SHAPE, bool)}, seen)
    assert found["row"].tolist() == [0]
    assert found["network"].tolist() == [1]


def test_csv_netcdf_and_hdf5_of_one_table_are_the_same(tmp_path):
    xr = pytest.importorskip("xarray")
    rows = [row(f"{name}.SEN3", satzan=10.5 + index) for index, name in enumerate(SCENES)]
    rows[3]["isst"] = ""
    tables = [table_of(tmp_path, rows)]
    columns = {
        name: np.array([np.nan if each[name] == "" else each[name] for each in rows])
        for name in rows[0]
    }
    data = xr.Dataset({name: ("match_up", values) for name, values in columns.items()})
    packed = {"isst": {"dtype": "int16", "scale_factor": 0.01, "_FillValue": -32768}}
    data.to_netcdf(tmp_path / "table.nc", engine="h5netcdf", encoding=packed)
    tables.append(read_match_ups(tmp_path / "table.nc"))
    with h5py.File(tmp_path / "table.h5", "w") as file:
        for name, values in columns.items():
            file[name] = values.astype("S") if name == "product" else values
    tables.append(read_match_ups(tmp_path / "table.h5"))
    assert all(table.products.tolist() == SCENES for table in tables)
    for name, values in tables[0].columns.items():
        for other in tables[1:]:
            np.testing.assert_allclose(other.columns[name], values, atol=1e-6)
    assert np.isnan(tables[0].columns["isst"][3])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            b"product,isst\nS3A_00,1\n",
            "has no column x_cems, y_cems, sat_sst_2, quality_level, sat",
        ),
        (b"", "has no column product"),
        (b"CDF\x01rest", "is NetCDF-3: convert it with nccopy -k nc4"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "cannot be used: "),
        (b"\xff\xfe\x00", "is neither CSV, NetCDF-4 nor HDF5"),
        (None, "cannot be read (No such file or directory)"),
        ("warm", "line 2: isst is 'warm': give a number"),
        ("no rows", "has no rows"),
    ],
)
def test_a_table_that_cannot_be_used_is_named_with_the_reason(tmp_path, content, reason):
    path = tmp_path / "table.csv"
    if content == "warm":
        write_csv(path, [row(isst="warm")])
    elif content == "no rows":
        write_csv(path, [row()])
        path.write_text(path.read_text().splitlines()[0] + "\n")
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_match_ups(path)
    assert str(error.value).startswith(f"--matchups {path} {reason}")


def test_evaluate_compares_its_masks_at_the_match_ups_of_a_product(tmp_path, capsys):
    content = small_content(SHAPE)
    content.bayes[:] = 0
    content.bayes[:32] = 2
    product = write_product(tmp_path / "scenes", content)
    weights = tmp_path / "weights_0.safetensors"
    save_weights(weights, UNet(widths=(2, 2, 2, 2)))
    rows = [row(str(product), y_cems=y, sat_sst_2=282.0 if y < 32 else 288.0) for y in range(60)]
    rows.append(row(str(product), quality_level=3))
    write_csv(tmp_path / "buoys.csv", rows)
    command = ["evaluate", "--weights", weights, "--scenes", tmp_path / "scenes"]
    command += ["--matchups", tmp_path / "buoys.csv", "--output", tmp_path / "out"]
    assert main(list(map(str, command))) == 0
    assert "satellite minus buoy SST, 60 match-ups of 1 scene" in capsys.readouterr().out
    found = json.loads((tmp_path / "out" / "evaluation.json").read_text())["match_ups"]
    assert found["left_out"] == {"quality level below 5": 1}
    assert found["masks"]["bayes"]["clear"]["value"] == 28
    assert found["masks"]["bayes"]["median_kelvin"]["value"] == pytest.approx(-0.15)
    write_csv(tmp_path / "buoys.csv", [row("another")])
    assert main(list(map(str, command[:7]))) == 2
    assert "no row is of a scene of --scenes; the first is of another" in capsys.readouterr().err


def test_a_mask_that_a_scene_lacks_has_no_difference():
    columns = {"isst": np.array([15.0, 16.0]), "sat_sst_2": np.array([288.0, 289.0])}
    table = MatchUps(None, np.array(["a", "b"]), columns)
    one, two = np.array([1]), np.array([1])
    scenes = [{"row": np.array([0]), "network": one, "bayes": two}]
    scenes.append({"row": np.array([1]), "network": one})
    found = compare(table, scenes)
    assert set(found["masks"]) == {"network", "bayes"}
    assert found["differences"] == {}
