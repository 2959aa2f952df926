"""Speed of the tutorial's MLP-GAN on MNIST: loops written by hand against ganzoo.

    GANZOO_DATA=folder/with/MNIST python tests/benchmarks/mlp_gan.py [--windows 5] [--device cpu]

Three loops train 784-1024-512-256-1 against 100-256-512-1024-784 with batches of 128:

    a   as tutorials write it: DataLoader, transforms, sigmoid and BCE, .item() in every step
    b   tuned by hand: normalised data in memory, logits, fused Adam, no logging, float32
    c   ganzoo in float32, so in the same arithmetic as b, with everything on: statistics, a
        picture and a checkpoint in every window

On CUDA there is a fourth, c*, in the precision that the engine chooses by itself there. Each
loop lives in a process of its own and they take turns, one window at a time, so that what else
the machine does falls on all alike. Reported are medians over the windows, and the peak of each
process's resident memory.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

BATCH = 128
LATENT = 100
LOOPS = {"cpu": ("a", "b", "c"), "cuda": ("a", "b", "c", "c*")}
RECIPE = Path(__file__).parents[2] / "recipes" / "mnist-mlp-gan.toml"


def plain_loop(device: str) -> Iterator[None]:
    """One step of the loop that people write for each `next`."""
    import torch
    from torch import nn
    from torch.utils.data import DataLoader
    from torchvision import transforms
    from torchvision.datasets import MNIST

    from ganzoo.folders import data_root

    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(0.5, 0.5)])
    loader = DataLoader(
        MNIST(str(data_root()), transform=transform), BATCH, shuffle=True, drop_last=True
    )
    D = nn.Sequential(discriminator(nn), nn.Sigmoid()).to(device)
    G = generator(nn).to(device)
    criterion = nn.BCELoss()
    optimizer_D = torch.optim.Adam(D.parameters(), lr=3e-4, betas=(0.5, 0.999))
    optimizer_G = torch.optim.Adam(G.parameters(), lr=3e-4, betas=(0.5, 0.999))
    while True:
        for images, _ in loader:
            real = images.view(BATCH, -1).to(device)
            ones = torch.ones(BATCH, 1, device=device)
            zeros = torch.zeros(BATCH, 1, device=device)
            fake = G(torch.randn(BATCH, LATENT, device=device))
            loss_D = criterion(D(real), ones) + criterion(D(fake.detach()), zeros)
            optimizer_D.zero_grad()
            loss_D.backward()
            optimizer_D.step()
            fake = G(torch.randn(BATCH, LATENT, device=device))
            loss_G = criterion(D(fake), ones)
            optimizer_G.zero_grad()
            loss_G.backward()
            optimizer_G.step()
            loss_D.item(), loss_G.item()
            yield


def tuned_loop(device: str) -> Iterator[None]:
    """One step of a loop with the usual tuning, and nothing else in it."""
    import torch
    from torch import nn
    from torch.nn.functional import softplus
    from torchvision.datasets import MNIST

    from ganzoo.folders import data_root

    data = MNIST(str(data_root())).data.to(device).view(-1, 784).float().div_(127.5).sub_(1)
    D, G = discriminator(nn).to(device), generator(nn).to(device)
    settings: dict[str, Any] = {"lr": 3e-4, "betas": (0.5, 0.999), "fused": True}
    optimizer_D = torch.optim.Adam(D.parameters(), **settings)
    optimizer_G = torch.optim.Adam(G.parameters(), **settings)
    while True:
        real = data[torch.randint(len(data), (BATCH,), device=device)]
        with torch.no_grad():
            fake = G(torch.randn(BATCH, LATENT, device=device))
        loss_D = softplus(-D(real)).mean() + softplus(D(fake)).mean()
        optimizer_D.zero_grad()
        loss_D.backward()
        optimizer_D.step()
        D.requires_grad_(False)
        loss_G = softplus(-D(G(torch.randn(BATCH, LATENT, device=device)))).mean()
        optimizer_G.zero_grad()
        loss_G.backward()
        optimizer_G.step()
        D.requires_grad_(True)
        yield


def discriminator(nn: Any) -> Any:
    """784-1024-512-256-1 with dropout 0.3."""
    layers = []
    for size_in, size_out in ((784, 1024), (1024, 512), (512, 256)):
        layers += [nn.Linear(size_in, size_out), nn.LeakyReLU(0.2), nn.Dropout(0.3)]
    return nn.Sequential(*layers, nn.Linear(256, 1))


def generator(nn: Any) -> Any:
    """100-256-512-1024-784, tanh."""
    layers = []
    for size_in, size_out in ((LATENT, 256), (256, 512), (512, 1024)):
        layers += [nn.Linear(size_in, size_out), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Linear(1024, 784), nn.Tanh())


def worker(loop: str, device: str, window: int, windows: int) -> None:
    """Run windows when told to by a line on stdin; print the seconds of each."""
    if loop in ("a", "b"):
        steps = plain_loop(device) if loop == "a" else tuned_loop(device)
        for _ in range(1 + windows):
            turn(lambda: [next(steps) for _ in range(window)], device)
        sys.stdin.readline()
    else:
        ganzoo_worker(device, window, windows, "float32" if loop == "c" else "auto")
    # Linux counts the peak in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, flush=True)


def turn(run: Callable[[], object], device: str) -> None:
    """Wait for the turn, run one window, print its seconds."""
    import torch

    sys.stdin.readline()
    start = time.perf_counter()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    print(time.perf_counter() - start, flush=True)


def ganzoo_worker(device: str, window: int, windows: int, precision: str) -> None:
    """`ganzoo.train` itself, held at the end of each window."""
    import ganzoo
    from ganzoo.engine.events import Listener

    class Windows(Listener):
        """Windows end when the iteration's log and checkpoint are written."""

        def started(self, session: Any, folder: Any) -> None:
            sys.stdin.readline()
            self.start = time.perf_counter()

        def advanced(self, session: Any) -> None:
            # The log and the checkpoint of a window follow this call, so its first iteration
            # is where the one before has ended.
            if session.iteration % window == 1 and session.iteration > 1:
                self.hold()

        def hold(self) -> None:
            print(time.perf_counter() - self.start, flush=True)
            sys.stdin.readline()
            self.start = time.perf_counter()

    recipe = ganzoo.load_recipe(
        RECIPE,
        f"train.iterations={window * (1 + windows) + 1}",
        f"log.every={window}",
        f"checkpoint.every={window}",
        f"engine.device={device}",
        f"engine.precision={precision}",
    )
    with tempfile.TemporaryDirectory() as folder:
        ganzoo.train(recipe, runs=folder, progress=Windows())


