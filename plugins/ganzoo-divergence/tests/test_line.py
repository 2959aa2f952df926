"""The line, its scale and its limits; known and estimated densities on it."""

from __future__ import annotations

import math

import pytest
import torch
from ganzoo_divergence.divergences import jackknife, jensen_shannon
from ganzoo_divergence.line import BLOCKS, Distribution, Line, scale_of
from known_gaussians import MEAN, STD, Gaussians, drawn, gaussian
from torch import Tensor

from ganzoo.api import UserError
from ganzoo.engine import Data, Samples


class TestLine:
    def test_it_holds_the_density_of_the_data(self, line: Line) -> None:
        x = line.nodes
        assert float(line.integral(line.p)) == pytest.approx(1, abs=1e-12)
        assert float(line.integral(line.p * x)) == pytest.approx(MEAN, abs=1e-9)
        variance = float(line.integral(line.p * (x - MEAN).square()))
        assert variance == pytest.approx(STD**2, abs=1e-9)

    def test_it_reaches_five_times_as_far_as_the_data(self, line: Line) -> None:
        points = Gaussians().data().train.values
        low, high = float(points.min()), float(points.max())
        length = float(line.nodes[-1] - line.nodes[0])
        assert length == pytest.approx(5 * (high - low))
        assert float(line.nodes.mean()) == pytest.approx((low + high) / 2)
        assert line.view == pytest.approx((1.25 * low - 0.25 * high, 1.25 * high - 0.25 * low))
        assert line.spacing == pytest.approx(STD / 400, rel=0.02)
        assert line.bandwidth == pytest.approx(STD / 20, rel=0.02)

    @pytest.mark.parametrize(
        ("density", "scale"),
        [
            (Gaussians((0.0,), 3.0), 3.0),
            (Gaussians((-10.0, -2.0, 5.0), 0.05), 0.05),
            # Where two overlap there is nothing finer than either.
            (Gaussians((-0.5, 0.5), 1.0), 1.1),
        ],
    )
    def test_the_scale_is_that_of_the_finest_detail(self, density: Gaussians, scale: float) -> None:
        points = density.data().train.values.double().flatten()
        assert scale_of(density, points) == pytest.approx(scale, rel=0.03)

    def test_edges_of_a_density_do_not_count(self) -> None:
        class Uniform:
            def log_prob(self, x: Tensor) -> Tensor:
                inside = (x[:, 0] >= 0) & (x[:, 0] <= 1)
                return torch.where(inside, 0.0, -math.inf)

        points = torch.linspace(0, 1, 1001, dtype=torch.float64)
        assert scale_of(Uniform(), points) == pytest.approx(float(points.std()))
        data = Data(Samples(points.float()[:, None]), density=Uniform())
        line = Line.over(data)
        distribution = Distribution.of_samples(
            line, torch.rand(1000, generator=torch.Generator().manual_seed(0))
        )
        assert 0 <= float(jensen_shannon(line, distribution.log_q)) < 0.1

    def test_a_mixture_on_a_line_is_resolved(self) -> None:
        line = Line.over(Gaussians((-10.0, -2.0, 5.0), 0.05).data())
        assert float(line.integral(line.p)) == pytest.approx(1, abs=1e-9)
        assert line.bandwidth == pytest.approx(0.0025, rel=0.03)

    def test_points_may_come_one_by_one(self) -> None:
        points = Gaussians().data(2000).train.values
        stream = [(point, -1) for point in points]
        line = Line.over(Data(stream, density=Gaussians()))  # type: ignore[arg-type]
        expected = Line.over(Gaussians().data(2000))
        assert torch.equal(line.nodes, expected.nodes)

    def test_a_density_that_does_not_integrate_to_one_is_refused(self) -> None:
        class Double(Gaussians):
            def log_prob(self, x: Tensor) -> Tensor:
                return super().log_prob(x) + math.log(2)

        with pytest.raises(
            UserError,
            match=r"density integrates to 2 on the line from .*\n  = the integral must be",
        ):
            Line.over(Double().data())

    def test_a_density_that_is_too_fine_is_refused(self) -> None:
        with pytest.raises(
            UserError,
            match=r"integrates to 1 on the line from -100.2 to 100.2, in 131072 steps of 0.00153; "
            r"its finest detail is of 0.01.*\n  = .* the finest detail at least 40 steps",
        ):
            Line.over(Gaussians((-20.0, 20.0), 0.01).data())

    def test_data_at_a_single_point_are_refused(self) -> None:
        with pytest.raises(
            UserError, match=r"training points all lie at 4, which is no .*\n  = data.samples=50000"
        ):
            Line.over(Data(Samples(torch.full((9, 1), 4.0)), density=Gaussians()))


