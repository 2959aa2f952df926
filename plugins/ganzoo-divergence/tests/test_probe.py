"""What the probe sees of networks that step, and that it leaves them alone."""

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

from ganzoo.api import Batch, BuildContext, Networks

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


def networks(generator: nn.Module, discriminator: nn.Module | None = None) -> Networks:
    return Networks(generator, discriminator, None)  # type: ignore[arg-type]


def batch() -> Batch:
    z = torch.zeros(4, 2)
    return Batch(torch.zeros(4, 1), z, None, torch.arange(4), torch.zeros(()))


def nothing() -> None:
    """A group of phases that moves nothing."""


def iterate(
    looking: Any, seen: Networks, *groups: tuple[Sequence[str], Callable[[], None]]
) -> dict[str, float]:
    """One iteration of groups, each of which moves something."""
    for phases, move in groups:
        looking.before(phases, seen, batch())
        move()
        looking.after(phases, seen, batch())
    figures: dict[str, float] = looking.compute()
    return figures


def shifting(generator: Shifted, shift: float) -> tuple[tuple[str, ...], Callable[[], None]]:
    """A step of the generator."""

    def move() -> None:
        with torch.no_grad():
            generator.mean += shift

    return ("generator",), move


class TestFigures:
    def test_a_generator_with_a_density_is_seen_exactly(self) -> None:
        mean, std = 3.0, 0.8
        found = iterate(probe(), networks(Known(mean, std)), (("joint",), nothing))
        assert set(found) == DIVERGENCES
        ratio = STD / std
        forward = (ratio**2 + ((mean - MEAN) / std) ** 2 - 1) / 2 - math.log(ratio)
        backward = (ratio**-2 + ((mean - MEAN) / STD) ** 2 - 1) / 2 + math.log(ratio)
        assert found["kl(P||G)"] == pytest.approx(forward, abs=1e-6)
        assert found["kl(G||P)"] == pytest.approx(backward, abs=1e-6)
        assert found["js_noise"] == 0

    def test_another_is_seen_through_its_samples(self) -> None:
        known, unknown = (
            iterate(probe(), networks(kind(3.0, 1.0)), (("joint",), nothing))
            for kind in (Known, Shifted)
        )
        assert unknown["js"] != known["js"]
        assert unknown["js"] == pytest.approx(known["js"], abs=4 * unknown["js_noise"])
        assert 0 < unknown["js_noise"] < 1e-3

    @pytest.mark.parametrize("keys", [{"discriminator": False}, {}])
    def test_without_a_discriminator_there_are_divergences_only(self, keys: dict[str, Any]) -> None:
        D = Best(3.0) if keys else None
        generator = Shifted(3.0)
        found = iterate(probe(**keys), networks(generator, D), shifting(generator, 0.1))
        assert set(found) == DIVERGENCES

    @GENERATORS
    def test_the_best_discriminator_has_the_best_value(self, generator: type[Shifted]) -> None:
        seen = networks(generator(3.0), Best(3.0))
        found = iterate(probe(), seen, (("discriminator",), nothing))
        assert set(found) == DIVERGENCES | DISCRIMINATOR
        assert found["optimal_value"] == pytest.approx(2 * found["js"] - 2 * math.log(2))
        assert found["value_gap"] == pytest.approx(found["optimal_value"] - found["value"])
        assert found["value"] == pytest.approx(found["optimal_value"], abs=1e-4)
        assert found["discriminator_gap"] < 0.003

    def test_a_discriminator_trained_on_a_fixed_generator_comes_to_be_the_best(self) -> None:
        torch.manual_seed(0)
        D = nn.Sequential(nn.Linear(1, 32), nn.SiLU(), nn.Linear(32, 32), nn.SiLU())
        D = nn.Sequential(D, nn.Linear(32, 1), nn.Flatten(0))
        real, fake = drawn(MEAN, STD, 200_000, 1)[:, None], drawn(2.5, 1.0, 200_000, 2)[:, None]
        optimizer = torch.optim.Adam(D.parameters(), 5e-3)
        looking, seen = probe(), networks(Shifted(2.5, 1.0), D)
        start = iterate(looking, seen, (("discriminator",), nothing))
        steps = 500
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = 5e-3 * (1 - step / steps)
            chosen = torch.randint(len(real), (2048,))
            loss = softplus(-D(real[chosen])).mean() + softplus(D(fake[chosen])).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        found = iterate(looking, seen, (("discriminator",), nothing))
        assert start["discriminator_gap"] > 0.2
        assert start["value_gap"] > 0.2
        assert found["discriminator_gap"] < 0.01
        expected = 2 * found["js"] - 2 * math.log(2)
        assert found["js"] > 0.1
        assert found["value"] == pytest.approx(expected, rel=0.02)
        assert found["value"] < found["optimal_value"]

    def test_latents_follow_the_recipe(self) -> None:
        """Uniform latents on [-1, 1] make a uniform law."""
        looking = probe(latent_distribution="uniform")
        found = iterate(looking, networks(Shifted(MEAN, 2.0)), (("joint",), nothing))
        line = looking.line
        uniform = 0.25 * ((line.nodes - MEAN).abs() < 2)
        expected = float(line.integral((line.p - uniform).abs())) / 2
        assert found["tv"] == pytest.approx(expected, abs=0.02)

    def test_a_seed_fixes_the_figures(self) -> None:
        found = [
            iterate(probe(seed), networks(Shifted(3.0), Best(3.5)), (("joint",), nothing))
            for seed in (0, 0, 1)
        ]
        assert found[0] == found[1] != found[2]

    def test_fewer_samples_have_more_noise(self) -> None:
        few, many = (
            iterate(probe(samples=samples), networks(Shifted(3.0)), (("joint",), nothing))
            for samples in (1000, 100_000)
        )
        assert 4 < few["js_noise"] / many["js_noise"] < 25

    def test_a_generator_that_has_diverged_stops_nothing(self) -> None:
        """The run says so itself, when it reads its statistics."""
        looking, G = probe(), Shifted(3.0)
        found = iterate(looking, networks(G, Best(3.0)), shifting(G, math.nan))
        assert math.isnan(found["js"])
        assert math.isnan(found["step/js"])
        assert found["step/raised"] == 0
        assert looking.draw().size == (640, 480)


