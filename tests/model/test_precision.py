"""The precision of a device: what is chosen, what is refused, and what training in it uses."""

import pytest
import torch

from cloudmask.errors import InputError
from cloudmask.model import precision as module
from cloudmask.model.precision import Precision, choose_precision

CPU, GPU = torch.device("cpu"), torch.device("cuda")
FLOAT32, FLOAT16, BFLOAT16 = torch.float32, torch.float16, torch.bfloat16


@pytest.fixture
def gpu(monkeypatch):
    """Sets the compute capability of the GPU."""

    def capability(major):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (major, 5))
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Some GPU")

    return capability


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu avx2 avx512f", FLOAT32),
        ("fpu avx512_bf16 avx2", BFLOAT16),
        ("fpu amx_bf16", BFLOAT16),
        (None, FLOAT32),
    ],
)
def test_processors_with_bfloat16_train_in_it_and_others_in_float32(
    monkeypatch, tmp_path, flags, expected
):
    cpuinfo = tmp_path / "cpuinfo"
    if flags is not None:
        cpuinfo.write_text(f"model name : avx512_bf16 in name only\nflags\t\t: {flags}\n")
    monkeypatch.setattr(module, "Path", lambda path: cpuinfo)
    assert choose_precision("auto", CPU).dtype == expected


@pytest.mark.parametrize(
    ("major", "expected"), [(6, FLOAT32), (7, FLOAT16), (8, BFLOAT16), (9, BFLOAT16)]
)
def test_gpus_train_in_what_their_generation_is_fastest_in(gpu, major, expected):
    gpu(major)
    assert choose_precision("auto", GPU).dtype == expected


def test_precisions_that_a_device_cannot_train_in_are_refused(gpu):
    with pytest.raises(InputError, match="precision is float16, which CPUs do not train in"):
        choose_precision("float16", CPU)
    gpu(7)
    with pytest.raises(InputError, match="bfloat16, which Some GPU does not have: use auto"):
        choose_precision("bfloat16", GPU)
    assert choose_precision("float16", GPU).dtype == FLOAT16
    gpu(8)
    assert choose_precision("bfloat16", GPU).dtype == BFLOAT16
    for device in (CPU, GPU):
        assert choose_precision("float32", device).dtype == FLOAT32
    assert choose_precision("bfloat16", CPU).dtype == BFLOAT16


@pytest.mark.parametrize(
    ("dtype", "name", "stored"),
    [
        (FLOAT32, "float32", FLOAT32),
        (BFLOAT16, "bfloat16", FLOAT16),
        (FLOAT16, "float16", FLOAT16),
    ],
)
def test_patches_are_kept_in_float16_unless_training_is_in_float32(dtype, name, stored):
    precision = Precision(dtype, CPU)
    assert precision.name == name
    assert precision.store_dtype == stored


@pytest.mark.parametrize(
    ("major", "allowed", "name"), [(7, True, "float32"), (8, True, "tf32"), (8, False, "float32")]
)
def test_float32_that_a_gpu_rounds_has_the_name_of_what_it_is(
    gpu, monkeypatch, major, allowed, name
):
    gpu(major)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", allowed)
    assert Precision(FLOAT32, GPU).name == name


@pytest.mark.parametrize("dtype", [FLOAT32, BFLOAT16])
def test_the_forward_pass_runs_in_the_precision(dtype):
    with Precision(dtype, CPU).autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


@pytest.mark.parametrize(("dtype", "scaled"), [(FLOAT32, 1), (BFLOAT16, 1), (FLOAT16, 65536)])
def test_only_losses_in_float16_are_scaled(dtype, scaled):
    assert float(Precision(dtype, CPU).gradient_scaler().scale(torch.tensor(1.0))) == scaled
