"""Every problem that a recipe can have, with the text that its author reads."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, ClassVar

import pytest
from components import (
    CORE,
    PARTS,
    REGISTRY,
    TABLES,
    Buildable,
    JudgeLoss,
    PlainGenerator,
    WriteFile,
    plugin,
    recipe_text,
)

from ganzoo.api import DatasetSpec, GeneratorSpec, ScheduleSpec
from ganzoo.builtin.schedules import AlternatingSchedule
from ganzoo.recipe import Problem, Recipe, RecipeError, load_recipe
from ganzoo.recipe.origins import Origin
from ganzoo.registry import Registry

Changes = dict[str, str | None]

CRITIC: Changes = {
    "discriminator": None,
    "loss": 'type = "critical"',
    "schedule": 'type = "joint"',
    "networks.critic": 'type = "plain"',
}
"""Changes to a recipe whose loss needs a critic of codes."""


def refused(file: Path, *overrides: str, registry: Registry = REGISTRY) -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        load_recipe(file, *overrides, registry=registry)
    error = caught.value
    assert error.exit_code == 2
    count = len(error.problems)
    closing = "1 problem" if count == 1 else f"{count} problems"
    assert str(error).endswith(f"\n{closing}; nothing was run")
    rows = file.read_text().split("\n")
    for problem in error.problems:  # every line that is shown is the one with that number
        if problem.origin.line is not None:
            assert problem.origin.file == str(file)
            assert rows[problem.origin.line - 1] == problem.origin.text
    return error


def told(problem: Problem) -> tuple[str, str, str, str | None]:
    return problem.key, problem.message, problem.origin.text, problem.hint


class TestLayout:
    def test_as_in_the_architecture(self, write: WriteFile) -> None:
        """The file, its line, the key, the distribution's version, the source line, a hint."""
        file = write(
            recipe_text(
                {
                    "generator": 'type = "plain"',
                    "discriminator": 'type = "plain"\nbase_chanels = 32',
                }
            )
        )
        assert str(refused(file)) == (
            f"{file}:12: discriminator.base_chanels: "
            "unknown key for discriminator 'plain' (ganzoo-testing 1.0)\n"
            "    12 | base_chanels = 32\n"
            "       = did you mean 'base_channels'?\n"
            "1 problem; nothing was run"
        )

    @pytest.mark.parametrize("line", [9, 10, 99, 1000])
    def test_the_hint_stands_below_the_bar(self, line: int) -> None:
        problem = Problem("a.b", "is wrong", Origin("x.toml", line, "  b = 1"), "do this\nor that")
        head, source, first, second = str(problem).split("\n")
        assert head == f"x.toml:{line}: a.b: is wrong"
        assert source == f"    {line} | b = 1"
        assert first.index("=") == second.index("=") == source.index("|")
        assert first.strip() == "= do this"
        assert second.strip() == "= or that"

    def test_an_error_crosses_processes(self, write: WriteFile) -> None:
        error = refused(write(recipe_text({"generator": 'type = "plain"\nhiden = [3]'})))
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), str(copy), copy.problems) == (RecipeError, str(error), error.problems)

    def test_a_long_source_line_is_cut(self) -> None:
        text = "b = [" + "1, " * 1000 + "]"
        row = str(Problem("b", "is wrong", Origin("x.toml", 1, text))).split("\n")[1]
        assert row == f"    1 | {text[:117]}..."

    def test_two_problems_at_once_and_the_closing_line(self, write: WriteFile) -> None:
        file = write(
            recipe_text({"generator": 'type = "plane"', "train": "iterations = 1\nbach_size = 3"})
        )
        assert str(refused(file)) == (
            f"{file}:8: generator.type: no generator is called 'plane'\n"
            '    8 | type = "plane"\n'
            "      = did you mean 'plain'?\n"
            f"{file}:25: train.bach_size: unknown key for [train]\n"
            "    25 | bach_size = 3\n"
            "       = did you mean 'batch_size'?\n"
            "2 problems; nothing was run"
        )

    def test_a_problem_of_the_command_line_shows_what_was_typed(self, write: WriteFile) -> None:
        assert str(refused(write(recipe_text()), "train.batch_size=0")) == (
            "command line: train.batch_size: should be greater than 0 (got 0)\n"
            "    train.batch_size=0\n"
            "      = samples in a batch, over all devices together\n"
            "1 problem; nothing was run"
        )

    def test_a_problem_of_a_base_is_shown_there(self, write: WriteFile) -> None:
        base = write(recipe_text({"train": "iterations = 0"}), "base.toml")
        child = write('extends = "base.toml"\n[log]\nevery = 0\n', "child.toml")
        with pytest.raises(RecipeError) as caught:
            load_recipe(child, registry=REGISTRY)
        first, second = caught.value.problems
        assert (first.origin.file, first.origin.line) == (str(base), 25)
        assert (second.origin.file, second.origin.line) == (str(child), 3)


