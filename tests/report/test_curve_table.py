"""Files of learning curves: the tables that users have, and what is wrong with others."""

from pathlib import Path

import numpy as np
import pytest

from dipkit.exceptions import DipkitError, FileFormatError, InputError
from dipkit.report.curve_table import read_curves

STUDY = Path(__file__).parents[2] / "docs" / "study" / "curve.csv"


def table(folder: Path, text: str) -> Path:
    path = folder / "curve.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_means_with_spreads(tmp_path) -> None:
    file = table(tmp_path, "n,mae (D),mae_std\n1000,0.15,0.01\n100,0.4,0.05\n")
    found = read_curves(file)
    np.testing.assert_array_equal(found.sizes, [100, 1000])
    np.testing.assert_array_equal(found.errors["model"], [[0.4], [0.15]])
    np.testing.assert_array_equal(found.spreads["model"], [0.05, 0.01])


def test_draws_in_rows_and_several_models(tmp_path) -> None:
    rows = "0,100,a,0.4\n1,100,a,0.6\n0,200,a,0.3\n0,200,b,0.2\n"
    found = read_curves(table(tmp_path, f"seed,size,model,mae_debye\n{rows}"))
    np.testing.assert_array_equal(found.errors["a"], [[0.4, 0.6], [0.3, np.nan]])
    np.testing.assert_array_equal(found.errors["b"], [[np.nan], [0.2]])
    assert found.spreads == {}


def test_scores_of_scikit_learn_in_columns(tmp_path) -> None:
    file = table(tmp_path, ",train_sizes,fold_0,fold_1\n0,10,0.5,0.7\n1,20,0.3,0.2\n")
    np.testing.assert_array_equal(read_curves(file).errors["model"], [[0.5, 0.7], [0.3, 0.2]])
    file = table(tmp_path, "train_size,test_score_0,test_score_1\n10,-0.5,-0.7\n")
    np.testing.assert_array_equal(read_curves(file).errors["model"], [[0.5, 0.7]])
    file = table(tmp_path, "train_size,test_score,test_score_std\n10,-0.5,0.1\n")
    found = read_curves(file)
    assert (found.errors["model"][0, 0], found.spreads["model"][0]) == (0.5, 0.1)


def test_other_units_and_decimal_commas(tmp_path) -> None:
    found = read_curves(table(tmp_path, "n;error (au);std\n50;0,1;0,01\n"))
    assert found.errors["model"][0, 0] == pytest.approx(0.254175, abs=1e-6)
    assert found.spreads["model"][0] == pytest.approx(0.0254175, abs=1e-7)


def test_the_table_of_the_study() -> None:
    found = read_curves(STUDY)
    assert "magnitudes alone" in found.errors
    assert "magnitudes alone" in found.spreads
    # Cited models have one error each, without a spread; so have lines of a single draw.
    assert {"SchNet (cited)", "PaiNN (cited)"} <= set(found.errors) - set(found.spreads)
    assert (np.diff(found.sizes) > 0).all()


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("", InputError, "number of training molecules. Columns present: none"),
        ("mae,model\n0.3,a\n", InputError, "number of training molecules"),
        ("n,r2\n10,0.9\n", InputError, "no column with errors. Columns present: n, r2"),
        ("n,mae (eV)\n10,0.9\n", InputError, "unknown unit 'eV'"),
        ("n,mae\n", FileFormatError, "no row with an error"),
        ("n,mae\n10,0.3,1\n", FileFormatError, "line 2: expected 2 columns, got 3"),
        ("n,mae\n10,0.4\n20,x\n", FileFormatError, "line 3: expected a number, got 'x'"),
        ("n,mae\n10,-0.3\n", FileFormatError, "line 2: expected an error above 0, got '-0.3'"),
        ("n,mae\n10,nan\n", FileFormatError, "expected a number"),
        ("n,mae\n0.1,0.3\n", FileFormatError, "whole number of training molecules, got '0.1'"),
        ("n,test_score\n10,0.9\n", FileFormatError, "expected a negative score"),
        ("n,mae,std\n10,0.3,0.1\n10,0.4,0.1\n", FileFormatError, "several errors at one number"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, kind, message) -> None:
    with pytest.raises(kind, match=message.replace("(", r"\(").replace(")", r"\)")) as caught:
        read_curves(table(tmp_path, text))
    assert "curve.csv" in str(caught.value)


def test_no_text(tmp_path) -> None:
    file = tmp_path / "curve.csv"
    file.write_bytes(b"\xff\xfe\x00n,mae")
    with pytest.raises(DipkitError, match="expected a CSV file of a learning curve"):
        read_curves(file)
    with pytest.raises(DipkitError, match="expected a CSV file of a learning curve"):
        read_curves(table(tmp_path, "n,mae\n10," + "3" * 200_000))
    with pytest.raises(DipkitError, match="no such file"):
        read_curves(tmp_path / "absent.csv")
