"""Checks of plugins as a whole and of every kind of component, each with faults that it finds."""

from __future__ import annotations

import os
import random
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from kit import fault, passes, plugin_of, reason
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, field_validator
from torch import Tensor, nn

from ganzoo.api import (
    AugmentationSpec,
    BuildContext,
    DatasetSpec,
    DiscriminatorSpec,
    Probe,
    ProbeSpec,
    UserError,
)
from ganzoo.engine import Data, Samples, generator_for
from ganzoo.specs import KINDS, ComponentSpec
from ganzoo.testing import imports
from ganzoo.testing.checks import cases_of
from ganzoo.testing.imports import measure
from ganzoo.testing.state_checks import difference

Module = Callable[[str], str]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Module]:
    """Write a module and give its name."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(source: str) -> str:
        (tmp_path / "written.py").write_text(dedent(source))
        measure.cache_clear()
        return "written"

    yield write
    measure.cache_clear()


LIGHT = (
    "light-import",
    "import-without-torch",
    "import-side-effects",
    "silent-import",
)


def test_a_light_module(module: Module) -> None:
    name = module("from ganzoo.api import hookimpl")
    for check in LIGHT:
        passes(check, module=name)


def test_a_slow_import(module: Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "TRIES", 2)
    name = module("import time\ntime.sleep(0.35)")
    assert re.fullmatch(
        r"importing it takes (3[5-9]|[4-9]\d|\d\d\d)\d ms beyond ganzoo.api, and at most 300 are "
        r"allowed; import what `build` needs inside `build`",
        fault("light-import", module=name),
    )


def test_what_a_slow_import_brings_in_is_named(
    module: Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "TRIES", 1)
    (tmp_path / "sluggish.py").write_text("import time\ntime.sleep(0.35)")
    name = module("import sluggish")
    assert "(it brings in sluggish), and at most 300" in fault("light-import", module=name)


def test_a_busy_machine_is_asked_again(module: Module, tmp_path: Path) -> None:
    mark = tmp_path / "first"
    name = module(f"""
        import pathlib, time
        if not pathlib.Path({str(mark)!r}).exists():
            pathlib.Path({str(mark)!r}).touch()
            time.sleep(0.35)
    """)
    passes("light-import", module=name)


def test_an_import_that_imports_torch(module: Module) -> None:
    name = module("""
        import torch
        torch.set_default_dtype(torch.float64)
        torch.manual_seed(0)
        torch.backends.cudnn.benchmark = True
    """)
    assert fault("import-without-torch", module=name) == (
        "importing it imports torch; import torch, and files that do, inside `build`, and for "
        "annotations below `if TYPE_CHECKING:`"
    )
    found = fault("import-side-effects", module=name)
    assert "torch's default dtype (torch.float32 is now torch.float64)" in found
    assert "torch's backends.cudnn.benchmark (False is now True)" in found
    assert "torch's seed" in found


SIDE_EFFECTS = {
    "import os; os.environ['OMP_NUM_THREADS'] = '7'": (
        "environment variable OMP_NUM_THREADS (1 is now 7)"
    ),
    "import os; os.environ['GANZOO_NEW'] = '7'": "environment variable GANZOO_NEW",
    "import os; del os.environ['OMP_NUM_THREADS']": "environment variable OMP_NUM_THREADS",
    "import os; os.chdir('/')": "working directory",
    "import random; random.seed(0)": "Python's random stream",
    "import sys; sys.path.append('.')": "sys.path",
    "import sys; sys.setrecursionlimit(5000)": "recursion limit (1000 is now 5000)",
    "import sys; sys.excepthook = print": "sys.excepthook",
    "import warnings; warnings.simplefilter('ignore')": "warning filters",
    "import warnings; warnings.filterwarnings('ignore', 'no')": "warning filters",
    "import logging; logging.basicConfig(level='DEBUG')": (
        "level of the root logger (WARNING is now DEBUG)"
    ),
    "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)": "handler of Ctrl-C",
}


@pytest.mark.parametrize("source", SIDE_EFFECTS)
def test_an_import_with_side_effects(
    source: str, module: Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    found = fault("import-side-effects", module=module(source))
    assert found.startswith("importing it changes ")
    assert SIDE_EFFECTS[source] in found
    assert found.endswith("; leave it as it was")


def test_an_import_that_prints(module: Module) -> None:
    name = module("import sys\nprint('hello')\nprint('there', file=sys.stderr)")
    assert fault("silent-import", module=name) == (
        "importing it prints 'hello there'; take that out"
    )


def test_an_import_that_warns(module: Module) -> None:
    name = module("import warnings\nwarnings.warn('no torch here')")
    assert fault("silent-import", module=name) == (
        "importing it warns: 'no torch here'; mend what it warns of"
    )
    passes("silent-import", module=module("import warnings\nwarnings.warn('x', ImportWarning)"))


def test_what_a_build_changes_only_once_is_found_after_another_check() -> None:
    done: list[int] = []

    def once() -> None:
        if not done:
            print("building")
        done.append(1)

    declared = doing(once)
    passes("builds", declared)
    assert fault("silent-build", declared) == "building it prints 'building'; take that out"


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("import nowhere_at_all", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import os; os._exit(3)", "the process ended with 3: nothing was said"),
    ],
)
def test_an_import_that_fails(source: str, what: str, module: Module) -> None:
    name = module(source)
    for check in LIGHT:
        assert fault(check, module=name) == (
            f"cannot be imported in a process of its own: {what}; import in it whatever it needs, "
            "and nothing that only the tests can see"
        )


def test_an_import_that_does_not_end(module: Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "SECONDS", 1)
    name = module("import time; time.sleep(60)")
    assert "it has not ended after 1 seconds" in fault("light-import", module=name)


class Base(DiscriminatorSpec):
    """A discriminator."""

    type: ClassVar[str] = "base"

    width: PositiveInt = Field(3, description="width")

    def build(self, context: BuildContext) -> Any:
        return nn.Sequential(nn.Flatten(), nn.LazyLinear(1), nn.Flatten(0))


COMPONENT = (
    *("summary", "described-keys", "valid-examples", "toml-round-trip", "unknown-keys"),
    *("builds", "build-side-effects", "silent-build", "seeded-build"),
)


@pytest.mark.parametrize("check", COMPONENT)
def test_a_component_without_faults(check: str) -> None:
    passes(check, Base)


def test_every_kind_of_component_is_checked() -> None:
    for kind, base in KINDS.items():
        made = type("Of", (base,), {"kind": kind, "type": "of", "__doc__": "Of a kind."})
        names = {each.check.name for each in cases_of(plugin_of(made), {})}
        assert names >= set(COMPONENT) - {"seeded-build" if kind == "dataset" else ""}


def test_a_blank_docstring() -> None:
    class Blank(Base):
        """ """

    assert fault("summary", Blank) == "its docstring is blank; say in its first line what it is"


def test_a_first_line_that_fits_into_no_table() -> None:
    class Long(Base):
        pass

    Long.__doc__ = "x" * 101 + "\n\nMore."
    assert fault("summary", Long) == (
        "the first line of its docstring has 101 characters, and 100 fit into a table; say it in "
        "fewer, and the rest below an empty line"
    )


class Table(BaseModel):
    model_config = ConfigDict(extra="forbid")

    depth: int = 1


def test_a_key_without_a_description() -> None:
    class Silent(Base):
        """Silent."""

        depth: PositiveInt = 2

    assert fault("described-keys", Silent) == (
        "key 'depth' has no description; write depth: ... = Field(..., description=\"...\")"
    )


@pytest.mark.parametrize(
    "annotation", [Table, Table | None, tuple[Table, ...], Mapping[str, Table] | dict[str, Table]]
)
def test_a_key_of_an_inner_table_without_a_description(annotation: Any) -> None:
    class Inner(Base):
        """Inner."""

        inner: annotation = Field(None, description="a table")

    assert "key 'inner.depth' has no description" in fault("described-keys", Inner)


def test_defaults_that_are_refused() -> None:
    class Negative(Base):
        """Negative."""

        width: PositiveInt = Field(-3, description="width")

    assert fault("valid-examples", Negative) == (
        "its defaults are refused: width: Input should be greater than 0; correct them"
    )


class Required(Base):
    """Required."""

    width: PositiveInt = Field(description="width")


def test_keys_without_a_default_need_an_example() -> None:
    assert fault("valid-examples", Required) == (
        "width has no default and there is no example, so that nothing can be checked; write "
        "examples: ClassVar = ({...},) with a value for every such key"
    )
    Required.examples = ({"width": 3},)
    try:
        passes("valid-examples", Required, {"width": 3})
        passes("unknown-keys", Required, {"width": 3})
    finally:
        del Required.examples


def test_an_example_that_is_refused() -> None:
    assert fault("valid-examples", Base, {"witdh": 3}) == (
        "the example {'witdh': 3} is refused: witdh: Extra inputs are not permitted; correct "
        "`examples` of the class"
    )


def test_an_example_that_is_no_table() -> None:
    assert fault("valid-examples", Base, ["width"]) == (
        "`examples` should be a sequence of tables, each from key to value"
    )


@pytest.mark.parametrize("check", ["toml-round-trip", "builds"])
def test_refused_keys_are_told_once(check: str) -> None:
    assert reason(check, Base, {"width": -3}) == "its keys are refused; see `valid-examples`"


def test_a_validator_that_changes_its_own_value() -> None:
    class Doubled(Base):
        """Doubled."""

        scale: int = Field(2, description="scale")

        @field_validator("scale")
        @classmethod
        def _double(cls, value: int) -> int:
            return 2 * value

    assert fault("toml-round-trip", Doubled) == (
        "key 'scale' is 4, and 8 after it was written as TOML and read again; a validator must "
        "leave alone what it has made itself"
    )


def test_a_value_that_toml_does_not_have() -> None:
    class Hole(Base):
        """Hole."""

        values: tuple[int | None, ...] = Field((1, None), description="numbers")

    found = fault("toml-round-trip", Hole)
    assert found.startswith("its keys cannot be written as TOML and read again: ")
    assert found.endswith("; use numbers, texts, lists and tables, and None only as a default")


def test_a_component_that_takes_any_key() -> None:
    class Lax(Base):
        """Lax."""

        model_config = ConfigDict(extra="ignore")

    assert fault("unknown-keys", Lax) == (
        "Lax takes keys that it does not have; "
        'write model_config = ConfigDict(extra="forbid", strict=True, frozen=True)'
    )


def test_an_inner_table_that_takes_any_key() -> None:
    class Loose(BaseModel):
        depth: int = Field(1, description="depth")

    class Holder(Base):
        """Holder."""

        inner: Loose | None = Field(None, description="a table")

    assert "Loose takes keys that it does not have" in fault("unknown-keys", Holder)


def test_a_build_that_raises() -> None:
    class Raising(Base):
        """Raising."""

        def build(self, context: BuildContext) -> Any:
            raise KeyError("widht")

    assert re.search(r"KeyError: 'widht' \(.*test_every.py:\d+\)", fault("builds", Raising))
    for check in ("build-side-effects", "silent-build", "seeded-build"):
        assert reason(check, Raising) == "it cannot be built; see the check `builds`"


def test_a_build_that_refuses_everything() -> None:
    class Refusing(Base):
        """Refusing."""

        def build(self, context: BuildContext) -> Any:
            raise UserError("it is Tuesday")

    found = fault("builds", Refusing)
    assert found.startswith("refuses samples of every shape that was tried: it is Tuesday")


def test_a_build_that_returns_nothing() -> None:
    class Forgetful(Base):
        """Forgetful."""

        def build(self, context: BuildContext) -> Any:
            nn.Linear(2, 3)

    assert fault("builds", Forgetful) == "`build` returns NoneType; return a torch.nn.Module"

    class Nothing(AugmentationSpec):
        """Nothing."""

        type: ClassVar[str] = "nothing"

        def build(self, context: BuildContext) -> Any:
            return None

    assert fault("builds", Nothing) == "build() returns None; return what it has made"


class Doing(Base):
    """Does something before it builds."""

    def build(self, context: BuildContext) -> Any:
        self.do()
        return super().build(context)

    def do(self) -> None: ...


def doing(action: Callable[[], Any]) -> type[ComponentSpec]:
    """A component that does something when it is built."""

    class Done(Doing):
        """Done."""

        def do(self) -> None:
            action()

    return Done


@pytest.fixture
def restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The state of this process as it was before."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    folder, states = Path.cwd(), (random.getstate(), np.random.get_state(), torch.get_rng_state())
    with warnings.catch_warnings():
        yield
    torch.set_default_dtype(torch.float32)
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(False)
    os.chdir(folder)
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])


BUILD_EFFECTS: Mapping[str, tuple[Callable[[], Any], str]] = {
    "dtype": (
        lambda: torch.set_default_dtype(torch.float64),
        "torch's default dtype (torch.float32 is now torch.float64)",
    ),
    "flag": (
        lambda: setattr(torch.backends.cudnn, "benchmark", True),
        "torch's backends.cudnn.benchmark (False is now True)",
    ),
    "algorithms": (
        lambda: torch.use_deterministic_algorithms(True),
        "torch's deterministic algorithms (False is now True)",
    ),
    "seed": (lambda: torch.manual_seed(0), "torch's seed"),
    "Python's seed": (lambda: random.seed(0), "Python's random stream"),
    "numpy's stream": (lambda: np.random.rand(), "numpy's random stream"),
    "warnings": (lambda: warnings.simplefilter("ignore"), "warning filters for all warnings"),
    "variable": (
        lambda: os.environ.update(OMP_NUM_THREADS="7"),
        "environment variable OMP_NUM_THREADS (1 is now 7)",
    ),
    "folder": (lambda: os.chdir("/"), "working directory"),
}


@pytest.mark.parametrize("effect", BUILD_EFFECTS)
@pytest.mark.usefixtures("restored")
def test_a_build_with_side_effects(effect: str) -> None:
    action, changed = BUILD_EFFECTS[effect]
    found = fault("build-side-effects", doing(action))
    assert found.startswith("building it changes ")
    assert changed in found
    assert found.endswith(
        "; leave it as it was, and draw from torch's default random stream, which the engine has "
        "seeded"
    )


@pytest.mark.usefixtures("restored")
def test_what_libraries_do_when_they_are_imported_is_not_the_plugins_fault() -> None:
    done = []

    def once() -> None:
        if not done:
            done.append(random.random())
        os.environ["KMP_INIT_AT_FORK"] = "FALSE"
        warnings.filterwarnings("ignore", module="numpy")
        sys.path.append("/nowhere")

    path = list(sys.path)
    try:
        passes("build-side-effects", doing(once))
        assert done
    finally:
        sys.path[:] = path
        del os.environ["KMP_INIT_AT_FORK"]


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_build_that_prints(stream: str) -> None:
    done = doing(lambda: print("building\nnow", file=getattr(sys, stream)))
    assert fault("silent-build", done) == "building it prints 'building now'; take that out"


def test_a_build_that_warns() -> None:
    done = doing(lambda: warnings.warn("lazy modules are new", stacklevel=1))
    assert fault("silent-build", done) == (
        "building it warns: 'lazy modules are new'; mend what it warns of"
    )
    passes("silent-build", doing(lambda: warnings.warn("x", DeprecationWarning, stacklevel=1)))


class Points(DatasetSpec):
    """Points that take a while to read."""

    type: ClassVar[str] = "points"

    @property
    def sample_shape(self) -> tuple[int, ...]:
        return (2,)

    def build(self, context: BuildContext) -> Any:
        print("reading", file=sys.stderr)
        return Data(Samples(torch.randn(9, 2, generator=generator_for(0, "points"))))


def test_a_data_set_may_speak_to_people_but_not_to_programs() -> None:
    passes("silent-build", Points)

    class Printing(Points):
        """Prints."""

        def build(self, context: BuildContext) -> Any:
            print("reading")
            return super().build(context)

    assert fault("silent-build", Printing) == "building it prints 'reading'; take that out"


def unseeded(value: Callable[[], Any]) -> type[ComponentSpec]:
    """A component with a number that something else than the seed decides."""

    class Unseeded(Base):
        """Unseeded."""

        def build(self, context: BuildContext) -> Any:
            network = super().build(context)
            network.inner = nn.Module()
            network.inner.value = value()
            return network

    return Unseeded


@pytest.mark.parametrize(
    "value",
    [
        random.random,
        np.random.rand,
        lambda: [1, {"a": random.random()}],
        lambda: torch.full((2,), random.random()),
        lambda: torch.Generator().manual_seed(random.randrange(2**30)),
        lambda: nn.Parameter(torch.tensor(np.random.rand(3))),
        lambda: Path(str(random.random())),
    ],
)
def test_a_build_that_the_seed_does_not_fix(value: Callable[[], Any]) -> None:
    found = fault("seeded-build", unseeded(value))
    assert re.match(r"two builds under one seed differ in inner\.value", found)
    assert found.endswith(
        "; draw from torch's default random stream, which the engine has seeded, or from "
        "generators with a fixed seed"
    )


@pytest.mark.parametrize(
    "value",
    [
        lambda: nn.Parameter(torch.randn(3)),
        lambda: torch.nn.utils.spectral_norm(nn.Linear(2, 3)),
        lambda: lambda x: x,
    ],
)
def test_a_build_that_the_seed_fixes(value: Callable[[], Any]) -> None:
    passes("seeded-build", unseeded(value))


class Idle:
    """A probe that does nothing."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def before(self, *given: object) -> None: ...

    def after(self, *given: object) -> None: ...

    def compute(self) -> dict[str, float]:
        return {}

    def draw(self) -> None: ...


