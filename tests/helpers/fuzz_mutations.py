"""Bad files made of good ones, by a seeded generator.

Text is changed by bytes, lines, numbers and words; arrays, archives and databases also inside, so
that checksums are right and the change reaches the reader behind them.
"""

import gzip
import io
import json
import random
import re
import sqlite3
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

HUGE = (b"2147483647", b"300000000", b"9223372036854775807", b"99999999999999999999", b"10000000")
NUMBERS = (
    *(b"1e999999", b"1e308", b"-1e300", b"1e20", b"nan", b"-inf", b"0", b"-1", b"1e-320"),
    *(b"9" * 5000, b"0x10", b"1_0", b"1,5", b"", b"1e5", b"\xd9\xa3", b"True"),
)
WORDS = (
    *(b"\x00", b"\x00" * 100, b"\xff\xfe", "é\u202e\U0001f4a3".encode(), b"\xed\xa0\x80"),
    *(b"[" * 3000, b"{" * 3000, b'{"a":' * 2000, b"(" * 500, b'"', b"'", b"\\", b"=", b"\t"),
    *(b"_JSON " + b"[" * 100_000, b"pos:R:300000000", b"pos:R:-1", b"Properties=pos:R:2147483647"),
    *(
        b"name=" + b"x" * 5000,
        b"Lattice=1",
        b"units=bohr",
        b"pbc=",
        b"charge=1e999",
        b"a" * 200_000,
    ),
    *(b"\n", b"\r", b"\n\n\n", b"$$$$\n", b">", b"M  CHG  9", b"V3000", b"gdb 1 2", b";", b","),
)
VALUES = (
    *(None, True, "text", "", -1, 0, 2**63, 2**70, 1e308, 1e20, [], {}, [[]], "nan"),
    {"__ndarray__": [[10_000_000_000], "float64", [0.0]]},
    {"__ndarray__": [[3, 3], "object", [0.0]]},
    {"__ndarray__": [[-1, 3], "int64", []]},
    {"__ase_objtype__": "cell", "array": 1},
    {"__complex__": [1, 2]},
    {"__datetime__": "never"},
)
# A file of this fuzzer, whose readers have little memory, stays smaller than this.
_MOST_BYTES = 20_000_000
_NUMBER = re.compile(rb"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?")


def mutate(content: bytes, name: str, rng: random.Random) -> bytes:
    """Return a changed content of a file of this name."""
    inside = _INSIDE.get(_kind(name))
    if inside is not None and rng.random() < 0.75:
        try:
            return inside(content, rng)
        except (sqlite3.Error, OverflowError):
            pass  # this change is impossible there
    return _text(content, rng)


def _kind(name: str) -> str:
    return name.rsplit(".", 1)[-1]


def _text(content: bytes, rng: random.Random) -> bytes:
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        content = rng.choice(_CHANGES)(content, rng)
    return content


def _flip(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content or b"\x00")
    for _ in range(rng.choice((1, 1, 4, 20))):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def _flip_header(content: bytes, rng: random.Random) -> bytes:
    return _flip(content[:200], rng) + content[200:]


def _cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def _lines(content: bytes, rng: random.Random) -> bytes:
    lines = content.splitlines(keepends=True) or [b""]
    place = rng.randrange(len(lines))
    other = rng.randrange(len(lines))
    kind = rng.randrange(5)
    if kind == 0:
        del lines[place]
    elif kind == 1:
        lines.insert(other, lines[place])
    elif kind == 2:
        lines[place], lines[other] = lines[other], lines[place]
    elif kind == 3:
        most = _MOST_BYTES // (len(lines[place]) + 1)
        lines[place:place] = [lines[place]] * min(rng.choice((10, 1000)), most)
    else:
        lines[place] = lines[place].rstrip(b"\r\n")
    return b"".join(lines)


def _number(content: bytes, rng: random.Random) -> bytes:
    found = list(_NUMBER.finditer(content))
    if not found:
        return _word(content, rng)
    one, other = rng.choice(found), rng.choice(found)
    new = rng.choice((rng.choice(NUMBERS), rng.choice(HUGE), other[0]))
    return content[: one.start()] + new + content[one.end() :]


