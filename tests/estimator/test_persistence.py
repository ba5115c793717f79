"""Saved models predict the same bits; files that are not models are refused with the reason."""

import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers.kills import run_python
from sklearn.pipeline import Pipeline, make_pipeline

from dipkit.data.datasets import load_organics
from dipkit.data.molecules import Molecules
from dipkit.descriptors.scales import SOAPScale
from dipkit.descriptors.soap import SOAPTransformer
from dipkit.estimator.persistence import (
    FORMAT_VERSION,
    TRUSTED,
    load_model,
    read_metadata,
    save_model,
)
from dipkit.estimator.pipeline import predict_all
from dipkit.estimator.regression import DipoleKernelRidge
from dipkit.exceptions import FileFormatError, InputError
from dipkit.learning.kernels import GaussianKernel, PowerKernel
from dipkit.support.model_files import is_model


class OwnKernel(PowerKernel):
    """A kernel that dipkit does not know."""


@pytest.fixture(scope="module")
def molecules() -> Molecules:
    return load_organics()[:12]


@pytest.fixture(scope="module")
def soap() -> SOAPTransformer:
    return SOAPTransformer(scales=(SOAPScale(n_max=3, l_max=2), SOAPScale(4.0, 3, 2, 0.3, "gto")))


@pytest.fixture(scope="module")
def described(soap: SOAPTransformer, molecules: Molecules) -> Molecules:
    return soap.fit_transform(molecules)


def fitted(soap: SOAPTransformer, described: Molecules, **parameters) -> Pipeline:
    ridge = DipoleKernelRidge().set_params(basis__n_inducing=20, **parameters).fit(described)
    return make_pipeline(soap, ridge)


@pytest.fixture(scope="module")
def model(soap: SOAPTransformer, described: Molecules) -> Pipeline:
    return fitted(soap, described)


@pytest.fixture
def saved(model: Pipeline, tmp_path: Path) -> Path:
    save_model(model, tmp_path / "model.dipkit")
    return tmp_path / "model.dipkit"


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"basis__kernel": GaussianKernel(0.7), "loss": "huber"},
        {
            "basis__kernel": PowerKernel(2.0),
            "random_state": np.random.RandomState(0),
            "charge_weight": 0,
        },
        {
            "alpha": np.float64(1e-4),
            "start": "random",
            "start__n_restarts": 2,
            "solver__max_iter": 500,
        },
    ],
)
def test_same_bits(soap, described, molecules, tmp_path, parameters) -> None:
    model = fitted(soap, described, **parameters)
    save_model(model, tmp_path / "model.dipkit")
    loaded = load_model(tmp_path / "model.dipkit")
    before, after = predict_all(model, molecules), predict_all(loaded, molecules)
    assert np.array_equal(before.charges, after.charges)
    assert np.array_equal(before.dipole, after.dipole)
    assert np.array_equal(model.predict(molecules), loaded.predict(molecules))
    assert loaded.get_params().keys() == model.get_params().keys()
    assert vars(loaded[-1]).keys() == vars(model[-1]).keys()
    assert loaded[-1].label_summary_ == model[-1].label_summary_


def test_bare_estimator(model: Pipeline, described: Molecules, tmp_path: Path) -> None:
    save_model(model[-1], tmp_path / "ridge.dipkit")
    loaded = load_model(tmp_path / "ridge.dipkit")
    assert np.array_equal(loaded.predict(described), model[-1].predict(described))
    assert read_metadata(tmp_path / "ridge.dipkit")["steps"] == ["DipoleKernelRidge"]


def test_loaded_model_can_be_fitted_again(saved: Path, model, molecules) -> None:
    again = load_model(saved).fit(molecules)
    np.testing.assert_allclose(again.predict(molecules), model.predict(molecules), atol=1e-6)


def test_metadata(saved: Path) -> None:
    about = read_metadata(saved)
    assert about["format_version"] == FORMAT_VERSION
    assert about["units"] == {"length": "angstrom", "charge": "e", "dipole": "debye"}
    assert about["parameters"]["DipoleKernelRidge"]["basis__n_inducing"] == 20
    assert about["parameters"]["SOAPTransformer"]["scale1__rbf"] == "gto"
    assert about["labels"]["n_charges"] == 12
    assert {"numpy", "scikit-learn", "skops", "python"} <= set(about["libraries"])
    json.dumps(about, allow_nan=False)