@pytest.mark.parametrize("check", ["builds", "seeded-build"])
def test_probes_are_built_too(check: str) -> None:
    class Look(ProbeSpec):
        """Look."""

        type: ClassVar[str] = "look"

        def build(self, context: BuildContext) -> Probe:
            return Idle(int(torch.randint(99, ())))

    passes(check, Look)


@pytest.mark.parametrize("check", ["builds", "seeded-build"])
def test_augmentations_are_built_too(check: str) -> None:
    class Nothing(AugmentationSpec):
        """Nothing."""

        type: ClassVar[str] = "nothing"

        def build(self, context: BuildContext) -> Any:
            return Unchanged()

    passes(check, Nothing)


class Unchanged:
    def draw(self, x: Tensor) -> Any:
        return ()

    def __call__(self, x: Tensor, draw: Any) -> Tensor:
        return x


@pytest.mark.parametrize(
    ("one", "other", "place"),
    [
        (1, 1, None),
        (1, 2, ""),
        (1, 1.0, ""),
        (float("nan"), float("nan"), None),
        ([1, 2], [1, 3], "1"),
        ([1, 2], [1], "1"),
        ({"a": (1, 2)}, {"a": (1, 3)}, "a.1"),
        ({"a": 1}, {"b": 1}, "a"),
        (torch.ones(2), torch.ones(2), None),
        (torch.ones(2), torch.ones(3), ""),
        (torch.full((2,), torch.nan), torch.full((2,), torch.nan), None),
        (np.ones(2), np.zeros(2), ""),
        (Idle(1), Idle(2), "seed"),
        (print, len, None),
        ({1, 2}, {2, 1}, None),
    ],
)
def test_differences(one: Any, other: Any, place: str | None) -> None:
    assert difference(one, other) == place


def test_what_holds_itself_is_compared() -> None:
    one, other = Idle(1), Idle(1)
    one.again, other.again = one, other  # type: ignore[attr-defined]
    assert difference(one, other) is None
