"""Parameters: where they come from, and what is refused before any work."""

import pytest
import yaml

from cloudmask.cli import main
from cloudmask.config import configure
from cloudmask.errors import InputError

MUON = {"kernel_learning_rate": 3e-2, "kernel_momentum": 0.6}
FAST = {
    **{"recipe": "fast", "optimizer": "muon", "learning_rate": 2e-3, **MUON},
    **{"warmup_steps": 5, "patience": 2, "adam_epsilon": 1e-7, "weight_decay": 1e-2},
    **{"positive_weight": 1.0, "weight_averaging": 0.98, "augment": True},
    "hole_share": 0.0,
}
# The published training; kernels have a learning rate of their own with Muon only.
REFERENCE = {
    **{"recipe": "reference", "optimizer": "adam", "learning_rate": 1e-3, **MUON},
    **{"warmup_steps": 0, "patience": 0, "adam_epsilon": 1e-7, "weight_decay": 0.0},
    **{"positive_weight": 1.0, "weight_averaging": 0.0, "augment": False},
    "hole_share": 0.0,
}


def test_flags_beat_environment_beats_file_beats_recipe(tmp_path, monkeypatch):
    file = tmp_path / "run.yaml"
    file.write_text("learning_rate: 0.1\nepochs: 7\nbatch_size: 3\n")
    monkeypatch.setenv("CLOUDMASK_EPOCHS", "8")
    monkeypatch.setenv("CLOUDMASK_BATCH_SIZE", "5")
    config = configure(["--config", str(file), "--recipe=reference", "--batch-size", "6"])
    assert (config.batch_size, config.epochs, config.learning_rate) == (6, 8, 0.1)
    assert config.optimizer == "adam"  # the recipe's


def test_a_systems_file_is_above_the_recipe_and_below_the_users_own(tmp_path, monkeypatch):
    system = (
        "device: cuda\nbatch_size: 4  # of 32 GB\nepochs: 100\nlearning_rate: 0.5\nsystem: DGX2"
    )
    monkeypatch.setenv("CLOUDMASK_SYSTEM_DEFAULTS", system)
    monkeypatch.setenv("CLOUDMASK_EPOCHS", "8")
    file = tmp_path / "run.yaml"
    file.write_text("batch_size: 3\n")
    config = configure(["--config", str(file), "--recipe=reference"])
    assert (config.batch_size, config.epochs, config.learning_rate) == (3, 8, 0.5)
    assert (config.system, config.device) == ("DGX2", "cuda")


def test_a_mistake_in_a_systems_file_is_said_to_be_there(monkeypatch):
    monkeypatch.setenv("CLOUDMASK_SYSTEM_DEFAULTS", "\nbatch_sise: 4")
    with pytest.raises(InputError, match="the system's file, line 2: batch_sise is not a param"):
        configure([])


def test_no_device_but_the_systems_runs_under_its_name(monkeypatch):
    monkeypatch.setenv("CLOUDMASK_SYSTEM_DEFAULTS", "system: DGX2\ndevice: cuda")
    with pytest.raises(InputError, match="device is cpu but system DGX2 is of device cuda"):
        configure(["--device=cpu"])
    assert configure(["--device=cpu", "--system=mine"]).device == "cpu"
    assert configure(["--device=auto"]).device == "cuda"


def test_the_defaults_are_the_benchmark_and_the_recipe_fast():
    assert yaml.safe_load(configure([]).as_yaml()) == {
        **{"datadir": "data/synthetic", "dataset": "custom", "fetch_seconds": 0.0},
        **{"skip_bad_scenes": False, "system": "CPU", "nodes": 1, "processes_per_node": 1},
        "device": "auto",
        **{"rendezvous_timeout": 120, "seed": None, "target_accuracy": 0.9},
        **{"epochs": 30, "batch_size": 4, "evaluation_batch_size": 8, "tiling": "whole"},
        **{"min_sst": 273.15, "patch_size": 256, "precision": "auto", "compile_mode": "off"},
        **{"cuda_graph": True, "cudnn_fusion": False},
        **FAST,
        **{"store": "auto", "scratch": "/tmp", "workers": 0, "clear_caches": True},
        **{"caches_cleared": False, "resume": "never", "checkpoint_epochs": 0},
        **{"checkpoint_folder": None, "fault_timeout": 120.0, "max_restarts": 0},
        **{"logdir": None, "log_pointer": None, "division": "open"},
        **{"organisation": "CloudMask", "status": "onprem", "sample_seconds": 1.0},
        "power_command": "",
        **{"profile": False, "dry_run": False},
    }


@pytest.mark.parametrize("recipe", [FAST, REFERENCE], ids=["fast", "reference"])
def test_a_recipe_sets_these_values(recipe):
    config = configure([f"--recipe={recipe['recipe']}"])
    assert {name: getattr(config, name) for name in recipe} == recipe


def test_the_reference_recipe_may_be_submitted_in_the_closed_division():
    assert configure(["--recipe=reference", "--division=closed"]).division == "closed"


@pytest.mark.parametrize("name", sorted(REFERENCE.keys() - {"recipe", *MUON}))
def test_a_value_of_the_reference_recipe_that_differs_is_refused_in_the_closed_division(name):
    other = FAST[name] if FAST[name] != REFERENCE[name] else REFERENCE[name] / 2 or 0.5
    with pytest.raises(InputError, match=rf"{name} is {other}: division closed"):
        configure(["--recipe=reference", "--division=closed", f"--{name}={str(other).lower()}"])


def test_recipe_may_come_from_file_or_environment(tmp_path, monkeypatch):
    file = tmp_path / "run.yaml"
    file.write_text("recipe: reference\n")
    assert configure(["--config", str(file)]).augment is False
    monkeypatch.setenv("CLOUDMASK_RECIPE", "reference")
    assert configure([]).learning_rate == REFERENCE["learning_rate"]


def test_printed_configuration_is_effective_and_can_be_read_back(tmp_path, capsys):
    assert main(["train", "--print-config", "--recipe", "reference", "--seed", "77"]) == 0
    printed = capsys.readouterr().out
    assert yaml.safe_load(printed)["learning_rate"] == 0.001
    file = tmp_path / "again.yaml"
    file.write_text(printed)
    assert configure(["--config", str(file)]) == configure(["--recipe=reference", "--seed=77"])


def test_what_a_rerun_needs_names_no_place_and_can_be_read_back(tmp_path):
    config = configure(["--recipe=reference", "--batch-size=8", "--datadir=/a", "--logdir=/b"])
    values = config.for_reruns()
    assert not {"datadir", "scratch", "logdir", "log_pointer", "seed"} & set(values)
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
