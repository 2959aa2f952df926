"""A resolved recipe: written out in full, read back the same, and its fingerprint."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from components import REGISTRY, TABLES, Normalisation, PlainGenerator, WriteFile, recipe_text
from hypothesis import given
from hypothesis import strategies as st

from ganzoo.errors import UserError
from ganzoo.recipe import Recipe, load_component, load_recipe

FULL = recipe_text(
    {
        "encoder": 'type = "gaussian"',
        "loss": 'type = "ganzoo-testing:evidence"',
        "discriminator": None,
        "schedule": 'type = "joint"',
        "[metrics]": 'type = "count"',
    }
)


def load(file: Path, *overrides: str) -> Recipe:
    return load_recipe(file, *overrides, registry=REGISTRY)


def quoted(text: str) -> str:
    """`text` as TOML writes it."""
    escaped = "".join(
        f"\\U{ord(letter):08x}" if letter in '"\\' or not letter.isprintable() else letter
        for letter in text
    )
    return f'"{escaped}"'


SUMMARIES = st.text(st.characters(exclude_categories=["Cs"])).map(quoted)
FLOATS = st.floats(1e-300, 1e300).map(repr)
SHARES = st.floats(0, 1, exclude_max=True).map(repr)
COUNTS = st.integers(1, 2**62).map(str)
SETTINGS = st.integers(1, 10**6).map(str)

OVERRIDES: dict[str, st.SearchStrategy[str]] = {
    "name": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,8}", fullmatch=True).map(quoted),
    "summary": SUMMARIES,
    "latent.dim": SETTINGS,
    "latent.distribution": st.sampled_from(["normal", "uniform"]),
    "data.dim": COUNTS,
    "generator.hidden": st.lists(COUNTS, max_size=3).map(lambda widths: f"[{', '.join(widths)}]"),
    "generator.dropout": SHARES,
    "generator.label": SUMMARIES,
    "generator.limit": st.integers(-(2**63), 2**63 - 1).map(str),
    "generator.bias": st.sampled_from(["true", "false"]),
    "generator.normalisation.groups": st.sampled_from(["1", "[]", "[1, 2]"]),
    "generator.normalisation.momentum": FLOATS,
    "loss.type": st.sampled_from(["minimax", "non-saturating", "ganzoo-core:minimax"]),
    "schedule.type": st.sampled_from(["alternating", "simultaneous", "discriminator-only"]),
    "optimizer.weight_decay": st.builds("{{from = {}, to = {}}}".format, FLOATS, FLOATS),
    "optimizer.lr": FLOATS,
    "optimizer.generator.lr": FLOATS,
    "optimizer.discriminator": st.just("{type = 'sgd', lr = 1, momentum = 0.5}"),
    "regularizers": st.lists(
        st.builds("{{type = 'penalty', gamma = {}, every = {}}}".format, FLOATS, COUNTS), max_size=1
    ).map(lambda rows: f"[{', '.join(rows)}]"),
    "metrics": st.sampled_from(["[]", "[{type = 'count'}]"]),
    "train.iterations": SETTINGS,
    "train.seed": COUNTS,
    "ema.decay": SHARES,
    "engine.device": st.sampled_from(["cpu", "'cuda:3'"]),
    "engine.deterministic": st.sampled_from(["true", "false"]),
}


@st.composite
def overrides(draw: Any) -> list[str]:
    keys = draw(st.lists(st.sampled_from(sorted(OVERRIDES)), unique=True))
    return [f"{key}={draw(OVERRIDES[key])}" for key in keys]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("recipes")
    (folder / "good.toml").write_text(recipe_text())
    return folder / "good.toml", folder / "again.toml"


@given(assignments=overrides())
def test_what_is_written_loads_back_to_the_same_recipe(
    files: tuple[Path, Path], assignments: list[str]
) -> None:
    first, second = files
    recipe = load(first, *assignments)
    second.write_bytes(recipe.to_toml().encode())
    again = load(second)
    assert again == recipe
    assert again.fingerprint == recipe.fingerprint
    assert again.to_toml() == recipe.to_toml()


@pytest.mark.parametrize("text", [recipe_text(), FULL], ids=["a game", "a single objective"])
def test_nothing_is_left_to_a_default(write: WriteFile, text: str) -> None:
    """Whatever can be written is written, but for what cannot be said in TOML."""
    recipe = load(write(text))
    tables = tomllib.loads(recipe.to_toml())
    assert tables == recipe.tables()
    for place, component in recipe.components():
        table: Any = tables
        for part in place.split("."):
            table = table[int(part) if part.isdecimal() else part]
        fields = {
            name
            for name in type(component.spec).model_fields
            if getattr(component.spec, name) is not None
        }
        assert set(table) == {"type", *fields}
        assert table["type"] == component.name
    for name in ("latent", "train", "ema", "log", "checkpoint", "engine", "evaluate"):
        assert set(tables[name]) == set(type(getattr(recipe, name)).model_fields)
    for slot, optimizer in recipe.optimizers.items():
        assert set(tables["optimizer"][slot]) == {"type", *type(optimizer).model_fields}
    assert set(tables["optimizer"]) == set(recipe.optimizers)


def test_tables_in_a_components_table_are_written_out(write: WriteFile) -> None:
    generator = load(write(recipe_text())).tables()["generator"]
    assert set(generator["normalisation"]) == set(Normalisation.model_fields)
    assert set(generator) == {"type", *PlainGenerator.model_fields} - {"limit"}


def test_a_summary_that_says_nothing_is_not_written(write: WriteFile) -> None:
    assert "summary" not in tomllib.loads(load(write(recipe_text())).to_toml())


class TestFingerprint:
    @pytest.fixture
    def plain(self, write: WriteFile) -> str:
        return load(write(recipe_text())).fingerprint

    def test_it_is_sixteen_hexadecimal_digits(self, plain: str) -> None:
        assert len(plain) == 16
        assert set(plain) <= set("0123456789abcdef")

    @given(data=st.data())
    def test_the_order_of_keys_and_tables_does_not_count(
        self, files: tuple[Path, Path], data: st.DataObject
    ) -> None:
        first, second = files
        names = data.draw(st.permutations([name for name in TABLES if name]))
        blocks = []
        for name in ["", *names]:  # keys on top have to come before all tables
            rows = data.draw(st.permutations(TABLES[name].split("\n")))
            blocks += [f"[{name}]"] * bool(name) + rows
        second.write_text("\n".join(blocks))
        assert load(second).fingerprint == load(first).fingerprint

    def test_comments_spelling_and_defaults_do_not_count(
        self, plain: str, write: WriteFile
    ) -> None:
        spelled = recipe_text(
            {
                "": "# a comment\nname = 'good'\nlatent.dim = 0x8\nlatent.distribution = 'normal'",
                "generator": '"type" = "plain"\nhidden = [\n  4, # four\n  8,\n]\nrange = [-1, 1]',
                "optimizer": 'type = "adam"\nlr = 0.001\nbetas = [0.9, 0.999]',
                "log": "every = 250",
            }
        )
        assert load(write(spelled)).fingerprint == plain

    def test_a_whole_number_is_the_same_as_a_float_where_floats_are_meant(
        self, write: WriteFile
    ) -> None:
        file = write(recipe_text())
        found = {
            load(file, f"generator.range={value}").fingerprint
            for value in ("[-1, 1]", "[-1.0, 1]", "[-1.0, 1.0]", "[-10e-1, 1e0]")
        }
        assert found == {load(file).fingerprint}

    def test_a_qualified_type_is_the_same_component(self, plain: str, write: WriteFile) -> None:
        assert load(write(recipe_text()), "loss.type=ganzoo-core:minimax").fingerprint == plain

    def test_where_it_was_written_does_not_count(self, plain: str, write: WriteFile) -> None:
        write(recipe_text(), "base.toml")
        child = write('extends = "base.toml"\nname = "good"\n', "child.toml")
        assert load(child).fingerprint == plain

    def test_what_is_seen_of_a_run_does_not_count(self, plain: str, write: WriteFile) -> None:
        """A comparison takes the run that is there, however it was logged and evaluated."""
        file = write(recipe_text())
        for change in (
            "name=other",
            "summary=text",
            "log.every=251",
            "log.samples=65",
            "checkpoint.every=1001",
            "checkpoint.keep=3",
            "engine.device=cpu",
            "evaluate.samples=9",
            "evaluate.snapshots=2",
            "metrics=[{type = 'count'}]",
            "probes=[{type = 'watching'}]",
        ):
            assert load(file, change).fingerprint == plain, change

    def test_every_value_that_decides_the_weights_counts(
        self, plain: str, write: WriteFile
    ) -> None:
        file = write(recipe_text({"[regularizers]": 'type = "penalty"\ngamma = 1'}))
        changes = [
            "latent.dim=9",
            "latent.distribution=uniform",
            "data.dim=3",
            "generator.type=searching",
            "generator.hidden=[8, 4]",
            "generator.hidden=[4]",
            "generator.dropout=0.1",
            "generator.bias=false",
            "generator.limit=0",
            "generator.label='1'",
            "generator.normalisation.groups=2",
            "generator.normalisation.groups=[2]",
            "discriminator.base_channels=65",
            "loss.type=non-saturating",
            "schedule.type=simultaneous",
            "schedule.discriminator_steps=2",
            "regularizers.0.gamma=2",
            "regularizers.0.every=2",
            "regularizers=[]",
            "optimizer={type = 'adamw', lr = 1e-3}",
            "optimizer.lr=0.0011",
            "optimizer.generator.lr=0.0011",
            "optimizer.discriminator.lr=0.0011",
            "optimizer.betas=[0.5, 0.999]",
            "train.iterations=11",
            "train.batch_size=66",
            "train.seed=1",
            "optimizer.lr={from = 1e-3, to = 0}",
            "optimizer.lr={from = 1e-3, to = 0, over = [0.5, 1]}",
            "optimizer.lr={from = 1e-3, to = 0, shape = 'cosine'}",
            "ema.decay=0.5",
            "discriminator.pack=2",
            "engine.precision=float32",
            "engine.deterministic=false",
        ]
        found = [load(file).fingerprint, *(load(file, change).fingerprint for change in changes)]
        twins = {
            change for change, own in zip(changes, found[1:], strict=True) if found.count(own) > 1
        }
        assert twins == set()
        assert plain not in found[:1]


def test_overrides_of_several_networks_stay_apart(write: WriteFile) -> None:
    """What is shared in the file is written out for each network."""
    recipe = load(write(recipe_text()), "optimizer.generator.lr=2")
    tables = tomllib.loads(recipe.to_toml())["optimizer"]
    assert tables["generator"]["lr"] == 2.0
    assert tables["discriminator"]["lr"] == 1e-3


def test_only_a_loss_with_weights_has_an_optimizer(write: WriteFile) -> None:
    changes = {
        "discriminator": None,
        "loss": 'type = "codes"',
        "schedule": 'type = "joint"',
        "optimizer.loss": "lr = 2.0",
    }
    file = write(recipe_text(changes))
    assert set(load(file).optimizers) == {"generator"}
    learned = load(file, "loss.learned=true")
    assert set(learned.optimizers) == {"generator", "loss"}
    assert learned.optimizers["loss"].lr == 2.0
    assert learned.optimizers["generator"].lr != 2.0


def test_a_component_is_made_again_from_its_table() -> None:
    table = {"type": "ganzoo-core:alternating", "discriminator_steps": 5, "first": "generator"}
    component = load_component("schedule", table)
    assert component.name == "ganzoo-core:alternating"
    assert component.spec.arguments() == {
        "discriminator_steps": 5,
        "generator_steps": 1,
        "first": "generator",
    }
    assert component.plugin.distribution == "ganzoo-core"
    with pytest.raises(UserError, match="no schedule is called 'alternatin'"):
        load_component("schedule", {"type": "alternatin"})
