"""Tables of codes: their law, their gradients, and where they may go."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from ganzoo_autoencoder import PairedCodesLoss
from ganzoo_autoencoder.paired import PairedCodes, within_law
from torch import Tensor, nn

from ganzoo.api import Batch, BuildContext, Networks
from ganzoo.engine import Data, Samples

DATA = Data(Samples(torch.randn(100, 3, generator=torch.Generator().manual_seed(0))))


def build(seed: int = 0, distribution: Any = "normal", **keys: Any) -> PairedCodes:
    torch.manual_seed(seed)
    context = BuildContext(
        sample_shape=(3,), latent_dim=2, latent_distribution=distribution, data=DATA
    )
    loss = PairedCodesLoss(**keys).build(context)
    assert isinstance(loss, PairedCodes)
    return loss


def batch(*indices: int) -> Batch:
    where = torch.tensor(indices)
    assert isinstance(DATA.train, Samples)
    x = DATA.train.values[where]
    return Batch(x, torch.zeros(len(x), 2), None, where, torch.zeros(()))


@pytest.fixture
def networks() -> Networks:
    torch.manual_seed(0)
    return Networks(nn.Linear(2, 3), None, None)  # type: ignore[arg-type]


def test_frozen_codes_are_a_table_that_the_seed_brings_back() -> None:
    loss = build()
    assert loss.table.shape == (100, 2)
    assert torch.equal(loss.table, build().table)
    assert not torch.equal(loss.table, build(seed=1).table)
    assert not list(loss.parameters())
    assert not loss.state_dict()
    assert not PairedCodesLoss().has_weights
    assert PairedCodesLoss().trains("joint") == {"generator"}


def test_learned_codes_are_weights() -> None:
    loss = build(learned=True)
    assert [tuple(weight.shape) for weight in loss.parameters()] == [(100, 2)]
    assert list(loss.state_dict()) == ["table"]
    assert PairedCodesLoss(learned=True).has_weights
    assert PairedCodesLoss(learned=True).trains("joint") == {"generator", "loss"}


def test_codes_follow_the_law_of_the_latents() -> None:
    keys: dict[str, Any] = {"count": 50_000, "latent_dim": 2, "distance": None}
    torch.manual_seed(0)
    normal = PairedCodes(distribution="normal", learned=False, **keys).table
    assert normal.std().item() == pytest.approx(1, abs=0.02)
    assert normal.abs().max() > 3
    uniform = PairedCodes(distribution="uniform", learned=False, **keys).table
    assert uniform.abs().max() <= 1
    assert uniform.var().item() == pytest.approx(1 / 3, abs=0.01)


def test_codes_beyond_the_ball_or_the_cube_go_to_its_surface() -> None:
    codes = torch.tensor([[3.0, 4.0], [0.3, -0.4], [0.0, 0.0]])
    radius = math.sqrt(2)
    expected = torch.tensor([[0.6 * radius, 0.8 * radius], [0.3, -0.4], [0.0, 0.0]])
    torch.testing.assert_close(within_law(codes, "normal"), expected)
    for law in ("normal", "uniform"):
        once = within_law(10 * torch.randn(1000, 3), law)
        assert torch.equal(within_law(once, law), once)
    torch.testing.assert_close(
        within_law(codes, "uniform"), torch.tensor([[1.0, 1.0], [0.3, -0.4], [0.0, 0.0]])
    )


@pytest.mark.parametrize("learned", [False, True])
def test_the_term_decodes_the_rows_of_the_batch(learned: bool, networks: Networks) -> None:
    loss, one = build(learned=learned), batch(7, 7, 3)
    terms = loss.compute("joint", networks, one)
    decoded = networks.generator(loss.table[[7, 7, 3]])
    assert list(terms) == ["reconstruction"]
    expected = (decoded - one.x).square().sum(1).mean()
    torch.testing.assert_close(terms["reconstruction"], expected)
    assert torch.equal(loss.codes(networks, one), loss.table[[7, 7, 3]])


@pytest.mark.parametrize("learned", [False, True])
def test_only_learned_codes_move_and_only_those_of_the_batch(
    learned: bool, networks: Networks
) -> None:
    loss = build(learned=learned)
    before = loss.table.detach().clone()
    optimizer = torch.optim.SGD([*networks.generator.parameters(), *loss.parameters()], lr=0.1)
    loss.compute("joint", networks, batch(4, 90))["reconstruction"].backward()
    optimizer.step()
    moved = (loss.table != before).any(1).nonzero().flatten().tolist()
    assert moved == ([4, 90] if learned else [])


def test_a_codes_gradient_is_that_of_its_sample_over_the_batch_size(networks: Networks) -> None:
    loss = build(learned=True)
    loss.compute("joint", networks, batch(4, 90))["reconstruction"].backward()
    code = loss.table[4].detach().requires_grad_()
    (networks.generator(code) - batch(4).x[0]).square().sum().backward()
    assert loss.table.grad is not None
    assert code.grad is not None
    torch.testing.assert_close(loss.table.grad[4], code.grad / 2)


def test_learned_codes_are_put_back_before_they_are_read(networks: Networks) -> None:
    loss = build(learned=True)
    with torch.no_grad():
        loss.table[3:5] = torch.tensor([6.0, 8.0])
    corner = math.sqrt(2) * torch.tensor([0.6, 0.8])
    torch.testing.assert_close(loss.codes(networks, batch(3)), corner[None])
    assert loss.table[3, 0] == 6, "asking for codes changes nothing"
    loss.compute("joint", networks, batch(3))
    # Row 4 too, which is not in the batch.
    torch.testing.assert_close(loss.table[3:5].detach(), corner.expand(2, 2))


def test_frozen_codes_may_lie_beyond_the_ball(networks: Networks) -> None:
    loss = build()
    far = int(loss.table.norm(dim=1).argmax())
    assert loss.table[far].norm() > math.sqrt(2)
    loss.compute("joint", networks, batch(far))
    assert torch.equal(loss.codes(networks, batch(far))[0], loss.table[far])


def test_the_host_never_waits(networks: Networks, monkeypatch: pytest.MonkeyPatch) -> None:
    loss, one = build(learned=True), batch(1, 2)

    def refuse(*_: object) -> None:
        raise AssertionError("the host waits for the device")

    for name in ("item", "tolist", "cpu", "numpy", "__bool__", "__float__", "__int__"):
        monkeypatch.setattr(Tensor, name, refuse)
    loss.compute("joint", networks, one)
    loss.codes(networks, one)
