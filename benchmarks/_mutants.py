"""Mutants of a module: what is changed, and a draw of changes.

cosmic-ray has most of the operators and changes the text. The three here add statements left out,
swapped functions and scaled constants: faults of numerical code.
"""

import ast
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import parso.python.tree as tree
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.number_replacer import NumberReplacer
from cosmic_ray.operators.operator import Example, Operator
from cosmic_ray.operators.provider import OperatorProvider
from parso.tree import NodeOrLeaf

REPOSITORY = Path(__file__).resolve().parents[1]
BINARY = "Add_Sub Sub_Add Mul_Div Div_Mul FloorDiv_Mul Pow_Mul BitAnd_BitOr BitOr_BitAnd"
COMPARISON = "Eq_NotEq NotEq_Eq Lt_LtE LtE_Lt Gt_GtE GtE_Gt Lt_Gt Gt_Lt Is_IsNot IsNot_Is"
OTHERS = (
    "ReplaceUnaryOperator_Delete_USub ReplaceUnaryOperator_Delete_Not "
    "ReplaceUnaryOperator_Delete_Invert AddNot ReplaceTrueWithFalse ReplaceFalseWithTrue "
    "ReplaceAndWithOr ReplaceOrWithAnd ReplaceBreakWithContinue ReplaceContinueWithBreak "
    "ZeroIterationForLoop"
)
PAIRS = (
    "min max, minimum maximum, argmin argmax, any all, floor ceil, sqrt square, sum mean, exp log"
)
SWAPPED = {a: b for pair in PAIRS.split(", ") for a, b in (pair.split(), pair.split()[::-1])}

IN_PLACE = {f"{sign}=" for sign in ("+", "-", "*", "/", "//", "**", "%", "@", "&", "|", "^")}


class LeaveOut(Operator):
    """Leave out a call, an assignment in place, or an error."""

    def mutation_positions(self, node: NodeOrLeaf) -> Iterator[tuple[object, object]]:
        """Say where `node` can be changed."""
        if node.parent is None or node.parent.type != "simple_stmt":
            return
        in_place = node.type == "expr_stmt" and node.children[1].get_code().strip() in IN_PLACE
        if in_place or node.type in ("atom_expr", "raise_stmt"):
            yield node.start_pos, node.end_pos

    def mutate(self, node: NodeOrLeaf, index: int) -> NodeOrLeaf:
        """Put ``pass`` in its place."""
        return tree.Keyword("pass", node.start_pos, node.get_first_leaf().prefix)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Show one change."""
        return (Example("x += 1\n", "pass\n"),)


class Swap(Operator):
    """Call another function of the same form, such as ``max`` for ``min``."""

    def mutation_positions(self, node: NodeOrLeaf) -> Iterator[tuple[object, object]]:
        """Say where `node` can be changed."""
        if node.type == "name" and node.value in SWAPPED and node.get_next_leaf().value in "(,":
            yield node.start_pos, node.end_pos

    def mutate(self, node: NodeOrLeaf, index: int) -> NodeOrLeaf:
        """Put the other name in its place."""
        return tree.Name(SWAPPED[node.value], node.start_pos, node.prefix)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Show one change."""
        return (Example("min(x)", "max(x)"),)


class Number(NumberReplacer):
    """Add 1 to or take 1 from an integer and zero; multiply any other number by ten."""

    @staticmethod
    def _in_steps(node: NodeOrLeaf) -> bool:
        value = ast.literal_eval(node.value)
        return isinstance(value, int) or value == 0

    def mutation_positions(self, node: NodeOrLeaf) -> Iterator[tuple[object, object]]:
        """Say where `node` can be changed."""
        if node.type == "number":
            yield from ((node.start_pos, node.end_pos),) * (2 if self._in_steps(node) else 1)

    def mutate(self, node: NodeOrLeaf, index: int) -> NodeOrLeaf:
        """Put the other number in its place."""
        value, step = node.value, "+-"[index]
        changed = f"({value} {step} 1)" if self._in_steps(node) else f"(10 * {value})"
        return tree.Number(changed, node.start_pos, node.prefix)


def operators() -> dict[str, Operator]:
    """Make every operator, by name."""
    provider = OperatorProvider()
    names = [f"ReplaceBinaryOperator_{name}" for name in BINARY.split()]
    names += [f"ReplaceComparisonOperator_{name}" for name in COMPARISON.split()] + OTHERS.split()
    found: dict[str, Operator] = {name: provider[name]() for name in names}
    return found | {kind.__name__: kind() for kind in (LeaveOut, Swap, Number)}


@dataclass(frozen=True)
class Mutant:
    """One change of one module."""

    module: str
    line: int
    lines: tuple[int, int]
    """First and last line of the statement up to the change."""
    operator: str
    before: str
    after: str
    code: str


def ancestors(node: NodeOrLeaf) -> Iterator[tuple[NodeOrLeaf, NodeOrLeaf]]:
    """Go up the tree: pairs of a node and its parent."""
    while node.parent is not None:
        yield node, node.parent
        node = node.parent


def is_type(node: NodeOrLeaf) -> bool:
    """Say whether a node is part of an annotation, which nothing runs."""
    return any(
        (above.type == "annassign" and child is above.children[1])
        or (above.type == "tfpdef" and child is above.children[2])
        or (above.type == "funcdef" and child is above.annotation)
        for child, above in ancestors(node)
    )


def draw(module: str, number: int, seed: int) -> list[Mutant]:
    """Draw changes of a module at `number` different places."""
    source = (REPOSITORY / module).read_text()
    places: dict[object, list[tuple[NodeOrLeaf, str, int]]] = defaultdict(list)
    for name, operator in operators().items():
        found = ((n, p) for n in ast_nodes(get_ast(source)) for p in operator.mutation_positions(n))
        for occurrence, (node, position) in enumerate(found):
            if not is_type(node):
                places[position].append((node, name, occurrence))
    generator = random.Random(f"{seed} {module}")
    mutants: list[Mutant] = []
    for position in generator.sample(sorted(places), len(places)):
        node, name, occurrence = generator.choice(places[position])
        mutant = make(module, source, node, position[0][0], name, occurrence)
        mutants += [mutant] if mutant else []
        if len(mutants) == number:
            break
    return mutants


def make(
    module: str, source: str, node: NodeOrLeaf, line: int, name: str, occurrence: int
) -> Mutant | None:
    """Make one changed module; None where the change is no Python."""
    code = mutate_code(source, operators()[name], occurrence)
    try:
        compile(code, module, "exec")
    except SyntaxError:
        return None
    old, new = source.splitlines(), code.splitlines()
    row = next(row for row, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1])
    statement = next(c for c, above in ancestors(node) if above.type in ("suite", "file_input"))
    lines = (statement.start_pos[0], max(line, node.end_pos[0]))
    return Mutant(module, row + 1, lines, name, old[row].strip(), new[row].strip(), code)
