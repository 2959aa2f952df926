"""The picture of two densities and two discriminators on a line."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping

from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from .divergences import optimal_discriminator
from .line import Line

HEADROOM = 1.8
"""Top of the axis, as a multiple of the data's highest density."""
LEAST = 1 / 500
"""The optimal discriminator is drawn where p + p_G is at least this share of the data's highest
density."""


def draw_densities(
    line: Line, q: Tensor, logits: Tensor | None, values: Mapping[str, float]
) -> Image.Image:
    """p, the generator's density q `(M,)` and, where D has logits `(M,)`, D and p / (p + q).

    The axes depend on p alone, so that they are the same in all pictures of a run. The title has
    the divergence, and the share of p_G that is outside.
    """
    figure = Figure(figsize=(6.4, 4.8), dpi=100)
    densities = figure.add_axes((0.09, 0.1, 0.82, 0.72))
    low, high = line.view
    shown = (line.nodes >= low) & (line.nodes <= high)
    x, p, q_shown = (each[shown].numpy() for each in (line.nodes, line.p, q))
    densities.plot(x, p, color="black", label="p, data")
    densities.fill_between(x, p, color="black", alpha=0.1)
    densities.plot(x, q_shown, color="tab:blue", label="p_G, generator")
    densities.fill_between(x, q_shown, color="tab:blue", alpha=0.2)
    top = HEADROOM * float(p.max())
    densities.set(xlim=(low, high), ylim=(0, top), xlabel="x", ylabel="density")
    text = f"JS {values['js']:z.4f}"
    if logits is not None:
        probabilities = densities.twinx()
        optimal = optimal_discriminator(line, q.log())
        # Elsewhere it depends on few samples, if any.
        optimal[line.p + q < LEAST * float(line.p.max())] = math.nan
        probabilities.plot(
            x, optimal[shown].numpy(), color="tab:green", linestyle="--", label="p / (p + p_G)"
        )
        probabilities.plot(x, logits[shown].sigmoid().numpy(), color="tab:orange", label="D")
        probabilities.set(xlim=(low, high), ylim=(0, 1.05), ylabel="probability")
        text += f"    V {values['value']:.3f}, at best {values['optimal_value']:.3f}"
    if (outside := 1 - float(line.integral(q * shown))) > 0.01:
        text += f"    {outside:.0%} of p_G outside"
    figure.text(0.5, 0.88, text, ha="center", family="monospace")
    figure.legend(loc="upper center", ncols=4, frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return Image.open(buffer)
