"""Arrays and devices, threads, parallel tasks, memory, files: nothing here is about chemistry.

Begin with `backend.py`: NumPy and CuPy behind one interface, which all numerical code uses;
`triangles.py` and `sparse_rows.py` belong to it.
Then as needed: `blas_threads.py`, `parallel.py` and `ahead.py` (threads and processes),
`system_memory.py`, `scratch_rows.py` and `shared_array.py` (memory), `files.py` and
`json_values.py` (output), `imports.py`, `validation.py`, `nested_parameters.py`,
`frozen_arrays.py` and `ragged_index.py` (small tools).

Not here: molecules (`dipkit.data`), and anything with a physical unit.
"""
