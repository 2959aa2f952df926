"""Order of the data, the loader's static buffers, the range of images, descriptions."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ganzoo.data import (
    Data,
    Samples,
    describe_data,
    digest_of,
    labels_of,
    real_samples,
    take,
    to_bytes,
    to_unit,
)
from ganzoo.engine.loader import BatchLoader, BatchOrder
from ganzoo.errors import RunError, UserError

CPU = torch.device("cpu")


class Listed:
    """A stream over samples in memory."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        labels = self.samples.labels
        return self.samples.values[index], -1 if labels is None else int(labels[index])


@pytest.fixture
def samples() -> Samples:
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(0, 256, (10, 1, 4, 4), generator=generator, dtype=torch.uint8)
    return Samples(values, torch.arange(10) % 3)


def loader(data: object, **options: object) -> BatchLoader:
    options.setdefault("labelled", True)
    return BatchLoader(data, (1, 4, 4), 4, seed=1, device=CPU, **options)  # type: ignore[arg-type]


@given(length=st.integers(1, 50), batch=st.integers(1, 70), epochs=st.integers(1, 4))
def test_every_epoch_shows_each_sample_once(length: int, batch: int, epochs: int) -> None:
    order = BatchOrder(length, batch, seed=3)
    batches = -(-length * epochs // batch)
    places = torch.cat([order.batch(number) for number in range(batches)])
    for epoch in places[: length * epochs].split(length):
        assert sorted(epoch.tolist()) == list(range(length))


@given(length=st.integers(1, 50), batch=st.integers(1, 70), number=st.integers(0, 100))
def test_a_batch_depends_on_nothing_but_its_number(length: int, batch: int, number: int) -> None:
    fresh = BatchOrder(length, batch, seed=3).batch(number)
    used = BatchOrder(length, batch, seed=3)
    used.batch(number + 7)
    assert torch.equal(used.batch(number), fresh)
    assert len(fresh) == batch


def test_epochs_and_seeds_have_different_orders() -> None:
    order = BatchOrder(100, 100, seed=0)
    assert not torch.equal(order.batch(0), order.batch(1))
    assert not torch.equal(order.batch(0), BatchOrder(100, 100, seed=1).batch(0))


def test_the_loader_fills_the_same_buffers_with_what_the_order_names(samples: Samples) -> None:
    source = loader(samples)
    x, labels, indices = source.x, source.labels, source.indices
    assert samples.labels is not None
    for number in range(5):
        source.fill(number)
        places = source.order.batch(number)
        assert torch.equal(indices, places)
        assert torch.equal(x, samples.values[places].float() / 127.5 - 1)
        assert labels is not None
        assert torch.equal(labels, samples.labels[places])
    assert (x.min(), x.max()) >= (-1, -1)


def test_a_stream_gives_the_same_batches_as_memory_from_any_start(samples: Samples) -> None:
    memory, stream = loader(samples), loader(Listed(samples))
    before = torch.get_rng_state()
    for number in (3, 4, 5, 1):
        memory.fill(number)
        stream.fill(number)
        assert torch.equal(memory.x, stream.x)
        assert memory.labels is not None
        assert stream.labels is not None
        assert torch.equal(memory.labels, stream.labels)
    assert torch.equal(before, torch.get_rng_state()), "reading must not touch the noise stream"


def test_ranks_share_one_batch(samples: Samples) -> None:
    whole = loader(samples)
    shares = [loader(samples, rank=rank, world_size=2) for rank in range(2)]
    for part in (whole, *shares):
        part.fill(2)
    assert torch.equal(whole.x, torch.cat([share.x for share in shares]))


@given(batch=st.integers(1, 70), number=st.integers(0, 100))
def test_which_places_are_mirrored_depends_on_the_number_of_the_batch(
    batch: int, number: int
) -> None:
    places = BatchOrder(10, batch, seed=3).mirrored(number)
    used = BatchOrder(10, batch, seed=3)
    used.mirrored(number + 7)
    assert torch.equal(used.mirrored(number), places)
    assert places.shape == (batch,)


def test_half_of_all_places_are_mirrored() -> None:
    order = BatchOrder(10, 1000, seed=0)
    assert 400 < int(order.mirrored(0).sum()) < 600
    assert not torch.equal(order.mirrored(0), order.mirrored(1))
    assert not torch.equal(order.mirrored(0), BatchOrder(10, 1000, seed=1).mirrored(0))


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_mirrored_pictures(samples: Samples, streamed: bool, layout: torch.memory_format) -> None:
    data = Listed(samples) if streamed else samples
    plain, mirrored = loader(data), loader(data, mirror=True, memory_format=layout)
    shares = [loader(data, mirror=True, rank=rank, world_size=2) for rank in range(2)]
    before, buffer = torch.get_rng_state(), mirrored.x
    for number in range(6):
        for part in (plain, mirrored, *shares):
            part.fill(number)
        flipped = plain.order.mirrored(number)
        assert torch.equal(mirrored.x[flipped], plain.x[flipped].flip(-1))
        assert torch.equal(mirrored.x[~flipped], plain.x[~flipped])
        assert torch.equal(mirrored.x, torch.cat([share.x for share in shares]))
    assert mirrored.x is buffer
    assert mirrored.x.is_contiguous(memory_format=layout)
    assert torch.equal(before, torch.get_rng_state())
    for part in (plain, mirrored, *shares):
        part.close()


def test_channels_last_changes_the_layout_and_not_the_values() -> None:
    values = torch.randint(0, 256, (10, 3, 4, 4), dtype=torch.uint8)
    options = {"seed": 1, "device": CPU}
    plain = BatchLoader(Samples(values), (3, 4, 4), 4, **options)
    last = BatchLoader(Samples(values), (3, 4, 4), 4, memory_format=torch.channels_last, **options)
    plain.fill(0)
    last.fill(0)
    assert torch.equal(plain.x, last.x)
    assert last.x.is_contiguous(memory_format=torch.channels_last)


def test_points_are_loaded_as_they_are() -> None:
    points = torch.randn(10, 2)
    source = BatchLoader(Samples(points), (2,), 4, seed=0, device=CPU)
    source.fill(0)
    assert torch.equal(source.x, points[source.order.batch(0)])
    assert source.labels is None


def test_bytes_and_unit_range_are_inverse() -> None:
    every = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_bytes(to_unit(every)), every)
    assert to_bytes(torch.tensor([-3.0, 3.0])).tolist() == [0, 255]


