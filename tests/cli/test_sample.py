"""`ganzoo sample`: pictures and arrays from the generator of a run."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from PIL import Image

import ganzoo

Command = Callable[..., CompletedProcess[str]]


@pytest.fixture(scope="module")
def points_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of points in the plane, after one iteration."""
    folder = tmp_path_factory.mktemp("points")
    (folder / "points.toml").write_text(
        'latent = { dim = 2 }\ndata = { type = "ring", samples = 100 }\n'
        'generator = { type = "mlp", hidden = [4] }\n'
        'discriminator = { type = "mlp", hidden = [4] }\n'
        'loss = { type = "minimax" }\nschedule = { type = "alternating" }\n'
        'optimizer = { type = "sgd", lr = 0.1 }\ntrain = { iterations = 1 }\n'
    )
    return ganzoo.train(ganzoo.load_recipe(folder / "points.toml"), runs=folder).path


@pytest.fixture(scope="module")
def class_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A conditional run of digits, after one iteration."""
    folder = tmp_path_factory.mktemp("classes")
    (folder / "classes.toml").write_text(
        'condition = "class"\nlatent = { dim = 2 }\ndata = { type = "digits" }\n'
        'generator = { type = "mlp", hidden = [8] }\n'
        'discriminator = { type = "mlp", hidden = [8] }\n'
        'loss = { type = "non-saturating" }\nschedule = { type = "alternating" }\n'
        'optimizer = { type = "adam", lr = 0.001 }\ntrain = { iterations = 1 }\n'
    )
    return ganzoo.train(ganzoo.load_recipe(folder / "classes.toml"), runs=folder).path


@pytest.fixture(scope="module")
def code_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of an autoencoder, whose latents come from a mixture fitted to codes."""
    folder = tmp_path_factory.mktemp("codes")
    (folder / "codes.toml").write_text(
        'latent = { dim = 2 }\ndata = { type = "digits" }\n'
        'generator = { type = "mlp", hidden = [8] }\nencoder = { type = "mlp", hidden = [8] }\n'
        'loss = { type = "reconstruction" }\nschedule = { type = "joint" }\n'
        'optimizer = { type = "adam", lr = 0.001 }\ntrain = { iterations = 1 }\n'
        'prior = { type = "mixture", components = 2 }\npriors = [{ type = "normal" }]\n'
    )
    return ganzoo.train(ganzoo.load_recipe(folder / "codes.toml"), runs=folder).path


def sampled(command: Command, run: Path, out: str, *options: str) -> Path:
    """What `ganzoo sample` wrote; it has printed the path of it and nothing else."""
    result = command("sample", run, "--out", out, *options)
    assert (result.returncode, result.stdout, result.stderr) == (0, f"{out}\n", "")
    return Path(out)


def test_png_is_a_grid(command: Command, finished_run: Path) -> None:
    with Image.open(sampled(command, finished_run, "grid.png", "--num", "9")) as picture:
        assert picture.format == "PNG"
        width, height = picture.size
        pixels = np.asarray(picture.convert("L"))
    # 3 x 3 digits of 8 pixels with a line around each, enlarged by a whole number.
    assert width == height
    scale, rest = divmod(width, 3 * (8 + 1) + 1)
    assert (scale > 1, rest) == (True, 0)
    assert (pixels[:scale] == pixels[0, 0]).all()


def test_npy_of_images_is_uint8(command: Command, finished_run: Path) -> None:
    array = np.load(sampled(command, finished_run, "images.npy", "--num", "5"))
    assert (array.shape, array.dtype) == ((5, 1, 8, 8), np.uint8)
    assert len(np.unique(array.reshape(5, -1), axis=0)) == 5


def test_npy_of_points_is_float32(command: Command, points_run: Path) -> None:
    array = np.load(sampled(command, points_run, "points.npy", "--num", "5"))
    assert (array.shape, array.dtype) == ((5, 2), np.float32)
    assert np.isfinite(array).all()


