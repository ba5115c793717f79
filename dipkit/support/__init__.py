"""Arrays and devices, threads, parallel tasks, files: nothing here knows chemistry.

Begin with `backend.py`: NumPy and CuPy behind one interface, which all numerical code computes on.
What a molecule is does not belong here (`dipkit.data`).
"""