def test_file_is_compressed_and_holds_no_pickle(saved: Path) -> None:
    with zipfile.ZipFile(saved) as archive:
        assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_DEFLATED}
        assert not [name for name in archive.namelist() if not name.endswith((".json", ".npy"))]


def test_every_trusted_type_exists() -> None:
    for name in TRUSTED:
        module, _, attribute = name.rpartition(".")
        assert hasattr(__import__(module, fromlist=[attribute]), attribute), name


# What is refused


def test_unknown_type_is_refused_by_name(soap, described, tmp_path: Path) -> None:
    own = f"{OwnKernel.__module__}.OwnKernel"
    model = fitted(soap, described, basis__kernel=OwnKernel())
    path = tmp_path / "own.dipkit"
    with pytest.raises(InputError, match=own):
        save_model(model, path)
    assert not path.exists()
    save_model(model, path, trusted=[own])
    with pytest.raises(FileFormatError, match=own):
        load_model(path)
    assert isinstance(load_model(path, trusted=[own])[-1].kernel_, OwnKernel)


def test_unfitted_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="fitted"):
        save_model(make_pipeline(SOAPTransformer(), DipoleKernelRidge()), tmp_path / "m.dipkit")
    assert list(tmp_path.iterdir()) == []


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_model(tmp_path / "absent.dipkit")


def test_foreign_files(tmp_path: Path) -> None:
    path = tmp_path / "model.dipkit"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    contents = {
        "zip": path.read_bytes(),
        "text": b"not a model\n",
        "pickle": pickle.dumps({"a": 1}),
        "empty": b"",
    }
    for kind, content in contents.items():
        path.write_bytes(content)
        assert not is_model(path), kind
        with pytest.raises(FileFormatError, match=r"model\.dipkit"):
            load_model(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_truncated_file(saved: Path, share: float) -> None:
    content = saved.read_bytes()
    saved.write_bytes(content[: int(share * len(content))])
    with pytest.raises(FileFormatError, match="cut or damaged"):
        load_model(saved)


def test_flipped_bytes(saved: Path) -> None:
    content = bytearray(saved.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(64)
    saved.write_bytes(content)
    with pytest.raises(FileFormatError, match="damaged"):
        load_model(saved)


def rewrite(path: Path, member: str, text: str | None) -> None:
    """Replace one member of a zip, or leave it out."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist() if name != member}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        if text is not None:
            archive.writestr(member, text)


def test_newer_format(saved: Path) -> None:
    about = read_metadata(saved) | {"format_version": FORMAT_VERSION + 1, "dipkit_version": "9.0"}
    rewrite(saved, "dipkit.json", json.dumps(about))
    with pytest.raises(FileFormatError, match=r"dipkit 9\.0.*Update dipkit"):
        load_model(saved)
    assert is_model(saved)


@pytest.mark.parametrize("text", ["[]", "{}", '{"format_version": true}', "no json"])
def test_wrong_metadata(saved: Path, text: str) -> None:
    rewrite(saved, "dipkit.json", text)
    with pytest.raises(FileFormatError, match="dipkit model"):
        load_model(saved)


@pytest.mark.parametrize("text", [None, "{}", "[1]", "no json"])
def test_wrong_model_inside(saved: Path, text: str | None) -> None:
    rewrite(saved, "schema.json", text)
    with pytest.raises(FileFormatError, match="cannot be read"):
        load_model(saved)


def test_unwritable_place(model: Pipeline, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        save_model(model, tmp_path / "no" / "such" / "folder.dipkit")


LOADED = """
import sys
import dipkit
model = dipkit.load_model(sys.argv[1])
assert not {"cupy", "dask", "torch"} & set(sys.modules), "libraries that a model does not need"
import sklearn.externals.array_api_compat.dask.array
assert "dask" in sys.modules, "whoever needs it can import it afterwards"
"""


def test_a_model_is_loaded_without_other_libraries_of_arrays(saved: Path) -> None:
    pytest.importorskip("dask.array")
    run_python(LOADED, saved)
