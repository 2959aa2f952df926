"""The checks of networks: each catches a network made wrong for it, and lets right ones pass."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import torch
from components import plugin
from handmade import D, E, Frozen, G, changed, make, spec
from torch import Tensor, nn
from torch.autograd import Function

from ganzoo.api import BuildContext, DiscriminatorSpec, GeneratorSpec, UserError
from ganzoo.specs import NETWORKS, ComponentSpec
from ganzoo.testing import CHECKS, Case, Skip, Wrong
from ganzoo.testing.checks import Subject

MINE = [
    name
    for name, check in CHECKS.items()
    if check.kinds & set(NETWORKS) and check.function.__module__.endswith(".network_checks")
]


class Constant(Function):
    """The identity, whose gradient is a constant as far as torch knows."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        with torch.no_grad():
            return gradient * 1


class Unused(G):
    def __init__(self, context: BuildContext) -> None:
        super().__init__(context)
        self.gain = nn.Parameter(torch.ones(3))


class Scaled(G):
    """Has a tensor that is neither a parameter nor a buffer."""

    def __init__(self, context: BuildContext) -> None:
        super().__init__(context)
        self.scale = torch.rand(8)

    def hidden(self, z: Tensor) -> Tensor:
        return super().hidden(z) * self.scale


class Listed(G):
    """Keeps a layer in a plain list."""

    def __init__(self, context: BuildContext) -> None:
        super().__init__(context)
        self.blocks = [nn.Linear(8, 8)]

    def hidden(self, z: Tensor) -> Tensor:
        return self.blocks[0](super().hidden(z))


class Tied(G):
    """Keeps a parameter once more, which is the same object on any device."""

    def __init__(self, context: BuildContext) -> None:
        super().__init__(context)
        self.kept = [self.first.weight]

    def hidden(self, z: Tensor) -> Tensor:
        return super().hidden(z) * self.kept[0].mean(1)


class Widths(G):
    """Has weights of a shape that is drawn."""

    def __init__(self, context: BuildContext) -> None:
        super().__init__(context)
        self.extra = nn.Parameter(torch.zeros(int(torch.randint(1, 1000, ()))))


class Bound(G):
    """Keeps a function that means this very module."""

    def __init__(self, context: BuildContext) -> None:
        super().__init__(context)
        self.run = lambda z: G.hidden(self, z)
        self.end = lambda x: self.last(x)

    def forward(self, z: Tensor) -> Any:
        return self.end(self.run(z)).tanh().view(-1, *self.shape)


class Shared(G):
    def __deepcopy__(self, memo: object) -> Shared:
        return self


class Half(G):
    """Copies of it lose their last layer's weights."""

    def __deepcopy__(self, memo: object) -> Half:
        other = Half.__new__(Half)
        other.__dict__ = {**self.__dict__, "_modules": dict(self._modules)}
        other.last = nn.Linear(8, self.last.out_features)
        return other


class Cached(G):
    """Keeps a tensor that has a graph."""

    def __init__(self, context: BuildContext) -> None:
        super().__init__(context)
        self.cached = self.first.weight * 2


class Counting(G):
    calls = 0

    def hidden(self, z: Tensor) -> Tensor:
        self.calls += 1
        return super().hidden(z) + self.calls


class Moody(nn.Linear):
    """A layer whose sums vanish in bfloat16."""

    def forward(self, x: Tensor) -> Tensor:
        return (1 + 1e-3 * (1 + super().forward(x).sigmoid()) - 1).log()


class Rough(G):
    def __init__(self, context: BuildContext) -> None:
        super().__init__(context)
        self.last = Moody(8, self.last.out_features)

    def forward(self, z: Tensor) -> Any:
        return self.last(self.hidden(z)).view(-1, *self.shape)


class Late(G):
    """Takes a tensor from the data that is no buffer."""

    def __init__(self, context: BuildContext) -> None:
        super().__init__(context)
        self.start = torch.zeros(())

    def hidden(self, z: Tensor) -> Tensor:
        return super().hidden(z) + self.start


