"""`python -m ganzoo`, which is also what `torchrun -m ganzoo` starts."""

from ganzoo.cli import main

main()
