"""Divergences and values against closed forms and against quadrature by another program."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from ganzoo_divergence.divergences import (
    discriminator_gap,
    divergences,
    jackknife,
    jensen_shannon,
    optimal_discriminator,
    total_variation,
    value,
)
from ganzoo_divergence.line import BLOCKS, Distribution, Line
from known_gaussians import MEAN, STD, drawn, gaussian
from scipy.integrate import quad

PAIRS = [(4.0, 1.25), (3.0, 1.25), (4.0, 1.0), (3.5, 0.4), (0.0, 0.15), (4.0, 3.0), (-8.0, 1.25)]


def kl(mean: float, std: float, other_mean: float, other_std: float) -> float:
    """KL(a || b) of two Gaussians, in closed form."""
    ratio = std / other_std
    return (ratio**2 + ((mean - other_mean) / other_std) ** 2 - 1) / 2 - math.log(ratio)


def density(x: float, mean: float, std: float) -> float:
    return math.exp(-(((x - mean) / std) ** 2) / 2) / (std * math.sqrt(2 * math.pi))


def integrated(function: Callable[[float, float], float], mean: float, std: float) -> float:
    """The integral of a function of p(x) and q(x), by adaptive Gauss-Kronrod."""

    def integrand(x: float) -> float:
        return function(density(x, MEAN, STD), density(x, mean, std))

    cuts = sorted(
        centre + way * width
        for centre, width in ((MEAN, STD), (mean, std))
        for way in (-12, -6, -3, -1, 0, 1, 3, 6, 12)
    )
    return sum(quad(integrand, *ends, epsabs=1e-11, limit=500)[0] for ends in pairwise(cuts))


def js_integrand(p: float, q: float) -> float:
    m = (p + q) / 2
    return sum(a * math.log(a / m) / 2 for a in (p, q) if a > 0)


class TestKnown:
    @pytest.mark.parametrize(("mean", "std"), PAIRS)
    def test_all_four_are_exact_to_a_millionth(self, line: Line, mean: float, std: float) -> None:
        values = divergences(line, gaussian(line, mean, std))
        assert set(values) == {"kl(P||G)", "kl(G||P)", "js", "tv"}
        forward, backward = kl(MEAN, STD, mean, std), kl(mean, std, MEAN, STD)
        assert values["kl(P||G)"] == pytest.approx(forward, abs=1e-6)
        assert values["kl(G||P)"] == pytest.approx(backward, abs=1e-6)
        assert values["js"] == pytest.approx(integrated(js_integrand, mean, std), abs=1e-6)
        tv = integrated(lambda p, q: abs(p - q) / 2, mean, std)
        assert values["tv"] == pytest.approx(tv, abs=1e-6)

    @pytest.mark.parametrize("mean", [4.0, 3.9, 2.0, -1.0, -8.0])
    def test_total_variation_of_equal_widths_is_an_error_function(
        self, line: Line, mean: float
    ) -> None:
        values = float(total_variation(line, gaussian(line, mean, STD).log_q))
        closed = math.erf(abs(mean - MEAN) / (2 * math.sqrt(2) * STD))
        assert values == pytest.approx(closed, abs=1e-6)

    def test_distributions_that_do_not_overlap(self, line: Line) -> None:
        values = divergences(line, gaussian(line, 20.0, 0.2))
        assert values["js"] == pytest.approx(math.log(2), abs=1e-9)
        assert values["tv"] == pytest.approx(1, abs=1e-9)

    def test_a_density_that_is_zero_where_the_data_are(self, line: Line) -> None:
        log_q = gaussian(line, MEAN, STD).log_q.masked_fill(line.nodes < MEAN, -math.inf)
        values = divergences(
            line, Distribution(log_q + math.log(2), log_q.new_empty(0, len(log_q)))
        )
        assert values["kl(P||G)"] == math.inf
        assert values["kl(G||P)"] == pytest.approx(math.log(2), abs=2e-3)
        assert values["tv"] == pytest.approx(0.5, abs=1e-3)


class TestDiscriminator:
    @pytest.mark.parametrize(("mean", "std"), PAIRS)
    def test_at_its_best_the_value_is_the_divergence(
        self, line: Line, mean: float, std: float
    ) -> None:
        log_q = gaussian(line, mean, std).log_q
        js = float(jensen_shannon(line, log_q))
        best = float(value(line, log_q, line.log_p - log_q))
        assert best == pytest.approx(2 * js - 2 * math.log(2), abs=1e-9)
        assert float(discriminator_gap(line, log_q, line.log_p - log_q)) < 1e-9

    def test_any_other_discriminator_has_a_lower_value(self, line: Line) -> None:
        log_q = gaussian(line, 3.0, 1.0).log_q
        best, logits = float(value(line, log_q, line.log_p - log_q)), line.log_p - log_q
        for change in (logits * 0.1, torch.sin(line.nodes), 0.3 * torch.ones_like(logits)):
            for sign in (-1, 1):
                assert float(value(line, log_q, logits + sign * change)) < best - 1e-4

    def test_the_value_of_a_constant_one(self, line: Line) -> None:
        log_q, logits = gaussian(line, 2.0, 1.0).log_q, torch.zeros_like(line.nodes)
        assert float(value(line, log_q, logits)) == pytest.approx(-2 * math.log(2), abs=1e-9)
        # (p + q) / 2 |1/2 - p / (p + q)| = |p - q| / 4.
        half = float(total_variation(line, log_q)) / 2
        assert float(discriminator_gap(line, log_q, logits)) == pytest.approx(half, abs=1e-9)

    def test_the_value_of_a_linear_one(self, line: Line) -> None:
        """E_p log D + E_q log(1 - D) for the logit x - 3, by another program."""
        log_q = gaussian(line, 2.0, 0.8).log_q

        def softplus(x: float) -> float:
            return max(x, 0) + math.log1p(math.exp(-abs(x)))

        def loss(x: float) -> float:
            return density(x, MEAN, STD) * softplus(3 - x) + density(x, 2, 0.8) * softplus(x - 3)

        expected = -quad(loss, -12, 20, points=[2, 4], epsabs=1e-11, limit=500)[0]
        assert float(value(line, log_q, line.nodes - 3)) == pytest.approx(expected, abs=1e-8)

    def test_where_both_densities_are_zero_it_is_a_half(self, line: Line) -> None:
        nowhere = torch.full_like(line.log_p, -math.inf)
        empty = Line(line.nodes, nowhere, line.bandwidth, line.view)
        assert (optimal_discriminator(empty, nowhere) == 0.5).all()
        assert float(discriminator_gap(empty, nowhere, line.nodes)) == 0


class TestEstimates:
    """Tolerances are four standard errors, measured on twelve sets of samples."""

    def test_samples_of_the_data_have_no_divergence(self, line: Line) -> None:
        values = divergences(line, Distribution.of_samples(line, drawn(MEAN, STD)))
        assert values["js"] == pytest.approx(0, abs=4e-5)
        assert values["kl(P||G)"] == pytest.approx(0, abs=5e-4)
        assert values["kl(G||P)"] == pytest.approx(0, abs=1.5e-4)
        assert 0 < values["tv"] < 0.008

    def test_without_the_correction_they_would_have_one(self, line: Line) -> None:
        """The bias of few samples, which is corrected."""
        distribution = Distribution.of_samples(line, drawn(MEAN, STD, 10_000))
        js = jackknife(lambda log_q: jensen_shannon(line, log_q), distribution)[0]
        assert abs(js) < 4e-4 < float(jensen_shannon(line, distribution.log_q))

    @pytest.mark.parametrize(
        ("mean", "std", "errors"),
        [
            (3.0, 1.25, (1.6e-2, 1.4e-2, 3e-3, 6e-3)),
            (4.0, 1.0, (6e-3, 3e-3, 1e-3, 6e-3)),
            (4.0, 3.0, (9e-3, 3.2e-2, 2.4e-3, 5e-3)),
        ],
    )
    def test_other_distributions(
        self, line: Line, mean: float, std: float, errors: tuple[float, ...]
    ) -> None:
        values = divergences(line, Distribution.of_samples(line, drawn(mean, std)))
        exact = divergences(line, gaussian(line, mean, std))
        for name, error in zip(exact, errors, strict=True):
            assert values[name] == pytest.approx(exact[name], abs=error), name

    @pytest.mark.parametrize("std", [0.4, 0.03])
    def test_an_estimate_is_that_of_the_distribution_with_the_kernel(
        self, line: Line, std: float
    ) -> None:
        values = divergences(line, Distribution.of_samples(line, drawn(4.0, std)))
        smoothed = divergences(line, gaussian(line, 4.0, math.hypot(std, line.bandwidth)))
        exact = divergences(line, gaussian(line, 4.0, std))
        assert values["js"] == pytest.approx(smoothed["js"], abs=2.5e-3)
        assert values["kl(G||P)"] == pytest.approx(smoothed["kl(G||P)"], abs=8e-3)
        assert values["js"] < exact["js"]

    def test_the_divergence_is_bounded_where_no_samples_are(self, line: Line) -> None:
        values = divergences(line, Distribution.of_samples(line, drawn(-8.0, 0.2)))
        # log n of all samples, log 9n / 10 of a part: B log n - (B - 1) log(9n / 10).
        farthest = math.log(100_000) - 9 * math.log(0.9)
        assert values["kl(P||G)"] == pytest.approx(farthest, abs=0.01)


class TestJackknife:
    def test_a_mean_is_not_changed_and_its_error_is_that_of_the_blocks(self, line: Line) -> None:
        points = drawn(3.0, 1.0, 50_000).double()
        values, error = jackknife(
            lambda log_q: line.integral(log_q.exp() * line.nodes),
            Distribution.of_samples(line, points.float()),
        )
        assert values == pytest.approx(float(points.mean()), abs=1e-4)
        means = torch.stack([block.mean() for block in points.tensor_split(BLOCKS)])
        assert error == pytest.approx(float(means.std()) / math.sqrt(BLOCKS), rel=1e-2)

    def test_the_error_is_that_of_other_samples(self, line: Line) -> None:
        distributions = [
            Distribution.of_samples(line, drawn(3.0, 1.0, 5000, seed)) for seed in range(30)
        ]
        values = [
            jackknife(lambda log_q: jensen_shannon(line, log_q), distribution)
            for distribution in distributions
        ]
        values, errors = (torch.tensor(part) for part in zip(*values, strict=True))
        assert float(errors.square().mean().sqrt()) == pytest.approx(float(values.std()), rel=0.4)

    def test_a_known_distribution_has_no_error(self, line: Line) -> None:
        distribution = gaussian(line, 3.0, 1.0)
        values = jackknife(lambda log_q: jensen_shannon(line, log_q), distribution)
        assert values == (float(jensen_shannon(line, distribution.log_q)), 0.0)

    def test_the_noise_of_a_small_step_is_small(self, line: Line) -> None:
        """With the same noise at both ends; with new noise it is that of either end."""

        def change(old: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
            return jensen_shannon(line, new) - jensen_shannon(line, old)

        start = Distribution.of_samples(line, drawn(3.0, 1.0))
        exact = jackknife(change, gaussian(line, 3.0, 1.0), gaussian(line, 3.001, 1.0))[0]
        same, error = jackknife(change, start, Distribution.of_samples(line, drawn(3.001, 1.0)))
        assert same == pytest.approx(exact, abs=4 * error + 1e-2 * abs(exact))
        assert error < 0.02 * abs(exact)
        other = jackknife(change, start, Distribution.of_samples(line, drawn(3.001, 1.0, seed=1)))[
            1
        ]
        assert other > abs(exact)