class Deaf(G):
    """Is given labels, and does not use them."""

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Any:
        return super().forward(z)


class Labelled(G):
    """A right conditional generator, whose labels make no difference at the start."""

    def __init__(self, context: BuildContext) -> None:
        super().__init__(context)
        self.classes = nn.Embedding(context.num_classes or 1, 8) if context.conditional else None
        if self.classes is not None:
            nn.init.zeros_(self.classes.weight)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Any:
        hidden = self.hidden(z)
        if self.classes is not None:
            hidden = hidden + self.classes(labels)
        return self.last(hidden).tanh().view(-1, *self.shape)


class Unpacked(D):
    """Is built for single images, whatever the context says."""

    def __init__(self, context: BuildContext) -> None:
        super().__init__(replace(context, sample_shape=(1, *context.sample_shape[1:])))


class Blind(G):
    """Counts on being called without labels."""


class Codebook(E):
    """Has codes that a moving average would train."""

    def __init__(self, context: BuildContext) -> None:
        super().__init__(context)
        self.codes = nn.Parameter(torch.randn(4, 3), requires_grad=False)


def initialized(network: type[nn.Module]) -> type[ComponentSpec]:
    """A declaration that sets an attribute `start` from the data."""

    class Made(spec(network)):  # type: ignore[misc]
        """Starts from the data."""

        def initialize(self, network: Any, context: BuildContext) -> None:
            network.start.fill_(float(context.data.train.values.float().mean()))

    return Made


CLASSES = frozenset({"classes"})


def normalised(x: Tensor) -> Tensor:
    return x - x.mean(0)


