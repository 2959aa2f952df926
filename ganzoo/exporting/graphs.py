"""The generator of a run as a graph that other programs compute: ONNX, or one of torch.export."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from ganzoo.errors import UserError, describe, shortened
from ganzoo.run import Run
from ganzoo.unfinished import whole_file

TRACED = 3
"""Latents by which the graph is found; torch takes a batch of one for the only size there is."""
CHECKED = (1, 8)
"""Batch sizes for which the graph has to give what the generator gives."""
TOLERANCE = 1e-4
"""By which samples may differ: a step from one grey to the next is 0.008."""

LONGEST = 300
"""Characters of what a library says."""
OTHERWISE = "--format hub takes every generator"

Compute = Callable[[tuple[Tensor, ...]], Tensor]


def export_onnx(run: Run, out: Path) -> None:
    """Write an ONNX file with the inputs `z`, and `labels` in a conditional run, and output `x`."""
    check_ending(out, ".onnx")
    for library in ("onnx", "onnxscript", "onnxruntime"):
        try:
            import_module(library)
        except ImportError:
            raise UserError(
                f"{out}: ONNX needs {library}",
                hint='pip install "ganzoo-core[export]", or --format pt2, which needs torch alone',
            ) from None
    import onnxruntime

    generator, program = traced(run)
    names = ["z", "labels"] if is_conditional(run) else ["z"]
    with exporting(run):
        onnx: Any = torch.onnx.export(
            program, dynamo=True, input_names=names, output_names=["x"], verbose=False
        )
        content = onnx.model_proto.SerializeToString()
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def compute(inputs: tuple[Tensor, ...]) -> Tensor:
        arrays = {name: each.numpy() for name, each in zip(names, inputs, strict=True)}
        return torch.from_numpy(session.run(["x"], arrays)[0])

    check(run, generator, compute)
    write(out, content)


def export_pt2(run: Run, out: Path) -> None:
    """Write a program that `torch.export.load` reads; its `module()` is called as the generator."""
    check_ending(out, ".pt2")
    generator, program = traced(run)
    buffer = io.BytesIO()
    with exporting(run):
        torch.export.save(program, buffer)
        loaded = torch.export.load(io.BytesIO(buffer.getvalue())).module()
    check(run, generator, lambda inputs: loaded(*inputs))
    write(out, buffer.getvalue())


def traced(run: Run) -> tuple[nn.Module, ExportedProgram]:
    """The generator on the CPU, and its graph, in which the batch size is free.

    Raises `UserError` for a generator that is no graph.
    """
    component = run.recipe.generator
    if not component.spec.compiles:
        needs = " and ".join(sorted(component.spec.needs))
        raise UserError(
            f"generator '{component.name}' cannot be exported: what it computes"
            + (f", with gradients of the {needs}," if needs else "")
            + " cannot be written as one graph",
            hint=OTHERWISE,
        )
    generator = run.generator().cpu()
    batch = Dim("batch")
    inputs = example(run, TRACED)
    with exporting(run):
        shapes = tuple({0: batch} for _ in inputs)
        return generator, torch.export.export(generator, inputs, dynamic_shapes=shapes)


def check(run: Run, generator: nn.Module, compute: Compute) -> None:
    """Raise `UserError` where a graph gives other samples than the generator."""
    for count in CHECKED:
        inputs = example(run, count)
        with exporting(run), torch.no_grad():
            found, expected = compute(inputs), generator(*inputs)
            fits = found.shape == expected.shape
            gap = float((found - expected).abs().max()) if fits else float("inf")
        if not gap <= TOLERANCE:
            raise UserError(
                f"generator '{run.recipe.generator.name}' cannot be exported: for {count} latents "
                f"its graph gives samples that differ by {gap:.2g}",
                hint="a graph can neither draw random numbers nor depend on the values of latents; "
                + OTHERWISE,
            )


def example(run: Run, count: int) -> tuple[Tensor, ...]:
    """Random latents `(count, latent_dim)`, and classes `(count,)` in a conditional run."""
    stream = torch.Generator().manual_seed(count)
    z = torch.randn(count, run.recipe.latent.dim, generator=stream)
    if not is_conditional(run):
        return (z,)
    return z, torch.randint(run.recipe.data.spec.num_classes or 1, (count,), generator=stream)


def is_conditional(run: Run) -> bool:
    """Whether the generator is called with classes."""
    return run.recipe.condition is not None


@contextmanager
def exporting(run: Run) -> Iterator[None]:
    """What a library says against a generator, as a `UserError` in one line; warnings are not
    shown, as they are about the library's own code."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:
        raise UserError(
            f"generator '{run.recipe.generator.name}' cannot be exported: "
            + shortened(describe(error), LONGEST),
            hint=OTHERWISE,
        ) from error


def check_ending(out: Path, ending: str) -> None:
    """Raise `UserError` for a path by which programs would not know the format."""
    if out.suffix.lower() != ending:
        raise UserError(
            f"{out}: a file of this format ends in {ending}", hint=f"--out generator{ending}"
        )


def write(out: Path, content: bytes) -> None:
    """Write a file, whole or not at all. Raises `OSError` or `RunError` where it cannot be."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(out) as file:
        file.write(content)
