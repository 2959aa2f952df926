"""Reading of recipe files: `extends`, overrides, and where each key comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from components import WriteFile

from ganzoo.recipe import RecipeError
from ganzoo.recipe.lines import Path as KeyPath
from ganzoo.recipe.source import Source, override, read


def refusal(act: Any, *arguments: Any) -> str:
    with pytest.raises(RecipeError) as caught:
        act(*arguments)
    assert caught.value.exit_code == 2
    return str(caught.value)


def told(source: Source, *path: str | int) -> tuple[str, int | None, str]:
    """File name, line and text of the origin of a key."""
    origin = source.origin(path)
    return Path(origin.file).name, origin.line, origin.text


class TestFiles:
    def test_a_file_is_read_with_the_origin_of_every_key(self, write: WriteFile) -> None:
        source = read(write("# a recipe\n[train]\n  seed = 3  # three\n"))
        assert source.table == {"train": {"seed": 3}}
        assert told(source, "train") == ("recipe.toml", 2, "[train]")
        assert told(source, "train", "seed") == ("recipe.toml", 3, "  seed = 3  # three")
        assert told(source, "train", "iterations") == ("recipe.toml", 2, "[train]")
        assert told(source, "data") == ("recipe.toml", None, "")

    @pytest.mark.parametrize("break_", ["\n", "\r\n"])
    def test_line_breaks_of_both_worlds(self, write: WriteFile, break_: str) -> None:
        text = 'summary = """\na\u2028b\u0085c\n"""\n[train]\nseed = 3\n'.replace("\n", break_)
        source = read(write(text))
        assert told(source, "train", "seed") == ("recipe.toml", 5, "seed = 3")

    def test_a_byte_order_mark_is_no_part_of_the_text(self, write: WriteFile) -> None:
        assert read(write("\ufeffname = 'a'\n")).table == {"name": "a"}

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        file = tmp_path / "nothing.toml"
        assert refusal(read, file) == (
            f"{file}: no such recipe\n      = `ganzoo recipes` lists the recipes\n"
            "1 problem; nothing was run"
        )

    def test_a_file_whose_name_is_nearly_right(self, write: WriteFile, tmp_path: Path) -> None:
        there = write("", "digits-gan.toml")
        write("", "other.toml")
        file = tmp_path / "digit-gan.toml"
        assert refusal(read, file) == (
            f"{file}: no such recipe\n      = did you mean '{there}'?\n1 problem; nothing was run"
        )

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        file = tmp_path / "nowhere" / "recipe.toml"
        assert refusal(read, file).startswith(f"{file}: no such recipe\n")

    def test_a_folder(self, tmp_path: Path) -> None:
        assert refusal(read, tmp_path) == (
            f"{tmp_path}: cannot be read: Is a directory\n1 problem; nothing was run"
        )

    def test_a_path_that_no_file_can_have(self) -> None:
        assert refusal(read, "a\0b").startswith("a\\u0000b: cannot be read: embedded null byte")

    def test_a_file_that_is_not_utf_8(self, tmp_path: Path) -> None:
        file = tmp_path / "recipe.toml"
        file.write_bytes("summary = 'Bäume'\n".encode("latin-1"))
        assert refusal(read, file) == (
            f"{file}:1: is not a text in UTF-8\n"
            "      = save it as UTF-8\n"
            "1 problem; nothing was run"
        )

    @pytest.mark.parametrize(
        ("text", "line", "message", "row"),
        [
            (
                "a = 1\n[train\nseed = 1\n",
                2,
                "Expected ']' at the end of a table declaration",
                "[train",
            ),
            ("a = 1\r\nb = = 2\r\n", 2, "Invalid value", "b = = 2"),
            ("[train]\nseed = 1\nseed = 2\n", 3, "Cannot overwrite a value", "seed = 2"),
            ("[train]\n[train]\n", 2, "Cannot declare ('train',) twice", "[train]"),
            ("a = '\u2028'\nb = True\n", 2, "Invalid value", "b = True"),
            ("a = 'x\n", 1, 'Expected "\'" (at end of document)', "a = 'x"),
            ('a = 1\nb = """x\n', 2, "Unterminated string (at end of document)", 'b = """x'),
            (f"a = {'9' * 5000}\n", 1, "a number of over 4300 digits\n", "a = 999"),
            ("a = " + "[" * 5000, 1, "tables or arrays are nested too deep\n", "a = [[["),
        ],
    )
    def test_what_is_not_toml(
        self, write: WriteFile, text: str, line: int, message: str, row: str
    ) -> None:
        file = write(text)
        shown = refusal(read, file)
        assert shown.startswith(f"{file}:{line}: not valid TOML: {message}")
        assert shown.split("\n")[1].startswith(f"    {line} | {row}")
        assert shown.endswith("\n1 problem; nothing was run")
        assert "column" not in shown

    def test_an_empty_file_is_valid(self, write: WriteFile) -> None:
        assert read(write("")).table == {}


BASE = """\
name = "base"
summary = "what children start from"
latent = { dim = 100 }

