"""Nodes that are alike are one event of the log, others one each."""

from __future__ import annotations

from cloudmask.timed_run.hardware import VARYING, count_alike

BIG = {"host_processor_model_name": "Big", "host_memory_capacity": "1 TiB"}
SMALL = {"host_processor_model_name": "Small", "host_memory_capacity": "1 TiB"}


def test_equal_nodes_are_counted_and_different_ones_are_kept_in_order():
    assert count_alike([BIG, SMALL, dict(BIG), dict(BIG)]) == [(BIG, 3), (SMALL, 1)]


def test_a_frequency_of_the_moment_does_not_tell_nodes_apart():
    nodes = [{**BIG, VARYING: f"{x} GHz when this was written"} for x in ("2.1", "3.4")]
    assert count_alike([*nodes, BIG]) == [(nodes[0], 3)]