WRONG = [
    (
        "sample-shape",
        spec(changed(G, lambda self, z: self.last(self.hidden(z)))),
        "1 latents give samples of shape (1, 64), not (1, 1, 8, 8), with samples of shape "
        "(1, 8, 8); end `forward` with `.view(-1, *sample_shape)`",
    ),
    (
        "sample-shape",
        spec(changed(G, lambda self, z: G.forward(self, z)[: 1 if self.training else None])),
        "2 latents give samples of shape (1, 1, 8, 8), not (2, 1, 8, 8)",
    ),
    (
        "sample-shape",
        spec(changed(G, lambda self, z: G.forward(self, z).double())),
        "gives samples in torch.float64; compute in that of the input, float32",
    ),
    (
        "sample-shape",
        spec(changed(G, lambda self, z: {"x": z})),
        "`forward` returns dict; return samples as a tensor",
    ),
    (
        "sample-shape",
        spec(lambda context: "a generator", GeneratorSpec),
        "`build` returns str; return a torch.nn.Module",
    ),
    (
        "sample-range",
        spec(changed(G, lambda self, z: 3 * G.forward(self, z))),
        "with samples of shape (1, 8, 8); they lie in [-1, 1]: end `forward` with a tanh",
    ),
    (
        "sample-range",
        spec(changed(G, lambda self, z: G.forward(self, z) * (50 * z.max()).exp())),
        "gives samples that are not finite with samples of shape (1, 8, 8), for latents of up to 5",
    ),
    (
        "compiled",
        spec(changed(G, lambda self, z: G.forward(self, z if z[0, 0] > 0 else -z))),
        "torch.compile cannot take `forward` as one graph",
    ),
    (
        "compiled",
        spec(G, compiles=False),
        "torch.compile takes `forward` as one graph, but the class says that it does not; take "
        "`compiles = False` out",
    ),
    (
        "logit-shape",
        spec(changed(D, lambda self, x: D.forward(self, x)[:, None])),
        "1 samples give logits of shape (1, 1), not (1,), with samples of shape (1, 8, 8); end "
        "`forward` with `.flatten()`",
    ),
    (
        "code-shape",
        spec(changed(E, lambda self, x: E.forward(self, x)[..., None]), provides=frozenset()),
        "1 samples give codes of shape (1, 6, 1), not (1, 6)",
    ),
    (
        "code-shape",
        spec(changed(E, lambda self, x: (E.forward(self, x),) * 2), provides=frozenset()),
        "give codes of shape (1, 6) and (1, 6), not (1, 6), with samples of shape (1, 8, 8); "
        "return one tensor where 'variance' is not in `context.requested`",
    ),
    (
        "code-shape",
        spec(changed(E, lambda self, x: self.last(self.first(x.flatten(1)))[:, :6])),
        "give codes of shape (1, 6), not (1, 6) and (1, 6), with samples of shape (1, 8, 8); "
        "return the pair mean, log-variance where 'variance' is in `context.requested`",
    ),
    (
        "batch-order",
        spec(changed(D, lambda self, x: D.forward(self, x).cumsum(0))),
        "when the samples of a batch change places",
    ),
    (
        "input-derivatives",
        spec(changed(D, lambda self, x: D.forward(self, x.detach()))),
        "has no gradient to the samples with samples of shape (1, 8, 8); take out of `forward`",
    ),
    (
        "input-derivatives",
        spec(changed(D, lambda self, x: D.forward(self, x.round()))),
        "has no gradient to the samples",
    ),
    (
        "input-derivatives",
        spec(changed(D, lambda self, x: D.forward(self, Frozen.apply(x)))),
        "cannot be differentiated twice, as R1 and gradient penalties do: trying to differentiate "
        "twice a function that was marked with @once_differentiable",
    ),
    (
        "input-derivatives",
        spec(changed(D, lambda self, x: Constant.apply(x).flatten(1).sum(1))),
        "cannot be differentiated twice, as R1 and gradient penalties do: element 0 of tensors "
        "does not require grad",
    ),
    (
        "input-derivatives",
        spec(changed(D, lambda self, x: D.forward(self, x) + (0 * x).abs().pow(1.5).sum())),
        "has a second derivative that is not finite with samples of shape (1, 8, 8)",
    ),
    (
        "input-derivatives",
        spec(changed(D, lambda self, x: D.forward(self, x) + (0 * x).sqrt().sum())),
        "has a gradient to the samples that is not finite",
    ),
    (
        "raw-logits",
        spec(changed(D, lambda self, x: D.forward(self, x).sigmoid())),
        "whatever its weights are, as a probability is; return the logit, without a sigmoid",
    ),
    (
        "parameter-gradients",
        spec(Unused),
        "'gain' gets no gradient; use it in `forward`, or freeze it by `requires_grad_(False)`",
    ),
    (
        "parameter-gradients",
        spec(changed(G, lambda self, z: G.forward(self, z).detach())),
        "its samples carry no gradient; take `no_grad`, `detach` and rounding out of `forward`",
    ),
    (
        "parameter-gradients",
        spec(changed(D, lambda self, x: D.forward(self, x).round())),
        "all gradients of its weights are zero",
    ),
    (
        "parameter-gradients",
        spec(changed(D, lambda self, x: D.forward(self, x) + (0 * self.last.weight).sqrt().sum())),
        "the gradient of 'last.weight' is not finite; add a small number under a root",
    ),
    (
        "state-dict-round-trip",
        spec(Scaled),
        "make what decides them, in `build` or in `initialize`, a parameter or a persistent buffer",
    ),
    (
        "state-dict-round-trip",
        spec(Widths),
        "a second build cannot load the state dict of the first: Error(s) in loading state_dict",
    ),
    (
        "state-dict-round-trip",
        initialized(Late),
        "make what decides them, in `build` or in `initialize`, a parameter or a persistent buffer",
    ),
    (
        "depends-on-labels",
        spec(Deaf, provides=CLASSES),
        "gives the same samples whatever the labels are; use the second argument where "
        "`context.conditional` is true, or take 'classes' out of `provides`",
    ),
    (
        "sample-shape",
        spec(Blind, provides=CLASSES),
        "takes 2 positional arguments but 3 were given",
    ),
    (
        "packed-logits",
        spec(Unpacked),
        "mat1 and mat2 shapes cannot be multiplied",
    ),
    (
        "packed-logits",
        spec(changed(D, lambda self, x: D.forward(self, x).repeat(x.shape[1]))),
        "1 samples give logits of shape (2,), not (1,)",
    ),
    ("deep-copy", spec(Shared), "its samples change with the weights of a copy of it; keep no"),
    (
        "deep-copy",
        spec(Bound),
        "the samples of a copy do not change with the copy's weights; a function kept as an "
        "attribute still means the first one: write a method instead",
    ),
    ("deep-copy", spec(Half), "a copy of it by copy.deepcopy gives other samples"),
    ("deep-copy", spec(Cached), "copy.deepcopy fails: RuntimeError: Only Tensors created"),
    (
        "moves-with-its-device",
        spec(Scaled),
        "`scale` stayed on the CPU: keep a tensor by `register_buffer`, and modules in",
    ),
    ("moves-with-its-device", spec(Listed), "`blocks` stayed on the CPU: keep a tensor by"),
    (
        "moves-with-its-device",
        spec(changed(D, lambda self, x: D.forward(self, x + torch.ones(x.shape)))),
        "on another device than the CPU it fails: RuntimeError: ",
    ),
    (
        "moves-with-its-device",  # what the meta device itself lets pass
        spec(changed(D, lambda self, x: D.forward(self, x @ torch.eye(x.shape[-1])))),
        "RuntimeError: mm takes a tensor (8, 8) on the CPU and another that is not",
    ),
    (
        "moves-with-its-device",
        spec(changed(D, lambda self, x: torch.zeros(len(x)))),
        "gives logits that are on the CPU whatever the device; make tensors on the "
        "device of what comes in: `device=x.device`",
    ),
    (
        "moves-with-its-device",
        spec(changed(D, lambda self, x: D.forward(self, x)[: len(x) if x.is_cpu else 1])),
        "2 samples give logits of shape (1,), not (2,), with samples of shape (1, 8, 8); on "
        "another device than the CPU let it be the same",
    ),
    (
        "finite-in-bfloat16",
        spec(Rough),
        "gives samples that are not finite under bfloat16 autocast, with samples of shape (1, 8, 8)"
        "; compute roots, logarithms and exponentials in float32: `x.float()`",
    ),
    (
        "finite-in-bfloat16",
        spec(changed(D, lambda self, x: (1 + 1e-3 * D.forward(self, x).square() - 1).sqrt())),
        "is not finite under bfloat16 autocast, with samples of shape (1, 8, 8)",
    ),
    (
        "same-in-evaluation",
        spec(changed(G, lambda self, z: G.forward(self, z + torch.randn_like(z)))),
        "for the same latents: it draws noise in evaluation mode; draw where `self.training` is",
    ),
    (
        "same-in-evaluation",
        spec(Counting),
        "for the same latents: it changes with every call; let evaluation mode change nothing",
    ),
    (
        "same-in-evaluation",
        spec(changed(E, lambda self, x: E.forward(self, normalised(x))), provides=frozenset()),
        "for the same samples alone and in a batch, with samples of shape (1, 8, 8)",
    ),
]