class TestKnown:
    def test_the_density_is_unchanged(self, line: Line) -> None:
        distribution = gaussian(line, 2.0, 0.7)
        torch.testing.assert_close(
            distribution.log_q,
            Gaussians((2.0,), 0.7).log_prob(line.nodes[:, None]),
            rtol=0,
            atol=1e-9,
        )
        assert distribution.log_parts.shape == (0, len(line.nodes))

    @pytest.mark.parametrize(("mean", "outside"), [(1e6, 1.0), (float("nan"), 0.5)])
    def test_mass_outside_of_the_line_is_kept(
        self, line: Line, mean: float, outside: float
    ) -> None:
        if math.isnan(mean):
            mean = float(line.nodes[-1])
        distribution = gaussian(line, mean, 1.0)
        assert float(line.integral(distribution.log_q.exp())) == pytest.approx(1, abs=1e-9)
        assert float(distribution.log_q[-1].exp() * line.spacing) == pytest.approx(
            outside, abs=2e-3
        )
        assert float(jensen_shannon(line, distribution.log_q)) == pytest.approx(
            math.log(2), abs=1e-9
        )

    def test_details_between_the_nodes_do_not_make_it_more_than_a_distribution(
        self, line: Line
    ) -> None:
        distribution = gaussian(line, float(line.nodes[7000]), line.spacing / 10)
        assert float(line.integral(distribution.log_q.exp())) == pytest.approx(1, abs=1e-9)


class TestSamples:
    @pytest.mark.parametrize("count", [BLOCKS, 1003, 100_000])
    def test_it_is_a_distribution_with_and_without_each_block(self, line: Line, count: int) -> None:
        distribution = Distribution.of_samples(line, drawn(3.0, 1.0, count))
        assert distribution.log_parts.shape == (BLOCKS, len(line.nodes))
        for log_q in (distribution.log_q, *distribution.log_parts):
            assert float(line.integral(log_q.exp())) == pytest.approx(1, abs=1e-9)

    def test_a_part_is_the_distribution_of_the_other_blocks(self, line: Line) -> None:
        points = drawn(3.0, 1.0, 1003)
        distribution = Distribution.of_samples(line, points)
        others = torch.cat([*points.tensor_split(BLOCKS)[:2], *points.tensor_split(BLOCKS)[3:]])
        torch.testing.assert_close(
            distribution.log_parts[2].exp(),
            Distribution.of_samples(line, others).log_q.exp(),
            rtol=0,
            atol=1e-12,
        )

    def test_its_moments_are_those_of_the_samples_and_the_kernel(self, line: Line) -> None:
        points = drawn(3.0, 0.5).double()
        q = Distribution.of_samples(line, points.float()).log_q.exp()
        mean = float(line.integral(q * line.nodes))
        assert mean == pytest.approx(float(points.mean()), abs=1e-4)
        variance = float(line.integral(q * (line.nodes - mean).square()))
        expected = float(points.var(correction=0)) + line.bandwidth**2
        assert variance == pytest.approx(expected, rel=1e-3)

    def test_the_kernel_is_a_gaussian_wherever_the_samples_lie(self, line: Line) -> None:
        for place in (1.0, 1.0 + 0.5 * line.spacing, 9.2):
            q = Distribution.of_samples(line, torch.full((100_000,), place)).log_q.exp()
            expected = gaussian(line, place, line.bandwidth).log_q.exp()
            assert float(line.integral((q - expected).abs())) < 1e-3

    def test_there_is_one_sample_of_the_data_among_them(self, line: Line) -> None:
        log_q = Distribution.of_samples(line, torch.full((999,), 20.0)).log_q
        centre = len(line.nodes) // 2
        torch.testing.assert_close(log_q[centre], line.log_p[centre] - math.log(1000))

    @pytest.mark.parametrize("far", [1e6, -1e6])
    def test_samples_beyond_the_line_count_as_at_its_end(self, line: Line, far: float) -> None:
        distribution = Distribution.of_samples(line, torch.full((1000,), far))
        assert float(line.integral(distribution.log_q.exp())) == pytest.approx(1, abs=1e-9)
        end = float(line.nodes[-1 if far > 0 else 0])
        near = (line.nodes - end).abs() < 1
        assert float(line.integral(distribution.log_q.exp() * near)) == pytest.approx(1, abs=2e-3)
        js = jackknife(lambda log_q: jensen_shannon(line, log_q), distribution)[0]
        assert js == pytest.approx(math.log(2), abs=1e-3)

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_samples_that_are_not_finite_have_no_density(self, line: Line, value: float) -> None:
        points = drawn(3.0, 1.0, 1000)
        points[17] = value
        distribution = Distribution.of_samples(line, points)
        value, error = jackknife(lambda log_q: jensen_shannon(line, log_q), distribution)
        assert math.isnan(value)
        assert math.isnan(error)

    def test_samples_that_move_a_little_change_the_distribution_by_little(self, line: Line) -> None:
        points = drawn(3.0, 1.0, 1000).double()
        before, after = (
            Distribution.of_samples(line, points + shift).log_q.exp() for shift in (0, 1e-6 * STD)
        )
        # A step function would jump by whole samples, 1e-3 each.
        assert float(line.integral((after - before).abs())) < 5e-6
