"""The plan of a run: its scenes, its counts, and the name of its data."""

import shutil

import h5py
import pytest

from cloudmask.config import configure
from cloudmask.errors import InputError
from cloudmask.scenes.layout import list_scenes
from cloudmask.timed_run.plan import count_patches, make_plan, training_parameters
from tests.scene_files import product_name, write_scene
from tests.timed_run.forked_ranks import on_ranks


@pytest.mark.parametrize(("batch", "ranks"), [(2, 32), (4, 32), (4, 16), (64, 1), (128, 1)])
def test_ds1_gives_the_published_counts_at_global_batches_of_64_and_128(batch, ranks):
    counts = count_patches(970, configure([f"--batch-size={batch}"]), ranks)
    assert (counts.train_samples, counts.eval_samples) == (15488, 3840)
    assert sum(counts.train_share(rank).count for rank in range(ranks)) == 15488


def test_too_few_patches_for_a_global_batch_are_refused_with_the_numbers():
    with pytest.raises(InputError, match=r"batch of 32 \(4 x 8 ranks\) is not filled by 20 vali"):
        count_patches(5, configure(["--batch-size=4"]), 8)


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    """A data folder of five training and two inference scenes."""
    folder = tmp_path_factory.mktemp("scenes")
    for number in range(5):
        write_scene(folder / "training" / product_name(number))
    for number in range(2):
        write_scene(folder / "inference" / product_name(number))
    return folder


@pytest.fixture
def data(scenes, tmp_path):
    """The same scenes, which a test may change."""
    return shutil.copytree(scenes, tmp_path / "data")


def names(numbers):
    """Names of scenes."""
    return [product_name(number) for number in numbers]


def plan_of(data, world, *flags, report=lambda scenes: None):
    """The plan of a run on this data."""
    return make_plan(configure([f"--datadir={data}", *flags]), world, report)


def mark_synthetic(path, **attributes):
    """Make a scene one of `synthesize`."""
    with h5py.File(path, "a") as file:
        file.attrs.update(generator="cloudmask synthetic", **attributes)


def test_scenes_are_split_as_published_and_in_that_order(scenes, alone):
    plan = plan_of(scenes, alone)
    # train_test_split(range(5), train_size=0.8, random_state=42) of scikit-learn
    assert [path.name for path in plan.training] == names([4, 2, 0, 3])
    assert [path.name for path in plan.validation] == names([1])
    assert [path.name for path in plan.inference] == names([0, 1])
    assert all(path.parent.name == "training" for path in (*plan.training, *plan.validation))
    assert all(path.parent.name == "inference" for path in plan.inference)
    assert plan.skipped == []
    assert (plan.counts.train_samples, plan.counts.eval_samples) == (80, 20)


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize(
    ("subset", "number"), [("training", 0), ("training", 3), ("training", 4), ("inference", 1)]
)
def test_one_bad_scene_is_refused_on_every_rank(data, tmp_path, ranks, subset, number):
    bad = data / subset / product_name(number)
    bad.write_bytes(b"not a scene")
    refusals = on_ranks(ranks, lambda world: plan_of(data, world), tmp_path)
    assert len(refusals) == ranks
    for refusal in refusals:
        assert isinstance(refusal, InputError)
        assert str(refusal).startswith(f"{bad.name}: ")
        assert "more unusable" not in str(refusal)


def test_bad_scenes_are_counted(data, alone):
    for number in (1, 2, 4):
        (data / "training" / product_name(number)).write_bytes(b"not a scene")
    with pytest.raises(InputError, match=rf"^{product_name(1)}: .* \(2 more unusable\)$"):
        plan_of(data, alone)


def test_bad_scenes_are_left_out_on_request_and_listed(data, alone):
    bad = [data / "training" / product_name(4), data / "inference" / product_name(0)]
    for path in bad:
        path.write_bytes(b"not a scene")
    plan = plan_of(data, alone, "--skip-bad-scenes")
    assert [text.partition(":")[0] for text in plan.skipped] == [path.name for path in bad]
    used = [*plan.training, *plan.validation]
    assert sorted(path.name for path in used) == names([0, 1, 2, 3])
    assert [path.name for path in plan.inference] == names([1])
    assert (plan.counts.train_samples, plan.counts.eval_samples) == (60, 20)


