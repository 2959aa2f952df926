"""Inception score and classes."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from ganzoo_metrics import Classes, InceptionScore
from ganzoo_metrics.classes import inception_score
from torch import Tensor
from torch.nn.functional import one_hot
from torch_fidelity.metric_isc import isc_features_to_metric

Measure = Callable[..., dict[str, float]]
Draw = Callable[..., Tensor]


def of_classes(*counts: int) -> Tensor:
    """Probabilities of 1 and 0: so many samples of each class."""
    labels = torch.repeat_interleave(torch.tensor(counts))
    return one_hot(labels, len(counts)).float()


def test_sure_samples_of_every_class_score_the_number_of_classes(measure: Measure) -> None:
    values = measure(InceptionScore(), of_classes(30, 30), of_classes(20, 20))
    assert values == {"score": pytest.approx(2), "real": pytest.approx(2)}


def test_one_class_scores_one_and_so_does_doubt(measure: Measure) -> None:
    values = measure(InceptionScore(), of_classes(0, 40), torch.full((50, 2), 0.5))
    assert values == {"score": pytest.approx(1), "real": pytest.approx(1)}


def test_uneven_classes_score_the_exponential_of_their_entropy(measure: Measure) -> None:
    values = measure(InceptionScore(), of_classes(1, 1), of_classes(30, 10))["score"]
    assert values == pytest.approx(math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25)))


def test_the_score_as_torch_fidelity_has_it(measure: Measure, draw: Draw) -> None:
    logits = [draw(count, 7, seed=count) * 3 for count in (200, 300)]
    expected = [
        isc_features_to_metric(part, splits=1, shuffle=False)["inception_score_mean"]
        for part in logits
    ]
    values = measure(InceptionScore(), *(part.softmax(dim=1) for part in logits))
    assert [values["real"], values["score"]] == pytest.approx(expected, rel=1e-6)


def test_the_score_of_double_precision_as_torch_fidelity_has_it(draw: Draw) -> None:
    # Also for logits whose smallest probabilities are 0 in float32.
    for scale in (0.01, 1, 100):
        logits = scale * draw(400, 20).double()
        expected = isc_features_to_metric(logits, splits=1, shuffle=False)["inception_score_mean"]
        assert inception_score(logits.softmax(dim=1)) == pytest.approx(expected, rel=1e-12)


def test_the_score_stays_within_its_bounds() -> None:
    for classes in (2, 7, 1008):
        uniform = torch.full((60, classes), 1 / classes)
        assert 1 <= inception_score(uniform) < 1 + 1e-12
        each = torch.eye(classes)
        assert inception_score(each) == pytest.approx(classes, rel=1e-12)


def test_a_class_is_held_from_a_tenth_of_its_share_on(measure: Measure) -> None:
    real = of_classes(50, 30, 20, 0)
    assert measure(Classes(), real, of_classes(960, 20, 20, 0))["covered"] == 2
    assert measure(Classes(), real, of_classes(961, 20, 19, 0))["covered"] == 1
    assert measure(Classes(), real, of_classes(950, 30, 20, 0))["covered"] == 3
    # A class that the data lack is not covered, however often it is generated.
    assert measure(Classes(), real, of_classes(0, 0, 0, 10))["covered"] == 0


def test_classes_are_those_of_the_largest_probability(measure: Measure) -> None:
    real = of_classes(50, 50)
    assert measure(Classes(), real, torch.tensor([[0.6, 0.4], [0.45, 0.55]]))["kl"] == 0


def test_equal_shares_are_at_no_divergence_whatever_the_number(measure: Measure) -> None:
    values = measure(Classes(), of_classes(5, 10, 0), of_classes(200, 400, 0))
    assert values == {"covered": 2, "kl": pytest.approx(0, abs=1e-12)}


def test_the_divergence_of_many_real_samples(measure: Measure) -> None:
    values = measure(Classes(), of_classes(250_000, 750_000), of_classes(5, 5))["kl"]
    expected = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    assert values == pytest.approx(expected, rel=1e-4)
    assert measure(Classes(), of_classes(5, 5), of_classes(9, 1))["kl"] > 0


def test_generating_only_what_the_data_lack_is_finite_and_the_worst(measure: Measure) -> None:
    values = measure(Classes(), of_classes(99, 0), of_classes(0, 7))
    assert values == {"covered": 0, "kl": pytest.approx(math.log(100))}