class TestStep:
    @GENERATORS
    def test_a_small_step_against_the_best_discriminator_does_what_the_loss_says(
        self, generator: type[Shifted]
    ) -> None:
        """There the gradient of V is that of 2 JS: both fall, one twice as fast as the other."""
        G = generator(3.0)
        found = iterate(probe(), networks(G, Best(3.0)), shifting(G, 1e-3))
        assert set(found) == DIVERGENCES | DISCRIMINATOR | STEP
        assert found["step/js"] < 0
        assert found["step/value"] / found["step/js"] == pytest.approx(2, rel=0.03)
        assert found["step/raised"] == 0
        exact = generator is Known
        assert (found["step/js_noise"] == 0) == (found["step/value_noise"] == 0) == exact
        assert found["step/js_noise"] < 0.02 * abs(found["step/js"])

    @GENERATORS
    def test_a_huge_step_raises_the_divergence_although_the_loss_falls(
        self, generator: type[Shifted]
    ) -> None:
        """D rises with x wherever G is: the farther, the better, says the loss."""
        G = generator(3.0)
        found = iterate(probe(), networks(G, Best(3.0)), shifting(G, 10.0))
        assert found["step/value"] < -1
        assert found["step/js"] > 0.1
        assert found["step/raised"] == 1
        assert found["js"] == pytest.approx(math.log(2), abs=1e-2)

    @GENERATORS
    def test_a_step_uphill_is_no_surprise(self, generator: type[Shifted]) -> None:
        G = generator(3.0)
        found = iterate(probe(), networks(G, Best(3.0)), shifting(G, -1.0))
        assert found["step/value"] > 0
        assert found["step/js"] > 0
        assert found["step/raised"] == 0

    def test_a_step_of_nothing_changes_nothing(self) -> None:
        G = Shifted(3.0)
        found = iterate(probe(), networks(G, Best(3.0)), shifting(G, 0.0))
        assert [found[name] for name in sorted(STEP)] == [0] * 5

    def test_a_rise_within_the_noise_does_not_count(self) -> None:
        """At the best generator any step raises JS, the smallest ones unseen."""
        figures = []
        for shift in (1e-5, 0.1):
            G = Shifted()
            tilted = Best(MEAN - 0.1)
            figures.append(iterate(probe(), networks(G, tilted), shifting(G, shift)))
        small, large = figures
        assert small["step/value"] < -2 * small["step/value_noise"]
        assert abs(small["step/js"]) < 2 * small["step/js_noise"]
        assert (small["step/raised"], large["step/raised"]) == (0, 1)

    def test_the_discriminator_is_held_as_it_was_before(self) -> None:
        """Also where both step at once."""
        alone, together = Known(3.0), Known(3.0)
        first = iterate(probe(), networks(alone, Best(3.0)), shifting(alone, 0.1))
        D = Best(3.0)
        _, step = shifting(together, 0.1)

        def both() -> None:
            step()
            with torch.no_grad():
                D.weight.fill_(-1.0)

        second = iterate(probe(), networks(together, D), (("discriminator", "generator"), both))
        assert {name: first[name] for name in STEP} == {name: second[name] for name in STEP}
        assert first["value"] != second["value"]

    def test_divergences_are_of_the_end_of_the_iteration(self) -> None:
        G, D = Known(3.0), Best(3.0)

        def last() -> None:
            with torch.no_grad():
                D.weight.zero_()

        found = iterate(probe(), networks(G, D), shifting(G, 0.1), (("discriminator",), last))
        expected = iterate(probe(), networks(Known(3.1), D), (("discriminator",), nothing))
        assert {name: found[name] for name in DIVERGENCES | DISCRIMINATOR} == pytest.approx(
            expected, abs=1e-9
        )
        assert found["value"] == pytest.approx(-2 * math.log(2), abs=1e-6)
        assert found["step/value"] < 0

    def test_of_several_steps_the_last_one_is_told(self) -> None:
        G = Known(3.0)
        found = iterate(probe(), networks(G, Best(3.0)), shifting(G, -2.0), shifting(G, 0.1))
        other = Known(1.0)
        expected = iterate(probe(), networks(other, Best(3.0)), shifting(other, 0.1))
        assert found == pytest.approx(expected, abs=1e-7)

    def test_a_step_is_told_once(self) -> None:
        """Between two looks the networks move unseen."""
        looking, G = probe(), Known(3.0)
        seen = networks(G, Best(3.0))
        iterate(looking, seen, shifting(G, 0.1))
        shifting(G, 0.5)[1]()
        found = iterate(looking, seen, (("discriminator",), nothing))
        assert not STEP & set(found)
        shifting(G, -0.6)[1]()
        fresh = Known(G.mean.item())
        again = iterate(looking, seen, shifting(G, 0.1))
        assert again == pytest.approx(
            iterate(probe(), networks(fresh, Best(3.0)), shifting(fresh, 0.1)), abs=1e-7
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
    """All that a look must not change."""
    found: list[Any] = [torch.get_rng_state()]
    for module in modules:
        found += [value.clone() for value in module.state_dict().values()]
        found += [torch.tensor(part.training) for part in module.modules()]
        found += [torch.tensor(weight.requires_grad) for weight in module.parameters()]
        found += [weight.grad.clone() for weight in module.parameters() if weight.grad is not None]
    return found


class TestManners:
    def test_nothing_is_left_changed(self) -> None:
        torch.manual_seed(3)
        G, D = Noisy(), Noisy(nn.Flatten(0))
        D(G(torch.randn(16, 2))).sum().backward()
        G.layers[0].weight.requires_grad_(False)
        looking = probe()
        before = state(G, D)
        figures = iterate(looking, networks(G, D), (("generator",), nothing))
        looking.draw()
        after = state(G, D)
        assert len(before) == len(after) > 30
        assert all(torch.equal(old, new) for old, new in zip(before, after, strict=True))
        # Noise of the networks themselves is the same at both ends.
        assert figures["step/value"] == figures["step/js"] == 0
        assert (G.training, G.layers[1].training, G.layers[2].training) == (True, True, False)

    def test_networks_are_seen_in_evaluation_mode(self) -> None:
        modes = []

        class Watched(Shifted):
            def forward(self, z: Tensor) -> Tensor:
                modes.append((self.training, torch.is_grad_enabled(), z.dtype))
                return super().forward(z)

        iterate(probe(), networks(Watched()), (("joint",), nothing))
        assert set(modes) == {(False, False, torch.float32)}


class TestPicture:
    def picture(self, *laws: float, D: nn.Module | None = None) -> Any:
        looking = probe()
        iterate(looking, networks(Known(*laws), D), (("joint",), nothing))
        return np.asarray(looking.draw().convert("RGB")).astype(int)

    def test_the_axes_stay_where_they_are(self) -> None:
        one, other, far = (
            self.picture(*law, D=Best(law[0])) for law in ((3.0, 1.0), (0.0, 0.1), (300.0, 5.0))
        )
        assert one.shape == other.shape == far.shape == (480, 640, 3)
        for second in (other, far):
            changed = np.argwhere((one != second).any(2))
            assert len(changed) > 1000
            # Between the labels of x, y and the legend: the plot and the line above it.
            assert changed[:, 0].min() > 35
            assert changed[:, 0].max() < 435
            assert changed[:, 1].min() > 57
            inside = changed[changed[:, 0] > 90]
            assert inside[:, 1].max() < 585

    def test_curves_are_drawn_where_they_are(self) -> None:
        """The generator's law is blue, D orange, the optimal D green."""
        without, drawn = self.picture(3.0, 1.0), self.picture(3.0, 1.0, D=Best(2.0))

        def of(picture: Any, colour: tuple[int, int, int]) -> Any:
            return np.argwhere((np.abs(picture - colour).sum(2) < 30)[90:])

        blue, orange, green = (31, 119, 180), (255, 127, 14), (44, 160, 44)
        assert len(of(drawn, orange)) > 300
        assert len(of(drawn, green)) > 100
        # Where neither law is, nothing decides the optimal D: it is drawn from -0.5 to 8.4.
        assert of(drawn, green)[:, 1].min() > 130
        assert of(drawn, green)[:, 1].max() < 500
        assert not len(of(without, orange)) + len(of(without, green))
        peak = of(without, blue)
        place = peak[peak[:, 0] == peak[:, 0].min()][:, 1].mean()
        low, high = probe().line.view
        x = low + (place - 0.09 * 640) / (0.82 * 640) * (high - low)
        assert x == pytest.approx(3.0, abs=0.1)
