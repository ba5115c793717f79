"""The study: what cheap information teaches, how much, and where dipkit stands among its peers.

    PYTHONPATH=benchmarks python -m study --data qm9.npz --cache FOLDER

Each result of one configuration and one draw is kept in the cache as one line of JSON, so that a
run continues after a kill, and several processes share one cache (`store.py`, `runner.py`). One
module a figure names its units of work and makes its tables and pictures of their results.
"""