def fill_all(source: BatchLoader) -> None:
    for number in range(3):
        source.fill(number)


class Broken(Listed):
    """A stream whose fourth sample cannot be read."""

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if index == 3:
            raise RunError("sample 3 is broken", hint="leave it out")
        return super().__getitem__(index)


def test_an_error_in_a_reading_process_arrives_as_it_was_raised(samples: Samples) -> None:
    source = loader(Broken(samples))
    with pytest.raises(RunError) as caught:
        fill_all(source)
    assert str(caught.value) == "sample 3 is broken\n  = leave it out"


class Faulty(Listed):
    """A stream with a fault of its own."""

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        raise RuntimeError("a fault of the plugin")


def test_a_fault_of_a_stream_is_not_taken_for_the_death_of_its_reader(samples: Samples) -> None:
    with pytest.raises(RuntimeError, match="a fault of the plugin"):
        loader(Faulty(samples)).fill(0)


def test_data_without_classes_give_no_labels(samples: Samples) -> None:
    for source in (loader(samples, labelled=False), loader(Listed(samples), labelled=False)):
        source.fill(0)
        assert source.labels is None


def declared(sample_shape: tuple[int, ...], num_classes: int | None) -> Any:
    """What is read of a recipe: the declaration of the data, and whether classes matter."""
    spec = SimpleNamespace(sample_shape=sample_shape, num_classes=num_classes)
    condition = None if num_classes is None else "class"
    return SimpleNamespace(data=SimpleNamespace(name="some", spec=spec), condition=condition)


def test_the_description_counts_samples_and_classes(samples: Samples) -> None:
    held_out = Samples(samples.values[:3], samples.labels[:3])  # type: ignore[index]
    for train in (samples, Listed(samples)):
        known = describe_data(declared((1, 4, 4), 3), Data(train, held_out))
        assert (known.training_samples, known.held_out_samples) == (10, 3)
        assert known.class_shares == pytest.approx((0.4, 0.3, 0.3))
        alone = describe_data(declared((1, 4, 4), None), Data(train))
        assert (alone.class_shares, alone.held_out_samples, alone.real_samples) == (None, 0, 10)
        assert known.real_samples == 3


