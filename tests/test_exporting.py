"""A trained generator for other programs: files of its graph, and a folder that is a run itself."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
import yaml
from tiny import tiny
from torch import Tensor, nn

import ganzoo
from ganzoo import Run, UserError
from ganzoo.digests import read_tensors
from ganzoo.evaluation.report import escape_markdown
from ganzoo.evaluation.report_text import NOTHING
from ganzoo.exporting import Format
from ganzoo.exporting.card import front_matter, read_comparison

DCGAN = {
    "generator": '{ type = "dcgan", base_channels = 4, max_channels = 8 }',
    "discriminator": '{ type = "dcgan", base_channels = 4, max_channels = 8 }',
}
SHORT = "{ iterations = 2, batch_size = 8 }"
KINDS = {
    "mlp": tiny(train=SHORT),
    "conditional-mlp": tiny(train=SHORT, condition='"class"'),
    "dcgan": tiny(train=SHORT, **DCGAN),
    "conditional-dcgan": tiny(train=SHORT, condition='"class"', **DCGAN),
}
VAE = tiny(
    train=SHORT,
    discriminator=None,
    encoder='{ type = "mlp", hidden = [16] }',
    loss='{ type = "elbo" }',
    schedule='{ type = "joint" }',
    prior='{ type = "mixture", components = 3 }',
)
ARGMAX = tiny(
    train=SHORT,
    latent="{ dim = 64 }",
    generator='{ type = "argmax", steps = 3, pool_size = 50 }',
    loss='{ type = "argmax" }',
    schedule='{ type = "discriminator-only" }',
    optimizer='{ discriminator = { type = "adam", lr = 1e-3 } }',
)
MEASURED = tiny(
    summary='"A ring | of 8 <modes>"',
    data='{ type = "ring", samples = 200 }',
    train="{ iterations = 6, batch_size = 8 }",
    evaluate="{ samples = 50, snapshots = 3 }",
    metrics='[{ type = "modes" }]',
)


def make(folder: Path, text: str, *overrides: str) -> Run:
    """A run of a recipe."""
    (folder / "tiny.toml").write_text(text)
    recipe = ganzoo.load_recipe(folder / "tiny.toml", *overrides)
    return ganzoo.train(recipe, runs=folder / "runs")


@pytest.fixture(scope="module", params=KINDS)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of two iterations of each kind of generator."""
    return make(tmp_path_factory.mktemp("exporting"), KINDS[request.param])


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make(tmp_path_factory.mktemp("plain"), KINDS["mlp"])


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on points with three snapshots, measured at each."""
    return make(tmp_path_factory.mktemp("measured"), MEASURED)


def inputs(run: Run, count: int) -> tuple[Tensor, ...]:
    z = torch.randn(count, run.recipe.latent.dim)
    return (z,) if run.recipe.condition is None else (z, torch.arange(count) % 10)


def is_same(one: Run, other: Run, **how: Any) -> bool:
    """Whether two runs sample and decode to the same bytes."""
    given = inputs(one, 5)
    return torch.equal(one.sample(9, seed=3, **how), other.sample(9, seed=3, **how)) and (
        torch.equal(one.decode(*given), other.decode(*given))
    )


class TestGraphs:
    @pytest.mark.parametrize("count", [1, 5, 12])
    def test_onnx_gives_the_samples_of_the_run(self, run: Run, count: int) -> None:
        out = run.path / "generator.onnx"
        if not out.exists():
            assert ganzoo.export(run, out, "onnx") == out
        session = onnxruntime.InferenceSession(str(out))
        names = ["z"] if run.recipe.condition is None else ["z", "labels"]
        assert [each.name for each in session.get_inputs()] == names
        assert [each.name for each in session.get_outputs()] == ["x"]
        given = inputs(run, count)
        arrays = {name: each.numpy() for name, each in zip(names, given, strict=True)}
        (found,) = session.run(["x"], arrays)
        torch.testing.assert_close(torch.from_numpy(found), run.decode(*given))

    def test_a_program_of_torch_gives_the_samples_of_the_run(
        self, run: Run, tmp_path: Path
    ) -> None:
        ganzoo.export(run, tmp_path / "new" / "generator.pt2", "pt2")
        generator = torch.export.load(tmp_path / "new" / "generator.pt2").module()
        for count in (1, 5, 12):
            given = inputs(run, count)
            torch.testing.assert_close(generator(*given), run.decode(*given))

    def test_the_weights_are_those_of_the_snapshot(self, measured: Run, tmp_path: Path) -> None:
        ganzoo.export(measured.at(2), tmp_path / "early.pt2", "pt2")
        generator = torch.export.load(tmp_path / "early.pt2").module()
        (z,) = inputs(measured, 7)
        torch.testing.assert_close(generator(z), measured.at(2).decode(z))
        assert not torch.allclose(generator(z), measured.decode(z), atol=1e-4)

    @pytest.mark.parametrize("format", ["onnx", "pt2"])
    def test_a_generator_that_climbs_is_no_graph(self, tmp_path: Path, format: Format) -> None:
        run = make(tmp_path, ARGMAX)
        with pytest.raises(UserError) as caught:
            ganzoo.export(run, tmp_path / f"x.{format}", format)
        assert caught.value.message == (
            "generator 'argmax' cannot be exported: what it computes, with gradients of the "
            "discriminator, cannot be written as one graph"
        )
        assert caught.value.hint == "--format hub takes every generator"
        ganzoo.export(run, tmp_path / "hub", "hub")
        assert is_same(run, ganzoo.load(tmp_path / "hub"))

    @pytest.mark.parametrize(
        ("forward", "message"),
        [
            (lambda z: z if z.sum() > 0 else -z, r"'mlp' cannot be exported: \w+: .*data-dep"),
            (lambda z: z + torch.rand_like(z), r"for 1 latents its graph gives samples that diff"),
        ],
        ids=["branches", "noise"],
    )
    def test_what_no_graph_gives_is_not_kept(
        self,
        plain: Run,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        forward: Callable[[Tensor], Tensor],
        message: str,
    ) -> None:
        class Odd(nn.Module):
            def forward(self, z: Tensor) -> Tensor:
                return forward(z)

        monkeypatch.setattr(Run, "generator", lambda self: Odd())
        with pytest.raises(UserError, match=message) as caught:
            ganzoo.export(plain, tmp_path / "x.pt2", "pt2")
        assert len(str(caught.value).splitlines()) == 2
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("library", ["onnx", "onnxscript", "onnxruntime"])
    def test_onnx_without_its_libraries(
        self, plain: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str
    ) -> None:
        monkeypatch.setitem(sys.modules, library, None)
        with pytest.raises(UserError, match=rf"x\.onnx: ONNX needs {library}\n") as caught:
            ganzoo.export(plain, tmp_path / "x.onnx", "onnx")
        assert 'pip install "ganzoo-core[export]"' in (caught.value.hint or "")
        ganzoo.export(plain, tmp_path / "x.pt2", "pt2")


class TestFolders:
    def test_it_loads_back_as_the_run(self, run: Run, tmp_path: Path) -> None:
        out = ganzoo.export(run, tmp_path / "new" / "hub", "hub")
        loaded = ganzoo.load(out)
        assert is_same(run, loaded)
        given = inputs(run, 4)
        assert torch.equal(run.generator()(*given), loaded.generator()(*given))
        for name in ("generator", "discriminator"):
            file = f"{name}.safetensors"
            assert (out / file).read_bytes() == (run.path / file).read_bytes()
        assert loaded.recipe.fingerprint == run.recipe.fingerprint
        assert {path.name for path in out.iterdir()} == {
            *("README.md", "recipe.toml", "environment.json", "status.json", "samples.png"),
            *("generator.safetensors", "discriminator.safetensors"),
        }
        assert not [path for path in out.parent.iterdir() if path != out]
        with pytest.raises(UserError, match="is done: there is nothing to resume"):
            ganzoo.resume(out)

    def test_a_vae_brings_its_encoder_and_its_priors(self, tmp_path: Path) -> None:
        run = make(tmp_path, VAE)
        loaded = ganzoo.load(ganzoo.export(run, tmp_path / "hub", "hub"))
        for prior in ("mixture", "latent"):
            assert is_same(run, loaded, prior=prior)
        assert not torch.equal(loaded.sample(3), loaded.sample(3, prior="latent"))
        x = run.sample(4)
        assert torch.equal(run.encode(x), loaded.encode(x))
        card = (loaded.path / "README.md").read_text()
        assert "The folder also holds its encoder." in card
        assert "from the priors mixture, latent; the first is the default." in card

    def test_it_loads_through_the_links_of_the_hub_s_cache(
        self, plain: Run, tmp_path: Path
    ) -> None:
        out = ganzoo.export(plain, tmp_path / "hub", "hub")
        (tmp_path / "snapshot").mkdir()
        for path in out.iterdir():
            (tmp_path / "snapshot" / path.name).symlink_to(path)
        assert is_same(plain, ganzoo.load(tmp_path / "snapshot"))

    def test_no_folder_of_this_machine_is_published(self, plain: Run, tmp_path: Path) -> None:
        environment = json.loads(plain.folder.environment.read_text())
        environment["data"]["source"] = "/home/somebody/pictures"
        environment["plugin_files"] = {"mine": "/home/somebody/mine.py"}
        kept = plain.folder.environment.read_text()
        plain.folder.environment.write_text(json.dumps(environment))
        try:
            out = ganzoo.export(plain, tmp_path / "hub", "hub")
        finally:
            plain.folder.environment.write_text(kept)
        texts = [path.read_text() for path in out.iterdir() if path.suffix in (".md", ".json")]
        assert not [text for text in texts if "somebody" in text]
        assert "It also needs the plugin files mine.py, named by `--plugin`" in "".join(texts)

    def test_a_snapshot_is_not_taken_for_the_end(self, measured: Run, tmp_path: Path) -> None:
        early = measured.at(2)
        loaded = ganzoo.load(ganzoo.export(early, tmp_path / "hub", "hub"))
        assert is_same(early, loaded)
        assert not torch.equal(loaded.sample(9), measured.sample(9))
        assert (loaded.status["state"], loaded.status["iteration"]) == ("interrupted", 2)
        first = measured.evaluation["history"][0]
        assert loaded.evaluation["values"] == first["values"]
        assert loaded.evaluation["best"] == {}
        tensors, notes = read_tensors(loaded.folder.weights("generator"))
        snapshot, before = read_tensors(measured.folder.snapshot(2))
        assert notes == {**before, "file": "generator.safetensors"}
        assert all(torch.equal(snapshot[name], tensors[name]) for name in tensors)
        assert "after 2 of 6 iterations" in (loaded.path / "README.md").read_text()
        last = ganzoo.load(ganzoo.export(measured.at(6), tmp_path / "last", "hub"))
        assert last.status["state"] == "done"
        assert last.evaluation == measured.evaluation

    def test_a_run_that_was_made_longer(self, tmp_path: Path) -> None:
        run = make(tmp_path, VAE)
        longer = ganzoo.resume(run.path, "train.iterations=40")
        assert longer.snapshots()[0] < longer.snapshots()[-1] == 40
        for name, each in (("end", longer), ("early", longer.at(longer.snapshots()[0]))):
            loaded = ganzoo.load(ganzoo.export(each, tmp_path / name, "hub"))
            assert is_same(each, loaded)
            assert "earlier" not in json.loads(loaded.folder.environment.read_text())

    def test_a_run_that_is_not_done(
        self, measured: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Run, "status", {"state": "killed", "iteration": 4})
        with pytest.raises(UserError, match=" is killed, so its weights may change\n") as caught:
            ganzoo.export(measured, tmp_path / "hub", "hub")
        assert f"`ganzoo resume {measured.path}` finishes it" in (caught.value.hint or "")
        assert list(tmp_path.iterdir()) == []

    def test_a_broken_file_leaves_nothing(self, plain: Run, tmp_path: Path) -> None:
        file = plain.folder.weights("discriminator")
        content = file.read_bytes()
        file.write_bytes(content[:-1])
        try:
            with pytest.raises(ganzoo.RunError, match=r"discriminator\.safetensors is broken"):
                ganzoo.export(plain, tmp_path / "hub", "hub")
        finally:
            file.write_bytes(content)
        assert list(tmp_path.iterdir()) == []


class TestCard:
    def test_the_front_matter_is_what_the_hub_reads(self, run: Run) -> None:
        _, front, empty = front_matter(run.recipe, "cc-by-4.0").split("---\n")
        assert empty.strip() == ""
        data = yaml.safe_load(front)
        assert data["library_name"] == "ganzoo"
        assert data["license"] == "cc-by-4.0"
        kind = run.recipe.generator.name
        assert data["tags"] == ["ganzoo", "gan", kind, "non-saturating"]
        assert ("pipeline_tag" in data) is (run.recipe.condition is None)
        assert "datasets" not in data, "the digits of scikit-learn are not on the hub"

    @pytest.mark.parametrize(
        ("data", "name"), [("mnist", "ylecun/mnist"), ("cifar10", "uoft-cs/cifar10")]
    )
    def test_data_sets_of_the_hub_are_named(self, data: str, name: str) -> None:
        recipe = ganzoo.load_recipe("mnist-mlp-gan", f"data={{ type = '{data}' }}")
        front = yaml.safe_load(front_matter(recipe, "mit").strip("-\n"))
        assert front["datasets"] == [name]

    def test_it_shows_every_value_and_how_it_was_measured(
        self, measured: Run, tmp_path: Path
    ) -> None:
        out = ganzoo.export(measured, tmp_path / "hub", "hub")
        text = (out / "README.md").read_text()
        assert "A ring \\| of 8 &lt;modes&gt;" in text
        rows = {
            cells[0].strip(): [cell.strip() for cell in cells[1:-1]]
            for cells in (line[2:].split("|") for line in text.splitlines() if line[:2] == "| ")
        }
        evaluation = measured.evaluation
        assert rows.keys() == {"value", *evaluation["values"]}
        name, _ = measured.headline or ("", 0.0)
        assert f"Headline: {name} is " in text
        for name, cells in rows.items():
            if name in evaluation["best"]:
                assert cells[1] == evaluation["better"][name]
                assert cells[2].endswith(f"({evaluation['best'][name]['iteration']})")
        assert "after iteration 6 on 50 generated samples" in text
        assert "over seeds" not in text
        assert (out / "samples.png").exists()

    def test_it_repeats_the_warnings_up_to_its_iteration(
        self, measured: Run, tmp_path: Path
    ) -> None:
        rows = [{"iteration": at, "name": "alike", "text": f"all alike at {at}"} for at in (2, 4)]
        measured.folder.warnings.write_text("".join(json.dumps(row) + "\n" for row in rows))
        try:
            early = ganzoo.export(measured.at(2), tmp_path / "early", "hub")
            end = ganzoo.export(measured, tmp_path / "end", "hub")
        finally:
            measured.folder.warnings.unlink()
        texts = [(out / "README.md").read_text() for out in (early, end)]
        assert ["- iteration 2: all alike at 2\n" in text for text in texts] == [True, True]
        assert ["- iteration 4: all alike at 4\n" in text for text in texts] == [False, True]

    def test_intervals_come_from_a_comparison(self, measured: Run, tmp_path: Path) -> None:
        others = [
            make(tmp_path, MEASURED, f"train.seed={seed}", "log.every=6").path for seed in (1, 2)
        ]
        ganzoo.compare(measured.path, *others, out=tmp_path / "comparison")
        document = tmp_path / "comparison" / "comparison.json"
        out = ganzoo.export(measured, tmp_path / "hub", "hub", comparison=document)
        text = (out / "README.md").read_text()
        summaries = read_comparison(document)["models"][0]["summaries"]
        more = set(summaries) - set(measured.evaluation["values"])
        assert more, "a comparison takes every metric there is"
        for name in more:
            assert f"\n| {escape_markdown(name)} | {NOTHING} |" in text
        covered = summaries["modes/covered"]
        assert covered["seeds"] == 3
        (row,) = [line for line in text.splitlines() if line.startswith("| modes/covered |")]
        assert row.count("|") == 8
        assert f"\n| wasserstein/exact | {NOTHING} | lower |" in text
        assert row.endswith("| 3 |")
        assert " to " in row
        changed = make(tmp_path, MEASURED, "train.iterations=3", "evaluate.snapshots=0")
        with pytest.raises(UserError, match="has no model with the recipe of this run, tiny"):
            ganzoo.export(changed, tmp_path / "other", "hub", comparison=document)
        assert not (tmp_path / "other").exists()
