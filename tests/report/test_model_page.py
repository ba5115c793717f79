"""The page of a model: no error and no network in Chromium, on wide and narrow screens.

The browser is skipped where Chromium is not installed; what the page holds is tested without it.
"""

import re
from html import escape, unescape

import numpy as np
import pytest
from helpers.browser import Browser

from dipkit.data.molecules import Molecules
from dipkit.estimator.metrics import compare
from dipkit.estimator.pipeline import predict_all
from dipkit.estimator.regression import DipoleKernelRidge
from dipkit.exceptions import InputError
from dipkit.report import LearningCurveDisplay, model_report, scenes

pytest.importorskip("matplotlib")

NAME = "</script><img src=x onerror=alert(1)>"
RIGHT, PLUS = "\ue014", "+"


@pytest.fixture(scope="module")
def model(described):
    return DipoleKernelRidge(alpha=1e-3).fit(described[:32])


@pytest.fixture(scope="module")
def molecules(described, model) -> Molecules:
    test, names = described[32:], described.names[32:].astype("U60")
    worst = int(np.abs(model.predict(test) - test.dipole_magnitude).argmax())
    names[worst] = NAME  # it is in the table and in the viewer
    test = test.replace(names=names)
    vectors = test.dipole_vector.copy()
    vectors[(worst + 1) % len(test)] = np.nan
    return test.replace(dipole_vector=vectors, dipole_magnitude=test.dipole_magnitude)


@pytest.fixture(scope="module")
def page(model, molecules) -> str:
    errors = {"magnitudes alone": [[0.5, 0.6], [0.3, 0.35]], "with Mulliken charges": [0.4, 0.25]}
    curve = LearningCurveDisplay([100, 1000], errors)
    return model_report(model, molecules, learning_curve=curve).html


@pytest.fixture(scope="module")
def browser():
    window = Browser()
    yield window
    window.close()


@pytest.fixture(scope="module")
def shown(browser, page, tmp_path_factory):
    """Open the page in a small window, which is drawn quickly, and wait for its molecules."""
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(page, encoding="utf-8")
    browser.open(file, 480, 700)
    browser.wait("return document.getElementById('view').dataset.ready")
    return browser


def test_errors_are_those_of_compare(model, molecules) -> None:
    report = model_report(model, molecules, title="A <title>")
    assert report.errors == compare(model, molecules)
    assert f"{report.errors['mae_debye']:.3f} D" in report.html
    assert "<title>A &lt;title&gt;</title>" in report.html
    assert NAME not in report.html
    assert escape(NAME) in report.html


def test_it_names_no_address_to_load(page) -> None:
    before_scripts = page[: page.index('<script type="application/json"')]
    assert set(re.findall(r'(?:src|href)="([a-z/+]+[:,])', before_scripts)) == {"data:"}
    assert "default-src 'none'" in page


def test_each_plot_has_a_table_beside_it(page) -> None:
    pairs = re.findall(r'<div class="pair"><figure><img alt="[^"]+".*?</table>', page, re.S)
    assert len(pairs) == page.count("<figure>") == 6


def test_without_deviations_there_is_no_calibration(model, molecules) -> None:
    prediction = predict_all(model, molecules)
    html = model_report(model, molecules, prediction=prediction).html
    assert "standard deviation (D)" not in html
    assert '<th scope="col">std (D)</th>' not in html


def test_a_learning_curve_from_a_file(model, molecules, tmp_path) -> None:
    assert "Learning curve" not in model_report(model, molecules).html
    file = tmp_path / "curve.csv"
    file.write_text("n,mae,std\n100,0.4,0.05\n200,0.3,0.02\n", encoding="utf-8")
    html = model_report(model, molecules, learning_curve=file).html
    (pair,) = re.findall(r"<h2>Learning curve</h2>\n<div class=\"pair\">.*?</table>", html, re.S)
    assert 'src="data:image/svg+xml' in pair
    assert "error ± spread" in pair
    assert "<td>0.300 (0.280\u00a0–\u00a00.320)</td>" in pair
    drawn = LearningCurveDisplay.from_csv(file)
    assert model_report(model, molecules, learning_curve=drawn).html == html
    file.write_text("n,r2\n100,0.4\n", encoding="utf-8")
    with pytest.raises(InputError, match="no column with errors"):
        model_report(model, molecules, learning_curve=file)


def test_molecules_without_a_label_are_left_out(model, molecules) -> None:
    named = molecules.names == NAME
    bare = molecules[named].replace(dipole_magnitude=None, dipole_vector=None)
    report = model_report(model, Molecules.concatenate([bare, molecules[~named]]))
    assert report.errors["n"] == len(molecules) - 1
    assert escape(NAME) not in report.html
    with pytest.raises(InputError, match="no dipole label"):
        model_report(model, bare)


