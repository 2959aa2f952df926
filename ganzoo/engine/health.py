"""Training that goes wrong is noticed: numbers that are not finite, and runs that get nowhere.

In an iteration `Signs` counts on the device. Everything is read once a logging interval: what is
not finite ends the run (`check_run_finite`), the rest is said once (`Health`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from ganzoo.data import Data, take
from ganzoo.engine.events import Events, Listener
from ganzoo.engine.process_group import ProcessGroup
from ganzoo.engine.statistics import Statistics
from ganzoo.errors import RunError
from ganzoo.records import WarningRow, append_row, read_rows
from ganzoo.runs import RunFolder

if TYPE_CHECKING:
    from ganzoo.engine.session import Session

LOOKED_AT = 10
"""One iteration in so many is looked at: looking at all would cost a tenth of a small step."""
WINS = 20
"""D has won when it made no mistake in so many steps that were looked at, one after the other."""
FIRST = 8
"""Samples whose beginning is remembered."""
ALIKE = 0.01
"""Samples are all alike when their variance is below this share of the data's."""
FOLLOWED = 0.5
"""A moving average that followed its weights by less than this share of their way is too slow."""
FLAT = 1e-10
"""Gradients below this move nothing: the epsilon of Adam alone is 1e-8."""
EARLY = 200
"""Before this iteration samples may be all alike: many a generator starts so."""
REFERENCE = 500
"""Real samples by which the spread of the data and the means of its classes are known."""
MOST = 0.75
"""Samples are of one class where this share of them is: the means of classes know no better."""
CHANCE = 1e-4
"""Probability of that by chance, by Hoeffding's bound, from which on it is no sign."""


