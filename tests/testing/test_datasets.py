"""Checks of data sets, each with data sets that it finds wrong."""

from __future__ import annotations

import random
import socket
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from kit import fault, passes, reason
from torch import Tensor

from ganzoo.api import BuildContext, DatasetSpec, UserError
from ganzoo.engine import Data, Samples, generator_for
from ganzoo.testing.checks import CHECKS
from ganzoo.testing.effects import no_network

KIND = [name for name, check in CHECKS.items() if check.kinds == {"dataset"}]


def stream(name: str = "x") -> torch.Generator:
    return generator_for(0, "test", name)


def pixels(count: int, name: str = "x") -> Tensor:
    return torch.randint(0, 256, (count, 1, 4, 4), generator=stream(name)).to(torch.uint8)


def labels(count: int) -> Tensor:
    return torch.arange(count) % 3


@dataclass
class Stream:
    """Samples that are read one by one."""

    values: Tensor
    classes: Tensor | None = None

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.values[index], -1 if self.classes is None else int(self.classes[index])


@dataclass
class Known:
    """A density, or what is taken for one."""

    answer: Callable[[Tensor], Tensor]

    def log_prob(self, x: Tensor) -> Tensor:
        return self.answer(x)


def images(
    train: Any = None,
    held_out: Any = None,
    *,
    shape: Any = (1, 4, 4),
    classes: int | None = 3,
    provides: frozenset[str] = frozenset({"images", "labels"}),
    build: Callable[[BuildContext], Any] | None = None,
) -> type[DatasetSpec]:
    """A data set of labelled images with these parts."""
    promised = provides

    class Strange(DatasetSpec):
        """Strange."""

        type: ClassVar[str] = "strange"
        provides: ClassVar[frozenset[str]] = promised

        @property
        def sample_shape(self) -> tuple[int, ...]:
            return shape  # type: ignore[no-any-return]

        @property
        def num_classes(self) -> int | None:
            return classes

        def build(self, context: BuildContext) -> Any:
            if build is not None:
                return build(context)
            first = Samples(pixels(20), labels(20)) if train is None else train
            return Data(first, held_out)

    return Strange


def points(
    values: Tensor, held_out: Tensor | None = None, density: Any = None, **keywords: Any
) -> type[DatasetSpec]:
    """A data set of points."""
    promised = {"points"} | ({"density"} if density else set())
    apart = None if held_out is None else Samples(held_out)
    return images(
        shape=keywords.pop("shape", (2,)),
        classes=None,
        provides=keywords.pop("provides", frozenset(promised)),
        build=lambda context: Data(Samples(values), apart, density),
        **keywords,
    )


PLANE = torch.randn(30, 2, generator=stream())
OTHERS = torch.randn(30, 2, generator=stream("others"))


@pytest.mark.parametrize("check", [name for name in KIND if name != "held-out-samples"])
@pytest.mark.parametrize(
    "declared",
    [
        images(),
        images(Stream(pixels(30), labels(30)), Stream(pixels(5, "y"), labels(5))),
        images(Stream(pixels(30)), classes=None, provides=frozenset({"images", "more"})),
        points(PLANE),
        points(PLANE, OTHERS, Known(lambda x: -x.square().sum(1))),
    ],
)
def test_a_data_set_without_faults(declared: type[DatasetSpec], check: str) -> None:
    passes(check, declared)


@pytest.mark.parametrize("shape", [(0,), (4, 4), [2], (2.0,), None])
def test_a_shape_that_no_sample_has(shape: Any) -> None:
    assert fault("declared-data", images(shape=shape)) == (
        f"sample_shape is {shape!r}; give (C, H, W) of images or (D,) of points"
    )


def test_something_else_than_data() -> None:
    assert fault("declared-data", images(build=lambda context: [pixels(3)])) == (
        "build() returns a list; return a ganzoo.engine.Data"
    )


