"""Several ranks in forks of the test's process: a real process group, and no import of torch."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from cloudmask.distributed.process_group import World
from cloudmask.errors import InputError

SECONDS = 100  # for an answer, whatever else the machine does


def on_ranks(
    size: int, function: Callable[[World], Any], folder: Path, ranks_per_node: int = 1
) -> list[Any]:
    """What the function returns, or the `InputError` that it raises, on every rank."""
    context = multiprocessing.get_context("fork")
    store = str(folder / "ranks-store")

    def work(rank: int, answer: Connection) -> None:
        dist.init_process_group(
            "gloo", store=dist.FileStore(store, size), rank=rank, world_size=size
        )
        local_rank = rank % ranks_per_node
        nodes, node = size // ranks_per_node, rank // ranks_per_node
        world = World(
            rank, size, local_rank, ranks_per_node, torch.device("cpu"), nodes=nodes, node=node
        )
        try:
            answer.send(function(world))
        except InputError as error:
            answer.send(error)
        dist.barrier()  # a rank that left would fail the others

    ranks = []
    for rank in range(size):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=work, args=(rank, sender))
        process.start()
        sender.close()
        ranks.append((process, receiver))
    try:
        results = []
        for _, receiver in ranks:
            assert receiver.poll(SECONDS), "a rank did not answer"
            results.append(receiver.recv())  # EOFError if the rank failed
        return results
    finally:
        for process, _ in ranks:
            process.kill()  # it may wait for a rank that failed
            process.join()