def test_png_of_points_is_a_plot(command: Command, points_run: Path) -> None:
    with Image.open(sampled(command, points_run, "points.png")) as picture:
        assert picture.format == "PNG"


def test_a_folder_gets_one_png_a_sample(command: Command, finished_run: Path) -> None:
    folder = sampled(command, finished_run, "new/folder", "--num", "3", "--seed", "1")
    assert sorted(file.name for file in folder.iterdir()) == [
        "000000.png",
        "000001.png",
        "000002.png",
    ]
    array = np.load(sampled(command, finished_run, "same.npy", "--num", "3", "--seed", "1"))
    for number, expected in enumerate(array):
        with Image.open(folder / f"{number:06d}.png") as picture:
            assert np.array_equal(np.asarray(picture), expected[0])


@pytest.mark.parametrize("ending", ["png", "npy"])
def test_the_seed_decides_the_bytes(command: Command, finished_run: Path, ending: str) -> None:
    first, second, other = (
        sampled(command, finished_run, f"{name}.{ending}", "--num", "4", "--seed", seed)
        for name, seed in (("first", "3"), ("second", "3"), ("other", "4"))
    )
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes() != other.read_bytes()


def test_sixty_four_samples_of_seed_0_if_nothing_else_is_said(
    command: Command, finished_run: Path
) -> None:
    short = sampled(command, finished_run, "short.npy")
    assert len(np.load(short)) == 64
    long = sampled(command, finished_run, "long.npy", "--num", "64", "--seed", "0")
    assert short.read_bytes() == long.read_bytes()


def test_samples_of_one_class(command: Command, class_run: Path) -> None:
    arrays = {
        label: np.load(sampled(command, class_run, f"{label}.npy", "--num", "3", "--class", label))
        for label in ("0", "7", "9")
    }
    run = ganzoo.open_run(class_run)
    for label, array in arrays.items():
        expected = run.sample(3, label=int(label)).add(1).mul(127.5).round()
        assert np.array_equal(array, expected.numpy())
    assert len({array.tobytes() for array in arrays.values()}) == 3


def test_all_classes_if_none_is_named(command: Command, class_run: Path) -> None:
    """Each sample is then the one of the same number of one class."""
    mixed = np.load(sampled(command, class_run, "mixed.npy", "--num", "12"))
    by_class = [
        np.load(sampled(command, class_run, f"{label}.npy", "--num", "12", "--class", str(label)))
        for label in range(10)
    ]
    classes = [
        [label for label in range(10) if np.array_equal(by_class[label][row], sample)]
        for row, sample in enumerate(mixed)
    ]
    assert {len(matches) for matches in classes} == {1}
    assert len({matches[0] for matches in classes}) > 3


@pytest.mark.parametrize("label", ["10", "-1", "seven", "²", "9" * 40])
def test_a_class_that_is_not_there(command: Command, class_run: Path, label: str) -> None:
    result = command("sample", class_run, "--out", "x.npy", "--class", label)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == f"there is no class {label}\n  = classes are 0 to 9\n"


def test_a_run_without_classes(command: Command, finished_run: Path) -> None:
    result = command("sample", finished_run, "--out", "x.npy", "--class", "7")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        f"{finished_run} was not trained with classes\n"
        '  = condition = "class" in a recipe does so\n'
    )


def test_the_recipes_prior_and_the_others(command: Command, code_run: Path) -> None:
    default, mixture, normal = (
        sampled(command, code_run, f"{name}.npy", "--num", "4", *options).read_bytes()
        for name, options in (
            ("default", []),
            ("mixture", ["--prior", "mixture"]),
            ("normal", ["--prior", "normal"]),
        )
    )
    assert default == mixture
    assert default != normal


def test_a_prior_that_the_recipe_does_not_name(command: Command, code_run: Path) -> None:
    result = command("sample", code_run, "--out", "x.npy", "--prior", "latent")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == f"{code_run} has no prior 'latent'\n  = it has mixture, normal\n"


