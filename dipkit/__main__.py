"""``python -m dipkit`` is the command ``dipkit``."""

from .cli import main

if __name__ == "__main__":
    main()
