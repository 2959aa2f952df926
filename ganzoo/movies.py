"""Pictures one after the other: GIF, and MP4 by PyAV."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from ganzoo.errors import UserError
from ganzoo.pictures import has_picture, image_grid, opaque, open_png
from ganzoo.runs import RunFolder
from ganzoo.unfinished import whole_file

ENDINGS = (".gif", ".mp4")


def check_movie(out: Path) -> None:
    """Raise `UserError` for a path that no movie can be written to, before any frame is made."""
    if out.suffix.lower() not in ENDINGS:
        raise UserError(f"{out}: a movie cannot be written as '{out.suffix}'", hint=".gif or .mp4")
    if out.suffix.lower() == ".mp4":
        try:
            import av  # noqa: F401
        except ImportError:
            raise UserError(
                f"{out}: MP4 needs PyAV",
                hint='pip install "ganzoo-core[video]", or write a .gif',
            ) from None


def check_pictures(sample_shape: tuple[int, ...]) -> None:
    """Raise `UserError` where samples of a shape are no images."""
    if not has_picture(sample_shape):
        raise UserError("samples of this shape have no picture")


def walk_frames(walks: Tensor) -> list[Image.Image]:
    """A grid of images for each step of walks `(N, steps, C, H, W)`, images in [-1, 1]."""
    return [opaque(image_grid(frame)) for frame in walks.unbind(1)]


def training_frames(folder: RunFolder) -> list[Image.Image]:
    """The pictures of a run's samples during training, oldest first.

    Raises `UserError` where there are fewer than two, and `RunError` for one that is damaged.
    """
    files = sorted(path for path in folder.samples(0).parent.glob("*.png") if path.stem.isdecimal())
    if len(files) < 2:
        count = f"{len(files)} picture{'s' * (len(files) != 1)}"
        raise UserError(f"{folder.path} has {count} of its training, too few for a movie")
    return [opaque(open_png(file)).convert("RGB") for file in files]


def save_movie(frames: Sequence[Image.Image], out: Path, *, rate: int) -> None:
    """Write pictures of one size, `rate` a second, whole or not at all; a GIF is endless."""
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix.lower() == ".gif":
        first, *others = (
            frame.convert("P", palette=Image.Palette.ADAPTIVE, dither=Image.Dither.NONE)
            for frame in frames
        )
        with whole_file(out) as file:
            first.save(
                file,
                format="GIF",
                save_all=True,
                append_images=others,
                duration=round(1000 / rate),
                loop=0,
            )
        return
    with whole_file(out) as file:
        _write_mp4(frames, file, rate)


def _write_mp4(frames: Iterable[Image.Image], file: object, rate: int) -> None:
    import av

    with av.open(file, "w", format="mp4") as container:
        stream = None
        for frame in frames:
            pixels = np.asarray(frame.convert("RGB"))
            # H.264 halves its colours, so that both sides have to be even.
            pixels = np.pad(pixels, [(0, pixels.shape[0] % 2), (0, pixels.shape[1] % 2), (0, 0)])
            if stream is None:
                stream = container.add_stream("libx264", rate=rate, options={"crf": "18"})
                stream.height, stream.width = pixels.shape[:2]
                stream.pix_fmt = "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        if stream is not None:
            container.mux(stream.encode(None))
