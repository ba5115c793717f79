"""``python -m dipkit`` is the command ``dipkit``."""

import signal
import sys

INTERRUPTED = 130


def main() -> None:
    """Entry point of the command; Ctrl-C is quiet while modules are loaded as well."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # There is nothing to clean up yet, and modules may make another error of an exception.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from .cli.app import main as command

        command()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
