"""Model files that somebody made to do harm: their checksums are right, their content is not.

`HOSTILE` changes a good file in each of these ways. The tests and `benchmarks/hostile_models.py`
load the results.
"""

import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

from dipkit.estimator.model_archive import UNPACKED_BYTES
from helpers.model_files import Members, change_schema, constant, node, rewrite, steps_of

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


def _change_tree(change: Change, path: Path) -> None:
    def changed(tree: dict) -> object:
        found = change(tree)
        types_of_keys(tree)
        return found

    change_schema(path, changed)


def _all_kinds() -> dict[str, Callable[[Path], None]]:
    kinds: dict[str, Callable[[Path], None]] = {}
    for name, value in CALLS.items():
        kinds[f"tree: {name}"] = partial(change_schema, change=parameter(value))
    for name, change in STATES.items():
        kinds[f"state: {name}"] = partial(_change_tree, change)
    for name, members in MEMBERS.items():
        for checked in (True, False):
            kinds[f"member: {name}, {'sealed' if checked else 'without checksums'}"] = partial(
                rewrite, change=members, checked=checked
            )
    return kinds


# Functions of a path, each of which changes the file of a good model in place.
HOSTILE = _all_kinds()