[generator]
type = "plain"
hidden = [1, 2]
dropout = 0.5

[optimizer]
type = "adam"
lr = 1.0

[optimizer.generator]
lr = 2.0

[[regularizers]]
type = "penalty"
gamma = 1.0

[train]
iterations = 10
seed = 1
"""


class TestExtends:
    def child(self, write: WriteFile, text: str) -> Source:
        write(BASE, "base.toml")
        return read(write('extends = "base.toml"\n' + text, "child.toml"))

    def test_tables_merge_key_by_key(self, write: WriteFile) -> None:
        source = self.child(write, "[train]\nseed = 2\n[log]\nevery = 5\n")
        assert source.table["train"] == {"iterations": 10, "seed": 2}
        assert source.table["log"] == {"every": 5}
        assert source.table["latent"] == {"dim": 100}
        assert "extends" not in source.table

    def test_name_and_summary_are_the_files_own(self, write: WriteFile) -> None:
        source = self.child(write, "")
        assert "name" not in source.table
        assert "summary" not in source.table
        assert told(source, "name") == ("child.toml", None, "")
        assert self.child(write, "name = 'child'\n").table["name"] == "child"

    def test_each_key_remembers_its_file_and_line(self, write: WriteFile) -> None:
        source = self.child(write, "[train]\nseed = 2\n")
        assert told(source, "train", "seed") == ("child.toml", 3, "seed = 2")
        assert told(source, "train", "iterations") == ("base.toml", 22, "iterations = 10")
        assert told(source, "regularizers", 0, "gamma") == ("base.toml", 19, "gamma = 1.0")
        source = override(source, ["train.iterations=7", "log.every=3"])
        assert told(source, "train", "iterations") == ("command line", None, "train.iterations=7")
        assert told(source, "train", "seed") == ("child.toml", 3, "seed = 2")
        assert told(source, "log", "every") == ("command line", None, "log.every=3")

    def test_a_key_of_an_inline_table_is_told_from_the_one_it_replaces(
        self, write: WriteFile
    ) -> None:
        line = 'latent = { distribution = "uniform" }'
        source = self.child(write, line)
        assert source.table["latent"] == {"dim": 100, "distribution": "uniform"}
        assert told(source, "latent", "distribution") == ("child.toml", 2, line)
        assert told(source, "latent", "dim") == ("base.toml", 3, "latent = { dim = 100 }")

    def test_a_table_over_an_inline_table_leaves_the_other_keys_where_they_are(
        self, write: WriteFile
    ) -> None:
        line = 'generator = { type = "plain", normalisation = { groups = 1 } }'
        write(line, "base.toml")
        child = 'extends = "base.toml"\n[generator.normalisation]\nmomentum = 0.5\n'
        source = read(write(child, "child.toml"))
        assert told(source, "generator", "normalisation", "groups") == ("base.toml", 1, line)
        assert told(source, "generator", "normalisation", "momentum")[:2] == ("child.toml", 3)

    def test_a_changed_type_drops_the_old_types_keys(self, write: WriteFile) -> None:
        source = self.child(write, '[generator]\ntype = "styled"\ndepth = 3\n')
        assert source.table["generator"] == {"type": "styled", "depth": 3}
        # A key that the new type misses is missing where the new type was asked for.
        assert told(source, "generator", "hidden") == ("child.toml", 2, "[generator]")

    def test_the_same_type_keeps_them(self, write: WriteFile) -> None:
        source = self.child(write, '[generator]\ntype = "plain"\ndropout = 0.1\n')
        assert source.table["generator"] == {"type": "plain", "hidden": [1, 2], "dropout": 0.1}

    def test_another_optimizer_keeps_the_tables_of_the_networks(self, write: WriteFile) -> None:
        source = self.child(write, '[optimizer]\ntype = "sgd"\n')
        assert source.table["optimizer"] == {"type": "sgd", "generator": {"lr": 2.0}}
        assert told(source, "optimizer", "generator", "lr") == ("base.toml", 15, "lr = 2.0")

    def test_a_type_outside_any_table_drops_nothing(self, write: WriteFile) -> None:
        source = self.child(write, 'type = "gan"\n')
        assert source.table["train"] == {"iterations": 10, "seed": 1}

    def test_arrays_are_replaced(self, write: WriteFile) -> None:
        source = self.child(write, '[generator]\nhidden = [9]\n[[regularizers]]\ntype = "r1"\n')
        assert source.table["generator"]["hidden"] == [9]
        assert source.table["regularizers"] == [{"type": "r1"}]
        assert told(source, "regularizers", 0, "type") == ("child.toml", 5, 'type = "r1"')
        assert told(source, "regularizers", 0, "gamma") == ("child.toml", 4, "[[regularizers]]")

    @pytest.mark.parametrize(
        ("text", "key", "value"),
        [
            ("[regularizers]\ntype = 'r1'\n", "regularizers", {"type": "r1"}),
            ("train = 3\n", "train", 3),
            ("latent = []\n", "latent", []),
            ("[generator.hidden]\nfirst = 1\n", "generator", None),
        ],
    )
    def test_what_changes_its_shape_is_replaced(
        self, write: WriteFile, text: str, key: str, value: Any
    ) -> None:
        source = self.child(write, text)
        if value is None:
            assert source.table["generator"]["hidden"] == {"first": 1}
        else:
            assert source.table[key] == value
        assert told(source, key)[0] == "child.toml" or key == "generator"

    def test_a_chain_of_three_in_folders_of_their_own(self, write: WriteFile) -> None:
        write("name = 'a'\n[train]\nseed = 1\niterations = 1\nbatch_size = 1\n", "a/a.toml")
        write('extends = "../a/a.toml"\n[train]\nseed = 2\niterations = 2\n', "b/b.toml")
        source = read(write('extends = "b/b.toml"\n[train]\nseed = 3\n', "c.toml"))
        assert source.table == {"train": {"seed": 3, "iterations": 2, "batch_size": 1}}
        assert [told(source, "train", key)[:2] for key in ("seed", "iterations", "batch_size")] == [
            ("c.toml", 3),
            ("b.toml", 4),
            ("a.toml", 5),
        ]

    @pytest.mark.parametrize("length", [1, 2, 3])
    def test_a_cycle(self, write: WriteFile, length: int) -> None:
        files = [
            write(f'# {index}\nextends = "{(index + 1) % length}.toml"\n', f"{index}.toml")
            for index in range(length)
        ]
        last = files[-1]
        assert refusal(read, files[0]) == (
            f"{last}:2: extends: the files extend each other\n"
            '    2 | extends = "0.toml"\n'
            "1 problem; nothing was run"
        )

    def test_a_base_used_twice_is_no_cycle(self, write: WriteFile) -> None:
        self.child(write, "")
        assert self.child(write, "").table["train"]["seed"] == 1

    def test_a_base_that_is_not_there(self, write: WriteFile, tmp_path: Path) -> None:
        write(BASE, "base.toml")
        file = write('\nextends = "bsae.toml"\n', "child.toml")
        assert refusal(read, file) == (
            f"{file}:2: extends: there is no recipe '{tmp_path / 'bsae.toml'}'\n"
            '    2 | extends = "bsae.toml"\n'
            f"      = did you mean '{tmp_path / 'base.toml'}'?\n"
            "1 problem; nothing was run"
        )

    def test_a_base_that_cannot_be_read(self, write: WriteFile, tmp_path: Path) -> None:
        (tmp_path / "base.toml").mkdir()
        file = write('extends = "base.toml"\n')
        assert refusal(read, file).startswith(
            f"{file}:1: extends: '{tmp_path / 'base.toml'}' cannot be read: Is a directory\n"
        )

    def test_a_base_that_is_not_toml_is_shown_itself(
        self, write: WriteFile, tmp_path: Path
    ) -> None:
        write("train = \n", "base.toml")
        shown = refusal(read, write('extends = "base.toml"\n'))
        assert shown.startswith(f"{tmp_path / 'base.toml'}:1: not valid TOML: Invalid value\n")

    def test_extends_has_to_be_a_text(self, write: WriteFile) -> None:
        file = write('extends = ["base.toml"]\n')
        assert refusal(read, file) == (
            f"{file}:1: extends: must be the path of a recipe\n"
            '    1 | extends = ["base.toml"]\n'
            "1 problem; nothing was run"
        )


class TestOverrides:
    @pytest.fixture
    def source(self, write: WriteFile) -> Source:
        return read(write(BASE))

    @pytest.mark.parametrize(
        ("assignment", "path", "value"),
        [
            ("name=other", ("name",), "other"),
            ("data.type=image-folder", ("data", "type"), "image-folder"),
            ("data.type=ganzoo-data:mnist", ("data", "type"), "ganzoo-data:mnist"),
            ("data.folder=~/pictures/cats.d", ("data", "folder"), "~/pictures/cats.d"),
            ("data.folder=../a_b", ("data", "folder"), "../a_b"),
            ('summary="two words"', ("summary",), "two words"),
            ("summary='a = b'", ("summary",), "a = b"),
            ("summary=''", ("summary",), ""),
            ("train.seed=12", ("train", "seed"), 12),
            ("train.iterations=20_000", ("train", "iterations"), 20_000),
            ("optimizer.lr=3e-4", ("optimizer", "lr"), 3e-4),
            ("engine.deterministic=false", ("engine", "deterministic"), False),
            ("train.note=True", ("train", "note"), "True"),
            ("generator.hidden=[3, 4]", ("generator", "hidden"), [3, 4]),
            ("generator.hidden=[]", ("generator", "hidden"), []),
            ("generator.hidden.1=7", ("generator", "hidden"), [1, 7]),
            ("latent={dim = 3}", ("latent",), {"dim": 3}),
            ("latent.distribution=uniform", ("latent",), {"dim": 100, "distribution": "uniform"}),
            ("regularizers.0.gamma=2", ("regularizers", 0), {"type": "penalty", "gamma": 2}),
            ("regularizers.0.type=other", ("regularizers", 0), {"type": "other"}),
            ("regularizers=[]", ("regularizers",), []),
            ("regularizers={type='x'}", ("regularizers",), {"type": "x"}),
            ("generator.type=other", ("generator",), {"type": "other"}),
            ("optimizer.type=sgd", ("optimizer",), {"type": "sgd", "generator": {"lr": 2.0}}),
            ("train.0=1", ("train", "0"), 1),
            ("0=1", ("0",), 1),
            (" train.seed = 5 ", ("train", "seed"), 5),
        ],
    )
    def test_values(self, source: Source, assignment: str, path: KeyPath, value: Any) -> None:
        found: Any = override(source, [assignment]).table
        for part in path:
            found = found[part]
        assert found == value
        assert type(found) is type(value)

    def test_the_source_itself_is_left_as_it_was(self, source: Source) -> None:
        override(source, ["generator.hidden.0=9", "train.seed=9"])
        assert source.table["generator"]["hidden"] == [1, 2]
        assert told(source, "train", "seed") == ("recipe.toml", 23, "seed = 1")

    def test_the_last_one_counts(self, source: Source) -> None:
        result = override(source, ["train.seed=3", "train.seed=4"])
        assert result.table["train"]["seed"] == 4
        assert told(result, "train", "seed") == ("command line", None, "train.seed=4")

    def test_they_are_laid_on_in_order(self, source: Source) -> None:
        result = override(source, ["generator.type=x", "generator.depth=3"])
        assert result.table["generator"] == {"type": "x", "depth": 3}
        result = override(source, ["generator.depth=3", "generator.type=x"])
        assert result.table["generator"] == {"type": "x"}
        assert told(result, "generator", "width") == ("command line", None, "generator.type=x")

    @pytest.mark.parametrize(
        ("assignment", "shown"),
        [
            (
                "train.seed",
                "command line: cannot be read as an override\n"
                "    train.seed\n"
                "      = write key=value",
            ),
            ("=3", "command line: cannot be read as an override\n    =3\n      = write key=value"),
            (
                "train..seed=3",
                "command line: cannot be read as an override\n"
                "    train..seed=3\n"
                "      = write key=value",
            ),
            (
                "summary=two words",
                "command line: summary: the value is not TOML: Invalid value\n"
                "    summary=two words\n"
                "      = texts with spaces or signs need quotes, lists need brackets",
            ),
            (
                "generator.hidden=1,2",
                "command line: generator.hidden: the value is not TOML: "
                "Expected newline or end of document after a statement\n"
                "    generator.hidden=1,2\n"
                "      = texts with spaces or signs need quotes, lists need brackets",
            ),
            (
                "train.seed=",
                "command line: train.seed: the value is not TOML: Invalid value\n"
                "    train.seed=\n"
                "      = texts with spaces or signs need quotes, lists need brackets",
            ),
            (
                "regularizers.1.gamma=2",
                "command line: regularizers.1.gamma: "
                "regularizers is an array of 1 element\n"
                "    regularizers.1.gamma=2\n"
                "      = write its position, from 0",
            ),
            (
                "generator.hidden.2=2",
                "command line: generator.hidden.2: "
                "generator.hidden is an array of 2 elements\n"
                "    generator.hidden.2=2\n"
                "      = write its position, from 0",
            ),
            (
                "regularizers.gamma=2",
                "command line: regularizers.gamma: regularizers is an array of 1 element\n"
                "    regularizers.gamma=2\n"
                "      = write its position, from 0",
            ),
            (
                "regularizers.-1.gamma=2",
                "command line: regularizers.-1.gamma: "
                "regularizers is an array of 1 element\n"
                "    regularizers.-1.gamma=2\n"
                "      = write its position, from 0",
            ),
        ],
    )
    def test_what_cannot_be_read(self, source: Source, assignment: str, shown: str) -> None:
        assert refusal(override, source, [assignment]) == f"{shown}\n1 problem; nothing was run"

    @pytest.mark.parametrize("value", ["9" * 5000, "[" * 5000])
    def test_absurd_values_are_refused_like_others(self, source: Source, value: str) -> None:
        assert "the value is not TOML" in refusal(override, source, [f"train.seed={value}"])

    def test_several_bad_ones_are_told_together(self, source: Source) -> None:
        shown = refusal(override, source, ["train.seed", "train.seed=2", "a=b c", "=1"])
        assert shown.count("command line: ") == 3
        assert shown.endswith("\n3 problems; nothing was run")