@pytest.mark.parametrize(
    ("check", "declared", "message"),
    [pytest.param(*case, id=f"{case[0]}-{number}") for number, case in enumerate(WRONG)],
)
def test_a_wrong_network_is_caught(check: str, declared: type[ComponentSpec], message: str) -> None:
    with pytest.raises(Wrong, match=re.escape(message)) as caught:
        make(check, declared)
    assert f"why it matters: {CHECKS[check].why}" in str(caught.value)


def test_each_check_has_a_wrong_network() -> None:
    assert {check for check, *_ in WRONG} == set(MINE)
    assert len(MINE) == 16


class Started(Late):
    def __init__(self, context: BuildContext) -> None:
        super().__init__(context)
        del self.start
        self.register_buffer("start", torch.zeros(()))


RIGHT = {
    "generator": spec(G),
    "discriminator": spec(D),
    "encoder": spec(E),
    "conditional": spec(Labelled, provides=CLASSES),
    "codebook": spec(Codebook),
    "tied": spec(Tied),
    "initialized": initialized(Started),
}


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("check", MINE)
def test_right_networks_pass(check: str, name: str) -> None:
    declared = RIGHT[name]
    if declared.kind in CHECKS[check].kinds and (
        check != "depends-on-labels" or "classes" in declared.provides
    ):
        make(check, declared)


