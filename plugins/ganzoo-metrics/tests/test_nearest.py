"""Memorised and repeated samples."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from ganzoo_metrics import Nearest
from torch import Tensor

Measure = Callable[..., dict[str, float]]
Draw = Callable[..., Tensor]


def test_an_honest_generator(measure: Measure, draw: Draw) -> None:
    training, real, generated = draw(4000, 8), draw(2000, 8, seed=1), draw(2000, 8, seed=2)
    values = measure(Nearest(), real, generated, training=training)
    assert values["ratio"] == pytest.approx(1, abs=0.03)
    assert values["ratio"] == pytest.approx(values["generated"] / values["real"])
    assert values["share"] == pytest.approx(0.01, abs=0.008)
    assert values["repeated"] == pytest.approx(0.01, abs=0.008)


def test_a_generator_that_gives_back_training_samples(measure: Measure, draw: Draw) -> None:
    training, real = draw(4000, 8), draw(1000, 8, seed=1)
    values = measure(Nearest(), real, training[:1000], training=training)
    assert values["generated"] == 0
    assert values["ratio"] == 0
    assert values["share"] == 1
    # Each of them once: nothing is repeated.
    assert values["repeated"] == pytest.approx(0.01, abs=0.01)


def test_a_generator_that_gives_back_some_of_them(measure: Measure, draw: Draw) -> None:
    training, real = draw(4000, 8), draw(1000, 8, seed=1)
    generated = torch.cat([training[:300], draw(700, 8, seed=2)])
    values = measure(Nearest(), real, generated, training=training)
    assert values["share"] == pytest.approx(0.307, abs=0.008)
    assert 0.6 < values["ratio"] < 1


def test_a_generator_that_repeats_itself(measure: Measure, draw: Draw) -> None:
    training, real = draw(4000, 8), draw(1000, 8, seed=1)
    generated = torch.cat([draw(500, 8, seed=2)] * 2)
    values = measure(Nearest(), real, generated, training=training)
    assert values["repeated"] == 1
    assert values["share"] == pytest.approx(0.01, abs=0.01)


def test_training_samples_that_are_held_out_too_are_no_sign_of_memory(
    measure: Measure, draw: Draw
) -> None:
    # A data set with duplicates: 2 % of its held-out samples are in its training set.
    training, real = draw(3000, 8), draw(1000, 8, seed=1)
    real[:20] = training[:20]
    values = measure(Nearest(), real, draw(1000, 8, seed=2), training=training)
    assert values["share"] == 0
    assert measure(Nearest(), real, training[:1000], training=training)["share"] == 1


def test_medians_by_hand(measure: Measure) -> None:
    training = torch.tensor([[0.0, 0.0], [10.0, 0.0]])
    real = torch.tensor([[0.0, 2.0], [10.0, 4.0], [7.0, 4.0]])
    generated = torch.tensor([[1.0, 0.0], [10.0, 1.0], [0.0, 3.0]])
    values = measure(Nearest(), real, generated, training=training)
    assert (values["generated"], values["real"], values["ratio"]) == (1, 4, 0.25)


def test_where_nothing_is_held_out(measure: Measure, draw: Draw) -> None:
    training = draw(500, 4)
    values = measure(Nearest(), training, draw(500, 4, seed=1), training=training, held_out=False)
    assert sorted(values) == ["generated", "repeated"]
    assert values["repeated"] == pytest.approx(0.01, abs=0.015)


def test_as_many_samples_as_the_key_says(measure: Measure, draw: Draw) -> None:
    training, real, generated = draw(500, 4), draw(400, 4, seed=1), draw(400, 4, seed=2)
    values = measure(Nearest(samples=150), real, generated, training=training)
    assert values == measure(Nearest(), real[:150], generated[:150], training=training)


def test_repetition_is_judged_by_as_many_real_samples(measure: Measure, draw: Draw) -> None:
    # Four times as many generated samples lie closer together, without being repeated.
    training, real, generated = draw(500, 2), draw(1000, 2, seed=1), draw(4000, 2, seed=2)
    values = measure(Nearest(samples=4000), real, generated, training=training)
    assert values["repeated"] == pytest.approx(0.01, abs=0.012)
