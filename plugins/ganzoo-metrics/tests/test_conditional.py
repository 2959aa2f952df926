"""Accuracy of the requested classes, and Frechet distance within each class."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from ganzoo_metrics import ClassAccuracy, ClassFrechetDistance, FrechetDistance
from torch import Tensor
from torch.nn.functional import one_hot

from ganzoo.api import BuildContext, UserError

Measure = Callable[..., dict[str, float]]
Draw = Callable[..., Tensor]


def labels_of(*counts: int) -> Tensor:
    """So many labels of each class, in order."""
    return torch.repeat_interleave(torch.tensor(counts))


class TestClassAccuracy:
    def test_shares_by_hand(self, measure: Measure) -> None:
        # Of 4 samples of class 0 the classifier sees 3 as class 0, of 6 of class 2 it sees 3.
        requested = labels_of(4, 0, 6)
        classified = torch.tensor([0, 0, 0, 1, 2, 2, 2, 0, 0, 1])
        probabilities = one_hot(classified, 3) * 0.4 + 0.2
        values = measure(ClassAccuracy(), torch.rand(5, 3), probabilities, labels=requested)
        assert values == {
            "class-accuracy": pytest.approx(0.6),
            "worst": pytest.approx(0.5),
            "class-0": pytest.approx(0.75),
            "class-2": pytest.approx(0.5),
        }

    def test_samples_of_the_right_classes_in_another_order_are_wrong(
        self, measure: Measure
    ) -> None:
        labels = labels_of(50, 50)
        values = measure(
            ClassAccuracy(), torch.rand(5, 2), one_hot(labels.flip(0), 2).float(), labels=labels
        )
        assert values == dict.fromkeys(["class-accuracy", "worst", "class-0", "class-1"], 0)

    def test_real_samples_have_no_influence(self, measure: Measure, draw: Draw) -> None:
        generated, labels = draw(90, 3).softmax(1), labels_of(30, 30, 30)
        one, other = (
            measure(ClassAccuracy(), draw(20, 3, seed=seed).softmax(1), generated, labels=labels)
            for seed in (1, 2)
        )
        assert one == other

    def test_an_extractor_with_other_classes_gives_no_values(self) -> None:
        context = BuildContext(sample_shape=(1, 8, 8), latent_dim=2, num_classes=10)
        metric = ClassAccuracy().build(context)
        for real in (True, False):
            metric.update(torch.rand(4, 1008), real=real, labels=torch.arange(4))
        assert metric.compute() == {}


class TestClassFrechetDistance:
    def test_shifted_classes_by_their_closed_form(self, measure: Measure, draw: Draw) -> None:
        # Equal covariances: the distance is the square of the shift, here 9 and 16.
        real = torch.cat([draw(300, 4), draw(400, 4, seed=1) + 10])
        shifts = torch.cat([torch.full((300, 1), 3.0), torch.full((400, 1), 4.0)])
        generated = real + shifts * torch.tensor([1.0, 0, 0, 0])
        labels = labels_of(300, 400)
        values = measure(
            ClassFrechetDistance(),
            real,
            generated,
            labels=labels,
            real_labels=labels,
            held_out=False,
        )
        assert values == {
            "class-fid": pytest.approx((9 + 16) / 2),
            "worst": pytest.approx(16),
            "classes": 2,
        }

    def test_exchanged_classes_are_far_although_all_samples_are_equal(
        self, measure: Measure, draw: Draw
    ) -> None:
        real = torch.cat([draw(200, 3), draw(200, 3, seed=1) + 5])
        labels = labels_of(200, 200)
        keywords = {"real_labels": labels, "held_out": False}
        exchanged = measure(ClassFrechetDistance(), real, real, labels=1 - labels, **keywords)
        assert exchanged["class-fid"] == pytest.approx(75, rel=0.1)  # 3 coordinates, 5 apart
        equal = measure(ClassFrechetDistance(), real, real, labels=labels, **keywords)
        assert equal["class-fid"] == pytest.approx(0, abs=1e-9)
        assert measure(FrechetDistance(), real, real)["fid"] == pytest.approx(0, abs=1e-9)

    def test_one_class_is_fid(self, measure: Measure, draw: Draw) -> None:
        real, generated, training = (draw(300, 5, seed=seed) for seed in (1, 2, 3))
        values = measure(ClassFrechetDistance(), real, generated * 2, training=training)
        fid = measure(FrechetDistance(), real, generated * 2, training=training)
        assert values["class-fid"] == values["worst"] == fid["fid"]
        assert values["floor"] == fid["floor"]

    def test_the_floor_compares_training_samples_of_the_same_class(
        self, measure: Measure, draw: Draw
    ) -> None:
        labels = labels_of(300, 300)
        centres = 20 * labels[:, None]
        real, generated, training = (draw(600, 2, seed=seed) + centres for seed in (1, 2, 3))
        order = torch.randperm(600, generator=torch.Generator().manual_seed(0))
        values = measure(
            ClassFrechetDistance(),
            real,
            generated,
            labels=labels,
            real_labels=labels,
            training=training[order],
            training_labels=labels[order],
        )
        assert 0 < values["floor"] < 0.1
        assert 0 < values["class-fid"] < 0.1

    def test_classes_with_one_sample_are_left_out(self, measure: Measure, draw: Draw) -> None:
        real, generated = draw(100, 3), draw(100, 3, seed=1)
        keywords = {"held_out": False}
        values = measure(
            ClassFrechetDistance(),
            real,
            generated,
            real_labels=labels_of(50, 49, 1, 0),
            labels=labels_of(50, 1, 30, 19),
            **keywords,
        )
        first = measure(ClassFrechetDistance(), real[:50], generated[:50], **keywords)
        assert values["classes"] == 1
        assert values["class-fid"] == first["class-fid"] > 0

    def test_no_class_with_two_samples(self, measure: Measure, draw: Draw) -> None:
        with pytest.raises(UserError) as caught:
            measure(
                ClassFrechetDistance(),
                draw(6, 3),
                draw(4, 3),
                real_labels=labels_of(3, 3, 0),
                labels=labels_of(1, 1, 2),
            )
        assert str(caught.value) == (
            "metric 'class-fid' needs at least 2 real and 2 generated samples of a class, and no "
            "class has them\n  = raise evaluate.samples, and hold out more of the data"
        )

    def test_a_generator_that_diverged(self, measure: Measure, draw: Draw) -> None:
        generated = draw(50, 3)
        generated[7, 1] = math.inf
        values = measure(ClassFrechetDistance(), draw(50, 3), generated)
        assert values.keys() == {"class-fid", "worst"}
        assert all(map(math.isnan, values.values()))