@pytest.mark.parametrize(
    ("declared", "found"),
    [
        (
            images(Samples(pixels(9).permute(0, 2, 3, 1), labels(9))),
            "samples of train are torch.uint8 (4, 4, 1); sample_shape asks for torch.uint8 "
            "(1, 4, 4)",
        ),
        (
            images(held_out=Stream(pixels(9)[:, :, :2], labels(9))),
            "samples of held_out are torch.uint8 (1, 2, 4); sample_shape asks for torch.uint8 "
            "(1, 4, 4)",
        ),
        (
            images(Samples(pixels(9).float(), labels(9))),
            "samples of train are torch.float32 (1, 4, 4); sample_shape asks for torch.uint8 "
            "(1, 4, 4)",
        ),
        (
            points(PLANE.double()),
            "samples of train are torch.float64 (2,); sample_shape asks for torch.float32 (2,)",
        ),
        (
            images(Samples(pixels(9) % 2, labels(9))),
            "the pixels of train are between 0 and 1; spread them over 0 to 255",
        ),
        (
            points(torch.where(PLANE > 1, torch.nan, PLANE)),
            "train holds values that are not finite; leave those samples out",
        ),
        (
            images(held_out=Samples(pixels(0), labels(0))),
            "held_out has no samples; leave held_out None, and train on what there is",
        ),
    ],
)
def test_data_that_are_not_as_declared(declared: type[DatasetSpec], found: str) -> None:
    assert fault("declared-data", declared) == found


@pytest.mark.parametrize(
    ("declared", "found"),
    [
        (
            images(provides=frozenset({"labels"})),
            "it has images and does not say so; add it to `provides`",
        ),
        (
            points(PLANE, provides=frozenset({"points", "images"})),
            "it provides 'images', and has none; take it out of `provides`",
        ),
        (
            images(Samples(pixels(9)), classes=None),
            "it provides 'labels', and has none; take it out of `provides`",
        ),
        (
            points(PLANE, provides=frozenset({"points", "density"})),
            "it provides 'density', and has none; take it out of `provides`",
        ),
        (
            points(PLANE, density=Known(lambda x: -x.square())),
            "density.log_prob of (16, 2) gives (16, 2), or values that are not finite; give a "
            "logarithm for each of 16 points",
        ),
        (
            points(PLANE, density=Known(lambda x: torch.log(x[:, 0] * 0))),
            "density.log_prob of (16, 2) gives (16,), or values that are not finite; give a "
            "logarithm for each of 16 points",
        ),
    ],
)
def test_what_is_promised_and_what_is_there(declared: type[DatasetSpec], found: str) -> None:
    assert fault("data-capabilities", declared) == found


@pytest.mark.parametrize(
    ("declared", "found"),
    [
        (
            images(Samples(pixels(9))),
            "train has no labels, and num_classes is 3; make the two agree",
        ),
        (
            images(classes=None),
            "train has labels, and num_classes is None; make the two agree",
        ),
        (
            images(held_out=Stream(pixels(9))),
            "held_out has no labels, and num_classes is 3; make the two agree",
        ),
        (
            images(Samples(pixels(9), labels(9) + 1)),
            "labels of train are torch.int64 (9,) from 1 to 3; give one int64 for each sample, "
            "from 0 to 2",
        ),
        (
            images(Stream(pixels(9), labels(9) - 2)),
            "labels of train are torch.int64 (9,) from -2 to 0; give one int64 for each sample, "
            "from 0 to 2",
        ),
        (
            images(Samples(pixels(9), labels(9).int())),
            "labels of train are torch.int32 (9,) from 0 to 2; give one int64 for each sample, "
            "from 0 to 2",
        ),
        (
            images(Samples(pixels(9), labels(8))),
            "labels of train are torch.int64 (8,) from 0 to 2; give one int64 for each sample, "
            "from 0 to 2",
        ),
    ],
)
def test_labels_that_cannot_be_used(declared: type[DatasetSpec], found: str) -> None:
    assert fault("label-range", declared) == found


FIXED = "; sort lists of files, and draw from ganzoo.engine.generator_for(0, ...) alone"


@pytest.mark.parametrize(
    ("build", "found"),
    [
        (lambda context: Samples(torch.randn(9, 2)), "two builds differ in the samples in train"),
        (
            lambda context: Samples(torch.tensor(np.random.rand(9, 2), dtype=torch.float32)),
            "two builds differ in the samples in train",
        ),
        (
            lambda context: Samples(PLANE[torch.randperm(len(PLANE))]),
            "two builds differ in the samples in train",
        ),
        (lambda context: Stream(torch.randn(9, 2)), "two builds differ in the samples in train"),
        (
            lambda context: Samples(PLANE, torch.randint(0, 9, (len(PLANE),))),
            "two builds differ in the labels in train",
        ),
        (
            lambda context: Samples(PLANE[: next(LENGTHS)]),
            "two builds differ in the number of samples in train",
        ),
    ],
)
def test_data_that_are_others_each_time(build: Callable[..., Any], found: str) -> None:
    global LENGTHS
    # The lengths of the build that finds a world, and of two more.
    LENGTHS = iter([7, 8, 9, 9, 9])
    declared = images(shape=(2,), build=lambda context: Data(build(context)))
    assert fault("same-samples", declared) == found + FIXED