ONE_PROBLEM: list[Any] = [
    # Tables
    pytest.param(
        {"lgo": "every = 3"},
        ("lgo", "unknown table or key", "[lgo]", "did you mean 'log'?"),
        id="unknown table",
    ),
    pytest.param(
        {"": 'name = "good"\nsumary = "x"'},
        ("sumary", "unknown table or key", 'sumary = "x"', "did you mean 'summary'?"),
        id="unknown key on top",
    ),
    pytest.param(
        {"wandb": "project = 'x'"},
        ("wandb", "unknown table or key", "[wandb]", None),
        id="unknown table like no other",
    ),
    *[
        pytest.param(
            {name: None},
            (name, "missing table", "", f"add a table [{name}]"),
            id=f"no table {name}",
        )
        for name in ("data", "generator", "loss", "schedule", "optimizer", "train")
    ],
    *[
        pytest.param(
            {name: None, "": f'name = "good"\n{name} = 3'},
            (name, "should be a table (got 3)", f"{name} = 3", f"write [{name}]"),
            id=f"{name} is no table",
        )
        for name in ("data", "generator", "loss", "schedule", "optimizer", "train", "ema")
    ],
    pytest.param(
        {"data": None, "": 'name = "good"\ndata = "dots"'},
        (
            "data",
            'should be a table (got "dots")',
            'data = "dots"',
            'write data.type = "dots"',
        ),
        id="the type where the table should be",
    ),
    pytest.param(
        {"optimizer": 'type = "adam"\nlr = 1.0\ngenerator = 2.0'},
        (
            "optimizer.generator",
            "should be a table (got 2.0)",
            "generator = 2.0",
            "write [optimizer.generator]",
        ),
        id="a network's optimizer is no table",
    ),
    pytest.param(
        {"regularizers": 'type = "penalty"\ngamma = 1'},
        (
            "regularizers",
            "should be an array of tables",
            "[regularizers]",
            "write [[regularizers]]",
        ),
        id="a table for an array",
    ),
    pytest.param(
        {"": 'name = "good"\nmetrics = ["count"]'},
        (
            "metrics.0",
            'should be a table (got "count")',
            'metrics = ["count"]',
            "write [[metrics]]",
        ),
        id="texts for tables in an array",
    ),
    # Name and summary
    pytest.param(
        {"": 'name = "a/b"'},
        (
            "name",
            "'a/b' cannot be a name",
            'name = "a/b"',
            "letters, digits, '.', '_' and '-': it names a folder",
        ),
        id="a name that is no folder",
    ),
    *[
        pytest.param(
            {"": f'name = "{name}"'},
            (
                "name",
                f"'{name}' cannot be a name",
                f'name = "{name}"',
                "letters, digits, '.', '_' and '-': it names a folder",
            ),
            id=f"the name {name!r}",
        )
        for name in ("", "..", ".hidden", "-v", "é", "a b")
    ],
    pytest.param(
        {"": "name = true"},
        ("name", "should be a text (got true)", "name = true", None),
        id="name is no text",
    ),
    pytest.param(
        {"": 'name = "good"\nsummary = ["ä"]'},
        ("summary", 'should be a text (got ["ä"])', 'summary = ["ä"]', None),
        id="summary is no text",
    ),
    # Types
    pytest.param(
        {"schedule": 'type = "alternatig"'},
        (
            "schedule.type",
            "no schedule is called 'alternatig'",
            'type = "alternatig"',
            "did you mean 'alternating'?",
        ),
        id="unknown type",
    ),
    pytest.param(
        {"data": 'type = "cathedrals"'},
        (
            "data.type",
            "no dataset is called 'cathedrals'",
            'type = "cathedrals"',
            "there is 'dots'",
        ),
        id="unknown type like no other",
    ),
    pytest.param(
        {"generator": "hidden = [1]"},
        ("generator.type", "missing", "[generator]", "there is 'plain' or 'searching'"),
        id="no type",
    ),
    pytest.param(
        {"generator": "type = 7"},
        (
            "generator.type",
            "should be a text (got 7)",
            "type = 7",
            "there is 'plain' or 'searching'",
        ),
        id="a type that is no text",
    ),
    pytest.param(
        {"[regularizers]": 'type = "penalti"\ngamma = 1'},
        (
            "regularizers.0.type",
            "no regularizer is called 'penalti'",
            'type = "penalti"',
            "did you mean 'penalty'?",
        ),
        id="unknown type in an array",
    ),
    *(
        pytest.param(
            {f"[{kind}s]": f'type = "{name}"{keys}\n[[{kind}s]]\ntype = "{name}"{keys}'},
            (
                f"{kind}s.1.type",
                f"{kind} '{name}' is there already",
                f'type = "{name}"',
                f"remove one table [[{kind}s]]",
            ),
            id=f"a {kind} twice",
        )
        for kind, name, keys in (
            ("regularizer", "penalty", "\ngamma = 1"),
            ("probe", "watching", ""),
            ("metric", "count", ""),
        )
    ),
    # Keys
    pytest.param(
        {"generator": 'type = "plain"\nhiden = [3]'},
        (
            "generator.hiden",
            "unknown key for generator 'plain' (ganzoo-testing 1.0)",
            "hiden = [3]",
            "did you mean 'hidden'?",
        ),
        id="unknown key",
    ),
    pytest.param(
        {"generator": 'type = "plain"\nspectral = true'},
        (
            "generator.spectral",
            "unknown key for generator 'plain' (ganzoo-testing 1.0)",
            "spectral = true",
            "it has hidden, dropout, range, activation, bias, label, limit, normalisation",
        ),
        id="unknown key like no other",
    ),
    pytest.param(
        {"train": "iterations = 3\n'seed.x' = 3"},
        ("train.seed.x", "unknown key for [train]", "'seed.x' = 3", "did you mean 'seed'?"),
        id="unknown key with a dot",
    ),
    pytest.param(
        {"optimizer": 'type = "adam"\nlr = { from = 1e-3, to = 0.0, shpe = "cosine" }'},
        (
            "optimizer.lr.shpe",
            "unknown key for optimizer 'adam'",
            'lr = { from = 1e-3, to = 0.0, shpe = "cosine" }',
            "did you mean 'shape'?",
        ),
        id="unknown key of a ramp",
    ),
    pytest.param(
        {"generator.normalisation": "momentun = 0.5"},
        (
            "generator.normalisation.momentun",
            "unknown key for generator 'plain' (ganzoo-testing 1.0)",
            "momentun = 0.5",
            "did you mean 'momentum'?",
        ),
        id="unknown key of a table with a header",
    ),
    pytest.param(
        {"[regularizers]": 'type = "penalty"'},
        (
            "regularizers.0.gamma",
            "missing key of regularizer 'penalty' (ganzoo-testing 1.0)",
            "[[regularizers]]",
            "weight of the penalty",
        ),
        id="missing key of a component",
    ),
    pytest.param(
        {"train": "seed = 1"},
        (
            "train.iterations",
            "missing key of [train]",
            "[train]",
            "length of the run, in iterations",
        ),
        id="missing key of a table",
    ),
    # Needs
    pytest.param(
        {"discriminator": None},
        (
            "loss.type",
            "loss 'minimax' needs a discriminator; this recipe has none",
            'type = "minimax"',
            "add a table [discriminator]",
        ),
        id="loss without its network",
    ),
    pytest.param(
        {
            "discriminator": None,
            "encoder": 'type = "plain"',
            "loss": 'type = "evidence"',
            "schedule": 'type = "joint"',
        },
        (
            "loss.type",
            "loss 'evidence' needs an encoder with variance; encoder 'plain' has none",
            'type = "evidence"',
            "'gaussian' would do",
        ),
        id="a network without the capability",
    ),
    pytest.param(
        {
            "discriminator": None,
            "generator": 'type = "searching"',
            "encoder": 'type = "gaussian"',
            "loss": 'type = "evidence"',
            "schedule": 'type = "joint"',
        },
        (
            "generator.type",
            "generator 'searching' needs a discriminator; this recipe has none",
            'type = "searching"',
            "add a table [discriminator]",
        ),
        id="generator without the network it searches with",
    ),
    pytest.param(
        {"encoder": 'type = "plain"'},
        (
            "encoder",
            "loss 'minimax' does not use an encoder",
            "[encoder]",
            "remove the table [encoder]",
        ),
        id="a network that nobody uses",
    ),
    # Phases
    pytest.param(
        {"schedule": 'type = "joint"'},
        (
            "schedule.type",
            "schedule 'joint' runs the phase 'joint', "
            "but loss 'minimax' has 'discriminator' and 'generator'",
            'type = "joint"',
            "'adaptive', 'alternating', 'annealed', 'discriminator-only', 'simultaneous' or "
            "'warm-up' would do",
        ),
        id="a phase that the loss has not",
    ),
    pytest.param(
        {"loss": 'type = "judge"', "schedule": 'type = "simultaneous"'},
        (
            "schedule.type",
            "schedule 'simultaneous' runs the phase 'generator', but loss 'judge' has "
            "'discriminator'",
            'type = "simultaneous"',
            "'discriminator-only' would do",
        ),
        id="one phase of two that the loss has not",
    ),
    pytest.param(
        {
            "encoder": 'type = "gaussian"',
            "discriminator": None,
            "loss": 'type = "evidence"',
            "schedule": 'type = "joint"',
            "[regularizers]": 'type = "penalty"\ngamma = 1',
        },
        (
            "regularizers.0.type",
            "regularizer 'penalty' joins the phase 'discriminator', "
            "which schedule 'joint' never runs",
            'type = "penalty"',
            None,
        ),
        id="regularizer of a phase never run",
    ),
    pytest.param(
        {"[augmentations]": 'type = "flipp"'},
        (
            "augmentations.0.type",
            "no augmentation is called 'flipp'",
            'type = "flipp"',
            "did you mean 'flip'?",
        ),
        id="an augmentation that is not there",
    ),
    pytest.param(
        {
            "discriminator": None,
            "loss": 'type = "codes"',
            "schedule": 'type = "joint"',
            "[augmentations]": 'type = "flip"',
        },
        (
            "augmentations.0.type",
            "augmentation 'flip' needs a discriminator; this recipe has none",
            'type = "flip"',
            "add a table [discriminator]",
        ),
        id="an augmentation of what nobody sees",
    ),
    # Prior
    pytest.param(
        {"prior": 'type = "mixture"'},
        (
            "prior.type",
            "prior 'mixture' is fitted to codes of real samples; loss 'minimax' has none",
            'type = "mixture"',
            "'codes' has",
        ),
        id="a mixture without codes",
    ),
    pytest.param(
        {"[priors]": 'type = "normal"'},
        (
            "priors.0.type",
            "prior 'normal' is fitted to codes of real samples; loss 'minimax' has none",
            'type = "normal"',
            "'codes' has",
        ),
        id="another prior without codes",
    ),
    # Further networks
    pytest.param(
        {**CRITIC, "networks.critic": None},
        (
            "networks.critic",
            "loss 'critical' needs a discriminator 'critic'",
            "",
            "add a table [networks.critic]",
        ),
        id="a further network that is missing",
    ),
    pytest.param(
        {**CRITIC, "networks.critc": 'type = "plain"'},
        (
            "networks.critc",
            "loss 'critical' has no network 'critc'",
            "[networks.critc]",
            "did you mean 'critic'?",
        ),
        id="a further network that the loss does not know",
    ),
    pytest.param(
        {"networks.judge": 'type = "plain"'},
        (
            "networks.judge",
            "loss 'minimax' has no network 'judge'",
            "[networks.judge]",
            "remove the table",
        ),
        id="a further network for a loss that has none",
    ),
    pytest.param(
        {"networks.generator": 'type = "plain"'},
        (
            "networks.generator",
            "has a table of its own",
            "[networks.generator]",
            "write [generator]",
        ),
        id="a well-known network among the further ones",
    ),
    pytest.param(
        {"": TABLES[""] + '\nnetworks = "critic"'},
        (
            "networks",
            'should be a table (got "critic")',
            'networks = "critic"',
            "write [networks.NAME]",
        ),
        id="further networks that are no table",
    ),
    pytest.param(
        {**CRITIC, "networks.critic": 'type = "pictures"'},
        (
            "networks.critic.type",
            "discriminator 'pictures' needs images, but 'critic' sees codes, which are points",
            'type = "pictures"',
            "'plain' would do",
        ),
        id="a network of images for codes",
    ),
    pytest.param(
        {**CRITIC, "optimizer.critic": "lr = -1.0"},
        (
            "optimizer.critic.lr",
            "should be greater than or equal to 0 (got -1.0)",
            "lr = -1.0",
            "learning rate",
        ),
        id="a key in the table of a further network's optimizer",
    ),
    # Optimizers
    pytest.param(
        {"optimizer": "lr = 1e-3"},
        (
            "optimizer.type",
            "missing",
            "[optimizer]",
            "there is 'adam', 'adamw', 'sgd' or 'rmsprop'",
        ),
        id="no optimizer type",
    ),
    pytest.param(
        {"optimizer": ""},
        (
            "optimizer.type",
            "missing",
            "[optimizer]",
            "there is 'adam', 'adamw', 'sgd' or 'rmsprop'",
        ),
        id="an empty optimizer",
    ),
    pytest.param(
        {
            "schedule": 'type = "discriminator-only"',
            "optimizer": None,
            "optimizer.discriminator": 'type = "adam"\nlr = 1.0',
            "optimizer.generator": "lr = 2.0",
        },
        (
            "optimizer.generator.type",
            "missing",
            "[optimizer.generator]",
            "there is 'adam', 'adamw', 'sgd' or 'rmsprop'",
        ),
        id="an optimizer with nothing shared",
    ),
    pytest.param(
        {"optimizer": 'type = "adamm"\nlr = 1e-3'},
        (
            "optimizer.type",
            "no optimizer is called 'adamm'",
            'type = "adamm"',
            "did you mean 'adam'?",
        ),
        id="unknown optimizer",
    ),
    pytest.param(
        {"optimizer": 'type = "lion"\nlr = 1e-3'},
        (
            "optimizer.type",
            "no optimizer is called 'lion'",
            'type = "lion"',
            "there is 'adam', 'adamw', 'sgd' or 'rmsprop'",
        ),
        id="unknown optimizer like no other",
    ),
    pytest.param(
        {"optimizer": 'type = ["adam"]\nlr = 1e-3'},
        (
            "optimizer.type",
            'should be a text (got ["adam"])',
            'type = ["adam"]',
            "there is 'adam', 'adamw', 'sgd' or 'rmsprop'",
        ),
        id="an optimizer that is no text",
    ),
    pytest.param(
        {"optimizer": 'type = "adam"'},
        ("optimizer.lr", "missing key of optimizer 'adam'", "[optimizer]", "learning rate"),
        id="no learning rate",
    ),
    pytest.param(
        {"optimizer": 'type = "adam"\nlr = 1.0\nbetta = 3'},
        (
            "optimizer.betta",
            "unknown key for optimizer 'adam'",
            "betta = 3",
            "did you mean 'betas'?",
        ),
        id="unknown key of an optimizer, told once for all networks",
    ),
    pytest.param(
        {"optimizer.generater": "lr = 1.0"},
        (
            "optimizer.generater",
            "this recipe has no generater",
            "[optimizer.generater]",
            "did you mean 'generator'?",
        ),
        id="a misspelt network",
    ),
    pytest.param(
        {"optimizer.encoder": "lr = 1.0"},
        (
            "optimizer.encoder",
            "this recipe has no encoder",
            "[optimizer.encoder]",
            "it has generator, discriminator, loss",
        ),
        id="an optimizer for a network that is not there",
    ),
    pytest.param(
        {"optimizer.generator": "lr = -2.0"},
        (
            "optimizer.generator.lr",
            "should be greater than or equal to 0 (got -2.0)",
            "lr = -2.0",
            "learning rate",
        ),
        id="a key in the network's own table",
    ),
    pytest.param(
        {"optimizer.generator": 'type = "sgd"'},
        (
            "optimizer.generator.lr",
            "missing key of optimizer 'sgd'",
            "[optimizer.generator]",
            "learning rate",
        ),
        id="another optimizer for one network starts from nothing",
    ),
    pytest.param(
        {"optimizer.generator": 'type = "sgd"\nlr = 1.0\nnesterov = true'},
        (
            "optimizer.generator",
            "nesterov needs a momentum above 0",
            "[optimizer.generator]",
            None,
        ),
        id="keys that do not go together in the network's own table",
    ),
    pytest.param(
        {"optimizer": 'type = "sgd"\nlr = 1.0\nnesterov = true'},
        ("optimizer", "nesterov needs a momentum above 0", "[optimizer]", None),
        id="keys that do not go together",
    ),
    pytest.param(
        {"optimizer.discriminator": 'type = "adamax"\nlr = 1.0'},
        (
            "optimizer.discriminator.type",
            "no optimizer is called 'adamax'",
            'type = "adamax"',
            "did you mean 'adam'?",
        ),
        id="unknown optimizer for one network",
    ),
    pytest.param(
        {"schedule": 'type = "discriminator-only"', "optimizer.generator": "speed = 3"},
        (
            "optimizer.generator.speed",
            "unknown key for optimizer 'adam'",
            "speed = 3",
            "it has lr, weight_decay, betas, eps",
        ),
        id="the optimizer of a network that is not trained",
    ),
]