def test_networks_without_classes_are_not_given_labels() -> None:
    assert skipped("depends-on-labels", RIGHT["generator"]) == "it does not provide 'classes'"


def test_a_discriminator_may_refuse_packs() -> None:
    def grey(context: BuildContext) -> nn.Module:
        if context.sample_shape[0] == 2:
            raise UserError("reads grey images")
        return D(context)

    assert skipped("packed-logits", spec(grey, DiscriminatorSpec)) == (
        "it refuses packed samples: reads grey images"
    )


def skipped(check: str, declared: type[ComponentSpec], number: int = 0) -> str:
    with pytest.raises(Skip) as caught:
        Case(CHECKS[check], Subject(plugin(declared), declared, {}, number))()
    return str(caught.value)


def test_what_a_check_cannot_say_is_skipped_with_the_reason() -> None:
    def still(context: BuildContext) -> nn.Module:
        return D(context).requires_grad_(False)

    declared = spec(still, DiscriminatorSpec)
    assert skipped("parameter-gradients", declared) == "it has no weights to train"
    assert skipped("raw-logits", declared) == "it has no weights that could be changed"
    assert "with the first" in skipped("compiled", spec(G, compiles=False), number=1)
    counted = changed(D, lambda self, x: D.forward(self, x) + len(x.nonzero()))
    assert "torch cannot try it without a GPU" in skipped("moves-with-its-device", spec(counted))


def test_a_shape_that_is_refused_is_not_tried() -> None:
    seen = []

    def square(context: BuildContext) -> nn.Module:
        if len(context.sample_shape) != 3 or context.sample_shape[1] < 32:
            raise UserError("makes images of 32 pixels and more")
        seen.append(context.sample_shape)
        return G(context)

    make("sample-shape", spec(square, GeneratorSpec))
    assert set(seen) == {(3, 32, 32)}


def test_a_network_that_refuses_all_shapes_is_wrong() -> None:
    def none(context: BuildContext) -> nn.Module:
        raise UserError("needs a moon")

    with pytest.raises(Wrong, match="refuses samples of every shape that was tried: needs a moon"):
        make("sample-shape", spec(none, GeneratorSpec))


def test_a_network_that_fails_for_a_shape_should_refuse_it() -> None:
    def fixed(context: BuildContext) -> nn.Module:
        if context.sample_shape != (1, 8, 8):
            raise KeyError(context.sample_shape)
        return G(context)

    message = r"cannot be built for samples of shape \(3, 16, 16\): KeyError"
    with pytest.raises(Wrong, match=message + r".*; raise UserError in `build` for what it does"):
        make("sample-shape", spec(fixed, GeneratorSpec))


def test_a_generator_with_a_density_may_train_through_it() -> None:
    class Weighted(G):
        def __init__(self, context: BuildContext) -> None:
            super().__init__(context)
            self.share = nn.Parameter(torch.zeros(()))

        def log_prob(self, x: Tensor) -> Tensor:
            return -x.flatten(1).square().sum(1) * self.share.exp()

    with pytest.raises(Wrong, match="'share' gets no gradient"):
        make("parameter-gradients", spec(Weighted))
    make("parameter-gradients", spec(Weighted, provides=frozenset({"log_prob"})))
    # What a capability of a plugin's own trains is not known to the kit.
    make("parameter-gradients", spec(Weighted, provides=frozenset({"features"})))
