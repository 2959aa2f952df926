"""What the probe measures of networks that step, and that it does not change them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from ganzoo_divergence import DivergenceProbe
from known_gaussians import MEAN, STD, Best, Gaussians, Known, Shifted, drawn
from torch import Tensor, nn
from torch.nn.functional import softplus

from ganzoo.api import BuildContext, Networks, UserError
from ganzoo.engine.step import Batch, Step, View

DIVERGENCES = {"kl(P||G)", "kl(G||P)", "js", "tv", "js_noise"}
DISCRIMINATOR = {"discriminator_gap", "value", "optimal_value", "value_gap"}
STEP = {"step/value", "step/value_noise", "step/js", "step/js_noise", "step/raised"}
GENERATORS = pytest.mark.parametrize("generator", [Shifted, Known])


def probe(seed: int = 0, latent_distribution: Any = "normal", **keys: Any) -> Any:
    context = BuildContext(
        sample_shape=(1,),
        latent_dim=2,
        latent_distribution=latent_distribution,
        data=Gaussians().data(),
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return DivergenceProbe(**keys).build(context)


def step_of(generator: nn.Module, discriminator: nn.Module | None = None, **keys: Any) -> Step:
    networks = {"generator": generator}
    if discriminator is not None:
        networks["discriminator"] = discriminator
    return Step("", Networks(networks), Batch(torch.zeros(4, 1), torch.zeros(4, 2)), **keys)


def nothing() -> None:
    """A group of phases that changes nothing."""


def iterate(
    probe: Any, step: Step, *groups: tuple[Sequence[str], Callable[[], None]]
) -> dict[str, float]:
    """One iteration of groups, each of which changes something."""
    for phases, change in groups:
        probe.before(phases, step)
        change()
        probe.after(phases, step)
    values: dict[str, float] = probe.compute()
    return values


def shifting(generator: Shifted, shift: float) -> tuple[tuple[str, ...], Callable[[], None]]:
    """A step of the generator."""

    def move() -> None:
        with torch.no_grad():
            generator.mean += shift

    return ("generator",), move


class TestValues:
    def test_a_generator_with_a_density_is_measured_exactly(self) -> None:
        mean, std = 3.0, 0.8
        values = iterate(probe(), step_of(Known(mean, std)), (("joint",), nothing))
        assert set(values) == DIVERGENCES
        ratio = STD / std
        forward = (ratio**2 + ((mean - MEAN) / std) ** 2 - 1) / 2 - math.log(ratio)
        backward = (ratio**-2 + ((mean - MEAN) / STD) ** 2 - 1) / 2 + math.log(ratio)
        assert values["kl(P||G)"] == pytest.approx(forward, abs=1e-6)
        assert values["kl(G||P)"] == pytest.approx(backward, abs=1e-6)
        assert values["js_noise"] == 0

    def test_another_is_measured_by_its_samples(self) -> None:
        known, unknown = (
            iterate(probe(), step_of(kind(3.0, 1.0)), (("joint",), nothing))
            for kind in (Known, Shifted)
        )
        assert unknown["js"] != known["js"]
        assert unknown["js"] == pytest.approx(known["js"], abs=4 * unknown["js_noise"])
        assert 0 < unknown["js_noise"] < 1e-3

    @pytest.mark.parametrize("keys", [{"discriminator": False}, {}])
    def test_without_a_discriminator_there_are_divergences_only(self, keys: dict[str, Any]) -> None:
        D = Best(3.0) if keys else None
        generator = Shifted(3.0)
        values = iterate(probe(**keys), step_of(generator, D), shifting(generator, 0.1))
        assert set(values) == DIVERGENCES

    @GENERATORS
    def test_the_best_discriminator_has_the_best_value(self, generator: type[Shifted]) -> None:
        step = step_of(generator(3.0), Best(3.0))
        values = iterate(probe(), step, (("discriminator",), nothing))
        assert set(values) == DIVERGENCES | DISCRIMINATOR
        assert values["optimal_value"] == pytest.approx(2 * values["js"] - 2 * math.log(2))
        assert values["value_gap"] == pytest.approx(values["optimal_value"] - values["value"])
        assert values["value"] == pytest.approx(values["optimal_value"], abs=1e-4)
        assert values["discriminator_gap"] < 0.003

    def test_a_discriminator_trained_on_a_fixed_generator_becomes_optimal(self) -> None:
        torch.manual_seed(0)
        D = nn.Sequential(nn.Linear(1, 32), nn.SiLU(), nn.Linear(32, 32), nn.SiLU())
        D = nn.Sequential(D, nn.Linear(32, 1), nn.Flatten(0))
        real, fake = drawn(MEAN, STD, 200_000, 1)[:, None], drawn(2.5, 1.0, 200_000, 2)[:, None]
        optimizer = torch.optim.Adam(D.parameters(), 5e-3)
        measuring, networks = probe(), step_of(Shifted(2.5, 1.0), D)
        start = iterate(measuring, networks, (("discriminator",), nothing))
        steps = 500
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = 5e-3 * (1 - step / steps)
            chosen = torch.randint(len(real), (2048,))
            loss = softplus(-D(real[chosen])).mean() + softplus(D(fake[chosen])).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        values = iterate(measuring, networks, (("discriminator",), nothing))
        assert start["discriminator_gap"] > 0.2
        assert start["value_gap"] > 0.2
        assert values["discriminator_gap"] < 0.01
        expected = 2 * values["js"] - 2 * math.log(2)
        assert values["js"] > 0.1
        assert values["value"] == pytest.approx(expected, rel=0.02)
        assert values["value"] < values["optimal_value"]

    def test_latents_follow_the_recipe(self) -> None:
        """Uniform latents on [-1, 1] give a uniform distribution."""
        measuring = probe(latent_distribution="uniform")
        values = iterate(measuring, step_of(Shifted(MEAN, 2.0)), (("joint",), nothing))
        line = measuring.line
        uniform = 0.25 * ((line.nodes - MEAN).abs() < 2)
        expected = float(line.integral((line.p - uniform).abs())) / 2
        assert values["tv"] == pytest.approx(expected, abs=0.02)

    def test_a_seed_fixes_the_values(self) -> None:
        values = [
            iterate(probe(seed), step_of(Shifted(3.0), Best(3.5)), (("joint",), nothing))
            for seed in (0, 0, 1)
        ]
        assert values[0] == values[1] != values[2]

    def test_fewer_samples_have_more_noise(self) -> None:
        few, many = (
            iterate(probe(samples=samples), step_of(Shifted(3.0)), (("joint",), nothing))
            for samples in (1000, 100_000)
        )
        assert 4 < few["js_noise"] / many["js_noise"] < 25

    def test_packs_and_classes_are_refused(self) -> None:
        class Packed(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                return x.sum(1)

        packed = step_of(Shifted(), Packed(), view=View(pack=2))
        with pytest.raises(UserError, match="judges several samples together\n  = discriminator ="):
            iterate(probe(), packed, (("joint",), nothing))
        iterate(probe(discriminator=False), packed, (("joint",), nothing))
        classes = torch.zeros(4, dtype=torch.int64)
        batch = Batch(torch.zeros(4, 1), torch.zeros(4, 2), classes, classes)
        conditional = Step("", Networks({"generator": Shifted()}), batch)
        with pytest.raises(UserError, match="generators without classes only"):
            iterate(probe(), conditional, (("joint",), nothing))

    def test_a_generator_that_has_diverged_raises_nothing(self) -> None:
        """The run says so itself, when it reads its statistics."""
        measuring, G = probe(), Shifted(3.0)
        values = iterate(measuring, step_of(G, Best(3.0)), shifting(G, math.nan))
        assert math.isnan(values["js"])
        assert math.isnan(values["step/js"])
        assert values["step/raised"] == 0
        assert measuring.draw().size == (640, 480)


class TestStep:
    @GENERATORS
    def test_after_a_small_step_against_the_best_discriminator_both_fall(
        self, generator: type[Shifted]
    ) -> None:
        """There the gradient of V is that of 2 JS."""
        G = generator(3.0)
        values = iterate(probe(), step_of(G, Best(3.0)), shifting(G, 1e-3))
        assert set(values) == DIVERGENCES | DISCRIMINATOR | STEP
        assert values["step/js"] < 0
        assert values["step/value"] / values["step/js"] == pytest.approx(2, rel=0.03)
        assert values["step/raised"] == 0
        exact = generator is Known
        assert (values["step/js_noise"] == 0) == (values["step/value_noise"] == 0) == exact
        assert values["step/js_noise"] < 0.02 * abs(values["step/js"])

    @GENERATORS
    def test_a_huge_step_raises_the_divergence_although_the_loss_falls(
        self, generator: type[Shifted]
    ) -> None:
        """D increases with x everywhere, so V falls with every step to the right."""
        G = generator(3.0)
        values = iterate(probe(), step_of(G, Best(3.0)), shifting(G, 10.0))
        assert values["step/value"] < -1
        assert values["step/js"] > 0.1
        assert values["step/raised"] == 1
        assert values["js"] == pytest.approx(math.log(2), abs=1e-2)

    @GENERATORS
    def test_a_step_uphill_is_not_flagged(self, generator: type[Shifted]) -> None:
        G = generator(3.0)
        values = iterate(probe(), step_of(G, Best(3.0)), shifting(G, -1.0))
        assert values["step/value"] > 0
        assert values["step/js"] > 0
        assert values["step/raised"] == 0

    def test_a_step_of_nothing_changes_nothing(self) -> None:
        G = Shifted(3.0)
        values = iterate(probe(), step_of(G, Best(3.0)), shifting(G, 0.0))
        assert [values[name] for name in sorted(STEP)] == [0] * 5

    def test_a_rise_within_the_noise_does_not_count(self) -> None:
        """At the best generator any step raises JS, the smallest ones by less than the noise."""
        values = []
        for shift in (1e-5, 0.1):
            G = Shifted()
            tilted = Best(MEAN - 0.1)
            values.append(iterate(probe(), step_of(G, tilted), shifting(G, shift)))
        small, large = values
        assert small["step/value"] < -2 * small["step/value_noise"]
        assert abs(small["step/js"]) < 2 * small["step/js_noise"]
        assert (small["step/raised"], large["step/raised"]) == (0, 1)

    def test_the_discriminator_of_a_step_is_that_before_it(self) -> None:
        """Also where both step at once."""
        alone, together = Known(3.0), Known(3.0)
        first = iterate(probe(), step_of(alone, Best(3.0)), shifting(alone, 0.1))
        D = Best(3.0)
        _, step = shifting(together, 0.1)

        def both() -> None:
            step()
            with torch.no_grad():
                D.weight.fill_(-1.0)

        second = iterate(probe(), step_of(together, D), (("discriminator", "generator"), both))
        assert {name: first[name] for name in STEP} == {name: second[name] for name in STEP}
        assert first["value"] != second["value"]

    def test_divergences_are_of_the_end_of_the_iteration(self) -> None:
        G, D = Known(3.0), Best(3.0)

        def last() -> None:
            with torch.no_grad():
                D.weight.zero_()

        values = iterate(probe(), step_of(G, D), shifting(G, 0.1), (("discriminator",), last))
        expected = iterate(probe(), step_of(Known(3.1), D), (("discriminator",), nothing))
        assert {name: values[name] for name in DIVERGENCES | DISCRIMINATOR} == pytest.approx(
            expected, abs=1e-9
        )
        assert values["value"] == pytest.approx(-2 * math.log(2), abs=1e-6)
        assert values["step/value"] < 0

    def test_of_several_steps_the_last_one_is_measured(self) -> None:
        G = Known(3.0)
        values = iterate(probe(), step_of(G, Best(3.0)), shifting(G, -2.0), shifting(G, 0.1))
        other = Known(1.0)
        expected = iterate(probe(), step_of(other, Best(3.0)), shifting(other, 0.1))
        assert values == pytest.approx(expected, abs=1e-7)

    def test_a_step_is_reported_once(self) -> None:
        """Between two measurements the networks change."""
        measuring, G = probe(), Known(3.0)
        step = step_of(G, Best(3.0))
        iterate(measuring, step, shifting(G, 0.1))
        shifting(G, 0.5)[1]()
        values = iterate(measuring, step, (("discriminator",), nothing))
        assert not STEP & set(values)
        shifting(G, -0.6)[1]()
        fresh = Known(G.mean.item())
        again = iterate(measuring, step, shifting(G, 0.1))
        assert again == pytest.approx(
            iterate(probe(), step_of(fresh, Best(3.0)), shifting(fresh, 0.1)), abs=1e-7
        )


class Noisy(nn.Module):
    """Normalises over the batch, drops units, and draws noise even in evaluation mode."""

    def __init__(self, *ends: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LazyLinear(8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1), *ends
        )
        self.layers(torch.randn(16, 2 - len(ends)))
        self.layers[2].eval()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y + 1e-3 * torch.randn_like(y)


def state(*modules: nn.Module) -> list[Any]:
    """All that a measurement must not change."""
    values: list[Any] = [torch.get_rng_state()]
    for module in modules:
        values += [value.clone() for value in module.state_dict().values()]
        values += [torch.tensor(part.training) for part in module.modules()]
        values += [torch.tensor(weight.requires_grad) for weight in module.parameters()]
        values += [weight.grad.clone() for weight in module.parameters() if weight.grad is not None]
    return values


class TestSideEffects:
    def test_nothing_is_changed(self) -> None:
        torch.manual_seed(3)
        G, D = Noisy(), Noisy(nn.Flatten(0))
        D(G(torch.randn(16, 2))).sum().backward()
        G.layers[0].weight.requires_grad_(False)
        measuring = probe()
        before = state(G, D)
        values = iterate(measuring, step_of(G, D), (("generator",), nothing))
        measuring.draw()
        after = state(G, D)
        assert len(before) == len(after) > 30
        assert all(torch.equal(old, new) for old, new in zip(before, after, strict=True))
        # Noise of the networks themselves is the same at both ends.
        assert values["step/value"] == values["step/js"] == 0
        assert (G.training, G.layers[1].training, G.layers[2].training) == (True, True, False)

    def test_networks_are_in_evaluation_mode(self) -> None:
        modes = []

        class Recorder(Shifted):
            def forward(self, z: Tensor) -> Tensor:
                modes.append((self.training, torch.is_grad_enabled(), z.dtype))
                return super().forward(z)

        iterate(probe(), step_of(Recorder()), (("joint",), nothing))
        assert set(modes) == {(False, False, torch.float32)}


class TestPicture:
    def picture(self, *gaussian: float, D: nn.Module | None = None) -> Any:
        measuring = probe()
        iterate(measuring, step_of(Known(*gaussian), D), (("joint",), nothing))
        return np.asarray(measuring.draw().convert("RGB")).astype(int)

    def test_the_axes_stay_where_they_are(self) -> None:
        one, other, far = (
            self.picture(*gaussian, D=Best(gaussian[0]))
            for gaussian in ((3.0, 1.0), (0.0, 0.1), (300.0, 5.0))
        )
        assert one.shape == other.shape == far.shape == (480, 640, 3)
        for second in (other, far):
            changed = np.argwhere((one != second).any(2))
            assert len(changed) > 1000
            # Between the labels of x, y and the legend: the plot and the line above it.
            assert changed[:, 0].min() > 35
            assert changed[:, 0].max() < 435
            assert changed[:, 1].min() > 54
            inside = changed[changed[:, 0] > 90]
            assert inside[:, 1].max() < 585

    def test_curves_are_drawn_where_they_are(self) -> None:
        """The generator's distribution is blue, D orange, the optimal D green."""
        without, drawn = self.picture(3.0, 1.0), self.picture(3.0, 1.0, D=Best(2.0))

        def of(picture: Any, colour: tuple[int, int, int]) -> Any:
            return np.argwhere((np.abs(picture - colour).sum(2) < 30)[90:])

        blue, orange, green = (31, 119, 180), (255, 127, 14), (44, 160, 44)
        assert len(of(drawn, orange)) > 300
        assert len(of(drawn, green)) > 100
        # The optimal D is drawn where one of the densities is not about zero, from -0.5 to 8.4.
        assert of(drawn, green)[:, 1].min() > 130
        assert of(drawn, green)[:, 1].max() < 500
        assert not len(of(without, orange)) + len(of(without, green))
        peak = of(without, blue)
        place = peak[peak[:, 0] == peak[:, 0].min()][:, 1].mean()
        low, high = probe().line.view
        x = low + (place - 0.09 * 640) / (0.82 * 640) * (high - low)
        assert x == pytest.approx(3.0, abs=0.1)
