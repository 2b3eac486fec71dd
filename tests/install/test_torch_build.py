"""The build of torch by what nvidia-smi says of the machine."""

import pytest

from install.torch_build import Gpu, choose_build, find_gpus
from tests.install.conftest import nvidia_smi

V100, A100, H100, B200 = (7, 0), (8, 0), (9, 0), (10, 0)


@pytest.mark.parametrize(
    ("gpus", "label", "reason"),
    [
        ([], "cpu", "no GPU here"),
        ([Gpu("580.65.06", V100)], "cu126", "no kernels for compute capability 7.0"),
        ([Gpu("580.65.06", H100), Gpu("580.65.06", V100)], "cu126", "capability 7.0"),
        ([Gpu("570.86", A100)], "cu126", "driver 570.86 is older than CUDA 13 needs (580)"),
        ([Gpu("470.57", None)], "cu126", "driver 470.57 is older"),
        ([Gpu("580.65.06", H100)], "", "driver 580.65.06 runs CUDA 13"),
        ([Gpu("590.1", None)], "", "driver 590.1 runs CUDA 13"),
        ([Gpu("570.86", B200)], "", "update driver 570.86"),
    ],
)
def test_gpu_and_driver_choose_the_build(gpus, label, reason):
    build = choose_build(gpus, platform="linux")
    assert build.label == label
    assert reason in build.reason
    assert build.index.endswith(f"/whl/{label}") or not label
    assert "GB to download" in build.announcement


def test_other_systems_have_one_build():
    assert choose_build([], platform="darwin").index == ""


@pytest.mark.parametrize("label", ["cpu", "cu130", "rocm6.4"])
def test_the_variable_overrides_what_the_machine_has(label):
    build = choose_build([Gpu("580.65.06", V100)], f"http://mirror.example/whl/{label}")
    assert (build.label, build.index) == (label, f"http://mirror.example/whl/{label}")


@pytest.mark.parametrize(
    ("text", "gpus"),
    [
        ("exit 9", []),
        ("echo '580.65.06, 9.0'; echo '580.65.06, 7.0'", [H100, V100]),
        # A driver that does not know the field, as before 510.
        ("[[ $1 != *compute_cap* ]] || exit 2; echo 470.57", [None]),
    ],
)
def test_nvidia_smi_is_asked_for_driver_and_compute_capability(tmp_path, monkeypatch, text, gpus):
    nvidia_smi(tmp_path, monkeypatch, text)
    assert [gpu.capability for gpu in find_gpus()] == gpus
