"""Run under torchrun: the gradients of one step on a fixed global batch, saved by rank 0."""

import sys

import torch

from cloudmask.config import configure
from cloudmask.distributed.process_group import (
    barrier,
    destroy_process_group,
    initialise_process_group,
)
from cloudmask.model.precision import choose_precision
from cloudmask.timed_run.launch import exit_process
from cloudmask.training.trainer import Trainer

output, batch_size, recipe = sys.argv[1], int(sys.argv[2]), sys.argv[3]
world = initialise_process_group()
config = configure(
    [f"--batch-size={batch_size}", "--patch-size=32", "--precision=float32", f"--recipe={recipe}"]
)
trainer = Trainer(config, world, choose_precision(config.precision, world.device))
generator = torch.Generator().manual_seed(3)
images = torch.randn(4, 9, 32, 32, generator=generator)
labels = (torch.rand(4, 1, 32, 32, generator=generator) > 0.6).to(torch.uint8)
mine = slice(world.rank * batch_size, (world.rank + 1) * batch_size)
trainer.parallel.train()
trainer.gradients(images[mine].contiguous(memory_format=torch.channels_last), labels[mine])
if world.is_rank_zero:
    gradients = {name: p.grad.clone() for name, p in trainer.network.named_parameters()}
    torch.save(gradients, output)
barrier(world)
destroy_process_group()
exit_process(0)
