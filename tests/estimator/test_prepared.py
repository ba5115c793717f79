"""Environments that predictions keep: converted once, and again when something changes."""

import gc
import weakref

import numpy as np
import pytest

from dipkit import DipoleKernelRidge, InducingBasis
from dipkit.data.molecules import Molecules
from dipkit.estimator import prepared
from dipkit.estimator.prepared import element_rows, prepared_environments
from dipkit.support.backend import NUMPY


@pytest.fixture
def model(described: Molecules) -> DipoleKernelRidge:
    return DipoleKernelRidge(basis=InducingBasis(n_inducing=40)).fit(described)


def test_what_is_kept(model: DipoleKernelRidge) -> None:
    first = prepared_environments(model, NUMPY)
    assert prepared_environments(model, NUMPY) is first
    for number, arrays in first.items():
        rows = element_rows(model, number)
        assert (model.inducing_numbers_[rows] == number).all()
        for array, scale in zip(arrays, model.inducing_features_, strict=True):
            np.testing.assert_array_equal(array, scale[rows])
            assert array.T.flags.c_contiguous
        # The second scale has less than a hundredth of the kernel.
        assert [array.dtype for array in arrays] == [np.float64, np.float32]
    total = sum(len(arrays[0]) for arrays in first.values())
    assert total == len(model.inducing_numbers_)


def test_changes_of_the_model_count(model: DipoleKernelRidge, described: Molecules) -> None:
    before, first = model.predict(described), prepared_environments(model, NUMPY)
    model.basis.precision = "double"
    assert {a.dtype for arrays in prepared_environments(model, NUMPY).values() for a in arrays} == {
        np.dtype(np.float64)
    }
    model.basis.precision = "auto"
    model.fit(described[:20])
    assert prepared_environments(model, NUMPY) is not first
    model.predict(described)
    np.testing.assert_allclose(model.fit(described).predict(described), before, atol=1e-8)


def test_large_ones_are_not_kept(model: DipoleKernelRidge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "MOST_BYTES", 1000)
    first = prepared_environments(model, NUMPY)
    assert prepared_environments(model, NUMPY) is not first
    assert model not in prepared._prepared


def test_they_go_with_the_model(described: Molecules) -> None:
    model = DipoleKernelRidge(basis=InducingBasis(n_inducing=40)).fit(described)
    array = weakref.ref(next(iter(prepared_environments(model, NUMPY).values()))[0])
    assert array() is not None
    del model
    gc.collect()
    assert array() is None
