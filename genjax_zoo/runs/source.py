"""An experiment's file, and the modules beside it that it imports.

A name is looked for in the standard library, then in what is installed, then beside the file: an experiment named
random.py shadows nothing. What lies beside it is loaded under names of its own, whenever it is imported, so that two
runs in one process may each have a helper.py. A run folder keeps copies of both: experiment.py, and modules/.
"""

import ast
import builtins
import contextlib
import difflib
import functools
import itertools
import re
import site
import sys
import traceback
from collections.abc import Iterable, Iterator
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

from genjax_zoo.errors import Missing, UserError

SOURCE = "experiment.py"
MODULES = "modules"
BESIDE = "_beside_"  # begins the names under which modules beside a file are loaded

_count = itertools.count()


def load_module(file: Path) -> ModuleType:
    """Runs a Python file, as a module under a name of its own.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: it is no Python, imports what is not there, or raises; with the file's name and the line.
    """
    if not file.is_file():
        raise Missing(f"There is no file {file}.")
    number = next(_count)
    package = ModuleType(f"{BESIDE}{number}")
    package.__path__ = [str(home) for home in _homes(file)]
    sys.modules[package.__name__] = package
    spec = spec_from_loader(f"_file_{number}", _Loader(f"_file_{number}", str(file.absolute()), package))
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[module.__name__] = module
    with in_a_sentence(Exception, SystemExit):
        spec.loader.exec_module(module)
    return module


def modules_beside(file: Path) -> dict[str, Path]:
    """The modules beside a file that it imports, and those that they import: path below the file's folder -> file."""
    found: dict[str, Path] = {}
    left: list[tuple[Path, tuple[str, ...]]] = [(file, ())]
    while left:
        importing, package = left.pop()
        for dotted in _imported(importing, package):
            home = _home_of(dotted[0], _homes(file))
            if home is None:
                continue
            for length in range(1, len(dotted) + 1):
                place = home.joinpath(*dotted[:length])
                package_of_it = place / "__init__.py"
                one = package_of_it if package_of_it.is_file() else place.with_name(f"{place.name}.py")
                name = one.relative_to(home).as_posix()
                if one.is_file() and name not in found:
                    found[name] = one
                    left.append((one, one.relative_to(home).parent.parts))
    return dict(sorted(found.items()))


def difference(old: str, new: str) -> str:
    """The first line of code that changed, in words; nothing where only comments and spaces did."""
    with contextlib.suppress(SyntaxError):
        if ast.dump(ast.parse(old)) == ast.dump(ast.parse(new)):
            return ""
    lines = list(difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0))[2:]
    was, now = ([line[1:].strip() for line in lines if line[0] == sign] for sign in "-+")
    first = " and ".join(f"it {verb} `{found[0]}`" for verb, found in (("had", was), ("has", now)) if found)
    more = max(len(was), len(now)) - 1
    return first + (f" ({more} more lines differ)" if more else "")


@contextlib.contextmanager
def in_a_sentence(*errors: type[BaseException]) -> Iterator[None]:
    """Names the file and the line of an experiment's errors of these kinds.

    Raises:
        UserError: in place of each.
    """
    try:
        yield
    except errors as error:
        at = [
            frame
            for frame, _ in traceback.walk_tb(error.__traceback__)
            if isinstance(frame.f_globals.get("__loader__"), _Loader)
        ]
        if isinstance(error, SyntaxError) and error.filename:
            raise UserError(f"{_shown(error.filename)}, line {error.lineno}, is no Python: {error.msg}.") from error
        if not at:
            raise
        line = next(n for frame, n in traceback.walk_tb(error.__traceback__) if frame is at[-1])
        where = f"{_shown(at[-1].f_code.co_filename)}, line {line},"
        text = re.sub(rf"{BESIDE}\d+\.", "", " ".join(str(error).split()))
        if isinstance(error, ModuleNotFoundError):
            name = re.sub(rf"^{BESIDE}\d+\.", "", error.name or "")
            raise UserError(f"{where} imports '{name}', which is neither installed nor beside it.") from error
        raise UserError(f"{where} raised {type(error).__name__}: {text}") from error


class _Loader(SourceFileLoader):
    """Runs a file from its text, so that no cache of an earlier one is read or left, with imports of its own."""

    def __init__(self, name: str, path: str, package: ModuleType):
        super().__init__(name, path)
        self._package = package

    def exec_module(self, module: ModuleType) -> None:
        own = functools.partial(_import, self._package)
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": own}  # which `import` in its code calls
        try:
            code = self.source_to_code(self.get_data(self.path), self.path)
        except SyntaxError as error:
            raise SyntaxError(error.msg, (self.path, error.lineno or 1, error.offset, error.text)) from None
        exec(code, vars(module))


class _Finder:
    """Of the modules under names of ours."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        package = sys.modules.get(name.partition(".")[0]) if name.startswith(BESIDE) else None
        spec = PathFinder.find_spec(name, path) if package else None
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            assert package is not None
            spec.loader = _Loader(name, spec.loader.path, package)
            spec.cached = None
        return spec


sys.meta_path.insert(0, _Finder)  # type: ignore[arg-type]


def _import(
    package: ModuleType, name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0
) -> Any:
    """What `import` means in a file whose neighbours are those of `package`."""
    top = name.partition(".")[0]
    if level or _home_of(top, map(Path, package.__path__)) is None:
        return builtins.__import__(name, globals, locals, fromlist, level)
    found = builtins.__import__(f"{package.__name__}.{name}", globals, locals, fromlist, 0)
    return found if fromlist else sys.modules[f"{package.__name__}.{top}"]


def _homes(file: Path) -> list[Path]:
    """The folders of the modules beside a file; beside a run's own copy are the copies of its modules."""
    beside = file.absolute().parent
    kept = beside / MODULES
    return [kept, beside] if file.name == SOURCE and kept.is_dir() else [beside]


def _home_of(name: str, homes: Iterable[Path]) -> Path | None:
    """The folder in which a module of this name is beside the file."""
    if name == "genjax_zoo" or name in sys.stdlib_module_names or _is_installed(name):
        return None
    for home in homes:
        if (home / f"{name}.py").is_file() or ((home / name).is_dir() and any((home / name).rglob("*.py"))):
            return home
    return None


@functools.cache
def _is_installed(name: str) -> bool:
    return PathFinder.find_spec(name, [*site.getsitepackages(), site.getusersitepackages()]) is not None


def _imported(file: Path, package: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The dotted names that a file of a package may import, anywhere in it; of `from a import b`, a and a.b."""
    try:
        tree = ast.parse(file.read_bytes())
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = (*above, *(node.module.split(".") if node.module else ()))
            yield from ([base] if base else [])
            yield from ((*base, alias.name) for alias in node.names)


def _shown(file: str) -> str:
    """A path as short as it can be named from here."""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file
