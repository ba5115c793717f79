"""A model file carries no orders: damaged and hostile files are refused, caches are never set."""

import inspect
import json
import re
import resource
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.model_files import (
    Members,
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
from dipkit.estimator.model_archive import UNPACKED_BYTES
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


def types_of_keys(tree: object) -> None:
    """Give each dictionary the types of the keys that were added."""
    if isinstance(tree, dict):
        if tree.get("__loader__") == "DictNode":
            types = tree["key_types"]["content"]
            types += [types[0]] * (len(tree["content"]) - len(types))
        for value in tree.values():
            types_of_keys(value)
    elif isinstance(tree, list):
        for value in tree:
            types_of_keys(value)


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


# Hostile trees

Change = Callable[[dict], object]


def parameter(value: dict) -> Change:
    """Put an object where the model has a parameter."""
    return lambda tree: steps_of(tree)[1].update(random_state=value)


def array(tree: dict, name: str = "dual_coef_") -> dict:
    return steps_of(tree)[1][name]


def nested(depth: int) -> dict:
    value = constant(1)
    for _ in range(depth):
        value = node("ListNode", "builtins.list", [value])
    return value


def doubled(levels: int) -> dict:
    """Lists of two references each: 2^levels objects from a short text."""
    value = node("ListNode", "builtins.list", [constant(1)]) | {"__id__": 1}
    for level in range(2, levels + 2):
        again = {"__id__": level - 1, "__loader__": "CachedNode"}
        again |= {"__class__": "list", "__module__": "builtins"}
        value = node("ListNode", "builtins.list", [value, again]) | {"__id__": level}
    return value


def replaced(name: str, value: object, step: int = 1) -> Change:
    return lambda tree: steps_of(tree)[step].update({name: value})


def within_itself() -> dict:
    inner = {"__id__": 1, "__loader__": "CachedNode", "__class__": "list", "__module__": "builtins"}
    return node("ListNode", "builtins.list", [inner]) | {"__id__": 1}


CALLS = {
    "system": node("FunctionNode", "os.system"),
    "eval": node("FunctionNode", "builtins.eval"),
    "ufunc": node("FunctionNode", "numpy.exp"),
    "type": node("TypeNode", "subprocess.Popen"),
    "builtin type": node("TypeNode", "builtins.object"),
    "object": node("ObjectNode", "subprocess.Popen", constant({})),
    "memory": node("ObjectNode", "joblib.memory.Memory", constant({})),
    "path": node("ObjectNode", "pathlib.PosixPath", constant({})),
    "reduce": node("ConstructorFromReduceNode", "builtins.bytearray", constant([10**10])),
    "scikit-learn": node("ObjectNode", "sklearn.feature_extraction.text.CountVectorizer"),
    "function transformer": node(
        "ObjectNode", "sklearn.preprocessing._function_transformer.FunctionTransformer"
    ),
    "loaded list": node("ListNode", "os.system", [constant("true")]),
    "loaded dict": node("DictNode", "os.environ", {}),
    "named tuple": node("TupleNode", "subprocess.Popen", []),
    "no loader": node("AnyNode", "builtins.list"),
    "loader of a wrong type": node("ListNode", "builtins.list") | {"__loader__": [1]},
    "private of dipkit": node("ObjectNode", "dipkit.search.DipoleSearchCV"),
    "method": node("MethodNode", "builtins.method", {"func": "fit", "obj": constant(1)}),
    "partial": node("PartialNode", "functools.partial", {}),
    "operator": node("OperatorFuncNode", "operator.methodcaller", {"attrs": constant([1])}),
    "generator": node("RandomGeneratorNode", "numpy.random._generator.Generator", {}),
    "masked": node("MaskedArrayNode", "numpy.ma.MaskedArray", {}),
    "bytes": node("BytesNode", "builtins.bytes"),
    "sparse": node("SparseMatrixNode", "scipy.sparse._csr.csr_matrix"),
    "unknown reference": node("CachedNode", "builtins.list") | {"__id__": 5},
    "deep": nested(200),
    "doubled": doubled(50),
    "within itself": within_itself(),
    "no content": {"__class__": "list", "__module__": "builtins", "__loader__": "ListNode"},
    "a file that is not there": node("NdArrayNode", "numpy.ndarray")
    | {"type": "numpy", "file": "../../etc/passwd"},
}
STATES = {
    "another kernel": replaced("kernel_", constant("power")),
    "no factor": replaced("baseline_factor_", constant("x")),
    "swapped": lambda tree: steps_of(tree)[1].update(std_coef_=array(tree, "std_intercept_")),
    "transposed": lambda tree: steps_of(tree)[1].update(intercept_=array(tree, "dual_coef_")),
    "whitening of nothing": replaced("std_whitening_", node("ListNode", "builtins.list", [])),
    "no cut": replaced("std_cut_", constant(None)),
    "a cut above one": replaced("std_cut_", constant(2.0)),
    "no channels": replaced("channels_", constant([]), 0),
    "channels of odd shape": lambda tree: steps_of(tree)[0].update(
        channels_=node("ListNode", "builtins.list", [array(tree, "intercept_")])
    ),
    "method replaced": replaced("predict", constant("x")),
    "private name": replaced("_statistics", constant(1)),
    "text for an array": replaced("dual_coef_", constant("x")),
    "no array": replaced("inducing_numbers_", constant([1, 6])),
    "list of numbers": replaced("inducing_features_", constant([1.0])),
    "no scales": replaced("scales_", constant([]), 0),
    "other widths": replaced("widths_", constant([10**9]), 0),
    "no species": replaced("species_", constant(None), 0),
    "text for jobs of scales": replaced("on_demand", constant("x"), 0),
    "large scale": lambda tree: steps_of(tree)[0]["scales_"]["content"][0]["content"][
        "content"
    ].update(n_max=constant(10**7)),
    "another tree": lambda tree: constant(1),
    "a list": lambda tree: [1, 2],
    "nothing": lambda tree: {"a": 1},
    "missing": lambda tree: steps_of(tree)[1].pop("dual_coef_") and None,
}


def peak_bytes() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def refuse(path: Path) -> None:
    before = peak_bytes()
    with pytest.raises(FileFormatError, match=r"model\.dipkit") as caught:
        load_model(path)
    assert len(str(caught.value)) < 2000
    assert peak_bytes() - before < MOST_BYTES


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", CALLS)
def test_trees_that_build_something_else(saved: Path, kind: str) -> None:
    change_schema(saved, parameter(CALLS[kind]))
    refuse(saved)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", STATES)
def test_states_that_no_model_has(saved: Path, kind: str) -> None:
    def change(tree: dict) -> object:
        found = STATES[kind](tree)
        types_of_keys(tree)
        return found

    change_schema(saved, change)
    refuse(saved)


# Hostile members


def npy(shape: tuple[int, ...], descr: object = "<f8", data: bytes = bytes(8)) -> bytes:
    header = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def with_array(data: bytes) -> Callable[[Members], None]:
    def change(members: Members) -> None:
        members[next(name for name in members if name.endswith(".npy"))] = data

    return change


MEMBERS = {
    "large shape": with_array(npy((10**10,))),
    "overflow": with_array(npy((2**40, 2**40))),
    "negative": with_array(npy((-1,))),
    "objects": with_array(npy((1,), "|O")),
    "structure": with_array(npy((1,), [("a", "<f8")])),
    "text shape": with_array(npy("x")),  # type: ignore[arg-type]
    "brackets": with_array(npy((1,), "(" * 9000)),
    "no header": with_array(b"\x93NUMPY"),
    "other version": with_array(b"\x93NUMPY\x09\x00" + bytes(100)),
    "pickle": with_array(b"\x80\x04\x95"),
    "extra": lambda members: members.update({"readme.txt": b"x"}),
    "pickle member": lambda members: members.update({"a.pkl": b"x"}),
    "absolute": lambda members: members.update({"/etc/passwd": b"x"}),
    "upwards": lambda members: members.update({"../1.npy": members["schema.json"]}),
    "bomb": lambda members: members.update({"1.npy": bytes(2 * UNPACKED_BYTES)}),
    "long text": lambda members: members.update({"schema.json": b"[" * 10**6}),
    "many lists": lambda members: members.update({"schema.json": b"[" + b"[]," * 10**6 + b"[]]"}),
    "many members": lambda members: members.update({f"{i}.npy": b"" for i in range(2100)}),
    "long number": lambda members: members.update({"schema.json": b"9" * 10**6}),
    "not text": lambda members: members.update({"schema.json": b"\xff\xfe\x00"}),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("checked", [True, False], ids=["sealed", "without checksums"])
@pytest.mark.parametrize("kind", MEMBERS)
def test_members_that_no_model_has(saved: Path, kind: str, checked: bool) -> None:
    rewrite(saved, MEMBERS[kind], checked=checked)
    refuse(saved)


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
