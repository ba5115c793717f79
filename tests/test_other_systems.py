"""What macOS or Windows lack is not needed; each test takes it away."""

import os
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from dipkit.quantum.journal import Journal
from dipkit.search.optuna_objects import open_storage

# What macOS or Windows do not have is taken away. psutil, built for Linux here, gets fixed figures.
OTHER_SYSTEM = """
import builtins, io, mmap, os, sys
from types import SimpleNamespace
import psutil

psutil.virtual_memory = lambda: SimpleNamespace(available=8 * 10**9)
psutil.Process = lambda: SimpleNamespace(memory_info=lambda: SimpleNamespace(rss=10**8))
import numpy, scipy.linalg, sklearn, joblib, ase.io  # these have a build for each system

for module, name in [
    (os, "sysconf"), (os, "memfd_create"), (os, "sched_getaffinity"), (os, "fork"),
    (os, "getuid"), (mmap, "MADV_DONTNEED"),
]:
    if hasattr(module, name):
        delattr(module, name)
for name in ("resource", "fcntl"):
    sys.modules[name] = None
real = io.open

def without_linux(path, *args, **kwargs):
    # threadpoolctl, built for Linux here, finds its libraries in the one file left.
    if str(path).startswith(("/proc/", "/sys/")) and path != "/proc/self/maps":
        raise FileNotFoundError(path)
    return real(path, *args, **kwargs)

builtins.open = io.open = without_linux
from dipkit import DipoleKernelRidge, SOAPTransformer
from dipkit.data import load_organics

molecules = SOAPTransformer(n_jobs=1).fit_transform(load_organics()[:12])
model = DipoleKernelRidge(random_state=0).set_params(basis__n_inducing=20).fit(molecules)
print(model.memory_plan_["present_gb"], bool(model.predict(molecules).min() >= 0))
"""


def test_a_fit_needs_nothing_that_linux_alone_has() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", OTHER_SYSTEM],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.split() == ["0.1", "True"], done.stderr


def test_a_journal_is_closed_before_it_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = Path.unlink
    with Journal(tmp_path / "out.xyz") as journal:
        journal.append("a", {"x": 1})

        def refuse_open_files(self: Path, missing_ok: bool = False) -> None:  # as Windows does
            if not journal._handle.closed:
                raise PermissionError("used by a process")
            unlink(self, missing_ok)

        monkeypatch.setattr(Path, "unlink", refuse_open_files)
        monkeypatch.setattr("dipkit.quantum.journal.REMOVES_OPEN_FILES", False)
        journal.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_study_in_a_journal_needs_no_symbolic_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("a required privilege is not held by the client")

    monkeypatch.setattr(os, "symlink", refuse)
    study = optuna.create_study(storage=open_storage(f"journal:{tmp_path / 'log'}"))
    study.set_user_attr("who", "me")
    assert study.user_attrs == {"who": "me"}


CSV = r"""
import sys
from types import SimpleNamespace
import numpy as np
from dipkit import Molecules
from dipkit.cli.prediction_files import stream_predictions

molecules = Molecules([1], [[0.0, 0.0, 0.0]], [0, 1], names=["\u00e9\u4e2d"])
part = SimpleNamespace(
    molecules=molecules, magnitude=np.zeros(1), dipole=np.zeros((1, 3)), std=None
)
stream_predictions(sys.argv[1], [part], "a model")
"""


def test_csv_is_utf8_whatever_the_system_prefers(tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run(
        [sys.executable, "-c", CSV, str(file)], check=True, env=environment, capture_output=True
    )
    assert "\u00e9\u4e2d,0.000000" in file.read_text("utf-8")
