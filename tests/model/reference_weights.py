"""The weights that the reference vectors were made with (tests/reference/README.md)."""

import numpy as np
import torch
from torch import nn

from cloudmask.model.unet import UNet


def fill_with_reference_weights(network: UNet, rs: np.random.RandomState) -> UNet:
    """Draw each convolution's kernel, then bias, in forward order."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            outputs, inputs, height, width = module.weight.shape
            scale = np.sqrt(2 / (height * width * inputs))
            kernel = rs.standard_normal((height, width, inputs, outputs)) * scale
            bias = 0.05 * rs.standard_normal(outputs)
            with torch.no_grad():
                module.weight.copy_(torch.from_numpy(kernel.astype(np.float32)).permute(3, 2, 0, 1))
                module.bias.copy_(torch.from_numpy(bias.astype(np.float32)))
    return network.eval()
