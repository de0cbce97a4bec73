"""What the tests hold, as lines to compare between two commits: python tests/inventory.py.

Every law of every case, every control, and how many assertions each file has.
"""

import ast
from pathlib import Path

import jax
from cases import CASES

from genjax_zoo import conformance

HERE = Path(__file__).parent


def checks(node):
    """Whether this is an assertion: assert, numpy.testing's, or pytest.raises."""
    if isinstance(node, ast.Assert):
        return True
    called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
    return called.startswith("np.testing.assert") or called == "pytest.raises"


def controls(tree, source):
    """The tests that break something on purpose: by name, by a comment, or because a law must raise."""
    for test in ast.walk(tree):
        if isinstance(test, ast.FunctionDef) and test.name.startswith("test_"):
            text = "\n".join(source.splitlines()[test.lineno - 1 : test.end_lineno])  # with the comment at its end
            if "control" in text.lower() or "pytest.raises(AssertionError" in text:
                yield test.name


def main():
    jax.config.update("jax_num_cpu_devices", 8)
    for name, make in CASES.items():
        for law in conformance.laws(make()):
            print(f"law      {law:40} {name}")
    files = sorted(HERE.rglob("test_*.py"))
    trees = {path: ast.parse(path.read_text()) for path in files}
    for path, tree in trees.items():
        for name in controls(tree, path.read_text()):
            print(f"control  {path.relative_to(HERE)}::{name}")
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CONTROLS":
                for entry in getattr(node.value, "elts", []):
                    print(f"control  {path.relative_to(HERE)}  {' '.join(ast.unparse(entry.elts[i]) for i in (0, 1))}")
    for path, tree in trees.items():
        print(f"asserts  {path.relative_to(HERE)}  {sum(checks(node) for node in ast.walk(tree))}")


if __name__ == "__main__":
    main()
