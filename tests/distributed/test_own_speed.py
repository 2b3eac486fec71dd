"""Work at each rank's own speed; `tests/faults/test_nodes.py` cuts off a node meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from itertools import repeat

import pytest

from cloudmask.distributed import own_speed
from cloudmask.distributed.own_speed import at_own_speed


@pytest.fixture
def rounds(monkeypatch):
    """A function that lets another rank answer so in each round; it returns what this one said."""
    said: list[bool] = []

    def answer(answers: Iterable[bool | Exception]):
        left = iter(answers)

        def gather(done):
            said.append(done)
            other = next(left)
            if isinstance(other, Exception):
                raise other
            return [done, other]

        monkeypatch.setattr(own_speed, "gather", gather)
        return said

    monkeypatch.setattr(own_speed, "ROUND", 0)
    return answer


def test_the_fastest_rank_waits_for_the_slowest_in_any_number_of_rounds(rounds, monkeypatch):
    monkeypatch.setattr(own_speed, "ROUND", 600)  # its own work takes no round
    said = rounds([False, False, False, True])
    with at_own_speed() as check:
        check(1)
    assert said == [True] * 4


def test_the_slowest_rank_works_on_while_others_have_done_their_work(rounds):
    said = rounds(repeat(True))
    with at_own_speed() as check:
        while len(said) < 3:
            check(1)
    assert said[:3] == [False] * 3
    assert said[-1]


def test_the_loss_of_a_rank_ends_the_work_at_its_next_step(rounds):
    rounds([False, RuntimeError("Connection closed by peer")])

    def work():
        with at_own_speed() as check:
            while True:
                check(1)

    with pytest.raises(RuntimeError, match="closed by peer"):
        work()


def test_the_loss_of_a_rank_while_waiting_for_it_is_raised(rounds):
    rounds([False, RuntimeError("Connection closed by peer")])
    with pytest.raises(RuntimeError, match="closed by peer"), at_own_speed():
        pass


def test_work_that_fails_sends_no_more_messages_and_never_that_it_is_done(rounds):
    said = rounds(repeat(False))
    threads = []

    def work():
        with at_own_speed():
            threads.extend(each for each in threading.enumerate() if each.name == "at own speed")
            raise ValueError("damaged")

    with pytest.raises(ValueError, match="damaged"):
        work()
    (thread,) = threads
    thread.join(30)
    assert not thread.is_alive()
    assert True not in said


def test_alone_nothing_is_waited_for(alone):
    with at_own_speed() as check:
        check(1)
