"""The command ``dipkit``: reads arguments, calls the other rooms, prints.

Begin with `app.py`. Nothing is computed here.
"""
