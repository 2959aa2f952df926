"""Values that change over a run: the ramps, the tensors, the optimizers' options, the logs."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError
from tiny import train
from torch import nn

from ganzoo.engine.optimizers import CLASSES, Optimizers
from ganzoo.engine.training import run_iteration
from ganzoo.engine.values import MovingValues
from ganzoo.ramps import CONFIG, Ramp, Ramps, Value, value_at
from ganzoo.recipe import settings
from ganzoo.records import read_rows

from .conftest import MakeRecipe, MakeSession

CPU = torch.device("cpu")


class Table(BaseModel):
    model_config = CONFIG

    gamma: Value = Field(1.0, ge=0, lt=5, description="a weight")


def ramp(start: float, to: float, **keys: object) -> Ramp:
    return Ramp.model_validate({"from": start, "to": to, **keys})


@pytest.mark.parametrize("shape", ["linear", "cosine", "exponential"])
def test_a_ramp_stays_between_its_ends_and_outside_of_its_part_at_them(shape: str) -> None:
    falling = ramp(4.0, 1.0, shape=shape, over=(0.25, 0.75))
    assert [falling.at(share) for share in (0.0, 0.25, 0.75, 1.0)] == [4, 4, 1, 1]
    values = [falling.at(0.25 + step / 200) for step in range(101)]
    assert values == sorted(values, reverse=True)
    middle = {"linear": 2.5, "cosine": 2.5, "exponential": 2.0}[shape]
    assert falling.at(0.5) == pytest.approx(middle)
    quarter = {
        "linear": 3.25,
        "cosine": 4 - 1.5 * (1 - math.cos(math.pi / 4)),
        "exponential": 4 * 0.5**0.5,
    }[shape]
    assert falling.at(0.375) == pytest.approx(quarter)


def test_ramps_follow_each_other() -> None:
    warm_up = ramp(0.0, 2.0, over=(0.0, 0.1))
    decay = ramp(2.0, 0.0, over=(0.5, 1.0))
    both = Ramps((warm_up, decay))
    values = [both.at(share) for share in (0.0, 0.05, 0.1, 0.3, 0.5, 0.75, 1.0)]
    assert values == pytest.approx([0, 1, 2, 2, 2, 1, 0])


def test_before_the_first_of_several_ramps_its_first_value_stays() -> None:
    both = Ramps((ramp(3.0, 2.0, over=(0.2, 0.4)), ramp(2.0, 0.0, over=(0.5, 1.0))))
    assert [both.at(share) for share in (0.0, 0.1, 0.2)] == [3, 3, 3]


@given(st.integers(1, 50), st.integers(0, 49))
def test_the_first_iteration_has_the_first_value_and_the_last_the_last(
    iterations: int, iteration: int
) -> None:
    whole = ramp(3.0, 5.0)
    assert value_at(whole, 0, iterations) == 3
    assert value_at(whole, iterations - 1, iterations) == (5 if iterations > 1 else 3)
    assert 3 <= value_at(whole, min(iteration, iterations - 1), iterations) <= 5
    assert value_at(2.5, iteration, iterations) == 2.5


@pytest.mark.parametrize("shape", ["linear", "cosine", "exponential"])
def test_a_ramp_of_no_length_is_a_jump(shape: str) -> None:
    jump = ramp(3.0, 5.0, shape=shape, over=(0.5, 0.5))
    assert [jump.at(share) for share in (0.0, 0.4, 0.5, 1.0)] == [3, 3, 5, 5]


def test_ramps_stay_as_they_are() -> None:
    one = ramp(3.0, 5.0)
    for value, name in ((one, "to"), (Ramps((one,)), "root")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(value, name, 4.0)


def test_a_table_takes_a_number_a_ramp_or_several() -> None:
    assert Table().gamma == 1.0
    assert Table.model_validate_json('{"gamma": 2}').gamma == 2.0
    one = Table.model_validate_json('{"gamma": {"from": 1, "to": 0, "over": [0, 0.5]}}').gamma
    assert one == ramp(1.0, 0.0, over=(0.0, 0.5))
    up, down = '{"from": 0, "to": 1, "over": [0, 0.5]}', '{"from": 1, "to": 0, "over": [0.5, 1]}'
    both = Table.model_validate_json(f'{{"gamma": [{up}, {down}]}}').gamma
    assert isinstance(both, Ramps)
    again = Table.model_validate_json(Table(gamma=both).model_dump_json(by_alias=True))
    assert again.gamma == both


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('"x"', "valid number"),
        ("-1", "greater than or equal to 0"),
        ('{"from": 1, "to": -1}', "greater than or equal to 0"),
        ('{"from": 1, "to": 5}', "less than 5"),
        ('[{"from": 6, "to": 1}]', "less than 5"),
        ('{"from": 1}', "Field required"),
        ('{"from": 1, "to": 2, "form": "cosine"}', "Extra inputs"),
        ('{"from": 1, "to": 2, "over": [0.5, 0.2]}', "two shares of the run in order"),
        ('{"from": 0, "to": 2, "shape": "exponential"}', "both ends above 0"),
        ("[]", "at least one ramp"),
        ('[{"from": 1, "to": 2}, {"from": 1, "to": 2}]', "where the one before it ends"),
    ],
)
def test_each_mistake_is_reported_once(text: str, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem) as caught:
        Table.model_validate_json(f'{{"gamma": {text}}}')
    assert len(caught.value.errors()) == 1


def test_tensors_are_kept_current_and_stay_the_same() -> None:
    values = MovingValues(11, CPU)
    tensor = values.tensor("some.place", ramp(0.0, 1.0))
    assert tensor.shape == ()
    assert tensor.item() == 0
    values.advance(5)
    assert tensor.item() == 0.5
    assert values.tensor("some.place", ramp(0.0, 1.0)) is tensor
    assert values.current(10) == {"some.place": 1.0}
    assert values.number("constant", 3.0, 5) == 3.0
    assert "constant" not in values.current(0), "only what changes is logged"


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_optimizers_take_their_settings(name: str) -> None:
    layer = nn.Linear(3, 1, bias=False)
    nn.init.zeros_(layer.weight)
    options = settings.OPTIMIZERS[name](lr=0.1)
    optimizers = Optimizers({"generator": options}, {"generator": layer}, MovingValues(9, CPU), CPU)
    optimizer = optimizers._optimizers["generator"]
    assert type(optimizer) is CLASSES[name]
    for key, value in options.model_dump().items():
        assert optimizer.param_groups[0][key] == value
    layer.weight.grad = torch.ones(1, 3)
    optimizers.step(["generator"])
    assert (layer.weight < 0).all()
    optimizers.zero_grad(["generator"])
    assert optimizers.gradients(["generator"]) == []


def test_options_of_optimizers_change_over_the_run() -> None:
    layer = nn.Linear(1, 1, bias=False)
    adam = settings.Adam.model_validate_json(
        '{"lr": {"from": 1, "to": 0}, "betas": [0.5, {"from": 0.9, "to": 0.99}]}'
    )
    values = MovingValues(11, CPU)
    optimizers = Optimizers({"generator": adam}, {"generator": layer}, values, CPU)
    group = optimizers._optimizers["generator"].param_groups[0]
    for iteration, (lr, beta) in {0: (1.0, 0.9), 5: (0.5, 0.945), 10: (0.0, 0.99)}.items():
        optimizers.advance(iteration)
        assert group["lr"] == pytest.approx(lr)
        assert group["betas"] == pytest.approx((0.5, beta))
    assert values.current(5) == pytest.approx(
        {"optimizer.generator.lr": 0.5, "optimizer.generator.betas.1": 0.945}
    )


def test_the_learning_rate_of_an_iteration_is_the_length_of_its_step(session: MakeSession) -> None:
    tiny = session(
        "optimizer={ type = 'sgd', lr = { from = 0.5, to = 0.0 } }", "train.iterations=3"
    )
    for expected in (0.5, 0.25, 0.0):
        network = tiny.parts.networks.generator
        before = [weight.detach().clone() for weight in network.parameters()]
        run_iteration(tiny)
        tiny.counters.iteration += 1
        for weight, old in zip(network.parameters(), before, strict=True):
            assert weight.grad is not None
            torch.testing.assert_close(weight.detach(), old - expected * weight.grad)


def test_a_component_sees_its_value_and_the_logs_show_it(
    recipe: MakeRecipe, tmp_path: Path
) -> None:
    shift = (
        "augmentations=[{ type = 'test-shift', factor = { from = 0, to = 3, over = [0, 0.5] } }]"
    )
    folder = train(recipe(shift, "train.iterations=21", "log.every=5"), tmp_path)
    rows = {row["iteration"]: row["statistics"] for row in read_rows(folder.statistics)}
    logged = {iteration: row["augmentations.0.factor"] for iteration, row in rows.items()}
    assert logged == pytest.approx({5: 1.2, 10: 2.7, 15: 3, 20: 3, 21: 3})
