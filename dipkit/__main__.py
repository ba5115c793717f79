"""``python -m dipkit`` is the command ``dipkit``."""

from .cli.app import main

if __name__ == "__main__":
    main()
