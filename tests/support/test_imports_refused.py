"""Imports that are refused for a while, to one thread."""

import sys
import threading

import pytest

from dipkit.support.imports import without_modules

NAME = "xml.sax.expatreader"


def test_only_this_thread_is_refused_and_only_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, NAME, raising=False)
    finders, done = list(sys.meta_path), []

    def import_there() -> None:
        __import__(NAME)
        done.append(sys.modules.pop(NAME).__name__)

    with without_modules([NAME]):
        with pytest.raises(ModuleNotFoundError, match="not needed here"):
            __import__(NAME)
        other = threading.Thread(target=import_there)
        other.start()
        other.join()
    __import__(NAME)
    assert done == [NAME]
    assert sys.meta_path == finders
