"""Recipes as they come out of editors, shells and broken disks: each is taken, or refused with its
place, and nothing else ever comes of one.

Most examples are valid. `make fuzz` tries many more of them, other ones each time.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from mutations import fuzzing

from ganzoo.errors import visible
from ganzoo.recipe import Problem, Recipe, RecipeError, load_recipe
from ganzoo.recipe.source import COMMAND_LINE

FOLDER = Path(__file__).parents[2] / "recipes"
RECIPES = {file.name: file.read_text() for file in sorted(FOLDER.glob("*.toml"))}
FUZZING = fuzzing(500)
EXAMPLES = FUZZING.max_examples

WITHOUT_LINE = ("missing table", "missing", "is not a text in UTF-8: it looks like")
"""What can be wrong with a file and stand on no line of it."""

COUNTS = st.integers(1, 10**6).map(str)
LARGE = st.integers(0, 2**63 - 1).map(str)
RATES = st.floats(1e-8, 10.0, allow_subnormal=False).map(str)
SHARES = st.floats(0.0, 0.999).map(str)

VALID: dict[str, st.SearchStrategy[str]] = {
    "name": st.from_regex(r"[a-z][a-z0-9-]{0,9}", fullmatch=True).map(lambda name: f"'{name}'"),
    "summary": st.text(st.characters(codec="utf-8", categories=["L", "N", "Zs"])).map(
        lambda text: f'"{text}"'
    ),
    "train.iterations": COUNTS,
    "train.seed": LARGE,
    "train.batch_size": st.sampled_from(["1", "2", "64", "1_000_000"]),
    "latent.dim": COUNTS,
    "latent.distribution": st.sampled_from(["normal", "'uniform'"]),
    "ema.decay": SHARES,
    "log.every": LARGE.map(lambda text: str(int(text) + 1 - (int(text) == 2**63 - 1))),
    "log.samples": st.integers(1, 10_000).map(str),
    "checkpoint.every": COUNTS,
    "checkpoint.keep": COUNTS,
    "evaluate.samples": COUNTS,
    "evaluate.snapshots": st.integers(0, 1000).map(str),
    "engine.device": st.sampled_from(["cpu", "'cuda:1'", "auto", "mps"]),
    "engine.precision": st.sampled_from(["float32", "bfloat16", "auto"]),
    "engine.deterministic": st.sampled_from(["true", "false"]),
    "optimizer.lr": RATES | st.builds("{{from = {}, to = {}}}".format, RATES, RATES),
    "optimizer.weight_decay": SHARES,
}
"""Overrides that recipes take."""

VALUES = [
    *("0", "-1", "1", "1e400", "-0.0", "nan", "inf", "2.5", "true", "''", "[]", "{}", "[[]]"),
    *("9223372036854775807", "9223372036854775808", f"1{'0' * 400}", "9" * 5000, "1979-05-27"),
    *("{ type = 3 }", "{ from = 1, to = 0, over = [1.0, 1.0] }", "[{ type = 'r1' }]", '"\\u001b"'),
    *(
        "'digits'",
        "0xff",
        "1_0",
        "'a\u202eb'",
        "[1, 'a', {}]",
        "{a.b.c = 1}",
        "'" + "x" * 5000 + "'",
    ),
]
"""Values of every type, and numbers at the edges."""

Mutation = Callable[[str], str]


def line_by_line(text: str, number: int, change: Callable[[str], str]) -> str:
    rows = text.split("\n")
    number %= len(rows)
    return "\n".join([*rows[:number], change(rows[number]), *rows[number + 1 :]])


@st.composite
def mutations(draw: st.DrawFn) -> tuple[str, Mutation]:
    """A change of a text, and its name."""
    number = draw(st.integers(0, 10**4))
    value = draw(st.sampled_from(VALUES))
    word = draw(st.sampled_from(["x", "tpye", "'a b'", '"\\u001b"', "a.b", "", "ä", "type"]))

    def renamed(row: str) -> str:
        return re.sub(r"[A-Za-z_-]+", lambda _: word, row, count=1)

    def revalued(row: str) -> str:
        return f"{row.partition('=')[0]}= {value}" if "=" in row else row

    kinds: dict[str, Mutation] = {
        "drop": lambda text: line_by_line(text, number, lambda row: ""),
        "double": lambda text: line_by_line(text, number, lambda row: f"{row}\n{row}"),
        "rename": lambda text: line_by_line(text, number, renamed),
        "revalue": lambda text: line_by_line(text, number, revalued),
        "cut": lambda text: text[: number % (len(text) + 1)],
        "insert": lambda text: line_by_line(text, number, lambda row: f"{row}\n{word} = {value}"),
        "header": lambda text: line_by_line(text, number, lambda row: f"[{word}]\n{row}"),
        "join": lambda text: text + RECIPES[sorted(RECIPES)[number % len(RECIPES)]],
        "swap": lambda text: "\n".join(reversed(text.split("\n"))),
    }
    name = draw(st.sampled_from(sorted(kinds)))
    return name, kinds[name]


@st.composite
def flips(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """A change of a few bytes."""
    places = draw(st.lists(st.tuples(st.integers(0, 10**4), st.integers(0, 255)), max_size=4))

    def flip(content: bytes) -> bytes:
        changed = bytearray(content)
        for place, byte in places:
            if changed:
                changed[place % len(changed)] = byte
        return bytes(changed)

    return flip


@st.composite
def wild_overrides(draw: st.DrawFn) -> str:
    """What somebody may type."""
    names = ["train", "seed", "generator", "hidden", "type", "regularizers", "0", "x", "loss", "é"]
    key = ".".join(draw(st.lists(st.sampled_from(names), max_size=4)))
    return key + draw(st.sampled_from(["=", "", " = ", "=="])) + draw(st.sampled_from(VALUES))


VALID_OVERRIDES = st.lists(
    st.sampled_from(sorted(VALID)).flatmap(
        lambda key: VALID[key].map(lambda value: f"{key}={value}")
    ),
    max_size=4,
)


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, bytes, list[str], str]:
    """The name of a recipe, its bytes, overrides, and what was done to it."""
    name = draw(st.sampled_from(sorted(RECIPES)))
    text, overrides = RECIPES[name], draw(VALID_OVERRIDES)
    how = draw(st.sampled_from(["valid"] * 7 + ["text"] * 2 + ["bytes", "overrides"]))
    done = how
    if how == "text":
        for _ in range(draw(st.integers(1, 2))):
            done, change = draw(mutations())
            text = change(text)
    content = text.encode()
    if how == "bytes":
        content = draw(flips())(content)
    if how == "overrides":
        overrides.append(draw(wild_overrides()))
    return name, content, overrides, done


def check_refusal(error: RecipeError, file: Path) -> None:
    """Every problem has its place, and nothing that is shown commands a terminal."""
    shown = str(error)
    assert visible(shown) == shown
    assert error.problems
    for problem in error.problems:
        assert has_place(problem, file), problem


def has_place(problem: Problem, file: Path) -> bool:
    origin = problem.origin
    if origin.file == COMMAND_LINE:
        return bool(origin.text)
    if Path(origin.file).parent != file.parent:
        return False
    return origin.line is not None or problem.message.startswith(WITHOUT_LINE)


def check_recipe(recipe: Recipe, file: Path) -> None:
    """A recipe is one that is written and read as the same."""
    file.write_text(recipe.to_toml(), encoding="utf-8")
    assert load_recipe(file) == recipe


@pytest.mark.timeout(3600)
def test_a_recipe_is_taken_or_refused_with_its_place(tmp_path: Path) -> None:
    for name, text in RECIPES.items():
        (tmp_path / name).write_text(text)  # those that are extended
    counts: Counter[str] = Counter()

    @FUZZING
    @given(case=cases())
    def example(case: tuple[str, bytes, list[str], str]) -> None:
        name, content, overrides, done = case
        event(done)
        counts["all"] += 1
        file = tmp_path / f"case-{name}"
        file.write_bytes(content)
        try:
            recipe = load_recipe(file, *overrides)
        except RecipeError as error:
            # Not every recipe has optimizers that share keys.
            if done == "valid" and not any(each.startswith("optimizer") for each in overrides):
                raise
            check_refusal(error, file)
        else:
            counts["valid"] += 1
            check_recipe(recipe, tmp_path / "again.toml")

    example()
    print(f"{counts['all']} recipes, {counts['valid']} of them valid")
    assert counts["all"] >= EXAMPLES
    assert counts["valid"] > counts["all"] / 2
