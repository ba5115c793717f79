"""Total charges, unread labels and foreign JSON on the command line."""

import json
from pathlib import Path

import pytest
from helpers.commands import refused, run
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dipkit.data.io import read
from dipkit.exceptions import FileFormatError

FRAME = "2\n{comment}\nF 0 0 0\nH 0 0 0.92\n"


def xyz(folder: Path, *comments: str) -> Path:
    file = folder / "hf.xyz"
    file.write_text("".join(FRAME.format(comment=comment) for comment in comments))
    return file


def test_total_charge_of_every_molecule(tmp_path: Path) -> None:
    file = xyz(tmp_path, "", "")
    totals = json.loads(run("info", file, "--total-charge", "-2", "--json").stdout)
    assert totals["total_charges"] == {"-2": 2}
    assert any("as asked" in line for line in totals["assumed"])


def test_two_places_that_disagree_and_the_option_that_decides(tmp_path: Path) -> None:
    file = xyz(tmp_path, "charge=0 net_charge=2")
    line = refused("info", file)
    assert "molecule 0 ('hf')" in line
    assert "'charge'" in line
    assert "'net_charge'" in line
    assert "--total-charge" in line
    chosen = json.loads(run("info", file, "--total-charge", "net_charge", "--json").stdout)
    assert chosen["total_charges"] == {"+2": 1}


def test_labels_left_unread(tmp_path: Path) -> None:
    file = xyz(tmp_path, 'mu=n/a charges="0.1"')
    assert "'mu' holds" in refused("info", file)
    found = json.loads(run("info", file, "--dipole", "none", "--charges", "none", "--json").stdout)
    assert (found["n_magnitudes"], found["n_charges"]) == (0, 0)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["ids", "nextid", "1", "numbers", "positions", "x"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@given(value=json_values)
@example({"molecules": [{"symbols": ["H", "H"], "geometry": [0, 0, 0, 0, 0, 1.4]}]})
@example({"ids": {"a": 1}, "nextid": 2})
@example({"1": 3})
@example({"ids": [1], "1": [1], "nextid": 2})
@example({"ids": [1], "1": {"numbers": [1]}, "nextid": 2})
@settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
def test_json_that_is_no_database(tmp_path: Path, value: object) -> None:
    file = tmp_path / "records.json"
    file.write_text(json.dumps(value))
    with pytest.raises(FileFormatError, match=r"records\.json[:,] "):
        read(file)


def test_json_that_is_no_database_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "records.json").write_text('{"molecules": []}')
    assert "no ASE database" in refused("info", tmp_path / "records.json")
