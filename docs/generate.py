"""Writes docs/recipes.md: every key of a recipe, from the classes that check it.

    make docs

The components are those of the core and of the plugins of this repository.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path

from ganzoo import registry
from ganzoo.ramps import Ramp
from ganzoo.recipe.keys import keys
from ganzoo.recipe.model import ARRAYS, SLOTS
from ganzoo.recipe.settings import OPTIMIZERS, TABLES
from ganzoo.registry import Entry
from ganzoo.specs import KINDS, ComponentSpec, LossSpec, ScheduleSpec

FOLDER = Path(__file__).parent
OURS = {"ganzoo-core", *(path.name for path in (FOLDER.parent / "plugins").glob("ganzoo-*"))}

INTRODUCTION = """\
# Recipes: every key

This page is made from the classes that check recipes (`make docs`). `ganzoo components KIND TYPE`
prints the same about one component, with more words, also for plugins that do not stand here;
`ganzoo show RECIPE` writes a recipe with every default filled in; `ganzoo schema` is the same as a
JSON Schema, for completion in editors.

A recipe is a TOML file. These tables must be there: `[data]`, `[generator]`, `[loss]`,
`[schedule]`, `[optimizer]`, `[train]`. Keys outside any table:

| key | type | default | meaning |
|---|---|---|---|
| `name` | string | the file's name | names the folder of the runs: letters, digits, `.`, `_`, `-` |
| `summary` | string | `""` | one line, for `ganzoo recipes` |
| `extends` | string | absent | path or name of a recipe to start from; keys here replace its own |
| `condition` | class | absent | what generated samples depend on besides their latents |

- A component is named by its `type`. Where two plugins offer the same type, `distribution:type`
  says which is meant.
- Where a key of a recipe that is extended, or of the command line (`key=value`, the value written
  as in TOML), changes a `type`, the other keys of the old type are dropped.
- A component that `needs` something is refused, before anything is built, where the recipe has no
  such table, or where the component in it does not provide what stands behind the dot.

## Numbers that change over the run

A key of the type *number or ramp* takes a number, a ramp, or several ramps in a row:

    gamma = 1.0
    gamma = { from = 0.05, to = 0.005, shape = "cosine", over = [0.0, 0.3] }
    lr = [{ from = 0, to = 2e-4, over = [0, 0.05] }, { from = 2e-4, to = 0, over = [0.5, 1] }]

Before a ramp the number is `from`, after it `to`. Bounds hold at both ends. The present value of
every ramp is logged under its place, such as `optimizer.generator.lr`.

@RAMP@

## Classes, further networks, packs

- **`condition = "class"`**, above the first table, trains class-conditional networks: the data need
  classes, and each of generator, discriminator and encoder has to provide `classes`. Classes of
  generated samples are drawn with their shares in the data; `run.sample(64, label=3)` draws one,
  as does `label="cats"` where the classes have names.
- **`[networks.NAME]`** gives a loss a further network, such as the critic of an adversarial
  autoencoder. The loss says of which kind it is and what it sees, the keys are those of that kind,
  and `[optimizer.NAME]` sets its optimizer. `ganzoo components loss TYPE` lists the names.
- **`pack`**, a key of every discriminator, lets it judge so many samples together (PacGAN, Lin et
  al. 2018, arXiv:1712.04086). `train.batch_size` has to be a multiple of it.
- **`train.accumulate`** cuts a batch into so many equal parts, whose gradients are taken one after
  the other and averaged, for networks that a whole batch leaves no memory for. The result is that
  of the whole batch, but for what depends on a batch as a whole, such as batch normalisation:
  `ganzoo check` names it.
- **`paired`**, a key of every augmentation, uses one draw for everything that the discriminator
  sees in a step, real and generated.

## Your own pictures

A folder, and all below it, or a .zip, which is not unpacked:

    [data]
    type = "image-folder"
    path = "pets"              # here, in GANZOO_DATA, or absolute; "pets.zip"
    size = [48, 64]            # height and width; one number for squares
    crop = "center"            # cuts both ends of what is too long; "none" squashes
    channels = 3               # 1 for grey, 4 to keep transparency
    mirror = true              # half of the pictures of a training batch, another half each time
    held_out = 0.05            # the share that is never trained on

- **Classes are the names of sub-folders**, `pets/cats/1.jpg`, with `classes = "folders"`; a folder
  around all of them, as archives often have one, is none. **Or a table says them**,
  `classes = "labels.csv"`, beside the pictures or elsewhere: the name of a picture, a comma and its
  class on each line, with or without a heading.
- `class_names = ["cats", "dogs"]` chooses classes and numbers them from 0. Without it all are used,
  in the order of letters (numbers: of numbers), and the recipe of a run holds the names that were
  found, so that a new folder does not change the run.
- With `condition = "class"`, `ganzoo sample RUN --class dogs --out dogs.png` draws one of them; the
  number does as well.
- Whether a picture is held out depends on its own name alone, in a folder and in a .zip. Held-out
  pictures are not mirrored.
- One line says how many pictures were taken and what was left out: files of other kinds, hidden
  ones, pictures without a class, files that cannot be read with the reason for each.
