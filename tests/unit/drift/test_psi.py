"""The population stability index against figures worked out by hand."""

import math

import numpy as np
import pytest

from slipway.drift.psi import kolmogorov_smirnov, psi, shares


def test_equal_shares_have_none() -> None:
    assert psi([0.2, 0.8], [0.2, 0.8]) == 0


def test_it_is_the_sum_over_the_bins() -> None:
    expected = (0.8 - 0.5) * math.log(0.8 / 0.5) + (0.2 - 0.5) * math.log(0.2 / 0.5)
    assert psi([0.5, 0.5], [0.8, 0.2]) == pytest.approx(expected)
    assert psi([0.8, 0.2], [0.5, 0.5]) == pytest.approx(expected)


def test_an_empty_bin_counts_as_a_thousandth() -> None:
    assert psi([1, 0], [0.9, 0.1]) == pytest.approx((0.9 - 1) * math.log(0.9) + (0.1 - 0.001) * math.log(0.1 / 0.001))


def test_shares_of_nothing_are_zeros() -> None:
    assert shares(np.array([0, 0])).tolist() == [0, 0]
    assert shares(np.array([1, 3])).tolist() == [0.25, 0.75]


def test_the_distance_of_two_distribution_functions_is_the_largest() -> None:
    assert kolmogorov_smirnov(np.array([0.5, 0.5, 0]), np.array([0, 0.5, 0.5])) == pytest.approx(0.5)
    assert kolmogorov_smirnov(np.array([0.0, 0.0]), np.array([0.0, 0.0])) == 0
