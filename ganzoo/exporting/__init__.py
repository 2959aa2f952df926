"""A trained generator for other programs: ONNX, a program of torch.export, a folder for the hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ganzoo.errors import UserError

if TYPE_CHECKING:
    from ganzoo.run import Run

Format = Literal["onnx", "pt2", "hub"]


def export(
    run: Run,
    out: str | Path,
    format: Format,
    *,
    license: str = "mit",
    comparison: str | Path | None = None,
) -> Path:
    """Write the generator of a run for other programs, whole or not at all. Gives back the path.

    `onnx` and `pt2` are files of the generator alone, from latents `(N, latent_dim)`, and classes
    `(N,)` in a conditional run, to samples `(N, *sample_shape)`; N is free. They are kept only if
    they give the samples that the generator does. `hub` is a folder with a model card, of which
    `license` is a part, with figures over seeds where `comparison` is a comparison.json; it is
    itself a run, which `ganzoo.load` opens. Raises `UserError` for a generator that is no graph,
    for what cannot be written to `out`, and where a library is missing.

    >>> import ganzoo
    >>> recipe = ganzoo.load_recipe("digits-mlp-gan", "train.iterations=2")
    >>> folder = ganzoo.export(ganzoo.train(recipe, runs=tmp), tmp / "digits", "hub")
    >>> ganzoo.load(folder).sample(5).shape
    torch.Size([5, 1, 8, 8])
    """
    out = Path(out)
    if format == "hub":
        from ganzoo.exporting.folder import export_folder

        document = None if comparison is None else Path(comparison)
        export_folder(run, out, license=license, comparison=document)
        return out
    if comparison is not None:
        raise UserError(
            f"a file of the format '{format}' holds no figures", hint="a folder does: --format hub"
        )
    from ganzoo.exporting.graphs import export_onnx, export_pt2

    {"onnx": export_onnx, "pt2": export_pt2}[format](run, out)
    return out