def _word(content: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(content) + 1)
    stop = place + rng.choice((0, 0, 1, 8))
    return content[:place] + rng.choice(WORDS) + content[stop:]


_CHANGES = (_flip, _flip_header, _cut, _lines, _lines, _number, _number, _number, _word, _word)


def _in_gzip(content: bytes, rng: random.Random) -> bytes:
    return gzip.compress(_text(gzip.decompress(content), rng), 1, mtime=0)


def _in_zip(content: bytes, rng: random.Random) -> bytes:
    """Change one member, its name or the list of members; arrays are changed in their header."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(list(members))
    kind = rng.randrange(8)
    if kind == 0:
        del members[name]
    elif kind == 1:
        members[rng.choice(list(members))] = members[name]
    elif kind == 2:
        members[rng.choice(("unit.npy", "mu.npy", "q.npy", "x.txt", "a/b.npy"))] = members[name]
    elif kind < 6:
        members[name] = _header_number(members[name], rng)
    else:
        members[name] = _text(members[name], rng)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, value in members.items():
            archive.writestr(zipfile.ZipInfo(key), value)
    return buffer.getvalue()


def _header_number(content: bytes, rng: random.Random) -> bytes:
    head, rest = content[:128], content[128:]
    kind = rng.choice((b"<f8", b"<i8", b"|O", b"<U9999999", b"<c16", b"|b1", b"<M8[s]", b"|V8"))
    if rng.random() < 0.5:
        return _number(head, rng) + rest
    return re.sub(rb"'descr': '[^']*'", b"'descr': '" + kind + b"'", head) + rest


def _in_json(content: bytes, rng: random.Random) -> bytes:
    whole = json.loads(content)
    node: object = whole
    parent, key = None, None
    for _ in range(rng.choice((1, 2, 2, 3, 3, 4, 5))):
        if isinstance(node, dict) and node:
            parent, key = node, rng.choice(list(node))
        elif isinstance(node, list) and node:
            parent, key = node, rng.randrange(len(node))
        else:
            break
        node = parent[key]
    if parent is not None:
        parent[key] = rng.choice(VALUES)
    text = json.dumps(whole)
    return (text if rng.random() < 0.9 else text.replace("0.", "1e", 3)).encode()


def _in_sqlite(content: bytes, rng: random.Random) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "set.db"
        file.write_bytes(content)
        connection = sqlite3.connect(file)
        try:
            with connection:
                _change_cell(connection, rng)
        finally:
            connection.close()
        return file.read_bytes()


def _change_cell(connection: sqlite3.Connection, rng: random.Random) -> None:
    table = rng.choice(("systems",) * 8 + ("information", "keys", "number_key_values"))
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    column = rng.choice(columns)
    if rng.random() < 0.05:
        connection.execute(f"ALTER TABLE {table} RENAME COLUMN {column} TO other")
        return
    old = connection.execute(f"SELECT {column} FROM {table} LIMIT 1").fetchone()
    value = rng.choice(VALUES)
    choices = [json.dumps(value), json.dumps({"a": value}), "[" * 3000, "\x00", b"\x00" * 7, b""]
    choices += [value] if not isinstance(value, dict | list) else []
    if old and isinstance(old[0], bytes):
        choices += [_flip(old[0], rng), _cut(old[0], rng)]
        rows = connection.execute("SELECT count(*) FROM systems").fetchone()[0]
        choices += [old[0] * min(1000, _MOST_BYTES // (len(old[0]) * rows + 1))]
    if old and isinstance(old[0], str):
        choices += [_text(old[0].encode(), rng).decode(errors="ignore")]
    connection.execute(f"UPDATE {table} SET {column} = ?", (rng.choice(choices),))


_INSIDE: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "gz": _in_gzip,
    "zip": _in_zip,
    "npz": _in_zip,
    "json": _in_json,
    "db": _in_sqlite,
}
