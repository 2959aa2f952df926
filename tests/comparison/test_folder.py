"""A comparison does not take the place of another one unless it is told to."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ganzoo.comparison import Budget, Comparison
from ganzoo.errors import RunError, UserError

Compare = Callable[..., Comparison]


@pytest.fixture
def careful(compared: Any) -> Compare:
    """`compare` as it is for users: without `replace`."""
    function: Compare = compared.func
    return function


def title() -> str:
    """Of the comparison in the default folder."""
    text: str = json.loads(Path("comparison/comparison.json").read_text())["title"]
    return text


def test_the_same_comparison_is_repeated(careful: Compare) -> None:
    first = careful("gan.toml", seeds=2).data
    again = careful("./gan.toml", seeds=2).data
    assert again["models"] == first["models"]


def test_a_recipe_that_was_edited_since_is_the_same_words(careful: Compare) -> None:
    careful("gan.toml")
    Path("gan.toml").write_text(Path("gan.toml").read_text().replace("[16]", "[17]"))
    (model,) = careful("gan.toml").data["models"]
    assert model["recipe"]["generator"]["hidden"] == [17]


def test_further_recipes_and_seeds_are_added(careful: Compare) -> None:
    careful("gan.toml", seeds=1)
    data = careful("vae.toml", "gan.toml", seeds=2).data
    assert (data["title"], data["seeds"]) == ("vae, gan", [0, 1])
    assert data["request"] == {
        "targets": ["vae.toml", "gan.toml"],
        "overrides": [],
        "seeds": 2,
        "budget": None,
    }


@pytest.mark.parametrize(
    ("targets", "options"),
    [
        (["vae.toml"], {}),
        (["gan.toml"], {"seeds": 1}),
        (["gan.toml"], {"seeds": None}),
        (["gan.toml"], {"overrides": ["train.batch_size=8"]}),
        (["gan.toml"], {"overrides": ["evaluate.samples=40"]}),
        (["gan.toml"], {"budget": Budget("iterations", 5)}),
    ],
)
def test_another_comparison_is_refused_before_anything_is_trained(
    careful: Compare, targets: list[str], options: dict[str, Any]
) -> None:
    careful("gan.toml", seeds=2)
    before, made = Path("comparison/comparison.json").read_bytes(), sorted(Path("runs").rglob("*"))
    with pytest.raises(UserError) as caught:
        careful(*targets, **{"seeds": 2, **options})
    assert caught.value.message == (
        "comparison holds another comparison: "
        "ganzoo compare gan.toml --seeds 2 --runs runs --out comparison"
    )
    assert caught.value.hint == (
        "--out names another folder; --replace gives up the one that is there"
    )
    assert Path("comparison/comparison.json").read_bytes() == before
    assert sorted(Path("runs").rglob("*")) == made


def test_it_is_replaced_where_that_is_asked_for(careful: Compare) -> None:
    careful("gan.toml")
    careful("vae.toml", replace=True)
    assert title() == "vae"
    careful("gan.toml", out="elsewhere")
    assert title() == "vae"


def test_names_that_mean_another_run_tomorrow_are_resolved(careful: Compare, trained: Path) -> None:
    assert careful("latest").data["request"]["targets"] == [str(trained)]
    assert careful("gan").data["request"]["targets"] == [str(trained)]
    later = shutil.copytree(trained, trained.with_name("zlater"))
    for file in (later, *later.iterdir()):
        os.utime(file, (2_000_000_000, 2_000_000_000))
    with pytest.raises(UserError, match="holds another comparison: ganzoo compare gan --runs"):
        careful("latest")


def test_a_comparison_of_an_earlier_version_is_kept(careful: Compare) -> None:
    careful("gan.toml")
    file = Path("comparison/comparison.json")
    document = json.loads(file.read_text())
    del document["request"]
    file.write_text(json.dumps(document))
    with pytest.raises(UserError, match="holds a comparison by an earlier version: ganzoo compare"):
        careful("gan.toml")


def test_a_damaged_comparison_is_named(careful: Compare) -> None:
    Path("comparison").mkdir()
    Path("comparison/comparison.json").write_text("{")
    with pytest.raises(RunError, match=r"comparison/comparison\.json is damaged"):
        careful("gan.toml")
    careful("gan.toml", replace=True)
    assert title() == "gan"


def test_what_was_interrupted_before_it_was_written_is_no_comparison(
    careful: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ganzoo.comparison.assembly.assemble", stop)
        with pytest.raises(Exception, match="the comparison was stopped"):
            careful("gan.toml")
    careful("vae.toml")
    assert title() == "vae"
