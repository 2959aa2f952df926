"""What recipes may write, and what importing the package costs."""

from __future__ import annotations

import subprocess
import sys

import pytest
from ganzoo_metrics import (
    DensityCoverage,
    KernelDistance,
    Nearest,
    PrecisionRecall,
    WassersteinDistance,
    ganzoo_metrics,
)
from pydantic import ValidationError

from ganzoo.api import MetricSpec
from ganzoo.declarations import declaration_problem

COMPONENTS = ganzoo_metrics()


def test_the_types_that_the_package_offers() -> None:
    assert [spec.type for spec in COMPONENTS] == [
        *("fid", "kid", "inception-score", "precision-recall", "density-coverage"),
        *("classes", "class-accuracy", "class-fid", "sharpness", "nearest", "wasserstein"),
    ]


@pytest.mark.parametrize("spec", COMPONENTS, ids=lambda spec: spec.type)
def test_a_component_is_well_declared_and_explains_its_keys(spec: type[MetricSpec]) -> None:
    assert declaration_problem("metric", spec) is None
    assert len(spec.summary()) <= 97
    for key, field in spec.model_fields.items():
        assert field.description, key
    assert set(spec.better.values()) <= {"higher", "lower"}
    assert all(factor > 1 for factor in spec.collapse.values())
    assert spec.better.keys() <= spec.labels.keys()


@pytest.mark.parametrize(
    ("spec", "defaults"),
    [
        (KernelDistance, {"subsets": 100, "subset_size": 1000}),
        (PrecisionRecall, {"neighbours": 3}),
        (DensityCoverage, {"neighbours": 5}),
        (Nearest, {"samples": 2000}),
        (WassersteinDistance, {"samples": 1000, "directions": 100}),
    ],
)
def test_defaults_and_bounds(spec: type[MetricSpec], defaults: dict[str, int]) -> None:
    assert spec().model_dump() == defaults
    for key in defaults:
        with pytest.raises(ValidationError, match="greater than"):
            spec(**{key: 0})


def test_declarations_import_neither_torch_nor_the_libraries() -> None:
    code = (
        "import sys, ganzoo_metrics\n"
        "loaded = {'torch', 'ot', 'numpy'} & sys.modules.keys()\n"
        "sys.exit(', '.join(loaded) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