class Signs:
    """What gradients and D's logits say of a run, counted on the device in some iterations."""

    def __init__(self, device: torch.device) -> None:
        self._gradients = Statistics(device)
        self._streak = torch.zeros((), device=device)
        self.first: Tensor | None = None
        """Samples from the fixed latents before the first iteration."""
        self.largest: dict[str, float] = {}
        """By network, its largest gradient: the mean over steps between the last two readings."""
        self.streak = 0
        """Steps in a row in which D told all real samples from all fakes, at the last reading."""

    @staticmethod
    def due(iteration: int) -> bool:
        """Whether an iteration, counted from 0, is looked at."""
        return iteration % LOOKED_AT == 0

    def add_gradients(self, name: str, gradients: Iterable[Tensor]) -> None:
        """Take in the gradients of what is called `name`, before its step."""
        values = [each._values() if each.is_sparse else each for each in gradients]
        # A norm of infinite order takes ten times as long.
        largest = torch._foreach_max(torch._foreach_abs(values)) if values else [torch.zeros(())]
        self._gradients.add({name: torch.stack(largest).max()})

    def add_logits(self, real: Tensor, fake: Tensor) -> None:
        """Take in D's logits `(N,)` in one of its steps.

        D wins where every real one is above every fake: losses differ in where their zero is, and
        in what scale, but not in which way is up.
        """
        self._streak.add_(1).mul_(real.detach().min() > fake.detach().max())

    def read(self, group: ProcessGroup) -> None:
        """Bring `largest` and `streak` up to date."""
        self.largest = self._gradients.read(group)
        group.average([self._streak])
        self.streak = int(self._streak)  # host sync: once a logging interval

    def state_dict(self) -> dict[str, Any]:
        """What was counted since the last reading, and the first samples."""
        return {
            "gradients": self._gradients.state_dict(),
            "streak": self._streak,
            "first": self.first,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self._gradients.load_state_dict(state["gradients"])
        self._streak = state["streak"].to(self._streak.device)
        self.first = None if state["first"] is None else state["first"].to(self._streak.device)


def check_run_finite(session: Session, folder: RunFolder) -> None:
    """Raise `RunError` where terms, gradients or weights are not finite; all processes call this.

    What is wrong then is neither logged nor saved, so that every checkpoint is a good one.
    """
    watched = {name: tensors for name, tensors in _watched(session) if tensors}
    finite = [all_finite(every, session.backend.device) for every in watched.values()]
    # host sync: only when statistics are read, or when weights are copied from the device anyway
    flags = torch.stack(finite).tolist()
    mine = [name for name, good in zip(watched, flags, strict=True) if not good]
    wrong = dict.fromkeys(name for names in session.group.gather(mine) for name in names)
    if not wrong:
        return
    recipe, now = session.recipe, session.iteration
    since = max((now - 1) // every * every for every in (recipe.log.every, recipe.checkpoint.every))
    newest = folder.checkpoints()
    kept = f"the last good checkpoint is {newest[0]}" if newest else "there is no checkpoint yet"
    raise RunError(
        f"numbers that are not finite came up in iterations {since + 1} to {now}: "
        f"{', '.join(wrong)}; {kept}",
        hint="a lower learning rate, a gradient penalty or engine.precision=float32 may help",
    )


def all_finite(tensors: Iterable[Tensor], device: torch.device) -> Tensor:
    """Whether all numbers of some tensors are finite: 0-d, bool, on `device`.

    The tensors may be elsewhere: RMSprop counts its steps on the CPU.
    """
    return torch.stack([each.isfinite().all().to(device) for each in tensors]).all()


def _watched(session: Session) -> Iterator[tuple[str, list[Tensor]]]:
    """All that has to stay finite, by what messages call it."""
    for name, total in session.statistics.sums.items():
        yield f"term {name}", [total]
    for name in session.optimizers.weights:
        yield f"gradients of the {name}", session.optimizers.gradients([name])
    for name, module in session.parts.modules.items():
        yield f"weights of the {name}", _floats(module.state_dict())
    averages = {} if session.average is None else session.average.state_dict()
    for name, state in averages.items():
        yield f"moving average of the {name}", _floats(state)
    for name, state in session.optimizers.state_dict().items():
        yield f"moments in the optimizer of the {name}", _floats(state["state"])


def _floats(state: Any) -> list[Tensor]:
    """The tensors of floats in nested dictionaries, on whatever device."""
    if isinstance(state, Mapping):
        return [tensor for each in state.values() for tensor in _floats(each)]
    floats = isinstance(state, Tensor) and state.is_floating_point() and state.numel()
    return [state] if floats else []


class Reference(NamedTuple):
    """What the data look like."""

    variance: Tensor
    """Of a sample, summed over its numbers, 0-d."""
    means: Tensor | None
    """Of the K classes, and the mean of all, `(K + 1, numbers of a sample)`; None where they do
    not tell classes apart."""
    shares: list[float]
    """Of the classes in the data."""
    classes: list[int]
    """The number of each class."""


def reference(data: Data, device: torch.device) -> Reference:
    """What some hundred training samples look like, evenly spread over all of them."""
    places = torch.linspace(0, len(data.train) - 1, min(len(data.train), REFERENCE)).long()
    x, labels = take(data.train, places)
    x = x.flatten(1)
    classes, members, counts = labels.unique(return_inverse=True, return_counts=True)
    means = torch.stack([x[members == number].mean(0) for number in range(len(classes))])
    right = (torch.cdist(x, means).argmin(1) == members).float().mean()
    separable = len(classes) > 1 and right > 0.5
    return Reference(
        spread(x).to(device),
        torch.cat([means, x.mean(0, keepdim=True)]).to(device) if separable else None,
        (counts / len(x)).tolist(),
        classes.tolist(),
    )


def spread(samples: Tensor, labels: Tensor | None = None) -> Tensor:
    """Variance of samples `(N, ...)`, summed over their numbers: of each class, and their mean.

    Without two samples of one class it is that of all of them.
    """
    x = samples.flatten(1).float()
    groups = [] if labels is None else [x[labels == each] for each in labels.unique()]
    groups = [each for each in groups if len(each) > 1] or [x]
    return torch.stack([each.var(0, correction=0).sum() for each in groups]).mean()


def _by_chance(largest: float, share: float, count: int) -> float:
    """A bound of the probability that so great a share of samples are of one class of the data."""
    if largest < max(MOST, share):
        return 1.0
    return math.exp(-2 * count * (largest - share) ** 2)


class Health(Listener):
    """Says what goes wrong: to the display and in a row of `warnings.jsonl`, once for each name."""

    def __init__(self, folder: RunFolder, events: Events) -> None:
        self.folder, self.events = folder, events

    def started(self, session: Session, folder: RunFolder) -> None:
        """What was said before the run was interrupted is not said again."""
        self._said = {row["name"] for row in read_rows(folder.warnings, WarningRow)}
        self._reference = reference(session.data, session.backend.device)

    def logged(self, session: Session, statistics: Mapping[str, float]) -> None:
        """Gradients that are zero, an average that stays behind."""
        for name, largest in session.signs.largest.items():
            if largest < FLAT:
                text = (
                    f"the gradient of the {name} is zero: its loss does not depend on its weights,"
                    " or is flat where they are; another loss.type or a lower learning rate may"
                    " help"
                )
                self._say(session, f"no-gradient-{name}", text)
        followed = 1.0 if session.average is None else session.average.followed()
        if followed < FOLLOWED:
            text = (
                f"the moving average, which is what is sampled and saved, has followed the weights"
                f" by {max(followed, 0):.0%} of their way from the start: a lower ema.decay or a"
                " longer run may help"
            )
            self._say(session, "average-stays-behind", text)

    def sampled(self, session: Session, samples: Tensor, labels: Tensor | None) -> None:
        """D that always wins, samples that are all alike or of one class."""
        signs, data, network = session.signs, self._reference, session.parts.networks
        if session.iteration == 0:
            signs.first = samples[:FIRST].clone()
        provides = session.recipe.loss.spec.capabilities
        if signs.streak >= WINS and ("probabilities" in provides or self._unmoved(signs, samples)):
            text = (
                f"D told all real samples from all generated ones in the last {signs.streak} steps"
                " that were looked at, and G learns little from a D that always wins: a lower"
                " optimizer.discriminator.lr, a gradient penalty in [[regularizers]],"
                " [[augmentations]] or more steps of G may help"
            )
            self._say(session, "discriminator-wins", text)
        if session.iteration < EARLY or len(samples) < 2:
            return
        if spread(samples, labels) < ALIKE * data.variance:
            text = (
                f"the {len(samples)} samples from the fixed latents are all alike: their variance"
                f" is less than {ALIKE:.0%} of the data's"
                f"{'' if labels is None else ' in each class'}; "
            )
            text += (
                "a gradient penalty in [[regularizers]], discriminator.pack=2 or a lower"
                " optimizer.generator.lr may help"
                if "discriminator" in network
                else "less weight of whatever keeps codes near the prior, or a lower learning"
                " rate may help"
            )
            self._say(session, "samples-alike", text)
        elif data.means is not None:
            nearest = torch.cdist(samples.flatten(1).float(), data.means).argmin(1)
            most = int(nearest.mode().values)
            largest = float((nearest == most).float().mean())
            # The last of the means is that of all samples, which many a generator begins with.
            if (
                most < len(data.classes)
                and _by_chance(largest, data.shares[most], len(nearest)) < CHANCE
            ):
                text = (
                    f"{largest:.0%} of the {len(samples)} samples from the fixed latents look like"
                    f" class {data.classes[most]}, as {data.shares[most]:.0%} of the data do: a"
                    " gradient penalty in [[regularizers]], discriminator.pack=2 or"
                    ' condition="class" may help'
                )
                self._say(session, "one-class", text)

    def _unmoved(self, signs: Signs, samples: Tensor) -> bool:
        """Whether G still makes the samples that it began with. Critics that are no classifiers
        may be right at all times, as those of Wasserstein distances, while G learns from them."""
        if signs.first is None:
            return False
        way = (samples[:FIRST] - signs.first).flatten(1).square().sum(1).mean()
        return bool(way < ALIKE * self._reference.variance)

    def _say(self, session: Session, name: str, text: str) -> None:
        if name not in self._said:
            self._said.add(name)
            row = {"iteration": session.iteration, "name": name, "text": text}
            append_row(self.folder.warnings, row)
            self.events.emit("warned", f"at iteration {session.iteration}: {text}")
