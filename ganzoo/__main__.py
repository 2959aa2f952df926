"""What `ganzoo`, `python -m ganzoo` and `torchrun -m ganzoo` start."""

import signal

# Ctrl-C ends the process without a word until `main` knows what to do.
signal.signal(signal.SIGINT, signal.SIG_DFL)

from ganzoo.cli import main  # noqa: E402

if __name__ == "__main__":
    main()
