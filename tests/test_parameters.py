"""Parameters from flags, variables and YAML files: one meaning of a value, wherever it stands."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cloudmask.config import Config, configure
from cloudmask.errors import InputError
from cloudmask.parameters import parameters_of

NUMBERS_TO_YAML = (
    "12e3",
    "7e12345",
    "010",
    "no",
    "1_000",
    "null",
    "~",
    "0x1F",
    "1:30",
    "2026-11-28",
)
words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(
    lambda text: bool(text.strip()) and not text.startswith("-")
)
words |= st.sampled_from(NUMBERS_TO_YAML)


def read_back(config: Config) -> Config:
    """The configuration, through `--print-config` and `--config`."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "run.yaml"
        file.write_text(config.as_yaml(), encoding="utf-8")
        return configure(["--config", str(file)])


@given(words, *[words.filter(lambda text: "\0" not in text)] * 2)
@example("12e3", "7e12345", "010")
@example("no", "1_000", "null")
def test_a_printed_configuration_is_read_back(organisation, scratch, datadir):
    flags = {"organisation": organisation, "scratch": scratch, "datadir": datadir}
    config = configure([f"--{name}={value}" for name, value in flags.items()])
    assert config.organisation == organisation
    assert read_back(config) == config


@given(
    st.floats(min_value=1e-300, max_value=1e300),
    st.integers(1, 10**9),
    st.booleans(),
    st.sampled_from(["never", "auto", "no", "1e3"]),
)
def test_printed_numbers_and_switches_are_read_back(rate, epochs, augment, resume):
    flags = [f"--learning-rate={rate!r}", f"--epochs={epochs}", f"--resume={resume}"]
    config = configure([*flags, "--augment" if augment else "--no-augment"])
    assert (config.learning_rate, config.epochs, config.augment) == (rate, epochs, augment)
    assert read_back(config) == config


@pytest.mark.parametrize("text", ["010", "+10", "10"])
def test_a_number_means_the_same_in_every_source(tmp_path, monkeypatch, text):
    file = tmp_path / "run.yaml"
    file.write_text(f"epochs: {text}\n")
    assert configure(["--config", str(file)]).epochs == 10
    assert configure([f"--epochs={text}"]).epochs == 10
    monkeypatch.setenv("CLOUDMASK_EPOCHS", text)
    assert configure([]).epochs == 10


@pytest.mark.parametrize("text", ["1_0", "0x1F", "1e1", "1.0", "ten", "", "\u0661", "9" * 5000])
def test_what_is_no_decimal_number_is_refused_in_every_source(tmp_path, monkeypatch, text):
    file = tmp_path / "run.yaml"
    file.write_text(f"epochs: {text}\n", encoding="utf-8")
    for source, arguments in (("run.yaml, line 1", ["--config", str(file)]), ("--epochs", None)):
        with pytest.raises(
            InputError, match=rf"^epochs is .*{source}\): give a whole number, 1 or"
        ):
            configure(arguments or [f"--epochs={text}"])
    monkeypatch.setenv("CLOUDMASK_EPOCHS", text)
    with pytest.raises(
        InputError, match=r"from CLOUDMASK_EPOCHS\): give a whole number, 1 or more$"
    ):
        configure([])


def test_a_name_like_a_pattern_is_a_file(tmp_path):
    for name in ("run[1].yaml", "run1.yaml"):
        (tmp_path / name).write_text(f"epochs: {5 if '[' in name else 6}\n")
    assert configure(["--config", str(tmp_path / "run[1].yaml")]).epochs == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch: 3\n", "line 1: epoch is not a parameter; did you mean epochs?"),
        ("seed: 1\nepochs: 3\nseed: 2\n", "line 3: seed is given a second time; remove one"),
        ("epochs: [3]\n", "line 1: write `parameter: value` with a single value"),
        ("- epochs\n", "write one `parameter: value` in each line"),
        ("epochs: 3\n---\nepochs: 4\n", "is not YAML"),
        ("epochs: null\n", "epochs is empty"),
    ],
)
def test_a_file_that_says_anything_else_is_refused(tmp_path, text, message):
    file = tmp_path / "run.yaml"
    file.write_text(text)
    with pytest.raises(InputError) as refusal:
        configure(["--config", str(file)])
    assert message in str(refusal.value)
    assert str(file) in str(refusal.value)


def test_an_empty_file_gives_nothing(tmp_path):
    (tmp_path / "run.yaml").touch()
    assert configure(["--config", str(tmp_path / "run.yaml")]) == configure([])


def test_the_variables_of_a_kubernetes_service_of_this_name_are_let_through(monkeypatch):
    for name, value in {
        "CLOUDMASK_PORT": "tcp://10.0.0.1:80",
        "CLOUDMASK_SERVICE_HOST": "10.0.0.1",
        "CLOUDMASK_SERVICE_PORT": "80",
        "CLOUDMASK_SERVICE_PORT_HTTP": "80",
        "CLOUDMASK_PORT_80_TCP": "tcp://10.0.0.1:80",
        "CLOUDMASK_PORT_80_TCP_PROTO": "tcp",
        "CLOUDMASK_PORT_80_TCP_PORT": "80",
        "CLOUDMASK_PORT_80_TCP_ADDR": "10.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    assert configure([]) == Config()
    monkeypatch.setenv("CLOUDMASK_PORTS", "1")
    with pytest.raises(InputError, match="CLOUDMASK_PORTS is not a parameter"):
        configure([])


def test_no_parameter_has_the_name_of_a_service_variable():
    names = [item.name for item in fields(Config)]
    assert not [name for name in names if name.startswith(("port", "service"))]


def test_every_parameter_has_a_description():
    assert [item.name for item in parameters_of(Config) if not item.description] == []
