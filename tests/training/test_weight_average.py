"""The moving average of weights: its decay, its start and its state."""

import copy

import pytest
import torch

from cloudmask.training.weight_average import WeightAverage


def network_of(weight):
    network = torch.nn.Linear(1, 1)
    torch.nn.init.constant_(network.weight, weight)
    return network


def test_the_first_decays_are_1_13_2_14_and_3_15():
    average = WeightAverage(network_of(1.0), decay=0.98)
    expected = 1.0
    for decay in (1 / 13, 2 / 14, 3 / 15):
        average.update(network_of(0.0), average.next_weight())
        expected *= decay
        assert average.network.weight.item() == pytest.approx(expected)


def test_the_decay_grows_up_to_the_one_that_is_given():
    average = WeightAverage(network_of(3.0), decay=0.9)
    average.updates = 107  # the next decays are 108 / 120 = 0.9 and then 0.9, not 109 / 121
    for expected in (4.8, 6.42):
        average.update(network_of(21.0), average.next_weight())
        assert average.network.weight.item() == pytest.approx(expected)


def test_the_network_that_is_averaged_stays_as_it_is():
    network = network_of(2.0)
    average = WeightAverage(network, decay=0.9)
    other = network_of(5.0)
    before = copy.deepcopy(other.state_dict())
    average.update(other, average.next_weight())
    assert other.state_dict() == before
    assert network.weight.item() == 2.0
    assert network.weight.requires_grad
    assert not average.network.weight.requires_grad


def test_a_restored_average_goes_on_as_the_first_would():
    first = WeightAverage(network_of(1.0), decay=0.9)
    first.update(network_of(0.0), first.next_weight())
    second = WeightAverage(network_of(7.0), decay=0.9)
    second.load_state(copy.deepcopy(first.state()))
    for average in (first, second):
        average.update(network_of(0.0), average.next_weight())
        assert average.network.weight.item() == pytest.approx(1 / 13 * 2 / 14)