@pytest.mark.parametrize(("changes", "expected"), ONE_PROBLEM)
def test_one_problem(
    write: WriteFile, changes: Changes, expected: tuple[str, str, str, str | None]
) -> None:
    error = refused(write(recipe_text(changes)))
    assert [told(problem) for problem in error.problems] == [expected]


WRONG_VALUES: list[Any] = [
    ("train", "iterations", "true", "should be a valid integer (got true)"),
    ("train", "iterations", '"1"', 'should be a valid integer (got "1")'),
    ("train", "iterations", "1.0", "should be a valid integer (got 1.0)"),
    ("train", "iterations", "[1]", "should be a valid integer (got [1])"),
    ("train", "iterations", "{}", "should be a valid integer (got {})"),
    ("train", "iterations", "0", "should be greater than 0 (got 0)"),
    ("train", "seed", "-1", "should be greater than or equal to 0 (got -1)"),
    ("ema", "decay", "1", "should be less than 1 (got 1)"),
    ("ema", "decay", "true", "should be a valid number (got true)"),
    ("ema", "decay", '"0.5"', 'should be a valid number (got "0.5")'),
    ("ema", "decay", "nan", "should be a finite number (got NaN)"),
    ("ema", "decay", "inf", "should be a finite number (got Infinity)"),
    ("ema", "decay", "2020-01-02", 'should be a valid number (got "2020-01-02")'),
    ("latent", "distribution", '"cauchy"', "should be 'normal' or 'uniform' (got \"cauchy\")"),
    ("engine", "deterministic", "1", "should be a valid boolean (got 1)"),
    ("engine", "deterministic", '"yes"', 'should be a valid boolean (got "yes")'),
    (
        "engine",
        "device",
        '"gpu"',
        'is no device (got "gpu")',
    ),
    ("generator", "label", "3", "should be a valid string (got 3)"),
    ("generator", "label", "2020-01-02", None),
    ("generator", "hidden", "3", "should be a valid array (got 3)"),
    ("generator", "hidden", '"3"', 'should be a valid array (got "3")'),
    ("generator", "hidden", "[3, 0]", "should be greater than 0 (got 0)"),
    ("generator", "range", "[0, 1, 2]", "should have at most 2 items, not 3 (got [0, 1, 2])"),
    (
        "generator",
        "normalisation",
        "3",
        "should be an object (got 3)",
    ),
    (
        "generator",
        "label",
        str(list(range(100))),
        "should be a valid string "
        "(got [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16...)",
    ),
]