def test_a_run_under_way_is_sampled_from_its_checkpoint(
    command: Command, interrupted_run: Path
) -> None:
    assert len(np.load(sampled(command, interrupted_run, "early.npy", "--num", "2"))) == 2


def test_a_run_without_a_checkpoint(command: Command, interrupted_run: Path) -> None:
    for file in (interrupted_run / "checkpoints").iterdir():
        file.unlink()
    result = command("sample", interrupted_run, "--out", "x.png")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        f"{interrupted_run} has no weights yet\n"
        f"  = `ganzoo resume {interrupted_run}` trains it; a checkpoint is enough\n"
    )


@pytest.mark.parametrize(("name", "kind"), [("x.jpg", "JPEG"), ("x.WebP", "WEBP")])
def test_other_pictures_are_grids_too(
    command: Command, finished_run: Path, name: str, kind: str
) -> None:
    with Image.open(sampled(command, finished_run, "x.png")) as png:
        size = png.size
    with Image.open(sampled(command, finished_run, name)) as picture:
        assert (picture.format, picture.size) == (kind, size)


def test_samples_are_not_mixed_with_others(command: Command, finished_run: Path) -> None:
    sampled(command, finished_run, "folder", "--num", "2")
    result = command("sample", finished_run, "--out", "folder", "--num", "1")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "folder is not empty, and samples are not mixed\n  = take a new folder\n"
    )


def test_one_sample_of_each_seed(command: Command, finished_run: Path) -> None:
    folder = sampled(command, finished_run, "folder", "--seeds", "3-5")
    assert sorted(path.name for path in folder.iterdir()) == [
        *("seed000003.png", "seed000004.png", "seed000005.png")
    ]
    sampled(command, finished_run, "one", "--seed", "4", "--num", "1")
    assert (folder / "seed000004.png").read_bytes() == Path("one/000000.png").read_bytes()
    array = np.load(sampled(command, finished_run, "x.npy", "--seeds", "7"))
    assert array.shape == (1, 1, 8, 8)


def test_seeds_beyond_memory(command: Command, finished_run: Path) -> None:
    result = command("sample", finished_run, "--out", "x", "--seeds", "0-999999999999")
    assert (result.returncode, result.stdout) == (2, "")
    assert re.match(r"1000000000000 samples would take .* of memory, and there are", result.stderr)
    assert result.stderr.endswith("  = give fewer seeds\n")


@pytest.mark.parametrize("seeds", ["5-3", "a", "1-", "-1", "1e3"])
def test_no_seeds(command: Command, finished_run: Path, seeds: str) -> None:
    result = command("sample", finished_run, "--out", "x.npy", f"--seeds={seeds}")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == f"'{seeds}' are no seeds\n  = write --seeds 0-35\n"


@pytest.mark.parametrize("name", ["x.bmp", "x.PDF", "x.tar.gz"])
def test_other_endings_are_refused(command: Command, finished_run: Path, name: str) -> None:
    result = command("sample", finished_run, "--out", name)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        f"{name}: samples cannot be written as '{Path(name).suffix.lower()}'\n"
        "  = a .png, .jpg or .webp is a grid, a .npy an array, "
        "a name without an ending a folder of PNGs\n"
    )
    assert not Path(name).exists()


def test_points_have_no_picture_each(command: Command, points_run: Path) -> None:
    result = command("sample", points_run, "--out", "folder")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "folder: points have no PNG each\n  = write a .png or a .npy\n"
    assert not Path("folder").exists()


@pytest.mark.parametrize("out", ["file/x.npy", "file/deeper/x.png", "file"])
def test_a_place_where_nothing_can_be_written(
    command: Command, finished_run: Path, out: str
) -> None:
    Path("file").write_text("in the way")
    result = command("sample", finished_run, "--out", out)
    assert (result.returncode, result.stdout) == (2, "")
    assert re.fullmatch(rf"{out} cannot be written: (File exists|Not a directory)\n", result.stderr)
    assert Path("file").read_text() == "in the way"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(command: Command, finished_run: Path) -> None:
    Path("closed").mkdir(mode=0o555)
    result = command("sample", finished_run, "--out", "closed/x.npy")
    assert result.returncode == 1
    assert "closed/x.npy cannot be written: Permission denied" in result.stderr


