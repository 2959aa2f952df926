"""The tables of a recipe that the engine itself understands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    Field,
    NonNegativeInt,
    PositiveInt,
    field_validator,
    model_validator,
)

from ganzoo.ramps import CONFIG, Value, value_at


class Settings(BaseModel):
    """Base of the tables below: strict, closed and frozen."""

    model_config = CONFIG


class Latent(Settings):
    """The distribution from which latent vectors z are drawn."""

    dim: PositiveInt = Field(100, le=1_000_000, description="length of a latent vector")
    distribution: Literal["normal", "uniform"] = Field(
        "normal", description="standard normal, or uniform on [-1, 1]"
    )


class Train(Settings):
    """Length, batch and seed of a run."""

    iterations: PositiveInt = Field(
        le=1_000_000_000, description="length of the run, in iterations"
    )
    batch_size: PositiveInt = Field(
        64, le=1_000_000, description="samples in a batch, over all devices together"
    )
    accumulate: PositiveInt = Field(
        1, description="parts of a batch that are computed one after the other, to save memory"
    )
    seed: NonNegativeInt = Field(0, description="fixes every random number of the run")

    @model_validator(mode="after")
    def _equal_parts(self) -> Self:
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"batch_size = {self.batch_size} cannot be cut into accumulate = "
                f"{self.accumulate} parts"
            )
        return self


class Ema(Settings):
    """Exponential moving average of the generator's weights, which is what gets sampled."""

    decay: Value = Field(
        0.0, ge=0, lt=1, description="share of the average kept per iteration; 0 for none"
    )


class Log(Settings):
    """How often statistics are read and a picture is drawn."""

    every: PositiveInt = Field(250, description="iterations between two readings")
    samples: PositiveInt = Field(
        64, le=10_000, description="samples in a picture (points: 32 times as many)"
    )


class Checkpoint(Settings):
    """How often the state of a run is saved."""

    every: PositiveInt = Field(1000, description="iterations between two checkpoints")
    keep: PositiveInt = Field(2, description="how many of the newest checkpoints are kept")


DEVICE = r"^(auto|cpu|mps|cuda(:\d+)?)$"


class Engine(Settings):
    """How the arithmetic is done."""

    device: str = Field(
        "auto",
        description="auto, cpu, cuda, cuda:1 or mps",
        json_schema_extra={"pattern": DEVICE},
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="precision of the networks' matrix products and convolutions"
    )
    memory_format: Literal["auto", "contiguous", "channels-last"] = Field(
        "auto", description="memory layout of images and convolutions"
    )
    threads: Literal["auto"] | PositiveInt = Field(
        "auto", description="threads that compute on a CPU; auto: as many as there is work for"
    )
    deterministic: bool = Field(
        True, description="same seed, same bytes; false lets a GPU choose faster kernels"
    )

    @field_validator("device")
    @classmethod
    def _is_a_device(cls, device: str) -> str:
        if not re.match(DEVICE, device):
            raise ValueError("is no device")
        return device


class Evaluate(Settings):
    """How a run is evaluated, by the metrics that the recipe or a comparison names."""

    samples: PositiveInt = Field(
        10_000, le=10_000_000, description="generated samples that are measured"
    )
    snapshots: NonNegativeInt = Field(
        5,
        le=1_000,
        description="times at which weights are kept to be measured, evenly over the run",
    )


class Optimizer(Settings):
    """Base of the optimizers; `type` is the name that a recipe writes."""

    type: ClassVar[str]

    lr: Value = Field(ge=0, description="learning rate")
    weight_decay: Value = Field(0.0, ge=0, description="decay of the weights")

    @field_validator("lr")
    @classmethod
    def _trains(cls, lr: Value) -> Value:
        # In the last hundredth of a run nothing is learned any more.
        if not any(value_at(lr, share, 100) > 0 for share in range(99)):
            raise ValueError("should be greater than 0")
        return lr


Beta = Annotated[Value, Field(ge=0, lt=1)]


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015, arXiv:1412.6980); the decay is added to the gradient."""

    type: ClassVar[str] = "adam"

    betas: tuple[Beta, Beta] = Field(
        (0.9, 0.999), description="decay of the first and second moment"
    )
    eps: float = Field(1e-8, gt=0, description="added to the root of the second moment")


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv:1711.05101)."""

    type: ClassVar[str] = "adamw"

    weight_decay: Value = Field(0.01, ge=0, description="decay of the weights")


class SGD(Optimizer):
    """Stochastic gradient descent."""

    type: ClassVar[str] = "sgd"

    momentum: Value = Field(0.0, ge=0, lt=1, description="momentum")
    nesterov: bool = Field(False, description="Nesterov's momentum; needs momentum above 0")

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Self:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")
        return self


class RMSprop(Optimizer):
    """RMSprop (Hinton's lecture 6e), the optimizer of the first Wasserstein GANs."""

    type: ClassVar[str] = "rmsprop"

    alpha: float = Field(0.99, ge=0, lt=1, description="decay of the second moment")
    momentum: Value = Field(0.0, ge=0, lt=1, description="momentum")
    eps: float = Field(1e-8, gt=0, description="added to the root of the second moment")


OPTIMIZERS: Mapping[str, type[Optimizer]] = {
    spec.type: spec for spec in (Adam, AdamW, SGD, RMSprop)
}
"""The optimizers by name."""

OPTIONS = frozenset({"type"}).union(*(spec.model_fields for spec in OPTIMIZERS.values()))
"""Every key that some optimizer has; other keys of [optimizer] are names of networks."""

TABLES: Mapping[str, type[Settings]] = {
    "latent": Latent,
    "train": Train,
    "ema": Ema,
    "log": Log,
    "checkpoint": Checkpoint,
    "engine": Engine,
    "evaluate": Evaluate,
}
"""The recipe's tables that hold settings of the engine."""