@pytest.mark.parametrize(("table", "key", "value", "message"), WRONG_VALUES)
def test_a_wrong_value(
    write: WriteFile, table: str, key: str, value: str, message: str | None
) -> None:
    kept = {"generator": 'type = "plain"\n', "train": "iterations = 10\n"}.get(table, "")
    if (table, key) == ("train", "iterations"):
        kept = ""
    changes: Changes = {table: f"{kept}{key} = {value}", "": 'name = "good"'}
    file = write(recipe_text(changes))
    if message is None:
        load_recipe(file, registry=REGISTRY)
        return
    (problem,) = refused(file).problems
    assert problem.message == message
    assert problem.key.startswith(f"{table}.{key}")
    assert problem.origin.text == f"{key} = {value}"
    assert problem.hint  # what the key means


class TestPlaces:
    """Keys whose place takes some thought."""

    def keys(self, write: WriteFile, changes: Changes) -> list[tuple[str, str]]:
        problems = refused(write(recipe_text(changes))).problems
        return [(problem.key, problem.message) for problem in problems]

    def test_an_element_that_is_missing(self, write: WriteFile) -> None:
        assert self.keys(write, {"generator": 'type = "plain"\nrange = [1]'}) == [
            ("generator.range.1", "missing element of generator 'plain' (ganzoo-testing 1.0)")
        ]

    def test_an_element_of_an_array(self, write: WriteFile) -> None:
        assert self.keys(write, {"generator": 'type = "plain"\nhidden = [3, "4", true]'}) == [
            ("generator.hidden.1", 'should be a valid integer (got "4")'),
            ("generator.hidden.2", "should be a valid integer (got true)"),
        ]

    def test_a_key_with_two_types_names_no_type(self, write: WriteFile) -> None:
        assert self.keys(write, {"generator.normalisation": 'groups = [1, "2"]'}) == [
            ("generator.normalisation.groups", 'should be a valid integer (got [1, "2"])'),
            ("generator.normalisation.groups.1", 'should be a valid integer (got "2")'),
        ]

    def test_keys_that_do_not_go_together(self, write: WriteFile) -> None:
        assert self.keys(write, {"data": 'type = "dots"\nlow = 3.0'}) == [
            ("data", "low should be below high")
        ]

    def test_a_broken_element_does_not_shift_those_behind_it(self, write: WriteFile) -> None:
        text = recipe_text(
            {
                "discriminator": None,
                "encoder": 'type = "gaussian"',
                "loss": 'type = "evidence"',
                "schedule": 'type = "joint"',
            }
        )
        text += (
            "[[regularizers]]\ntype = 'penalti'\n[[regularizers]]\ntype = 'penalty'\ngamma = 1\n"
        )
        problems = refused(write(text)).problems
        assert [problem.key for problem in problems] == [
            "regularizers.0.type",
            "regularizers.1.type",
        ]
        assert problems[1].origin.text == "type = 'penalty'"

    def test_a_name_that_comes_from_the_file(self, write: WriteFile) -> None:
        file = write(recipe_text({"": "latent = { dim = 2 }"}), "my recipe.toml")
        (problem,) = refused(file).problems
        assert told(problem)[:3] == ("name", "'my recipe' cannot be a name", "")
        assert problem.origin.line is None


