"""Every public function of the science that takes arrays says in its docstring of which shape they are."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import congeal

ROOT = Path(congeal.__file__).parent
# A shape in brackets, such as [n, g, g, c], [..., 2] or [k]; not an interval of numbers, as [-1, 1].
SHAPE = re.compile(r"\[[^\[\]]*(?:[a-z]|\.\.\.|…)[^\[\]]*\]")
ARRAYS = {"Tensor", "NDArray", "ArrayLike"}


def array_types(tree: ast.Module) -> re.Pattern[str]:
    """The names by which a module knows arrays: those of the libraries, and its own for them."""
    names = set(ARRAYS)
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            value = ast.unparse(node.value)
            if re.match(r"(npt\.)?NDArray\b|(torch\.)?Tensor\b", value):
                names.add(node.targets[0].id)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("congeal"):
            shared = {"Pixels", "Floats", "Doubles", "Halves", "Bytes", "Flags", "Array", "Whole", "Labels"}
            names |= {alias.asname or alias.name for alias in node.names if alias.name in shared}
    return re.compile(rf"\b({'|'.join(sorted(names))})\b")


def takers(body: list[ast.stmt], arrays: re.Pattern[str], outer: str = "") -> Iterator[tuple[str, int, str]]:
    """Name, line and documentation of the public functions that take arrays."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from takers(node.body, arrays, f"{node.name}.{ast.get_docstring(node) or ''}")
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            parameters = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            told = [ast.unparse(one.annotation) for one in parameters if one.annotation is not None]
            overloads = any("overload" in ast.unparse(one) for one in node.decorator_list)
            if not overloads and any(arrays.search(text) for text in told):
                kind, _, documentation = outer.partition(".")
                name = f"{kind}.{node.name}" if kind else node.name
                yield name, node.lineno, documentation + (ast.get_docstring(node) or "")


def test_shapes_are_told() -> None:
    silent, count = [], 0
    for path in sorted(ROOT.rglob("*.py")):
        tree = ast.parse(path.read_text())
        for name, line, documentation in takers(tree.body, array_types(tree)):
            count += 1
            if not SHAPE.search(documentation):
                silent.append(f"{path.relative_to(ROOT.parent)}:{line} {name}")
    assert count > 100
    assert not silent, "no shape in brackets in the docstrings of\n" + "\n".join(silent)
