"""The command ``dipkit``: it reads arguments, calls the other rooms and prints results.

Begin with `app.py`. Each command is a module in `commands/`; the steps of longer commands are in
`train.py`, `tune.py` and `demo.py`, output is in `console.py` and `writers.py`.

Not here: computation, which belongs to the other rooms.
"""
