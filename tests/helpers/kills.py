"""Running commands as processes of their own, and stopping them."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
os.environ.setdefault("PYTHONPATH", str(REPOSITORY))


def command(*arguments: object) -> list[str]:
    """Command line of dipkit."""
    return [sys.executable, "-m", "dipkit", *map(str, arguments)]


def run_in_shell(line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess:
    """Run a command line of dipkit in a shell, with its redirections."""
    return subprocess.run(
        f"exec {sys.executable} -m dipkit {line}",
        shell=True,
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


def run_python(code: str, *arguments: object, **environment: str) -> None:
    """Run a program in a process of its own, with more variables of the environment."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    subprocess.run(command, check=True, env=os.environ | environment)


def leftovers(folder: Path) -> list[str]:
    """Hidden files and folders."""
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


STOPPED = """
import importlib, os, signal, sys, time

module, _, name = {where!r}.rpartition(".")

def stop(*_, **__):
    if {deaf}:
        signal.signal({number}, lambda *_: None)
    os.kill(os.getpid(), {number})
    time.sleep(30)

setattr(importlib.import_module(module), name, stop)
from dipkit.cli.app import main
sys.argv = ["dipkit", *{arguments!r}]
main()
"""


def stop_when(
    folder: Path,
    command: list[str],
    number: int,
    where: str,
    deaf: bool = False,
    **environment: str,
) -> subprocess.CompletedProcess:
    """Run a command that a signal stops when it calls a function; `deaf`: it ignores the signal."""
    code = STOPPED.format(
        where=where, deaf=deaf, number=int(number), arguments=command[command.index("dipkit") + 1 :]
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | environment,
    )
