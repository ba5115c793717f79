"""Kill commands at random moments; count half files, leftovers, exit codes and lost work.

    python benchmarks/kills.py --number 30 --commands fit,predict,label,tune,convert

Each command runs once without a kill, for its time. Then SIGKILL, SIGTERM and SIGINT arrive in
turn, at moments drawn evenly from the start of the work to its usual end. What is looked at:

- exit codes: 130 after SIGINT, 143 after SIGTERM, the output in place where the command was done;
- half files: the output must be absent, or load as a whole;
- leftovers: hidden files and folders, at once after SIGTERM and SIGINT, and after the next command
  in the folder for SIGKILL; child processes; temporary files of the system that name a process;
- tracebacks, and seconds until the command has ended;
- lost work: rows of the journal of `label`, complete trials in the storage of `tune`; both commands
  are run to the end after a kill, and the result is held against that of an undisturbed run.

Exits with 1 if anything of this is wrong. Unix only.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import optuna
import psutil
from _common import setting

import dipkit
from dipkit import read
from dipkit.data.datasets import load_organics

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
# Before dipkit answers signals, the system ends the process: 143 and 130 for a shell as well.
RIGHT_CODES = {
    signal.SIGKILL: (-9,),
    signal.SIGTERM: (143, -signal.SIGTERM),
    signal.SIGINT: (130, -signal.SIGINT),
}
N_MOLECULES, N_LABELLED = 80, 30
_NUMBER = re.compile(r"(?<![0-9A-Za-z])\d+(?![0-9A-Za-z])")
HANG = 120.0
"""Seconds after a signal from which a command counts as hanging."""
SPACE = {
    "dipolekernelridge__basis__n_inducing": [60],
    "dipolekernelridge__basis__kernel__degree": {"low": 1.6, "high": 3.0},
}


@dataclass(frozen=True)
class Command:
    """A command line of dipkit, and how its output and its work are looked at."""

    line: str
    check: Callable[[Path], object]
    """Load the output; raises if it is not whole."""
    done: Callable[[Path], int] = lambda folder: 0
    """Count the units of work that are kept in the folder."""
    resumes: bool = False

    @property
    def output(self) -> str:
        """Name of the output."""
        return next(word for word in self.line.split() if word.startswith("out."))

    @property
    def words(self) -> list[str]:
        """Words for the operating system."""
        return [sys.executable, "-m", "dipkit", *self.line.split()]


@dataclass
class Found:
    """What was seen of one command."""

    codes: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    processes: set[int] = field(default_factory=set)
    ended_before: int = 0
    with_output: int = 0
    resumed: int = 0


def _journal_rows(folder: Path) -> int:
    journal = folder / "out.npz.journal"
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def _complete_trials(folder: Path) -> int:
    if not (folder / "study.db").exists():
        return 0
    storage = f"sqlite:///{folder / 'study.db'}"
    try:
        names = optuna.get_all_study_names(storage)
    except Exception:  # the tables are not there yet
        return 0
    studies = [optuna.load_study(study_name=name, storage=storage) for name in names]
    complete = (optuna.trial.TrialState.COMPLETE,)
    return sum(len(study.get_trials(states=complete)) for study in studies)


def _lines_of_predictions(path: Path) -> None:
    if len(path.read_text().splitlines()) != N_MOLECULES + 1:
        raise ValueError("rows are missing")


COMMANDS = {
    "fit": Command("fit data.xyz -o out.dipkit", dipkit.load_model),
    "predict": Command("predict model.dipkit data.xyz -o out.csv", _lines_of_predictions),
    "convert": Command("convert data.xyz out.db", read),
    "label": Command(
        "label bare.npz -o out.npz --method gfn2 --jobs 2", read, _journal_rows, resumes=True
    ),
    "tune": Command(
        "tune data.xyz -o out.dipkit --space space.json --trials 3 --cv 3 --no-guard "
        "--storage study.db",
        dipkit.load_model,
        _complete_trials,
        resumes=True,
    ),
}


def main() -> None:
    """Print a few lines for each command."""
    options = _options()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print(setting())
    # Behind nohup or & of a shell, SIGINT is ignored, also by what is started here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    rng, n_wrong = random.Random(options.seed), 0
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        folder = Path(name)
        _prepare(folder)
        for command in options.commands.split(","):
            found = _kill_often(COMMANDS[command], folder, options.number, rng)
            _print(command, found)
            n_wrong += found.wrong.total()
    raise SystemExit(1 if n_wrong else 0)


def _prepare(folder: Path) -> None:
    molecules = load_organics()[:N_MOLECULES]
    dipkit.write(folder / "data.xyz", molecules)
    bare = molecules.replace(baseline_dipole=None, baseline_charges=None)
    dipkit.write(folder / "bare.npz", bare[:N_LABELLED])
    model = dipkit.default_model(basis__n_inducing=200).fit(molecules)
    dipkit.save_model(model, folder / "model.dipkit")
    (folder / "space.json").write_text(json.dumps(SPACE))


def _kill_often(command: Command, folder: Path, number: int, rng: random.Random) -> Found:
    seconds, whole = _undisturbed(command, folder)
    found = Found()
    for turn in range(number):
        _clean(folder)
        sent = SIGNALS[turn % len(SIGNALS)]
        _kill_once(command, folder, sent, rng.uniform(0.2, 1.0) * seconds, found)
        if command.resumes and turn % 5 == 4:  # after each of the signals in turn
            _resume(command, folder, whole, found)
    _clean(folder)
    subprocess.run(command.words, cwd=folder, check=True, capture_output=True)
    if hidden := _hidden(folder):
        found.wrong[f"hidden after the next command: {hidden}"] += 1
    if left := _temporary_files(found.processes):
        found.wrong[f"temporary files of the system: {left[:3]}"] += 1
    return found


def _undisturbed(command: Command, folder: Path) -> tuple[float, object]:
    """Run twice, the second time with warm files; return its seconds and what it made."""
    for _ in range(2):
        _clean(folder)
        start = time.perf_counter()
        subprocess.run(command.words, cwd=folder, check=True, capture_output=True)
        seconds = time.perf_counter() - start
    return seconds, command.check(folder / command.output)


def _kill_once(
    command: Command, folder: Path, sent: signal.Signals, after: float, found: Found
) -> None:
    hidden = _hidden(folder)  # of a process that SIGKILL ended
    process = subprocess.Popen(
        command.words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with suppress(subprocess.TimeoutExpired):
        process.wait(after)
    if process.poll() is not None:
        process.communicate()
        found.ended_before += 1
        return
    children = psutil.Process(process.pid).children(recursive=True)
    found.processes |= {process.pid, *(child.pid for child in children)}
    done = command.done(folder)
    start = time.perf_counter()
    process.send_signal(sent)
    try:
        _, said = process.communicate(timeout=HANG)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        found.wrong[f"hangs after {sent.name}"] += 1
        return
    if sent != signal.SIGKILL:
        found.seconds.append(time.perf_counter() - start)
    _look(command, folder, sent, process.returncode, found)
    if sent != signal.SIGKILL and (left := sorted(set(_hidden(folder)) - set(hidden))):
        found.wrong[f"hidden after {sent.name}: {left}"] += 1
    if "Traceback" in said:
        found.wrong[f"traceback after {sent.name}: {said[-300:]}"] += 1
    time.sleep(0.5)  # children see the end of their parent
    alive = [child for child in children if _is_alive(child)]
    if alive:
        found.wrong[f"children alive after {sent.name}"] += len(alive)
    if (kept := command.done(folder)) < done:
        found.wrong[f"work lost after {sent.name}"] += done - kept


def _look(command: Command, folder: Path, sent: signal.Signals, code: int, found: Found) -> None:
    """Look at the exit code and the output."""
    found.codes[f"{sent.name} {code}"] += 1
    output = folder / command.output
    # A signal may arrive behind the work: then the command is done.
    if code not in RIGHT_CODES[sent] and not (code == 0 and output.exists()):
        found.wrong[f"exit code {code} after {sent.name}"] += 1
    if output.exists():
        found.with_output += 1
        try:
            command.check(output)
        except Exception as error:
            found.wrong[f"half file after {sent.name}: {error!s:.100}"] += 1


def _resume(command: Command, folder: Path, whole: object, found: Found) -> None:
    """Run to the end; kept work is not done again, and the result is the same."""
    done = command.done(folder)
    finished = subprocess.run(command.words, cwd=folder, capture_output=True, text=True)
    if finished.returncode:
        found.wrong[f"does not resume: {finished.stderr[-300:]}"] += 1
        return
    found.resumed += 1
    again = command.check(folder / command.output)
    if isinstance(whole, dipkit.Molecules) and isinstance(again, dipkit.Molecules):
        same = np.array_equal(whole.dipole_magnitude, again.dipole_magnitude)
        found.wrong["another result after a resume"] += not same
    if (kept := command.done(folder)) and kept < done:
        found.wrong["work lost by a resume"] += done - kept


def _clean(folder: Path) -> None:
    for pattern in ("out.*", "study*"):
        for path in folder.glob(pattern):
            path.unlink()


def _hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def _temporary_files(processes: set[int]) -> list[str]:
    """Return temporary files of the system that have the number of one of these in their names."""
    places = [Path(tempfile.gettempdir()), Path("/dev/shm")]
    return sorted(
        str(path)
        for place in places
        if place.is_dir()
        for path in place.iterdir()
        if processes & {int(number) for number in _NUMBER.findall(path.name)}
    )


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _print(name: str, found: Found) -> None:
    codes = ", ".join(f"{code}: {count}" for code, count in sorted(found.codes.items()))
    slowest = max(found.seconds, default=0.0)
    print(f"{name}: signal and exit code: {codes}; ended before the signal: {found.ended_before}")
    print(
        f"    whole outputs: {found.with_output}; resumed {found.resumed} times; slowest answer "
        f"{slowest:.1f} s"
    )
    wrong = +found.wrong
    for what, count in wrong.items():
        print(f"    WRONG {count} times: {what}")
    if not wrong:
        print("    nothing wrong", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=30, help="kills of each command")
    parser.add_argument("--commands", default=",".join(COMMANDS), help="commas between them")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