class TestOnePass:
    def test_everything_that_can_be_told_is_told(self, write: WriteFile) -> None:
        """One broken table hides nothing in the others."""
        error = refused(
            write(
                recipe_text(
                    {
                        "": "name = 3\nfoo = 4",
                        "data": 'type = "dots"\ndimm = 3',
                        "generator": None,
                        "discriminator": 'type = "plane"',
                        "loss": 'type = "hinges"',
                        "schedule": 'type = "alternating"\ndiscriminator_steps = 0',
                        "optimizer": 'type = "adam"\nlr = 0',
                        "train": "",
                        "log": "every = false",
                        "[metrics]": 'type = "counts"',
                    }
                )
            )
        )
        assert [problem.key for problem in error.problems] == [
            "name",
            "foo",
            "data.dimm",
            "discriminator.type",
            "loss.type",
            "schedule.discriminator_steps",
            "optimizer.lr",
            "train.iterations",
            "log.every",
            "metrics.0.type",
            "generator",  # it stands on no line
        ]

    def test_a_network_may_be_used_by_what_is_not_known_yet(self, write: WriteFile) -> None:
        error = refused(
            write(recipe_text({"encoder": 'type = "plain"', "generator": 'type = "encoding"'}))
        )
        assert [problem.key for problem in error.problems] == ["generator.type"]

    def test_nothing_is_told_twice(self, write: WriteFile) -> None:
        error = refused(write(recipe_text({"discriminator": 'type = "plane"'})))
        assert [problem.key for problem in error.problems] == ["discriminator.type"]

    def test_the_files_and_the_command_lines_problems_come_together(self, write: WriteFile) -> None:
        file = write(recipe_text({"train": "iterations = 0"}))
        error = refused(file, "log.every=0")
        assert [problem.origin.file for problem in error.problems] == [str(file), "command line"]


