"""Recipes that are too long, too deep, too large or no files: refused, and soon."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from components import REGISTRY, WriteFile, recipe_text

from ganzoo.recipe import RecipeError, load_recipe
from ganzoo.recipe.lines import DEEPEST
from ganzoo.recipe.problems import SHOWN
from ganzoo.recipe.source import LONGEST_CHAIN, read


def refusal(file: str | Path, *overrides: str) -> str:
    with pytest.raises(RecipeError) as caught:
        load_recipe(file, *overrides, registry=REGISTRY)
    return str(caught.value)


def quickly(file: Path) -> str:
    """The refusal of a large file, which takes seconds where the time grows with its square."""
    start = time.process_time()
    shown = refusal(file)
    assert time.process_time() - start < 10
    return shown


class TestWhatIsNoFile:
    def test_a_pipe_that_nobody_writes_into(self, tmp_path: Path) -> None:
        os.mkfifo(pipe := tmp_path / "pipe.toml")
        assert refusal(pipe).startswith(f"{pipe}: cannot be read: it is a pipe, not a file\n")

    def test_a_pipe_that_is_extended(self, tmp_path: Path, write: WriteFile) -> None:
        os.mkfifo(tmp_path / "pipe.toml")
        file = write('extends = "pipe.toml"\n')
        assert refusal(file).startswith(f"{file}:1: extends: '{tmp_path / 'pipe.toml'}' cannot be ")

    @pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
    def test_a_device(self, device: str) -> None:
        assert refusal(device).startswith(f"{device}: cannot be read: it is a device, not a file\n")

    def test_a_file_of_any_size(self, tmp_path: Path) -> None:
        file = tmp_path / "large.toml"
        with file.open("wb") as out:
            out.truncate(2**40)  # a hole
        assert quickly(file).startswith(f"{file}: cannot be read: it is larger than 1 MiB\n")


class TestOtherTexts:
    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
    def test_other_encodings(self, encoding: str, tmp_path: Path) -> None:
        file = tmp_path / "recipe.toml"
        file.write_bytes(recipe_text().encode(encoding))
        shown = refusal(file)
        assert shown.startswith(f"{file}: is not a text in UTF-8: it looks like UTF-16 ")
        assert "save it as UTF-8" in shown

    def test_latin_1_in_a_base_is_told_where_it_is_named(
        self, tmp_path: Path, write: WriteFile
    ) -> None:
        base = tmp_path / "base.toml"
        base.write_bytes("name = 'a'\nsummary = 'é'\n".encode("latin-1"))
        file = write('extends = "base.toml"\n', "child.toml")
        assert refusal(file).startswith(
            f"{file}:1: extends: '{base}' is not a text in UTF-8 (line 2)\n"
        )

    @pytest.mark.parametrize(
        "text", ["secret:x:0:0\n", "[secret]\ntoken = 'secret'\n", "token = 'secret'", "secret = "]
    )
    def test_what_is_no_recipe_is_not_shown(
        self, text: str, tmp_path: Path, write: WriteFile
    ) -> None:
        (tmp_path / "other").write_text(text)
        file = write('extends = "other"\n', "child.toml")
        assert refusal(file) == (
            f"{file}:1: extends: '{tmp_path / 'other'}' is no recipe\n"
            '    1 | extends = "other"\n'
            "1 problem; nothing was run"
        )


class TestDepth:
    @pytest.mark.parametrize("names", [DEEPEST + 1, 900, 100_000])
    @pytest.mark.parametrize(
        "text", ["[{}]\n", "[[{}]]\n", "{} = 1\n", "x = {{ {} = 1 }}\n", "[{}.\"b\".'c']\n"]
    )
    def test_a_key_of_many_names(self, text: str, names: int, write: WriteFile) -> None:
        file = write("\n" + text.format(" . ".join(["a"] * names)))
        shown = quickly(file)
        assert shown.startswith(
            f"{file}:2: not valid TOML: a key of more than {DEEPEST} names\n    2 | "
        )

    @pytest.mark.parametrize("depth", [DEEPEST + 1, 300, 100_000])
    @pytest.mark.parametrize("brackets", ["[]", "{}"])
    def test_a_value_within_values(self, brackets: str, depth: int, write: WriteFile) -> None:
        opened = "[" if brackets == "[]" else "{a = "
        text = opened * depth + "1" + brackets[1] * depth
        file = write(f"\n[train]\nx = {text}\n")
        shown = quickly(file)
        assert shown.startswith(
            (f"{file}:3: train.x", f"{file}:3: not valid TOML: tables or arrays are nested too")
        )

    def test_an_override_of_many_names_or_within_itself(self, write: WriteFile) -> None:
        file = write(recipe_text())
        shown = refusal(file, ".".join(["a"] * 900) + "=1", f"train.x={'[' * 300}{']' * 300}")
        assert f": a key of more than {DEEPEST} names\n" in shown
        assert "train.x: holds tables or arrays more than" in shown

    def test_what_is_deep_but_no_key(self, write: WriteFile) -> None:
        words = ".".join(["a"] * DEEPEST)
        text = f'# {words}\n[log]\nevery = 3 # {words}\n[train]\nseed = 1\n["x y"]\n'
        assert set(read(write(text)).table) == {"log", "train", "x y"}

    def test_files_that_extend_one_another(self, write: WriteFile) -> None:
        for number in range(1500):
            write(f'extends = "{number + 1}.toml"\n', f"{number}.toml")
        folder = write("", "1500.toml").parent
        shown = refusal(folder / "0.toml")
        assert f"{LONGEST_CHAIN - 1}.toml:1: extends: more than {LONGEST_CHAIN} files" in shown
        assert read(folder / f"{1501 - LONGEST_CHAIN}.toml").table == {}


class TestNumbers:
    @pytest.mark.parametrize("number", [10**9 + 1, 2**63, 10**400])
    @pytest.mark.parametrize("key", ["train.iterations", "evaluate.snapshots", "latent.dim"])
    def test_a_number_that_is_too_large_is_told_with_its_place(
        self, key: str, number: int, write: WriteFile
    ) -> None:
        shown = refusal(write(recipe_text()), f"{key}={number}")
        assert f"command line: {key}: " in shown
        wrong = "should be less than or equal to" if number < 2**63 else "beyond the 64 bits"
        assert wrong in shown

    def test_one_of_the_file(self, write: WriteFile) -> None:
        file = write(recipe_text({"train": f"iterations = 1{'0' * 400}"}))
        assert f"{file}:25: train.iterations: is a number beyond the 64 bits" in refusal(file)

    def test_steps_of_a_schedule(self, write: WriteFile) -> None:
        shown = refusal(write(recipe_text()), "schedule.discriminator_steps=1_000_000_000")
        assert "should be less than or equal to 10000 (got 1000000000)" in shown


class TestManyProblems:
    def test_wrong_keys(self, write: WriteFile) -> None:
        rows = "".join(f"kye{number} = 1\n" for number in range(20_000))
        file = write(recipe_text({"log": rows}))
        shown = quickly(file)
        assert shown.count("unknown key for [log]") == SHOWN
        assert shown.endswith(
            f"\n{file}: {20_000 - SHOWN} more problems\n20000 problems; nothing was run"
        )

    @pytest.mark.parametrize(
        "row",
        [
            "kye{0} = 1\n",
            "[kye{0}]\n",
            "[networks.kye{0}]\n",
            "[optimizer.kye{0}]\n",
            '[[metrics]]\ntype = "a{0}"\n',
            "[[metrics]]\n",
            "[a.b.c{0}]\nd = 'x'\n",
            "a{0}.b.c = [1]\n",
            '"kye {0}" = """\n"""\n',
        ],
    )
    @pytest.mark.parametrize("extended", [False, True])
    def test_of_every_sort(self, row: str, extended: bool, write: WriteFile) -> None:
        rows = "".join(row.format(number) for number in range(200_000 // (len(row) + 5)))
        file = write(rows, "many.toml")
        if extended:
            write("[log]\nevery = 1\n" + rows, "many.toml")
            file = write('extends = "many.toml"\n' + rows, "child.toml")
        shown = quickly(file)
        assert shown.endswith("problems; nothing was run")
        assert len(shown) < 100_000

    @pytest.mark.parametrize(
        "text",
        [
            "#" * 10**6,
            "a" * 10**6,
            f"{'a' * 10**6} = 1",
            f"a = '{'x' * 10**6}'",
            f"[log]\nevery = '{'x' * 10**6}'",
            f'[loss]\ntype = "{"x" * 10**6}"',
            f"name = '{'x' * 10**6}'",
            "\n" * 10**6,
            f"[log]\nevery = [{'1, ' * 300_000}]",
            f'a = """{"a.b.c" * 10**5}"""',
            '"' * 10**6,
            "a." * 500_000,
        ],
        ids=range(12),
    )
    def test_of_any_length(self, text: str, write: WriteFile) -> None:
        assert len(quickly(write(text))) < 100_000
