"""``python -m dipkit`` is the command ``dipkit``."""

import sys

INTERRUPTED = 130


def main() -> None:
    """Entry point of the command; Ctrl-C is quiet while modules are loaded as well."""
    try:
        from .cli.app import main as command

        command()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