class Boundless(Buildable, GeneratorSpec):
    """A plugin's mistake: its default is not among its own values."""

    type: ClassVar[str] = "boundless"

    width: float = float("inf")


class TestRegistries:
    def test_a_kind_that_no_plugin_offers(self, write: WriteFile) -> None:
        file = write(recipe_text({"data": ""}))
        registry = Registry([CORE, plugin(PlainGenerator, *PARTS_WITHOUT_DATA)])
        (problem,) = refused(file, registry=registry).problems
        assert told(problem) == (
            "data.type",
            "missing",
            "[data]",
            "no installed plugin offers a component of the kind dataset",
        )

    def test_an_ambiguous_type(self, write: WriteFile) -> None:
        file = write(recipe_text({"loss": 'type = "judge"', "schedule": 'type = "alternating"'}))
        registry = Registry(
            [CORE, PARTS, plugin(JudgeLoss, distribution="ganzoo-zoo", version="2.0")]
        )
        (problem,) = refused(file, registry=registry).problems
        assert told(problem) == (
            "loss.type",
            "loss 'judge' is offered by ganzoo-testing 1.0 and ganzoo-zoo 2.0",
            'type = "judge"',
            "write 'ganzoo-testing:judge' or 'ganzoo-zoo:judge'",
        )

    def test_a_qualified_type(self, write: WriteFile) -> None:
        file = write(recipe_text({"loss": 'type = "ganzoo-core:minimax"'}))
        recipe = load_recipe(file, registry=REGISTRY)
        assert recipe.loss.name == "ganzoo-core:minimax"
        assert recipe.loss.spec.type == "minimax"

    def test_a_qualified_type_of_a_plugin_that_is_not_there(self, write: WriteFile) -> None:
        file = write(recipe_text({"loss": 'type = "ganzoo-zoo:minimax"'}))
        (problem,) = refused(file).problems
        assert problem.message == "no loss is called 'ganzoo-zoo:minimax'"

    def test_a_loss_that_no_other_schedule_fits_has_the_sequence(self, write: WriteFile) -> None:
        class Other(AlternatingSchedule):
            """Runs a phase that no loss has."""

            type: ClassVar[str] = "other"
            runs: ClassVar[frozenset[str]] = frozenset({"polishing"})

        others = [spec for kind, spec in CORE.components if not issubclass(spec, ScheduleSpec)]
        registry = Registry([plugin(*others, Other), PARTS])
        (problem,) = refused(
            write(recipe_text({"schedule": 'type = "other"'})), registry=registry
        ).problems
        assert told(problem) == (
            "schedule.type",
            "schedule 'other' runs the phase 'polishing', "
            "but loss 'minimax' has 'discriminator' and 'generator'",
            'type = "other"',
            'type = "sequence" with groups = [["discriminator"], ["generator"]] would do',
        )

    def test_a_default_that_is_not_valid_itself(self, write: WriteFile) -> None:
        file = write(recipe_text({"generator": 'type = "boundless"'}))
        (problem,) = refused(file, registry=Registry([CORE, PARTS, plugin(Boundless)])).problems
        assert problem.key == "generator.width"
        assert problem.message == "should be a finite number (got Infinity)"


