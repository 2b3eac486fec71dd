"""The command `infer` called in this process, with a network whose masks a test knows."""

import contextlib
import io
from dataclasses import dataclass

import torch

from cloudmask.cli import main
from cloudmask.model.unet import UNet
from tests.scene_files import product_name
from tests.scenes.sen3_product import small_content, write_product

S9 = 8
COLD = (slice(300, 600), slice(200, 900))
COLD_SHARE = 300 * 700 / (1200 * 1500)


def cold_is_cloud() -> UNet:
    """A U-Net whose probability is above one half where S9 is colder than 269.56 K."""
    network = UNet(widths=(1, 1, 1, 1))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        first, last = network.down[0], network.up[-1]
        first.convolution_a.weight[0, S9, 1, 1] = -1  # what is cold is positive
        first.convolution_b.weight[0, 0, 1, 1] = 1
        last.convolution_a.weight[0, 1, 1, 1] = 1  # the skipped features come second
        last.convolution_b.weight[0, 0, 1, 1] = 1
        network.output.weight[:] = 10
        network.output.bias[:] = -0.2
    return network


def stem(number):
    return product_name(number).removesuffix(".hdf")


@dataclass
class Finished:
    """What a command left: its exit code and its lines."""

    code: int
    out: str
    err: str


def infer(weights, scenes, output, *flags):
    """The command `infer` of these scenes into `output`."""
    arguments = ["infer", "--weights", weights, "--scenes", *scenes, "--output", output, *flags]
    with (
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        code = main(list(map(str, arguments)))
    return Finished(code, out.getvalue(), err.getvalue())


def small_product(folder):
    return write_product(folder, small_content())