@pytest.mark.parametrize("subset", ["training", "inference"])
def test_a_subset_without_a_usable_scene_is_refused(data, alone, subset):
    for path in (data / subset).iterdir():
        path.write_bytes(b"not a scene")
    with pytest.raises(InputError, match=rf"^no {subset} scene in {data} is usable, of \d$"):
        plan_of(data, alone, "--skip-bad-scenes")


def test_each_rank_inspects_a_share_of_the_scenes_and_all_get_the_same_plan(scenes, tmp_path):
    def plan_and_inspected(world):
        inspected = []
        return plan_of(scenes, world, report=inspected.append), inspected

    (plan, first), (other, second) = on_ranks(2, plan_and_inspected, tmp_path)
    assert plan == other
    assert (first, second) == ([1] * 4, [1] * 3)  # 3 + 1 and 2 + 1 of 5 + 2 scenes
    assert plan.counts.world_size == 2
    assert plan.counts.global_batch_size == 8
    assert [plan.counts.train_share(rank).first for rank in range(2)] == [0, 40]
    assert [plan.counts.eval_share(rank).count for rank in range(2)] == [8, 8]


def test_a_checkpoint_depends_on_everything_that_determines_training(scenes, alone):
    config = configure([f"--datadir={scenes}", "--learning-rate=0.5", "--batch-size=2"])
    plan = make_plan(config, alone)
    assert training_parameters(config, plan, alone, "bfloat16") == {
        **{"dataset": "custom", "train_samples": 80, "eval_samples": 20, "ranks": 1},
        **{"device": "cpu", "precision": "bfloat16"},
        **{"optimizer": "muon", "learning_rate": 0.5, "kernel_learning_rate": 0.03},
        **{"kernel_momentum": 0.6, "warmup_steps": 5, "patience": 2, "adam_epsilon": 1e-7},
        **{"weight_decay": 0.01, "positive_weight": 1.0, "weight_averaging": 0.98},
        **{"augment": True, "hole_share": 0.0, "batch_size": 2, "patch_size": 256},
    }


@pytest.mark.parametrize("asked", ["custom", "synthetic"])
def test_one_synthetic_scene_makes_the_data_synthetic_in_the_log(data, alone, asked):
    mark_synthetic(data / "inference" / product_name(1))
    assert plan_of(data, alone, f"--dataset={asked}").dataset == "synthetic"


def test_scenes_of_the_twin_are_called_twin_and_only_where_all_are(data, alone):
    scenes = [*list_scenes(data, "training"), *list_scenes(data, "inference")]
    for scene in scenes:
        mark_synthetic(scene, dataset="twin")
    for asked in ("custom", "twin"):
        assert plan_of(data, alone, f"--dataset={asked}").dataset == "twin"
    with pytest.raises(InputError, match=r"dataset is ds1 but .* is a synthetic scene: use twin"):
        plan_of(data, alone, "--dataset=ds1")
    mark_synthetic(scenes[0], dataset="synthetic")
    assert plan_of(data, alone).dataset == "synthetic"
    with pytest.raises(InputError, match=f"dataset is twin but {scenes[0].name} was not made by"):
        plan_of(data, alone, "--dataset=twin")


@pytest.mark.parametrize("name", ["ds1", "ds2"])
def test_a_synthetic_scene_is_never_presented_as_a_real_data_set(data, tmp_path, name):
    synthetic = data / "training" / product_name(3)
    mark_synthetic(synthetic)
    asked = f"--dataset={name}"
    for refusal in on_ranks(2, lambda world: plan_of(data, world, asked), tmp_path):
        assert str(refusal) == (
            f"dataset is {name} but {synthetic.name} is a synthetic scene: use synthetic"
        )


def test_real_scenes_are_not_called_synthetic(scenes, alone):
    assert plan_of(scenes, alone, "--dataset=ds1").dataset == "ds1"
    with pytest.raises(InputError, match="dataset is synthetic but no scene says that it is"):
        plan_of(scenes, alone, "--dataset=synthetic")
