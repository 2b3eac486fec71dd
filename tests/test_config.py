"""Parameters: where they come from, and what is refused before any work."""

import pytest
import yaml

from cloudmask.config import RECIPES, configure
from cloudmask.errors import InputError


def test_flags_beat_environment_beats_file_beats_recipe(tmp_path, monkeypatch):
    file = tmp_path / "run.yaml"
    file.write_text("learning_rate: 0.1\nepochs: 7\nbatch_size: 3\n")
    monkeypatch.setenv("CLOUDMASK_EPOCHS", "8")
    monkeypatch.setenv("CLOUDMASK_BATCH_SIZE", "5")
    config = configure(["--config", str(file), "--recipe=reference", "--batch-size", "6"])
    assert (config.batch_size, config.epochs, config.learning_rate) == (6, 8, 0.1)
    assert config.optimizer == "adam"  # the recipe's


def test_recipe_may_come_from_file_or_environment(tmp_path, monkeypatch):
    file = tmp_path / "run.yaml"
    file.write_text("recipe: reference\n")
    assert configure(["--config", str(file)]).augment is False
    monkeypatch.setenv("CLOUDMASK_RECIPE", "reference")
    assert configure([]).learning_rate == RECIPES["reference"]["learning_rate"]


def test_printed_configuration_is_effective_and_can_be_read_back(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        configure(["--print-config", "--recipe", "reference", "--seed", "77"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert yaml.safe_load(printed)["learning_rate"] == 0.001
    file = tmp_path / "again.yaml"
    file.write_text(printed)
    assert configure(["--config", str(file)]) == configure(["--recipe=reference", "--seed=77"])


def test_what_a_rerun_needs_names_no_place_and_can_be_read_back(tmp_path):
    config = configure(["--recipe=reference", "--batch-size=8", "--datadir=/a", "--logdir=/b"])
    values = config.for_reruns()
    assert not {"datadir", "scratch", "logdir", "log_pointer", "hosts", "seed"} & set(values)
    file = tmp_path / "again.yaml"
    file.write_text(yaml.safe_dump(values))
    again = configure(["--config", str(file)])
    assert again.for_reruns() == values
    assert again.batch_size == 8


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["--batch-size", "0"], "batch_size"),
        (["--batch-size", "four"], "batch_size"),
        (["--patch-size", "100"], "patch_size is 100"),
        (["--patch-size", "4000"], "patch_size is 4000"),
        (["--target-accuracy", "1.1"], "target_accuracy"),
        (["--epochs", "-1"], "epochs"),
        (["--learning-rate", "0"], "learning_rate"),
        (["--weight-averaging", "1"], "weight_averaging"),
        (["--recipe", "secret"], "recipe"),
        (["--colour", "blue"], "--colour"),
        (["--organisation", " "], "organisation is empty"),
        (["--division", "closed"], "optimizer is muon: division closed"),
        (
            ["--division=closed", "--recipe=reference", "--learning-rate=0.1"],
            "learning_rate is 0.1",
        ),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_impossible_values_are_refused_by_name(arguments, name):
    with pytest.raises(InputError, match=name):
        configure(arguments)


@pytest.mark.parametrize("text", ["colour: blue\n", "batch_size: four\n", "- 1\n", "a: [\n"])
def test_bad_files_are_refused(tmp_path, text):
    file = tmp_path / "run.yaml"
    file.write_text(text)
    with pytest.raises(InputError):
        configure(["--config", str(file)])


def test_unknown_variables_are_refused(monkeypatch):
    monkeypatch.setenv("CLOUDMASK_BATCHSIZE", "4")
    with pytest.raises(InputError, match="CLOUDMASK_BATCHSIZE"):
        configure([])
