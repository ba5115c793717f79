"""The pages of docs/benchmarks: scripts run once for each configuration, by hand is not lost."""

import argparse
import dataclasses
import pkgutil
import re
import runpy
import subprocess
import sys
import textwrap
import time
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS, DOCS = ROOT / "benchmarks", ROOT / "docs" / "benchmarks"

SCRIPT = """
import os, pathlib, sys
out = pathlib.Path(sys.argv[sys.argv.index("--output") + 1])
with (out / "runs").open("a") as file:
    file.write(os.environ["OMP_NUM_THREADS"])
(out / "fake.png").write_bytes(b"picture")
(out / "fake.md").write_text("# Title\\n\\nThe table.\\n")
"""


@pytest.fixture
def pages(monkeypatch):
    """The module with the list of pages."""
    if not BENCHMARKS.is_dir():
        pytest.skip("the benchmarks are not here")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from study import pages

    return pages


@pytest.fixture
def run(pages, monkeypatch, tmp_path):
    """Run reports by a fake script; return the records by key, and the units."""
    from study import runner, store

    (tmp_path / "fake.py").write_text(SCRIPT)
    monkeypatch.setattr(pages, "BENCHMARKS", tmp_path)

    class Material:
        cache, data, device = tmp_path / "cache", tmp_path / "qm9.npz", "cpu"

    def run(*reports, retry=False):
        kept = store.Store(Material.cache)
        units = [runner.Unit("page", report.config(True), pages.TIER) for report in reports]
        units = runner.sort_units(units, {"data": "x"})
        runner.work(units, kept, Material(), {}, retry=retry)
        return units, kept.records()

    return run


def report_of(pages, arguments="--output {out}", **parts):
    return pages.Report("fake", "fake", arguments, arguments, **parts)


def runs(tmp_path):
    return sorted(file.read_text() for file in tmp_path.glob("cache/pages/*/runs"))


def test_a_second_run_does_only_what_is_missing(pages, run, tmp_path):
    first = report_of(pages)
    run(first)
    run(first, report_of(pages, "--output {out} --more"))
    # One thread each.
    assert runs(tmp_path) == ["1", "1"]


def test_page_says_how_it_was_made_and_figures_stand_beside(pages, run, tmp_path):
    units, records = run(report_of(pages, figures=("fake.png:other.png",)))
    pages.write_pages(units, records, tmp_path / "cache", tmp_path / "docs")
    text = (tmp_path / "docs" / "fake.md").read_text()
    assert "Made by `benchmarks/fake.py" in text
    assert "commit" in text
    assert "The table." in text
    assert (tmp_path / "docs" / "other.png").read_bytes() == b"picture"


def test_text_written_by_hand_is_kept(pages, run, tmp_path):
    place = "<!-- study: {} -->\nold {}\n<!-- end of study -->\n"
    page = tmp_path / "fake.md"
    page.write_text("# By hand\n" + place.format("a", "a") + "Between.\n" + place.format("b", "b"))
    units, records = run(report_of(pages, passage="a"))
    pages.write_pages(units, records, tmp_path / "cache", tmp_path)
    text = page.read_text()
    assert "The table." in text
    assert "# By hand" in text
    assert "Between." in text
    assert "old b" in text
    assert "old a" not in text
    assert "# Title" not in text


def test_failure_has_the_end_of_the_log_and_the_rest_goes_on(pages, run, tmp_path):
    bad = dataclasses.replace(report_of(pages), script="bad")
    (tmp_path / "bad.py").write_text("raise SystemExit('no molecules')")
    _, records = run(bad, report_of(pages))
    errors = [record["error"] for record in records.values() if "error" in record]
    assert len(records) == 2
    assert len(errors) == 1
    assert "no molecules" in errors[0]
    (tmp_path / "bad.py").write_text(SCRIPT.replace("fake.md", "bad.md"))
    assert "error" in str(run(bad)[1])
    assert all("result" in record for record in run(bad, retry=True)[1].values())


