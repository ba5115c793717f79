"""Models built without skops are those that skops builds; unusual ones are left to skops."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from helpers.model_files import change_schema, constant, node, steps_of
from sklearn.pipeline import Pipeline, make_pipeline

from dipkit import DipoleKernelRidge, SOAPScale, SOAPTransformer, load_model, save_model
from dipkit.data.datasets import load_organics
from dipkit.estimator import persistence
from dipkit.estimator.model_objects import UnusualTree, build
from dipkit.exceptions import FileFormatError
from dipkit.learning.kernels import GaussianKernel


def fitted(**parameters: Any) -> Pipeline:
    scales = (SOAPScale(n_max=3, l_max=2), SOAPScale(4.0, 3, 2, 0.3, "gto"))
    ridge = DipoleKernelRidge().set_params(basis__n_inducing=20, **parameters)
    return make_pipeline(SOAPTransformer(scales=scales), ridge).fit(load_organics()[:12])


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_model(fitted(), tmp_path / "model.dipkit")
    return tmp_path / "model.dipkit"


def assert_same(one: Any, two: Any) -> None:
    """Compare objects and all that they hold."""
    assert type(one) is type(two)
    if isinstance(one, np.ndarray):
        assert one.dtype == two.dtype
        np.testing.assert_array_equal(one, two)
    elif isinstance(one, dict):
        assert list(one) == list(two)
        for key in one:
            assert_same(one[key], two[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(two)
        for first, second in zip(one, two, strict=True):
            assert_same(first, second)
    elif type(one).__module__.startswith(("dipkit", "sklearn")):
        assert_same(vars(one), vars(two))
    else:
        assert one == two


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"basis__kernel": GaussianKernel(0.7), "loss": "huber", "start": "random"},
        {"charge_discrepancy": 1e-2, "basis__atomic_dipoles": 0.03},
        {"auxiliary": "none", "basis__precision": "single"},
    ],
    ids=["default", "gaussian", "more", "single"],
)
def test_the_same_objects(tmp_path: Path, parameters: dict[str, Any]) -> None:
    save_model(fitted(**parameters), tmp_path / "model.dipkit")
    data = (tmp_path / "model.dipkit").read_bytes()
    by_skops = skops.io.loads(data, trusted=list(persistence.TRUSTED))
    assert_same(build(data), by_skops)


def test_an_object_that_is_named_twice_is_one(saved: Path) -> None:
    def change(tree: dict[str, Any]) -> None:
        scales = steps_of(tree)[0]["scales"]["content"]
        scales[1] = scales[0]

    change_schema(saved, change)
    scales = build(saved.read_bytes())[0].scales
    assert scales[0] is scales[1]


@pytest.mark.parametrize(
    ("name", "tree"),
    [
        ("a set", node("SetNode", "builtins.set", [constant(1)])),
        ("a mapping", node("DictNode", "collections.OrderedDict", {})),
        ("another type", node("TypeNode", "builtins.bool")),
        ("an array of objects", {**node("NdArrayNode", "numpy.ndarray", []), "type": "json"}),
    ],
)
def test_other_trees_are_left_to_skops(
    saved: Path, name: str, tree: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    change_schema(saved, lambda whole: steps_of(whole)[1].update(status_=tree))
    with pytest.raises(UnusualTree):
        build(saved.read_bytes())
    asked: list[str] = []

    def loads(*_: object, **__: object) -> None:
        asked.append(name)
        raise ValueError("of skops")

    monkeypatch.setattr(skops.io, "loads", loads)
    with pytest.raises(FileFormatError, match="of skops"):
        load_model(saved)
    assert asked == [name]


def test_another_version_of_the_tree_is_left_to_skops(saved: Path) -> None:
    change_schema(saved, lambda tree: tree.update(protocol=1))
    with pytest.raises(UnusualTree, match="protocol 1"):
        build(saved.read_bytes())


def test_loading_and_predicting_need_neither_skops_nor_a_compiler(saved: Path) -> None:
    code = f"""
import sys
from dipkit.cli.collection import loading
with loading():
    from dipkit import load_model
    from dipkit.data.datasets import load_organics
    model = load_model({str(saved)!r})
model.predict(load_organics()[:3], return_std=True)
print([n for n in ("skops", "numba", "pandas.core", "scipy.stats._stats_py") if n in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