- Read are png, jpg, jpeg, jfif, webp, bmp, gif, tif, tiff, ppm, pgm, avif and jp2, the last two
  where Pillow has their decoders. Of colours with 16 bits a value, only png is read with all of
  them.
- With `channels = 4` generated pictures are RGBA: a PNG has their transparency, a JPEG and a movie
  have white behind them.

A data set of the library `datasets` (`pip install "ganzoo-data[huggingface]"`), which may lie on
the disk or on the hub:

    [data]
    type = "huggingface"
    path = "pets.parquet"      # also a folder, what save_to_disk wrote, or a name: "user/pets"
    split = "train"
    column = "image"           # may be left out where one column holds pictures
    label_column = "label"     # no classes without it
    size = 64
    held_out = "test"          # another split, or a share of this one

`mlp` makes pictures of any size. `dcgan` makes those of 8 to 512 pixels a side, the longer side at
most 8 times the shorter: its layers double a small grid, 3x4 to 6x8, 12x16, 24x32 and 48x64.
`max_channels` bounds their width; at 512x512 a smaller `base_channels` and `batch_size` save
memory.

## Sampling, measuring, listening

- **`[prior]`** is the distribution from which latents come when the generator is sampled, by
  default `latent`, the distribution of `[latent]`. One that is fitted needs a loss that provides
  `codes`, and is fitted to them at the end of the run. **`[[priors]]`** names others that are
  fitted and measured beside it, by default `mixture` (or `latent`, where `[prior]` is fitted) for
  losses that provide `codes`.
- **`[extractor]`** names the network in whose features metrics take distances. Without the table
  it is the one that suits the data best: `identity` for points, `classifier` for labelled images of
  up to 64 pixels a side, else `inception` where its weights are there, else `random`.
- **`[[listeners]]`** names objects that follow the run: they write files, draw or report. They
  change nothing in it, and are no part of its fingerprint. `type = "wandb"` and `type = "mlflow"`
  show runs on Weights & Biases and in MLflow. One that fails is said once, and the run goes on.
"""

OPTIMIZER = """\
### `[optimizer]`

One for all networks; `[optimizer.NAME]` overrides it for one of them: `generator`,
`discriminator`, `encoder`, `loss` (for losses that have weights) or the name of a further network.
The keys depend on `type`.
"""


def page() -> str:
    """The text of docs/recipes.md."""
    return "\n".join(paragraphs())


def paragraphs() -> Iterator[str]:
    """The page, part by part; each ends with a line break."""
    yield INTRODUCTION.replace("@RAMP@", key_table(list(keys(Ramp))).rstrip())
    yield "## Settings of the engine\n"
    for name, model in TABLES.items():
        yield f"### `[{name}]`\n"
        yield f"{inspect.cleandoc(model.__doc__ or '')}\n"
        yield key_table(list(keys(model)))
    yield OPTIMIZER
    for name, optimizer in OPTIMIZERS.items():
        yield f'`type = "{name}"`: {inspect.cleandoc(optimizer.__doc__ or "")}\n'
        yield key_table(list(keys(optimizer)))
    yield "## Components\n"
    for kind in KINDS:
        tables = [f"`[{slot}]`" for slot in SLOTS if SLOTS[slot] == kind]
        tables += [f"`[[{array}]]`" for array in ARRAYS if ARRAYS[array] == kind]
        entries = [
            entry
            for entry in registry.installed().entries(kind)
            if entry.plugin.distribution in OURS
        ]
        if entries:
            yield f"### {' and '.join(tables)}\n"
        for entry in entries:
            yield from component(entry)


def component(entry: Entry) -> Iterator[str]:
    """What there is to say of one component."""
    yield f"#### {entry.kind} `{entry.spec.type}`\n"
    yield f"{entry.spec.summary()} From `{entry.plugin.distribution}`.\n"
    facts = [
        f"{verb} {' and '.join(f'`{word}`' for word in words)}"
        for verb, words in component_facts(entry.spec)
        if words
    ]
    if facts:
        yield f"It {'; '.join(facts)}.\n"
    yield key_table(list(keys(entry.spec)))


def component_facts(spec: type[ComponentSpec]) -> Iterator[tuple[str, Sequence[str]]]:
    """Verbs and words for what a declaration says besides its keys."""
    yield "needs", sorted(spec.needs)
    yield "provides", sorted(spec.provides)
    if issubclass(spec, LossSpec):
        yield "has the phases" if len(spec.phases) > 1 else "has the phase", list(spec.phases)
        yield "needs the tables", [f"[networks.{name}]" for name in spec.networks]
    if issubclass(spec, ScheduleSpec) and isinstance(spec.runs, frozenset):
        yield "runs", sorted(spec.runs)


def key_table(rows: Sequence[Sequence[str]]) -> str:
    """Keys as a Markdown table."""
    if not rows:
        return "No keys.\n"
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for key, described, default, meaning in rows:
        cells = (f"`{key}`", described, default, meaning)
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (FOLDER / "recipes.md").write_text(page(), encoding="utf-8")
