"""The study's cache: results are found by content, and survive a kill; its page holds them."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def study(monkeypatch):
    """The modules that need no data."""
    if not BENCHMARKS.is_dir():
        pytest.skip("the benchmarks are not here")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from study import page, results, runner, scope, store, travel, worth

    class Modules:
        pass

    modules = Modules()
    modules.__dict__ |= {
        module.__name__.split(".")[-1]: module
        for module in (page, results, runner, scope, store, travel, worth)
    }
    return modules


class FakeMaterial:
    """Stands for the molecules."""

    device = "cpu"


@pytest.fixture
def counted(study, monkeypatch):
    """An experiment that counts its runs, and fails for n = 13."""
    ran = []

    def experiment(material, config):
        ran.append((config["n"], config["draw"]))
        if config["n"] == 13:
            raise ValueError("unlucky")
        return {"mae": config["n"] / 100}, {"magnitude": np.arange(3.0)}

    monkeypatch.setattr(study.runner, "run_counted", experiment, raising=False)
    monkeypatch.setitem(study.runner.EXPERIMENTS, "counted", "study.runner")
    return ran


def units_of(study, *sizes):
    return [study.runner.Unit("counted", {"n": n, "draw": 0}) for n in sizes]


GROUND = {"data": "x", "defaults": [1, 2]}
MADE = {"commit": "abc", "device": "cpu", "date": "2026-01-01", "machine": "m", "versions": "v"}


def test_key_depends_on_the_content_alone(study):
    key = study.store.key_of
    assert key({"a": 1, "b": {"c": 2, "d": 3}}) == key({"b": {"d": 3, "c": 2}, "a": 1})
    assert key({"a": 1}) != key({"a": 2})
    unit = study.runner.Unit("counted", {"n": 1, "draw": 0}, tier=1)
    later = study.runner.Unit("counted", {"draw": 0, "n": 1}, tier=5)
    assert unit.key(GROUND) == later.key(GROUND)
    assert unit.key(GROUND) != unit.key(GROUND | {"data": "y"})


def test_key_depends_on_the_defaults_of_dipkit_and_not_on_the_machine(study, monkeypatch):
    before = study.runner.ground_of("x")
    assert before == study.runner.ground_of("x")
    monkeypatch.setattr(study.runner.defaults, "AUTO_ALPHA", 0.03)
    assert study.runner.ground_of("x") != before
    assert "n_jobs" not in json.dumps(before, allow_nan=False)


def test_key_is_the_same_in_another_process(study):
    unit, ground = units_of(study, 1)[0], study.runner.ground_of("x")
    ask = (
        f"import sys; sys.path.insert(0, {str(BENCHMARKS)!r})\n"
        "from study.runner import Unit, ground_of\n"
        "print(Unit('counted', {'n': 1, 'draw': 0}).key(ground_of('x')))"
    )
    answer = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == unit.key(ground)


def test_a_second_run_does_only_what_is_missing(study, counted, tmp_path):
    first = study.runner.sort_units(units_of(study, 2, 1), GROUND)
    assert study.runner.work(first, study.store.Store(tmp_path), FakeMaterial(), MADE) == 2
    assert counted == [(1, 0), (2, 0)]
    more = study.runner.sort_units(units_of(study, 1, 2, 3, 3), GROUND)
    store = study.store.Store(tmp_path)
    assert study.runner.work(more, store, FakeMaterial(), MADE) == 1
    assert counted[2:] == [(3, 0)]
    records = store.records()
    assert {record["result"]["mae"] for record in records.values()} == {0.01, 0.02, 0.03}
    assert all(record["made"]["commit"] == "abc" for record in records.values())
    np.testing.assert_array_equal(store.arrays(next(iter(more)))["magnitude"], np.arange(3.0))


def test_a_failure_ends_no_other_unit_and_is_run_again_only_if_asked(study, counted, tmp_path):
    units = study.runner.sort_units(units_of(study, 13, 14), GROUND)
    store = study.store.Store(tmp_path)
    assert study.runner.work(units, store, FakeMaterial(), MADE) == 2
    failed = [record for record in store.records().values() if "error" in record]
    assert [record["error"] for record in failed] == ["ValueError: unlucky"]
    assert study.runner.work(units, store, FakeMaterial(), MADE) == 0
    assert study.runner.work(units, store, FakeMaterial(), MADE, retry=True) == 1


def test_a_line_that_a_kill_cut_is_left_out_and_its_unit_runs_again(study, counted, tmp_path):
    units = study.runner.sort_units(units_of(study, 1, 2), GROUND)
    study.runner.work(units, study.store.Store(tmp_path), FakeMaterial(), MADE)
    (file,) = (tmp_path / "results").glob("*.jsonl")
    whole = file.read_bytes()
    file.write_bytes(whole[:-20])
    store = study.store.Store(tmp_path)
    assert len(store.records()) == 1
    assert study.runner.work(units, store, FakeMaterial(), MADE) == 1
    assert len(store.records()) == 2
    assert file.read_bytes() == whole[:-20]  # nothing is written behind the cut


def test_a_unit_of_another_process_is_left_to_it(study, counted, tmp_path):
    units = study.runner.sort_units(units_of(study, 1, 2), GROUND)
    store = study.store.Store(tmp_path)
    first = next(iter(units))
    with store.claim(first) as mine:
        assert mine
        assert study.runner.work(units, study.store.Store(tmp_path), FakeMaterial(), MADE) == 1
    assert counted == [(2, 0)]
    assert study.runner.work(units, store, FakeMaterial(), MADE) == 1


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_killed_process_gives_up_its_claim(study, counted, tmp_path):
    units = study.runner.sort_units(units_of(study, 1), GROUND)
    (key,) = units
    holder = textwrap.dedent(f"""
        import sys, time
        from pathlib import Path
        sys.path.insert(0, {str(BENCHMARKS)!r})
        from study.store import Store
        with Store(Path({str(tmp_path)!r})).claim({key!r}) as mine:
            print(mine, flush=True)
            time.sleep(60)
    """)
    with subprocess.Popen([sys.executable, "-c", holder], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline().strip() == b"True"
        store = study.store.Store(tmp_path)
        assert study.runner.work(units, store, FakeMaterial(), MADE) == 0
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert study.runner.work(units, store, FakeMaterial(), MADE) == 1


def test_the_latest_result_counts_and_a_failure_never_replaces_one(study, tmp_path):
    store = study.store.Store(tmp_path)
    for date, found in (("2", {"result": {"mae": 2}}), ("1", {"result": {"mae": 1}})):
        store.write({"key": "k", "made": {"date": date}} | found)
    store.write({"key": "k", "made": {"date": "3"}, "error": "no"})
    assert store.records()["k"]["result"] == {"mae": 2}


def test_gains_are_paired_by_draw_and_steps_add_up(study):
    r = study.results
    before, middle, after = {0: 1.0, 1: 2.0, 2: 9.0}, {0: 0.9, 1: 1.5}, {0: 0.6, 1: 1.2}
    mean, error, draws = r.gain(after, before)
    assert (mean, draws) == (pytest.approx(40.0), 2)
    assert error == pytest.approx(0.0, abs=1e-9)
    steps = r.step(before, middle, before)[0] + r.step(middle, after, before)[0]
    assert steps == pytest.approx(mean)
    assert r.gain(after, {7: 1.0})[2] == 0


def test_tables_survive_csv_and_a_page_of_no_results_is_a_page(study, tmp_path):
    r, scope = study.results, study.scope.QUICK
    rows = [{"n": 50, "words": "a, b", "mae": 0.25, "mae_se": float("nan")}]
    r.write_csv(tmp_path / "t.csv", rows)
    (row,) = r.read_csv(tmp_path / "t.csv")
    assert (row["n"], row["words"], row["mae"]) == (50, "a, b", 0.25)
    assert np.isnan(row["mae_se"])
    texts = {"commits": "2e22372", "gains": "+5", "group": "7"}
    r.write_csv(tmp_path / "t.csv", [texts, texts | {"commits": "0882306"}])
    read = r.read_csv(tmp_path / "t.csv")
    assert read == [texts, texts | {"commits": "0882306"}]
    assert r.origin(read, "worth").endswith("commits 0882306, 2e22372.")
    empty = r.Results(study.store.Store(tmp_path), {}, GROUND)
    tables = study.worth.tables(empty, scope)
    assert study.worth.page(tables)["answer"] == "No results yet."
    text = "# Page\n\n<!-- study: worth -->\nold\n<!-- end of study -->\n\nBy hand.\n"
    once = study.page.filled(text, study.worth.page(tables))
    assert study.page.MISSING in once
    assert "old" not in once
    assert once.endswith("By hand.\n")
    assert study.page.filled(once, {}) == once


def test_each_row_says_how_many_draws_are_behind_it(study, tmp_path):
    scope = study.scope.Scope(sizes=(50,), draws=3, n_test=10, is_full=False)
    store = study.store.Store(tmp_path)
    for name, errors in (("magnitudes", (1.0, 2.0)), ("hint", (0.5, 1.5, 2.5))):
        for draw, mae in enumerate(errors):
            key = study.worth.unit_of(name, 50, draw, scope).key(GROUND)
            store.write({"key": key, "result": {"mae": mae}, "made": MADE})
    results = study.results.Results(store, store.records(), GROUND)
    tables = study.worth.tables(results, scope)
    rows = {row["variant"]: row for row in tables["worth"]}
    assert (rows["magnitudes"]["draws"], rows["hint"]["draws"]) == (2, 3)
    assert rows["hint"]["gain"] == pytest.approx((50 + 25) / 2)
    assert "random" not in rows
    assert "N = 50" in study.worth.page(tables)["answer"]


def test_no_unit_starts_after_the_time_is_over(study, counted, tmp_path):
    units = study.runner.sort_units(units_of(study, 1, 2), GROUND)
    store = study.store.Store(tmp_path)
    assert study.runner.work(units, store, FakeMaterial(), MADE, until=time.time() - 1) == 0
    assert counted == []
    assert study.runner.work(units, store, FakeMaterial(), MADE, until=time.time() + 60) == 2


def test_a_result_that_needs_nothing_of_dipkit_outlives_its_defaults(study):
    unit = study.runner.Unit("peer", {"n": 1, "draw": 0}, of_dipkit=False)
    assert unit.key(GROUND) == unit.key(GROUND | {"defaults": [3]})
    assert unit.key(GROUND) != unit.key(GROUND | {"data": "y"})


def test_workers_share_units_by_size(study):
    sizes = (100, 5000, 120_000, 50, 20_000)
    units = study.runner.sort_units(units_of(study, *sizes), GROUND)
    worker = study.runner.Worker

    def chosen(*arguments):
        return [unit.config["n"] for unit in worker(*arguments).choose(units).values()]

    assert chosen("cuda", 8000) == [50, 100, 5000]
    assert chosen("cpu", 1000, "small") == [50, 100]
    assert chosen("cuda", None, "large") == [120_000, 20_000, 50, 100, 5000]


def test_a_unit_whose_package_is_missing_is_left_out_and_not_failed(study, counted, tmp_path):
    units = [*units_of(study, 1), study.runner.Unit("counted", {"n": 2, "draw": 0}, 0, "no_such")]
    store = study.store.Store(tmp_path)
    study.runner.run_all(study.runner.sort_units(units, GROUND), store, FakeMaterial())
    assert counted == [(1, 0)]
    assert len(store.records()) == 1


def test_results_of_another_machine_are_merged_and_none_is_lost(study, counted, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    for folder, size in ((here, 1), (there, 2)):
        units = study.runner.sort_units(units_of(study, size), GROUND)
        study.runner.work(units, study.store.Store(folder), FakeMaterial(), MADE)
    study.travel.collect(tmp_path / "results.tar", there)
    assert study.travel.merge(tmp_path / "results.tar", here) == 2
    assert study.travel.merge(tmp_path / "results.tar", here) == 0
    store = study.store.Store(here)
    assert {record["result"]["mae"] for record in store.records().values()} == {0.01, 0.02}
    for key in store.records():
        np.testing.assert_array_equal(store.arrays(key)["magnitude"], np.arange(3.0))


def test_what_units_need_travels_in_one_file(study, tmp_path, monkeypatch):
    material = Calculating(tmp_path / "here")
    monkeypatch.setitem(study.runner.EXPERIMENTS, "counted", "study.runner")
    monkeypatch.setattr(
        study.runner,
        "prepare_counted",
        lambda material, config: material.calculate(config["n"]),
        raising=False,
    )
    assert study.travel.pack(tmp_path / "labels.tar", units_of(study, 1, 2), material) == 2
    assert study.travel.merge(tmp_path / "labels.tar", tmp_path / "there") == 2
    with np.load(tmp_path / "there" / "calculated" / "labels-2.npz") as archive:
        np.testing.assert_allclose(archive["dipole"], 2.0)
        assert archive["has"].dtype == bool


class Calculating:
    """Stands for the molecules, with calculations in files."""

    def __init__(self, cache):
        self.cache, self.used = cache, set()
        (cache / "calculated").mkdir(parents=True)

    def calculate(self, n):
        file = self.cache / "calculated" / f"labels-{n}.npz"
        np.savez(file, dipole=np.full(3, float(n)), has=np.array([True]))
        self.used.add(file)


def test_steps_add_up_where_variants_have_different_draws(study, tmp_path):
    scope = study.scope.Scope(sizes=(50,), draws=3, n_test=10, is_full=False)
    store = study.store.Store(tmp_path)
    for name, errors in (
        ("magnitudes", (1.0, 2.0, 9.0)),
        ("start", (0.9, 1.9)),
        ("term", (0.8, 1.9)),
        ("hint", (0.5, 1.5, 1.0)),
    ):
        for draw, mae in enumerate(errors):
            key = study.worth.unit_of(name, 50, draw, scope).key(GROUND)
            store.write({"key": key, "result": {"mae": mae}, "made": MADE})
    results = study.results.Results(store, store.records(), GROUND)
    gains = {row["step"]: row["gain"] for row in study.worth.tables(results, scope)["worth-steps"]}
    parts = gains["start and prior"] + gains["charge term"] + gains["direction"]
    assert gains[study.worth.whole_words("hint")] == pytest.approx(parts)