PARTS_WITHOUT_DATA = [
    spec
    for _, spec in PARTS.components
    if spec is not PlainGenerator and not issubclass(spec, DatasetSpec)
]


class TestGoodRecipes:
    def load(self, write: WriteFile, changes: Changes, *overrides: str) -> Recipe:
        return load_recipe(write(recipe_text(changes)), *overrides, registry=REGISTRY)

    def test_values_arrive_as_they_are_meant(self, write: WriteFile) -> None:
        """Arrays serve as tuples and whole numbers as floats."""
        recipe = self.load(
            write,
            {
                "generator": 'type = "plain"\nhidden = [3, 4]\ndropout = 0\nrange = [0, 1]',
                "optimizer": 'type = "adam"\nlr = 1\nbetas = [0, 0.5]',
            },
        )
        spec: Any = recipe.generator.spec
        assert spec.hidden == (3, 4)
        assert repr(spec.range) == "(0.0, 1.0)"
        assert repr(spec.dropout) == "0.0"
        optimizer: Any = recipe.optimizers["generator"]
        assert repr(optimizer.lr) == "1.0"
        assert repr(optimizer.betas) == "(0.0, 0.5)"

    def test_the_name_is_the_files_where_it_says_none(self, write: WriteFile) -> None:
        file = write(recipe_text({"": None}), "mnist-gan.v2.toml")
        assert load_recipe(file, registry=REGISTRY).name == "mnist-gan.v2"

    def test_optimizers(self, write: WriteFile) -> None:
        """One for each trained network: the shared table, overridden by the network's own."""
        recipe = self.load(
            write,
            {
                "optimizer": 'type = "adam"\nlr = 1.0\neps = 1e-5',
                "optimizer.generator": "lr = 2.0",
                "optimizer.discriminator": 'type = "sgd"\nlr = 3.0',
            },
        )
        generator: Any = recipe.optimizers["generator"]
        discriminator: Any = recipe.optimizers["discriminator"]
        assert (generator.type, generator.lr, generator.eps) == ("adam", 2.0, 1e-5)
        assert (discriminator.type, discriminator.lr) == ("sgd", 3.0)
        assert not hasattr(discriminator, "eps")

    def test_only_trained_networks_have_an_optimizer(self, write: WriteFile) -> None:
        recipe = self.load(write, {"schedule": 'type = "discriminator-only"'})
        assert set(recipe.optimizers) == {"discriminator"}
        recipe = self.load(
            write,
            {
                "discriminator": None,
                "encoder": 'type = "gaussian"',
                "loss": 'type = "evidence"',
                "schedule": 'type = "joint"',
            },
        )
        assert set(recipe.optimizers) == {"generator", "encoder"}

    def test_networks_only_a_generator_needs_are_used(self, write: WriteFile) -> None:
        recipe = self.load(
            write,
            {
                "generator": 'type = "searching"',
                "loss": 'type = "judge"',
                "schedule": 'type = "discriminator-only"',
            },
        )
        assert set(recipe.networks) == {"generator", "discriminator"}

    def test_capabilities_that_are_requested(self, write: WriteFile) -> None:
        changes: Changes = {
            "discriminator": None,
            "encoder": 'type = "gaussian"',
            "loss": 'type = "evidence"',
            "schedule": 'type = "joint"',
        }
        recipe = self.load(write, changes)
        assert recipe.requested("encoder") == {"variance"}
        assert recipe.requested("generator") == frozenset()
        assert [place for place, _ in recipe.components()] == [
            "data",
            "generator",
            "encoder",
            "loss",
            "schedule",
            "prior",
        ]

    def test_overrides_are_checked_like_the_file(self, write: WriteFile) -> None:
        recipe = self.load(
            write, {}, "loss.type=non-saturating", "generator.hidden=[5]", "train.seed=3"
        )
        assert recipe.loss.name == "non-saturating"
        assert recipe.train.seed == 3
        spec: Any = recipe.generator.spec
        assert spec.hidden == (5,)
