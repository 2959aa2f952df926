from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ganzoo_data import Mnist
from ganzoo_data.messages import announce
from PIL import Image

from ganzoo.api import BuildContext, DatasetSpec
from ganzoo.engine import Data

Build = Callable[..., Data]


def context_for(spec: DatasetSpec, root: Path) -> BuildContext:
    return BuildContext(
        sample_shape=spec.sample_shape, latent_dim=2, data_root=root, cache_root=root / ".cache"
    )


@pytest.fixture(autouse=True)
def forget_announcements() -> None:
    """What was said in one test may be said again in the next."""
    announce.cache_clear()


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Builds a spec; its data root is the test's own folder unless another is given."""
    return lambda spec, root=tmp_path: spec.build(context_for(spec, root))


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder named by GANZOO_DATA, where MNIST lies."""
    name = os.environ.get("GANZOO_DATA")
    if not name:
        pytest.skip("GANZOO_DATA is not set")
    if not (Path(name) / "MNIST" / "raw" / "train-images-idx3-ubyte").exists():
        pytest.skip(f"no MNIST in GANZOO_DATA ({name})")
    return Path(name)


@pytest.fixture(scope="session")
def mnist(data_root: Path) -> Data:
    spec = Mnist(download=False)
    data: Data = spec.build(context_for(spec, data_root))
    return data


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """A folder of 20 different 12x12 pictures, some of them in a sub-folder."""
    folder = tmp_path / "faces"
    (folder / "more").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (20, 12, 12, 3), dtype=np.uint8)
    for index, pixels in enumerate(noise):
        parent = folder / "more" if index % 4 == 0 else folder
        Image.fromarray(pixels).save(parent / f"{index:02}.png")
    return folder
