"""Array module and device: NumPy on the host, or CuPy on a GPU, behind one interface.

Everything that differs between the two is here, so that other modules work with both. From
`Backend.xp` other modules use only functions that the array API standard, NumPy and CuPy share. The
rest are methods here: transfers (`asarray`, `to_host`), new arrays (`zeros`, `empty`), results
written in place (`into`), rows at positions that are on the host (`take`, `put`), the diagonal, and
factorisations, which raise on failure with both. Threads are in `blas_threads.py`, triangles of
matrices on the host in `triangles.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import scipy.linalg
import scipy.sparse
from numpy.typing import ArrayLike, DTypeLike, NDArray

from ..exceptions import DeviceError
from . import triangles
from .system_memory import host_memory

# An array of NumPy or of CuPy. CuPy has no types, so that a type checker sees only the name.
Array: TypeAlias = Any
# `numpy` or `cupy`, and the sparse module of either: untyped for the same reason.
Module: TypeAlias = Any
# A compiled function: ``function(grid, block, arguments, shared_mem=bytes)``.
DeviceFunction: TypeAlias = Callable[..., None]

DEVICES = ("auto", "cpu", "cuda")
# Modules with functions outside the standard: `out=`, rows to write to by number, einsum.
WRITES_IN_PLACE = ("numpy", "cupy")


@dataclass(frozen=True)
class Backend:
    """An array module on a device.

    Parameters
    ----------
    name : {"numpy", "cupy"}
    xp : module
        ``numpy`` or ``cupy``.
    sparse : module
        ``scipy.sparse`` or ``cupyx.scipy.sparse``.
    """

    name: str
    xp: Module
    sparse: Module

    @property
    def on_host(self) -> bool:
        """Whether arrays are those of the host, on which threads may share the work."""
        return self.name == "numpy"

    def __reduce__(self) -> tuple[Callable[[str], Backend], tuple[str]]:
        """Pickle by name: modules cannot be pickled, and a worker has its own device."""
        return get_backend, ("cpu" if self.on_host else "cuda",)

    @property
    def place(self) -> tuple[str, int]:
        """Name and number of the current device, as the key of a cache of its arrays."""
        return self.name, int(self.xp.cuda.Device().id) if self.name == "cupy" else 0

    def asarray(self, array: ArrayLike | Array, dtype: DTypeLike | None = None) -> Array:
        """Bring an array to the device; CuPy uses a pinned buffer for the transfer."""
        return self.xp.asarray(array, dtype=dtype)

    def to_host(self, array: Array) -> NDArray[Any]:
        """Bring an array to the host as NumPy."""
        return np.asarray(array.get() if hasattr(array, "get") else array)

    def zeros(self, shape: int | tuple[int, ...]) -> Array:
        """Make an array of zeros on the device, float64."""
        return self.xp.zeros(shape)

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike | None = None) -> Array:
        """Make an array to be filled on the device, float64 by default."""
        return self.xp.empty(shape, dtype=dtype or self.xp.float64)

    def into(self, out: Array, function: Callable[..., Array], *arguments: Array) -> Array:
        """Write ``function(*arguments)`` into an array without a temporary one, and return it.

        Parameters
        ----------
        out : array
            May be one of the arguments, or a view.
        function : callable
            A function of `xp` that has an argument ``out`` in NumPy and in CuPy.
        *arguments : object
        """
        if self.name in WRITES_IN_PLACE:
            return function(*arguments, out=out)
        out[...] = function(*arguments)
        return out

    def take(self, array: Array, rows: NDArray[np.intp]) -> Array:
        """Copy rows of an array of the device, whose positions (k,) are known on the host."""
        return self.xp.take(array, self.asarray(rows), axis=0)

    def put(self, array: Array, rows: NDArray[np.intp], values: Array) -> None:
        """Overwrite rows of an array of the device, whose positions (k,) are known on the host."""
        if self.name in WRITES_IN_PLACE:
            array[self.asarray(rows)] = values
            return
        for place, row in enumerate(rows.tolist()):
            array[row, ...] = values[place, ...]

    def diagonal(self, matrix: Array) -> Array:
        """Return a view of the diagonal, to change it in place.

        Parameters
        ----------
        matrix : array of shape (r, r)
        """
        if self.name in WRITES_IN_PLACE:
            return self.xp.einsum("ii->i", matrix)
        return self.xp.reshape(matrix, (-1,), copy=False)[:: matrix.shape[0] + 1]

    def gram(self, part: Array) -> Array:
        """Compute A^T A of an array A (n, r) on any thread; NumPy and CuPy compute one triangle."""
        if self.name == "cupy":
            return self.sum_of_grams([part], self.zeros((part.shape[1],) * 2))
        return part.T @ part

    def sum_of_grams(self, parts: Iterable[Array], total: Array) -> Array:
        """Add A^T A of some arrays A (n, r) to a symmetric matrix (r, r), in place, and return it.

        The arrays are read one after the other: a generator holds one at a time. On the host and
        with CuPy the products are added to one triangle, which is copied to the other at the end.

        Parameters
        ----------
        parts : iterable of array of shape (n, r)
        total : array of shape (r, r)
            C-contiguous.
        """
        if self.name == "numpy":
            return triangles.add_grams(parts, total)
        if self.name != "cupy":
            for part in parts:
                total += part.T @ part
            return total
        from cupy import cublas

        for part in parts:
            contiguous = self.xp.ascontiguousarray(part)
            cublas.syrk("T", contiguous, out=total, alpha=1.0, beta=1.0, lower=False)
        above = self.xp.triu(total, 1)
        self.xp.add(self.xp.triu(total), above.T, out=total)
        return total

    def symmetrise(self, matrix: Array) -> Array:
        """Return the mean of a matrix (r, r) and its transpose, which may overwrite the matrix."""
        return triangles.symmetrise(matrix) if self.on_host else (matrix + matrix.T) / 2

    def csr(
        self, values: Array, columns: Array, row_pointer: Array, shape: tuple[int, int]
    ) -> Array:
        """Build a sparse matrix of compressed rows on the device, from host arrays."""
        parts = (self.asarray(values), self.asarray(columns), self.asarray(row_pointer))
        return self.sparse.csr_matrix(parts, shape=shape)

    def factor(self, matrix: Array) -> Array:
        """Cholesky factor of a symmetric positive definite matrix, which is overwritten.

        Raises
        ------
        numpy.linalg.LinAlgError
            If the matrix is not positive definite or not finite.
        """
        if self.name == "numpy":
            # LAPACK needs Fortran order: the transpose is the same matrix, without a copy.
            factor, _ = scipy.linalg.cho_factor(
                matrix.T, lower=True, overwrite_a=True, check_finite=False
            )
        else:
            factor = self.xp.linalg.cholesky(matrix)
        # CuPy returns NaN when a factorisation fails, and LAPACK returns NaN for a matrix with NaN.
        if not bool(self.xp.isfinite(factor.diagonal()).all()):
            raise np.linalg.LinAlgError("matrix is not positive definite, or not finite")
        return factor

    def eigh(self, matrix: Array) -> tuple[Array, Array]:
        """Eigenvalues of a symmetric matrix, ascending, and its eigenvectors as columns.

        Raises
        ------
        numpy.linalg.LinAlgError
            If the matrix is not finite, or the iterations fail.
        """
        if self.name == "numpy":
            values, vectors = scipy.linalg.eigh(matrix, driver="evd")
        else:
            values, vectors = self.xp.linalg.eigh(matrix)
        # CuPy returns NaN when the iterations fail.
        if not bool(self.xp.all(self.xp.isfinite(values))):
            raise np.linalg.LinAlgError("matrix has no finite eigenvalues")
        return values, vectors

    def solve(self, factor: Array, right: Array) -> Array:
        """Solve with a factor from `factor`."""
        if self.name == "numpy":
            return triangles.solve(factor, right)
        from cupyx.scipy.linalg import solve_triangular

        half = solve_triangular(factor, right, lower=True)
        return solve_triangular(factor, half, trans="T", lower=True)

    def inverse(self, factor: Array) -> Array:
        """Inverse of a matrix from its factor, symmetric to the last bit; may overwrite it."""
        if self.name == "numpy":
            return triangles.inverse(factor)
        identity = self.zeros(factor.shape)
        self.diagonal(identity)[...] = 1.0
        inverse = self.solve(factor, identity)
        return (inverse + inverse.T) / 2

    def solve_transposed(self, factor: Array, right: Array) -> Array:
        """Solve L^T x = right with a factor L from `factor`."""
        if self.name == "numpy":
            return scipy.linalg.solve_triangular(
                factor, right, trans="T", lower=True, check_finite=False
            )
        from cupyx.scipy.linalg import solve_triangular

        return solve_triangular(factor, right, trans="T", lower=True)

    @property
    def fast_double(self) -> bool:
        """Whether this is a GPU with at least half the rate of single precision in double."""
        if self.name != "cupy":
            return False
        ratio = self.xp.cuda.Device().attributes.get("SingleToDoublePrecisionPerfRatio", 0)
        return 0 < int(ratio) <= 2

    def shared_memory(self) -> int:
        """Return the shared memory of a block of threads, in bytes; 0 without `compile`."""
        if self.name != "cupy":
            return 0
        limits = self.xp.cuda.Device().attributes
        return int(limits.get("MaxSharedMemoryPerBlockOptin", limits["MaxSharedMemoryPerBlock"]))

    @property
    def device_name(self) -> str:
        """Name of the device: that of the GPU, or "CPU"."""
        if self.name != "cupy":
            return "CPU"
        found = self.xp.cuda.runtime.getDeviceProperties(self.place[1])["name"]
        return str(found.decode())

    @property
    def compiles(self) -> bool:
        """Whether `compile` can be used: on a GPU."""
        return self.name == "cupy"

    def compile(
        self, source: str, name: str, macros: Mapping[str, int], shared_bytes: int = 0
    ) -> DeviceFunction:
        """Compile a function for a GPU. CuPy keeps compiled functions in a folder on disk.

        Parameters
        ----------
        source : str
            CUDA C++.
        name : str
            Function to return, one with ``extern "C"``.
        macros : mapping of str to int
        shared_bytes : int
            Dynamic shared memory of a block that the function will be called with.

        Returns
        -------
        callable
            ``function(grid, block, arguments, shared_mem=0)``, which does not wait for the device.
        """
        options = ("-std=c++17", *(f"-D{key}={value}" for key, value in macros.items()))
        function = self.xp.RawModule(code=source, options=options).get_function(name)
        if shared_bytes:
            function.max_dynamic_shared_size_bytes = shared_bytes
        return function

    def free_memory(self) -> int:
        """Bytes free on the device now."""
        if self.name == "numpy":
            return host_memory()
        free, _ = self.xp.cuda.runtime.memGetInfo()
        return int(free) + int(self.xp.get_default_memory_pool().free_bytes())

    def release(self) -> None:
        """Give pooled memory back to the device."""
        if self.name == "cupy":
            self.xp.get_default_memory_pool().free_all_blocks()


NUMPY = Backend("numpy", np, scipy.sparse)


def get_backend(device: str = "auto") -> Backend:
    """Return the backend of a device.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda"}, default="auto"
        ``"auto"`` is the GPU where CuPy finds one, else the CPU.

    Raises
    ------
    DeviceError
        If the device is unknown, or ``"cuda"`` is asked for and cannot be used.
    """
    if device not in DEVICES:
        raise DeviceError(f"device: expected one of {DEVICES}, got {device!r}.")
    if device == "cpu":
        return NUMPY
    backend, problem = _cupy_backend()
    if backend is not None:
        return backend
    if device == "auto":
        return NUMPY
    raise DeviceError(
        f'device="cuda": {problem}. Install CuPy for your driver with '
        '`pip install "dipkit[cuda12]"` or `"dipkit[cuda13]"`, or use device="cpu".'
    )


def _cupy_backend() -> tuple[Backend | None, str]:
    """Return the CuPy backend, or None and the reason why there is none."""
    try:
        import cupy
        import cupyx.scipy.sparse
    except Exception as error:  # a broken CUDA installation raises more than ImportError
        return None, f"CuPy could not be imported ({type(error).__name__}: {error})"
    if not cupy.is_available():
        return None, "CuPy is installed but finds no usable GPU"
    return Backend("cupy", cupy, cupyx.scipy.sparse), ""