def is_running(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_kill_loses_only_the_page_at_work(pages, run, tmp_path):
    (tmp_path / "slow.py").write_text(
        "import os, pathlib, time\nhere = pathlib.Path(__file__).parent\n"
        "(here / 'part').write_text(str(os.getpid()))\n"
        "os.replace(here / 'part', here / 'begun')\ntime.sleep(300)"
    )
    code = textwrap.dedent(f"""
        import pathlib, sys
        sys.path.insert(0, {str(BENCHMARKS)!r})
        from study import pages, runner, store
        pages.BENCHMARKS = pathlib.Path({str(tmp_path)!r})
        class Material:
            cache, data = pages.BENCHMARKS / "cache", pages.BENCHMARKS / "qm9.npz"
            device = "cpu"
        reports = [pages.Report("fake", name, "--output {{out}}", "") for name in ("fake", "slow")]
        units = [runner.Unit("page", report.config(True), pages.TIER) for report in reports]
        units = runner.sort_units(units, {{"data": "x"}})
        runner.work(units, store.Store(Material.cache), Material(), {{}})
    """)
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        end = time.monotonic() + 120
        while not (tmp_path / "begun").exists() and time.monotonic() < end:
            assert process.poll() is None
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    assert (tmp_path / "begun").exists()
    script = int((tmp_path / "begun").read_text())
    while sys.platform == "linux" and is_running(script):
        assert time.monotonic() < end
        time.sleep(0.05)
    (tmp_path / "slow.py").write_text(SCRIPT.replace("fake.md", "slow.md"))
    slow = dataclasses.replace(report_of(pages), script="slow", quick="")
    fake = dataclasses.replace(report_of(pages), quick="")
    _, records = run(fake, slow)
    assert len(records) == 2
    assert all("result" in record for record in records.values())
    assert runs(tmp_path) == ["1", "1"]


def test_pages_that_need_a_gpu_are_left_out_with_a_sentence(pages, capsys):
    from study import runner, scope

    units = runner.sort_units(pages.units(scope.Scope()), {"data": "x"})
    left = pages.without_gpu(units, has_gpu=False)
    assert {"gpu"} == {u.config["page"] for k, u in units.items() if k not in left}
    assert "left out, since there is none: gpu." in capsys.readouterr().out
    assert pages.without_gpu(units, has_gpu=True) == units


def test_every_page_is_in_the_list_and_has_its_places(pages):
    written = {path.stem for path in DOCS.glob("*.md")} - {"index", "method"}
    assert written == {report.page for report in pages.REPORTS}
    for report in pages.REPORTS:
        text = (DOCS / f"{report.page}.md").read_text(encoding="utf-8")
        alone = "<!-- study:" not in text
        assert alone if report.passage is None else f"<!-- study: {report.passage} -->" in text


def test_functions_that_scripts_time_exist(pages):
    places = {
        place
        for script in BENCHMARKS.glob("*.py")
        for place in re.findall(r'"(dipkit\.[\w.]+)"', script.read_text(encoding="utf-8"))
    }
    assert len(places) > 8
    for place in places:
        assert callable(pkgutil.resolve_name(place)), place


class _Accepted(BaseException):
    pass


@pytest.mark.parametrize("quick", [False, True])
def test_every_script_accepts_its_arguments(pages, monkeypatch, quick):
    parse = argparse.ArgumentParser.parse_args

    def stop(parser, *args, **kwargs):
        parse(parser, *args, **kwargs)
        raise _Accepted

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    for report in pages.REPORTS:
        if report.needs and find_spec(report.needs) is None:
            assert (BENCHMARKS / f"{report.script}.py").exists()
            continue
        words = (report.quick if quick else report.arguments).split()
        script = BENCHMARKS / f"{report.script}.py"
        assert script.exists()
        monkeypatch.setattr(sys, "argv", [str(script), *words])
        with pytest.raises(_Accepted):
            runpy.run_path(str(script), run_name="__main__")