@pytest.mark.parametrize(
    "options",
    [["--num", "0"], ["--num", "many"], ["--seed", "-1"]],
    ids=["none", "not a number", "negative seed"],
)
def test_options_out_of_range(command: Command, finished_run: Path, options: list[str]) -> None:
    result = command("sample", finished_run, "--out", "x.npy", *options)
    assert (result.returncode, result.stdout) == (2, "")
    assert f"Invalid value for '{options[0]}'" in result.stderr


@pytest.mark.parametrize(
    ("damage", "reason"), [(b"", "it is empty"), (b"not weights", "it has no digest: ")]
)
def test_damaged_weights(
    command: Command, finished_run: Path, tmp_path: Path, damage: bytes, reason: str
) -> None:
    run = shutil.copytree(finished_run, tmp_path / "damaged")
    before = (run / "generator.safetensors").read_bytes()
    (run / "generator.safetensors").write_bytes(damage)
    result = command("sample", run, "--out", "x.png")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(f"{run}/generator.safetensors is broken: {reason}")
    assert f"`ganzoo resume {run}` makes it again where a checkpoint allows it\n" in result.stderr
    assert command("resume", run).returncode == 0
    assert (run / "generator.safetensors").read_bytes() == before
    assert (run / "generator.safetensors.broken").read_bytes() == damage


def test_lost_weights_of_a_finished_run(
    command: Command, finished_run: Path, tmp_path: Path
) -> None:
    """An older checkpoint does not stand in for the end."""
    run = shutil.copytree(finished_run, tmp_path / "lost")
    (run / "generator.safetensors").unlink()
    (run / "checkpoints" / "000006.pt").unlink()
    result = command("sample", run, "--out", "x.png")
    assert (result.returncode, result.stdout) == (1, "")
    assert "generator.safetensors is not there, although the run is done\n" in result.stderr


def test_a_broken_checkpoint_of_a_run_under_way(command: Command, interrupted_run: Path) -> None:
    newest = interrupted_run / "checkpoints" / "000005.pt"
    newest.write_bytes(newest.read_bytes()[:-1])
    result = command("sample", interrupted_run, "--out", "x.npy")
    assert (result.returncode, result.stdout) == (0, "x.npy\n")
    assert result.stderr.startswith(f"warning: {newest} cannot be read and is passed over: ")
    assert newest.exists(), "whoever only reads renames nothing"


def test_the_engine_may_be_another(command: Command, finished_run: Path) -> None:
    plain = sampled(command, finished_run, "plain.npy", "--num", "4")
    result = command("sample", finished_run, "engine.device=cpu", "--out", "cpu.npy", "--num", "4")
    assert result.returncode == 0, result.stderr
    assert Path("cpu.npy").read_bytes() == plain.read_bytes()
    result = command("sample", finished_run, "train.seed=1", "--out", "x.npy")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        f"'train.seed=1' would change the run {finished_run}\n"
        "  = engine.* can be set for a run that has begun, such as engine.device=cpu\n"
    )


def test_a_run_whose_recipe_was_changed(command: Command, finished_run: Path) -> None:
    run = Path(shutil.copytree(finished_run, "changed"))
    recipe = run / "recipe.toml"
    text = recipe.read_text()
    recipe.write_text(text.replace("lr = 0.001", "lr = 0.002"))
    result = command("sample", run, "--out", "x.npy")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        f"{recipe} is not the recipe that this run was started with\n"
        f"  = restore it from a copy; `ganzoo run {recipe}` makes a new run of it\n"
    )
    with pytest.raises(ganzoo.RunError, match="is not the recipe"):
        ganzoo.open_run(run)
    # What decides no weights may change, and so may what is left to its default.
    recipe.write_text(text.replace("every = 2", "every = 3").replace("weight_decay = 0.0\n", ""))
    assert command("sample", run, "--out", "x.npy").returncode == 0
