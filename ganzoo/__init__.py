"""A zoo of GANs and of the baselines they are compared with, built out of plugins.

    recipe = ganzoo.load_recipe("digits-mlp-gan", "train.seed=1")
    run = ganzoo.train(recipe)
    images = ganzoo.open_run(run.path).sample(64)

`@ganzoo.loss`, and likewise for every kind of component, registers a class for this process.
Importing ganzoo does not import torch; training and sampling do.
"""

import os

# Threads that wait do not spin: with another busy process on the machine, spinning ones take each
# other's cores. The libraries read it when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

TYPE_CHECKING = False  # as in typing, which takes its time to be imported

if TYPE_CHECKING:
    from typing import Protocol, TypeVar

    from ganzoo.comparison import Budget, Comparison, compare
    from ganzoo.errors import GanzooError, RunError, UserError
    from ganzoo.exporting import export
    from ganzoo.measuring import measure
    from ganzoo.recipe import Recipe, RecipeError, load_recipe
    from ganzoo.run import Run, load, open_run
    from ganzoo.sweeps import Sweep, sweep
    from ganzoo.zoo import components, resume, train

    _Class = TypeVar("_Class", bound=type)

    class _Decorator(Protocol):
        def __call__(self, declared: _Class, /) -> _Class: ...

    generator: _Decorator
    discriminator: _Decorator
    encoder: _Decorator
    loss: _Decorator
    regularizer: _Decorator
    augmentation: _Decorator
    schedule: _Decorator
    dataset: _Decorator
    prior: _Decorator
    extractor: _Decorator
    metric: _Decorator
    probe: _Decorator
    listener: _Decorator

__all__ = [
    "Budget",
    "Comparison",
    "GanzooError",
    "Recipe",
    "RecipeError",
    "Run",
    "RunError",
    "Sweep",
    "UserError",
    "compare",
    "components",
    "export",
    "load",
    "load_recipe",
    "measure",
    "open_run",
    "resume",
    "sweep",
    "train",
]

_MODULES = (
    *("ganzoo.errors", "ganzoo.recipe", "ganzoo.run", "ganzoo.exporting", "ganzoo.measuring"),
    "ganzoo.zoo",
    "ganzoo.comparison",
    "ganzoo.sweeps",
)
"""Where the names are; imported when one is first used, so that the command line can take charge
of signals before anything slow is imported."""

_KINDS = (
    *("generator", "discriminator", "encoder", "loss", "regularizer", "augmentation", "schedule"),
    *("dataset", "prior", "extractor", "metric", "probe", "listener"),
)
"""Decorators that register a component of a kind; see `ganzoo.inline`."""


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name in _KINDS:
        return globals().setdefault(name, import_module("ganzoo.inline").decorator(name))
    if name in __all__:
        for module in map(import_module, _MODULES):
            if hasattr(module, name):
                return globals().setdefault(name, getattr(module, name))
    raise AttributeError(f"module 'ganzoo' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_KINDS})
