"""Networks against Bayesian masks on unseen scenes: the shares of cloud, and the verdicts."""

import numpy as np

from benchmarks.unseen import LAYERS, amounts, table


def test_shares_of_cloud_are_spread_over_those_of_the_data_set_and_a_seed_draws_them_again():
    """Of layers that are independent of each other."""
    shares = []
    for index in range(60):
        clear = [1 - getattr(amounts(31, index, 60), layer)[0] for layer in LAYERS]
        shares.append(1 - np.prod(clear))
    assert 0.46 <= min(shares) < 0.55
    assert 0.96 < max(shares) <= 0.99
    assert np.mean(shares[::2]) < np.mean(shares[1::2])
    assert abs(np.mean(shares) - 0.8) < 0.02
    assert amounts(31, 0, 60) == amounts(31, 0, 60) != amounts(32, 0, 60)


def test_a_network_is_better_or_worse_only_outside_of_the_widened_interval():
    def counts(right, spread=0.0):
        share = right + spread * np.where(np.arange(30) % 2, 1, -1)
        return np.stack([500 * share, 500 * (1 - share)] * 2, axis=-1)[:, [0, 1, 3, 2]]

    masks = {
        "bayes": counts(0.95),
        "good": counts(0.97, 0.01),
        "bad": counts(0.9),
        "like": counts(0.951, 0.04),
    }
    text = table(masks, ["good", "bad", "like"])
    rows = [line for line in text.splitlines() if "bayes |" in line]
    assert [row.split("|")[4].strip() for row in rows[-3:]] == [
        *("better", "worse", "not shown to differ")
    ]
    assert "3 comparisons" in text