LENGTHS = iter([0])


def test_held_out_samples_that_are_others_each_time() -> None:
    def build(context: BuildContext) -> Data:
        chosen = random.sample(range(len(PLANE)), 5)
        return Data(Samples(PLANE), Samples(PLANE[chosen]))

    declared = images(shape=(2,), build=build)
    assert fault("same-samples", declared).startswith(
        "two builds differ in the samples in held_out"
    )


@pytest.mark.parametrize(
    "parts",
    [
        (Samples(PLANE), Samples(torch.cat([OTHERS[:24], PLANE[:6]]))),
        (Stream(PLANE), Stream(torch.cat([OTHERS[:24], PLANE[:6]]))),
    ],
)
def test_held_out_samples_that_are_trained_on(parts: Any) -> None:
    declared = images(shape=(2,), build=lambda context: Data(*parts))
    assert fault("held-out-samples", declared) == (
        "20.0% of the held-out samples are training samples too; split the samples before anything "
        "else is done with them"
    )


def test_held_out_samples_of_their_own() -> None:
    passes("held-out-samples", points(PLANE, OTHERS))


def test_data_that_repeat_themselves_may_repeat_what_is_held_out() -> None:
    corners = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    passes("held-out-samples", points(corners.repeat(50, 1), corners.repeat(9, 1)))


def test_nothing_held_out() -> None:
    assert reason("held-out-samples", points(PLANE)) == "nothing is held out"


def test_a_stream_that_is_too_long_to_compare() -> None:
    long = Stream(torch.zeros(2001, 2))
    declared = images(shape=(2,), build=lambda context: Data(long, Samples(PLANE)))
    assert reason("held-out-samples", declared) == (
        "a stream of 2001 samples takes too long to compare"
    )


def missing(context: BuildContext) -> Any:
    raise UserError(f"strange: not in {context.data_root / 'strange'}", hint="get it")


@pytest.mark.parametrize("check", [*KIND, "builds", "silent-build", "build-side-effects"])
def test_files_that_are_not_here(
    check: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANZOO_DATA", str(tmp_path))
    assert reason(check, images(build=missing)) == (
        f"its files are not on this machine: strange: not in {tmp_path}/strange"
    )


def test_a_data_set_that_is_refused_for_another_reason() -> None:
    def build(context: BuildContext) -> Any:
        raise UserError("strange: no pictures")

    assert fault("builds", images(build=build)) == (
        "cannot be built: strange: no pictures; where files are missing, the message should name "
        "the folder in which they were looked for, context.data_root"
    )


def test_a_key_download_is_set_to_false() -> None:
    found = []

    class Downloading(images()):  # type: ignore[misc]
        """Downloading."""

        download: bool = True

        def build(self, context: BuildContext) -> Any:
            found.append(self.download)
            return super().build(context)

    passes("builds", Downloading)
    assert set(found) == {False}


def test_nothing_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANZOO_DATA", str(tmp_path))
    met = []

    def build(context: BuildContext) -> Any:
        for attempt in (
            lambda: urllib.request.urlopen("http://192.0.2.1/strange.zip", timeout=1),
            lambda: socket.create_connection(("example.org", 80), timeout=1),
            lambda: socket.socket().connect(("192.0.2.1", 80)),
        ):
            with pytest.raises(OSError, match="does not use the network") as caught:
                attempt()  # type: ignore[no-untyped-call]
            met.append(caught.value)
        missing(context)

    assert "not on this machine" in reason("builds", images(build=build))
    assert len(met) == 3
    assert "connect" not in vars(socket.socket)


def test_processes_may_talk_to_each_other() -> None:
    one, other = socket.socketpair()
    with no_network(), one, other:
        one.send(b"x")
        assert other.recv(1) == b"x"
        local = socket.socket(socket.AF_UNIX)
        with local, pytest.raises(FileNotFoundError):
            local.connect("/nowhere")
