"""A zoo of GANs and of the baselines they are compared with, built out of plugins.

    recipe = ganzoo.load_recipe("recipes/digits-mlp-gan.toml", "train.seed=1")
    run = ganzoo.train(recipe)
    images = ganzoo.open_run(run.path).sample(64)

Importing ganzoo does not import torch; training and sampling do.
"""

from ganzoo.comparison import Budget, Comparison, compare
from ganzoo.errors import GanzooError, RunError, UserError
from ganzoo.recipe import Recipe, RecipeError, load_recipe
from ganzoo.zoo import Run, components, open_run, resume, train

__all__ = [
    "Budget",
    "Comparison",
    "GanzooError",
    "Recipe",
    "RecipeError",
    "Run",
    "RunError",
    "UserError",
    "compare",
    "components",
    "load_recipe",
    "open_run",
    "resume",
    "train",
]