def test_models_are_measured_against_what_is_held_out_if_anything_is(samples: Samples) -> None:
    held_out = Samples(samples.values[:3])
    assert real_samples(Data(samples, held_out)) is held_out
    assert real_samples(Data(samples)) is samples


def test_labels_of_a_stream_are_read_without_its_samples_where_it_has_them(
    samples: Samples,
) -> None:
    class Labelled(Listed):
        labels = torch.tensor([2, 1])

    assert torch.equal(labels_of(Labelled(samples)), torch.tensor([2, 1]))
    with pytest.raises(RunError, match="declares classes, but has no labels"):
        labels_of(Samples(samples.values))


def test_samples_are_taken_alike_from_memory_and_from_a_stream(samples: Samples) -> None:
    indices = torch.tensor([3, 0, 3])
    for part in (samples, Listed(samples)):
        x, labels = take(part, indices)
        assert torch.equal(x, to_unit(samples.values[indices]))
        assert labels.tolist() == [0, 0, 0]
    assert take(Samples(samples.values), indices)[1].tolist() == [-1, -1, -1]


def test_a_data_set_that_is_not_as_declared_is_refused(samples: Samples) -> None:
    with pytest.raises(UserError, match="dataset 'some' has no training samples"):
        describe_data(declared((1, 4, 4), None), Data(Samples(samples.values[:0])))
    with pytest.raises(RunError, match=r"declares samples of shape \(1, 8, 8\), but holds \(1, 4"):
        describe_data(declared((1, 8, 8), None), Data(samples))


# The hash of a data set.


def test_samples_in_memory_are_hashed_by_their_content() -> None:
    values = torch.arange(12, dtype=torch.uint8).reshape(3, 1, 2, 2)
    labels = torch.tensor([0, 1, 2])
    first = digest_of(Samples(values, labels))
    assert re.fullmatch("[0-9a-f]{16}", first)
    assert digest_of(Samples(values.clone(), labels.clone())) == first
    others = [
        Samples(values + 1, labels),
        Samples(values, labels.flip(0)),
        Samples(values),
        Samples(values.reshape(3, 1, 1, 4), labels),
        Samples(values.to(torch.int8), labels),
        Samples(values.flip(0), labels),
    ]
    assert len({first, *map(digest_of, others)}) == 7


def test_a_stream_is_hashed_by_some_of_its_samples_or_by_what_it_says(samples: Samples) -> None:
    first = digest_of(Listed(samples))
    assert re.fullmatch("[0-9a-f]{16}", first)
    assert digest_of(Listed(Samples(samples.values.clone(), samples.labels))) == first
    others = [Samples(samples.values.flip(0), samples.labels), Samples(samples.values[:9])]
    assert len({first, *(digest_of(Listed(other)) for other in others)}) == 3

    class Known(Listed):
        digest = "what it holds"

    assert digest_of(Known(samples)) == digest_of(Known(others[0])) != first


def test_the_description_knows_all_samples(samples: Samples) -> None:
    def digest(*parts: Samples) -> str:
        return describe_data(declared((1, 4, 4), None), Data(*parts)).digest

    other = Samples(samples.values + 1)
    assert digest(samples, other) == digest(samples, other)
    assert len({digest(samples), digest(samples, other), digest(other, samples)}) == 3
    known = describe_data(declared((1, 4, 4), None), Data(samples, source="/somewhere"))
    assert known.source == "/somewhere"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite_are_named(value: float) -> None:
    points = torch.zeros(10, 2)
    points[7, 1] = value
    spec, bad, good = declared((2,), None), Samples(points), Samples(points[:5])
    message = "sample 7 holds a value that is not finite"
    with pytest.raises(UserError, match=f"dataset 'some', training {message}"):
        describe_data(spec, Data(bad))
    with pytest.raises(UserError, match=f"dataset 'some', held-out {message}"):
        describe_data(spec, Data(good, bad))
    stream = BatchLoader(Listed(bad), (2,), 10, seed=0, device=CPU)
    with pytest.raises(UserError, match=f"the stream of training data: {message}"):
        stream.fill(0)
