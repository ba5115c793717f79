"""CUDA kernels without a GPU: compiled as C++, with a thread of the host for each of a block.

What a kernel computes is tested so wherever there is a C++20 compiler; how fast it is, is not.
"""

import ctypes
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dipkit.support.backend import NUMPY, Backend

# Threads of a block: a kernel must not depend on the number.
THREADS = 8

_BEFORE = """
#include <algorithm>
#include <barrier>
#include <cmath>
#include <thread>
#include <vector>
#define __device__
#define __global__
#define __shared__
#define __restrict__
#define __launch_bounds__(n)
using std::max; using std::min;
struct int2 { int x, y; };
struct Index { int x, y; };
static thread_local Index threadIdx, blockIdx, blockDim;
static std::barrier<>* all_threads;
static void __syncthreads() { all_threads->arrive_and_wait(); }
static double shared_memory[1 << 17];
"""

_AFTER = """
extern "C" void launch(int blocks_x, int blocks_y, %(parameters)s) {
    std::barrier<> barrier(THREADS);
    all_threads = &barrier;
    std::vector<std::thread> threads;
    for (int t = 0; t < THREADS; ++t) threads.emplace_back([=, &barrier] {
        threadIdx = {t, 0};
        blockDim = {THREADS, 1};
        for (int x = 0; x < blocks_x; ++x) for (int y = 0; y < blocks_y; ++y) {
            blockIdx = {x, y};
            %(name)s(%(arguments)s);
            barrier.arrive_and_wait();
        }
    });
    for (auto& thread : threads) thread.join();
}
"""


def why_no_compiler(folder: Path) -> str | None:
    """Say why kernels cannot be compiled here; None where they can."""
    if shutil.which("g++") is None:
        return "no g++"
    probe = folder / "probe.cpp"
    probe.write_text("#include <barrier>\nint main() { std::barrier<> b(1); }\n")
    command = ["g++", "-std=c++20", "-pthread", str(probe), "-o", str(folder / "probe")]
    found = subprocess.run(command, capture_output=True, check=False)
    return None if found.returncode == 0 else "g++ without C++20"


class EmulatedCard(Backend):
    """NumPy, with kernels that run on the host."""

    folder: Path

    def __init__(self, folder: Path, shared_bytes: int = 48 * 1024):
        super().__init__("numpy", NUMPY.xp, NUMPY.sparse)
        object.__setattr__(self, "folder", folder)
        object.__setattr__(self, "shared_bytes", shared_bytes)

    @property
    def compiles(self) -> bool:
        return True

    def shared_memory(self) -> int:
        return self.shared_bytes

    def compile(
        self, source: str, name: str, macros: Mapping[str, int], shared_bytes: int = 0
    ) -> Callable[..., None]:
        assert shared_bytes <= 8 * (1 << 17)
        here = "double* shared = shared_memory"
        source = source.replace("extern __shared__ double shared[]", here)
        head = source[source.index(f"{name}(") + len(name) + 1 :]
        lines = [line.split("//")[0] for line in head[: head.index("\n)")].splitlines()]
        parameters = [part.strip() for part in " ".join(lines).split(",") if part.strip()]
        arguments = [part.split()[-1] for part in parameters]
        text = _BEFORE + source.replace('extern "C"', "") + _AFTER % {
            "parameters": ", ".join(parameters), "name": name, "arguments": ", ".join(arguments)
        }  # fmt: skip
        key = "_".join(map(str, [name, *macros.values()]))
        path, library = self.folder / f"{key}.cpp", self.folder / f"{key}.so"
        path.write_text(text)
        values = {**macros, "THREADS": THREADS}
        options = [f"-D{macro}={value}" for macro, value in values.items()]
        command = ["g++", "-std=c++20", "-O1", "-shared", "-fPIC", "-pthread", *options]
        subprocess.run([*command, str(path), "-o", str(library)], check=True)
        launch = ctypes.CDLL(str(library)).launch

        def run(
            grid: tuple[int, ...],
            block: tuple[int],
            arguments: tuple[Any, ...],
            shared_mem: int = 0,
        ) -> None:
            columns = grid[1] * -(-block[0] // THREADS) if len(grid) > 1 else 1
            launch(grid[0], columns, *map(_as_c, arguments))

        return run


def _as_c(value: Any) -> Any:
    """Turn an argument of a kernel into one of ctypes."""
    if isinstance(value, np.ndarray):
        return ctypes.c_void_p(value.ctypes.data)
    kinds = {np.float64: ctypes.c_double, np.int32: ctypes.c_int, np.int64: ctypes.c_longlong}
    return kinds[type(value)](value.item())