def tell(process: subprocess.Popen[str]) -> float:
    """Give a worker its turn and read the number that it prints at the end of it."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def measure(device: str, window: int, windows: int) -> tuple[dict[str, float], dict[str, float]]:
    """Median iterations per second and peak MiB of every loop."""
    arguments = ["--device", device, "--window", str(window), "--windows", str(windows)]
    loops = LOOPS[device]
    processes = {
        loop: subprocess.Popen(
            [sys.executable, __file__, "--loop", loop, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for loop in loops
    }

    seconds: dict[str, list[float]] = {loop: [] for loop in loops}
    for loop in loops:
        tell(processes[loop])  # warm-up, not counted
    for number in range(windows):
        for loop in loops:
            seconds[loop].append(tell(processes[loop]))
        speeds = "  ".join(f"{loop} {window / seconds[loop][-1]:.1f}" for loop in loops)
        print(f"window {number + 1}: {speeds} iterations/s", file=sys.stderr)
    peaks = {}
    for loop, process in processes.items():
        peaks[loop] = tell(process) / 2**20
        process.wait()
    return {loop: window / median(times) for loop, times in seconds.items()}, peaks


def main() -> None:
    """Measure and print the table; the last line gives the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", choices=LOOPS, help="cpu or cuda; by default cuda if there")
    parser.add_argument("--window", type=int, default=250, help="iterations in a window")
    parser.add_argument("--windows", type=int, default=5)
    parser.add_argument("--loop", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.loop:
        worker(options.loop, options.device, options.window, options.windows)
        return
    if options.device is None:
        import torch

        options.device = "cuda" if torch.cuda.is_available() else "cpu"
    speed, peak = measure(options.device, options.window, options.windows)
    print(f"{options.device}, batch {BATCH}, medians of {options.windows} x {options.window}")
    for loop in speed:
        print(f"{loop:3} {speed[loop]:7.1f} iterations/s   peak {peak[loop]:6.0f} MiB")
    ratios = {f"{c}/{other}": speed[c] / speed[other] for c in list(speed)[2:] for other in "ab"}
    ratios["peak memory c/b"] = peak["c"] / peak["b"]
    print("   ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items()))


if __name__ == "__main__":
    main()
