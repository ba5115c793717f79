"""A model file carries no orders: damaged and hostile files are refused, caches are never set."""

import inspect
import json
import re
import resource
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers.hostile_models import HOSTILE, types_of_keys
from helpers.model_files import (
    change_schema,
    constant,
    members_of,
    node,
    rewrite,
    steps_of,
)
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline, make_pipeline

import dipkit
from dipkit import (
    AuxiliaryDipoles,
    DipoleKernelRidge,
    DipoleSearchCV,
    GFN2Baseline,
    SOAPTransformer,
)
from dipkit.data.datasets import load_organics
from dipkit.descriptors.scales import SOAPScale
from dipkit.estimator.model_tree import MOST_OBJECTS
from dipkit.estimator.persistence import load_model, save_model
from dipkit.exceptions import FileFormatError

MOLECULES = load_organics()[:12]
# A hostile file may not take more memory than this beyond what the tests took before.
MOST_BYTES = 2**30


@pytest.fixture(scope="module")
def model() -> Pipeline:
    soap = SOAPTransformer(scales=(SOAPScale(n_max=3, l_max=2),))
    ridge = DipoleKernelRidge().set_params(basis__n_inducing=10)
    return make_pipeline(soap, ridge).fit(MOLECULES)


@pytest.fixture(scope="module")
def content(model: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("model") / "model.dipkit"
    save_model(model, path)
    return path.read_bytes()


@pytest.fixture
def saved(content: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "model.dipkit"
    path.write_bytes(content)
    return path


# Damage


def test_each_flipped_bit_is_noticed(saved: Path, content: bytes) -> None:
    rng = np.random.default_rng(0)
    for place in rng.integers(0, 8 * len(content), 500).tolist():
        changed = bytearray(content)
        changed[place // 8] ^= 1 << place % 8
        saved.write_bytes(changed)
        with pytest.raises(FileFormatError, match=r"model\.dipkit"):
            load_model(saved)


def test_each_cut_is_noticed(saved: Path, content: bytes) -> None:
    rng = np.random.default_rng(1)
    for size in [*range(len(content) - 20, len(content)), *rng.integers(1, len(content), 80)]:
        saved.write_bytes(content[: int(size)])
        with pytest.raises(FileFormatError, match=r"model\.dipkit"):
            load_model(saved)


def test_bytes_at_the_end_are_noticed(saved: Path, content: bytes) -> None:
    saved.write_bytes(content + b"0")
    with pytest.raises(FileFormatError, match="checksum"):
        load_model(saved)


def test_a_changed_member_with_a_right_crc_is_noticed(saved: Path) -> None:
    """The seal was made anew as well, and the list of checksums was not."""
    from dipkit.estimator.model_archive import seal

    members = members_of(saved)
    name = max((name for name in members if name.endswith(".npy")), key=lambda n: len(members[n]))
    members[name] = members[name][:-1] + bytes([members[name][-1] ^ 1])
    with zipfile.ZipFile(saved, "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    seal(saved)
    with pytest.raises(FileFormatError, match=f"{name} has another checksum"):
        load_model(saved)


def test_files_without_checksums_load(saved: Path, model: Pipeline) -> None:
    rewrite(saved, lambda members: None, checked=False)
    assert np.array_equal(load_model(saved).predict(MOLECULES), model.predict(MOLECULES))


# Orders


def set_everywhere(tree: dict) -> None:
    """Name a cache and the like wherever a model has such a parameter."""
    tree["content"]["content"] |= {"memory": constant("cache"), "verbose": constant(True)}
    soap, ridge = steps_of(tree)
    soap |= {"memory": constant("cache"), "n_jobs": constant(64), "verbose": constant(True)}
    cache = node("DictNode", "builtins.dict", {"memory": constant("cache")})
    cache["key_types"] = node("ListNode", "builtins.list", [node("TypeNode", "builtins.str")])
    ridge |= {
        "device": constant("cuda"),
        "n_jobs": constant(64),
        "baseline": node("ObjectNode", "dipkit.GFN2Baseline", cache),
        "auxiliary": node("ObjectNode", "dipkit.AuxiliaryDipoles", cache),
    }


def test_a_file_sets_no_cache_job_count_or_device(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(tree: dict) -> None:
        set_everywhere(tree)
        types_of_keys(tree)

    change_schema(saved, change)
    monkeypatch.chdir(tmp_path)
    loaded = load_model(saved)
    assert (loaded.memory, loaded.verbose) == (None, False)
    soap, ridge = loaded[0], loaded[-1]
    assert (soap.memory, soap.n_jobs, soap.verbose) == (None, None, "auto")
    assert (ridge.device, ridge.n_jobs) == ("auto", None)
    assert isinstance(ridge.baseline, GFN2Baseline)
    assert isinstance(ridge.auxiliary, AuxiliaryDipoles)
    assert ridge.baseline.memory is ridge.auxiliary.memory is None
    soap.transform(MOLECULES)
    assert [path.name for path in tmp_path.iterdir()] == ["model.dipkit"]


def test_each_parameter_of_the_machine_is_left_out() -> None:
    """Those that come later too: by their names, or by their types, which name caches and paths."""
    exported = [getattr(dipkit, name) for name in dipkit.__all__]
    classes = [
        kind
        for kind in exported
        if isinstance(kind, type) and issubclass(kind, BaseEstimator) and kind is not DipoleSearchCV
    ]
    names = re.compile("n_jobs|device|verbos|cache|path|file|folder|storage|host|command|client")
    types = re.compile("MemoryLike|Path|Callable")
    found = [
        (kind.__name__, name, name in getattr(kind, "_not_saved", ()))
        for kind in classes
        for name, parameter in inspect.signature(kind).parameters.items()
        if names.search(name) or types.search(str(parameter.annotation))
    ]
    assert len(found) >= 7
    assert [(kind, name) for kind, name, left_out in found if not left_out] == []


def test_saving_leaves_the_model_and_keeps_no_path(
    model: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model[0], "memory", str(tmp_path / "private"))
    monkeypatch.setattr(model[-1], "n_jobs", 2)
    save_model(model, tmp_path / "model.dipkit")
    assert (model[0].memory, model[-1].n_jobs) == (str(tmp_path / "private"), 2)
    assert not [
        name for name, data in members_of(tmp_path / "model.dipkit").items() if b"private" in data
    ]


# Hostile content


def peak_bytes() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def refuse(path: Path) -> None:
    before = peak_bytes()
    with pytest.raises(FileFormatError, match=r"model\.dipkit") as caught:
        load_model(path)
    assert len(str(caught.value)) < 2000
    assert peak_bytes() - before < MOST_BYTES


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", HOSTILE)
def test_content_that_no_model_has(saved: Path, kind: str) -> None:
    HOSTILE[kind](saved)
    refuse(saved)


def test_more_values_than_a_model_has_are_not_looked_at(saved: Path) -> None:
    numbers = json.dumps([1] * MOST_OBJECTS).encode()
    rewrite(saved, lambda members: members.update({"schema.json": numbers}))
    with pytest.raises(FileFormatError, match=f"more than {MOST_OBJECTS} values"):
        load_model(saved)


def add(path: Path, member: zipfile.ZipInfo | str, data: bytes) -> None:
    rewrite(path, lambda _: None, checked=False)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(member, data)


def test_a_link_is_refused(saved: Path) -> None:
    link = zipfile.ZipInfo("1.npy")
    link.external_attr = 0o120777 << 16
    add(saved, link, b"/etc/passwd")
    refuse(saved)


def test_a_repeated_member_is_refused(saved: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        add(saved, "schema.json", b"{}")
    refuse(saved)


def test_a_description_of_wrong_types(saved: Path) -> None:
    for listed in ([], {"schema.json": 1}, "x", {}, 5):
        described = json.loads(members_of(saved)["dipkit.json"]) | {"members": listed}
        members = members_of(saved) | {"dipkit.json": json.dumps(described).encode()}
        with zipfile.ZipFile(saved, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        refuse(saved)
