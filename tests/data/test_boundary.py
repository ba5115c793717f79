"""The boundary of readers: errors of other libraries become one error; others pass."""

import gzip
import lzma
import sqlite3
import tarfile
import tokenize
import zipfile
import zlib
from pathlib import Path

import pytest
from helpers.commands import refused

from dipkit.data.formats import npz
from dipkit.data.formats.boundary import boundary
from dipkit.data.formats.nesting import DEEPEST, check_nesting
from dipkit.data.io import read
from dipkit.exceptions import FileFormatError, InputError


@pytest.mark.parametrize(
    "error",
    [
        TypeError("'NoneType' object"),
        AttributeError("shape"),
        KeyError("numbers"),
        IndexError("out of range"),
        RecursionError("too deep"),
        MemoryError(),
        OverflowError("int too large"),
        NotImplementedError("compression type 9"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        AssertionError(),
        SyntaxError("invalid syntax"),
        EOFError(),
        OSError("a library says so"),
        zlib.error("incorrect data"),
        lzma.LZMAError("corrupt"),
        gzip.BadGzipFile("no"),
        tarfile.ReadError("unexpected end of data"),
        zipfile.BadZipFile("no end"),
        sqlite3.DatabaseError("malformed"),
        tokenize.TokenError("EOF in multi-line statement"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_of_libraries_become_one_error(error: Exception) -> None:
    with (
        pytest.raises(FileFormatError, match=r"set\.xyz, line 3: .*\. Do this\.") as raised,
        boundary("set.xyz, line 3", "Do this."),
    ):
        raise error
    assert raised.value.__cause__ is error
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "error",
    [
        InputError("ours"),
        FileFormatError("ours"),
        UserWarning("w"),
        KeyboardInterrupt(),
        SystemExit,
    ],
)
def test_other_errors_pass_unchanged(error: type[BaseException] | BaseException) -> None:
    with pytest.raises(BaseException) as raised, boundary("set.xyz"):  # noqa: PT011
        raise error
    assert raised.value is error or isinstance(raised.value, SystemExit)


def test_the_operating_system_is_named() -> None:
    with (
        pytest.raises(InputError, match=r"set\.xyz: cannot be read: Permission denied"),
        boundary("set.xyz"),
    ):
        raise PermissionError(13, "Permission denied")


def test_long_messages_of_libraries_are_cut() -> None:
    with pytest.raises(FileFormatError) as raised, boundary("set.xyz"):
        raise ValueError("x" * 100_000 + "\n")
    assert len(str(raised.value)) < 500


def test_whatever_a_reader_raises_is_two_lines_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise AttributeError("'str' object has no attribute 'shape'")

    monkeypatch.setattr(npz, "read_npz", broken)
    (tmp_path / "set.npz").write_bytes(b"something")
    message = refused("info", tmp_path / "set.npz")
    assert "set.npz: cannot be read: AttributeError" in message


@pytest.mark.filterwarnings("ignore")
def test_words_of_the_file_make_no_long_messages(tmp_path: Path) -> None:
    file = tmp_path / "set.xyz"
    file.write_text(f"1\n{'q' * 5000}=x name={'x' * 5000} charge=1.5\nH 0 0 0\n")
    with pytest.raises(InputError) as raised:
        read(file)
    assert len(str(raised.value)) < 2000


def test_nesting_is_bounded() -> None:
    check_nesting("[" * DEEPEST + "]" * DEEPEST + "[]" * 1000, "here")
    with pytest.raises(FileFormatError, match="here: brackets are nested more than 50 levels"):
        check_nesting('{"a": ' * (DEEPEST + 1), "here")


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null"])
def test_devices_are_no_files(path: str) -> None:
    assert f"{path}: expected a file" in refused("info", path)