def test_the_size_is_bounded(model, molecules) -> None:
    many = molecules[np.arange(1500) % len(molecules)]
    many = many.replace(names=np.array(["x" * 1000] * 1500))
    assert len(model_report(model, many).html) - len(scenes._file("3Dmol-min.js")) < 2_000_000


def test_files_and_notebooks(model, molecules, tmp_path) -> None:
    report = model_report(model, molecules)
    report.save(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text("utf-8") == report.html
    frame = report._repr_html_()
    assert frame.startswith("<iframe srcdoc=")
    assert unescape(frame.split('"')[1]) == report.html


def test_no_error_and_no_request(shown) -> None:
    assert shown.run("return document.getElementById('view').dataset.ready") == "3d"
    assert shown.messages() == []
    addresses = shown.requests()
    assert addresses
    assert all(address.startswith(("file:", "data:")) for address in addresses)
    assert sum(address.startswith("file:") for address in addresses) == 1


def test_every_molecule_can_be_shown(shown) -> None:
    n = shown.run("return document.getElementById('molecule').options.length")
    assert n == 8
    names = shown.run("""
        return [...document.getElementById('molecule').options].map(() => {
            document.getElementById('next').click();
            return document.getElementById('facts').rows[0].cells[1].textContent;
        });
    """)
    assert NAME in names
    assert len(set(names)) == n
    assert shown.messages() == []


def test_keys_turn_and_zoom(shown) -> None:
    shown.run("document.getElementById('view').focus()")
    pictures = [shown.screenshot()]
    for key in (RIGHT, PLUS):
        shown.press(key)
        pictures.append(shown.screenshot())
    assert len(set(pictures)) == 3


def test_all_controls_can_be_reached_by_tab(shown) -> None:
    reached = shown.run("""
        const found = document.querySelectorAll('button, select, input, summary, [tabindex]');
        return [...found].filter((e) => e.tabIndex < 0).map((e) => e.outerHTML.slice(0, 80));
    """)
    assert reached == []
    unnamed = shown.run("""
        return [...document.querySelectorAll('button, select, input, img, #view')].filter((e) =>
            !(e.textContent.trim() || e.ariaLabel || e.alt || e.closest('label'))).length;
    """)
    assert unnamed == 0


def test_a_row_of_the_table_shows_its_molecule(shown) -> None:
    name = shown.run("""
        const button = document.querySelectorAll('button.show')[2];
        button.click();
        return button.closest('tr').cells[0].textContent;
    """)
    label = "return document.getElementById('facts').rows[0].cells[1].textContent"
    assert shown.run(label) == name


def test_charges_are_numbers_too(shown, model, molecules) -> None:
    first = shown.run("""
        document.querySelectorAll('button.show')[0].click();
        return [...document.getElementById('atoms').rows].map((row) => row.cells[1].textContent);
    """)
    errors = predict_all(model, molecules).magnitude - molecules.dipole_magnitude
    worst = int(np.abs(errors).argmax())
    charges = [float(text.replace("−", "-")) for text in first]
    np.testing.assert_allclose(charges, predict_all(model, molecules).charges_of(worst), atol=6e-4)


def test_narrow_screens(browser, page, tmp_path) -> None:
    file = tmp_path / "report.html"
    file.write_text(page, encoding="utf-8")
    browser.open(file, 390, 844)
    browser.wait("return document.getElementById('view').dataset.ready")
    assert browser.run("return document.documentElement.scrollWidth") <= 390
    outside = browser.run("""
        const wide = (e) => e.getBoundingClientRect().right > innerWidth + 1;
        return [...document.querySelectorAll('img, button, select, #view')].filter((e) =>
            wide(e) && !e.closest('.scroll')).length;
    """)
    assert outside == 0


def test_without_webgl_the_table_remains(browser, page, tmp_path) -> None:
    off = "<script>HTMLCanvasElement.prototype.getContext = () => null;</script>"
    file = tmp_path / "report.html"
    file.write_text(page.replace("<body>", f"<body>{off}"), encoding="utf-8")
    browser.messages()
    browser.open(file)
    ready = "return document.getElementById('view').dataset.ready"
    assert browser.wait(ready) == "table"
    assert "WebGL" in browser.run("return document.getElementById('view').textContent")
    assert browser.run("return document.getElementById('atoms').rows.length") > 0
    assert browser.messages() == []
