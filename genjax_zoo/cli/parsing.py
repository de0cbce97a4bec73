"""A function's arguments as flags: tyro reads them; what is wrong with them is one sentence of ours.

What tyro alone knows to be wrong stands in its own box.
"""

import contextlib
import difflib
import inspect
import io
import re
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from genjax_zoo.errors import UserError


def stands_for(words: str) -> Any:
    """What --help says of a default of None."""
    return tyro.conf.arg(help_behavior_hint=f"(default: {words})")


def flag_of(name: str) -> str:
    """The flag of an argument."""
    return f"--{name.replace('_', '-')}"


class _Wrong(ValueError):
    """A word that is no value of its flag; tyro has nothing to add."""

    def __init__(self, word: str, kind: str):
        super().__init__(f"takes {kind}, not '{word}'.")
        self.word = word


REGISTRY = ConstructorRegistry()


@REGISTRY.primitive_rule
def _number(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
    """A number, or one that may be None."""
    kind, optional = number_type(info.type)
    if kind is None:
        return None

    def read(words: list[str]) -> float | None:
        try:
            return None if optional and words[0] == "None" else kind(words[0])
        except ValueError:
            raise _Wrong(words[0], kind.__name__.upper()) from None

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=kind.__name__.upper(),
        instance_from_str=read,
        is_instance=lambda x: isinstance(x, int | float) or optional and x is None,
        str_from_instance=lambda x: [str(x)],
    )


@REGISTRY.primitive_rule
def _choice(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
    """One of a few words."""
    if info.type_origin is not Literal:
        return None
    known = {str(choice): choice for choice in typing.get_args(info.type)}

    def read(words: list[str]) -> Any:
        if words[0] not in known:
            raise _Wrong(words[0], f"one of {', '.join(known)}")
        return known[words[0]]

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=f"{{{','.join(known)}}}",
        instance_from_str=read,
        is_instance=lambda x: x in known.values(),
        str_from_instance=lambda x: [str(x)],
    )


def number_type(annotation: Any) -> tuple[type[int] | type[float] | None, bool]:
    """Whether an annotation is of int or float, and whether None is among it."""
    kind = _bare(annotation)
    kinds = [*typing.get_args(kind)] if typing.get_origin(kind) in (typing.Union, types.UnionType) else [kind]
    numeric = [kind for kind in kinds if kind is not types.NoneType]
    return (numeric[0] if len(numeric) == 1 and numeric[0] in (int, float) else None), len(numeric) < len(kinds)


def _bare(annotation: Any) -> Any:
    """An annotation without what is said of it to tyro."""
    return typing.get_args(annotation)[0] if typing.get_origin(annotation) is Annotated else annotation


def parse(
    parameters: Mapping[str, inspect.Parameter],
    words: Sequence[str],
    *,
    prog: str,
    about: str = "",
    absent: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The values of arguments that are given as flags.

    Args:
        parameters: the arguments, by name.
        words: of the command line.
        prog: the words before them.
        about: a docstring, for --help: a description, and the section `Args`.
        absent: flag -> what to do where there is no such argument, other than to take the nearest.

    Raises:
        UserError: a flag that there is not, with the nearest, or a word that is no value of its flag's type.
        SystemExit: --help is answered, or tyro has said what is wrong.
    """

    def collect(**values: Any) -> dict[str, Any]:
        return values

    kinds = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters.values()]
    collect.__signature__ = inspect.Signature(kinds)  # type: ignore[attr-defined]
    collect.__annotations__ = {n: one.annotation for n, one in parameters.items() if one.annotation is not one.empty}
    collect.__doc__ = about
    known = {flag_of(name): _bare(one.annotation) for name, one in parameters.items()}
    asked, said = [_without_value(word, known) for word in words], io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            values, unknown = tyro.cli(
                collect,
                prog=prog,
                args=asked,
                config=(tyro.conf.DisallowNone,),
                registry=REGISTRY,
                return_unknown_args=True,
            )
    except SystemExit as ended:
        if wrong := _wrong(ended):
            flag = next((flag for flag, given in by_flag(words) if wrong.word in given), "") or prog
            raise UserError(f"{flag} {wrong}") from None
        sys.stderr.write(said.getvalue())
        raise
    if unknown:
        raise UserError(_of_no_flag(unknown, known, prog, absent or {}))
    return values


def _without_value(word: str, known: Mapping[str, Any]) -> str:
    """A flag that is on or off, as tyro takes it: --fresh=True is --fresh, and --fresh=False is --no-fresh."""
    flag, _, value = word.replace("_", "-").partition("=")
    if known.get(flag) is not bool or value.lower() not in ("true", "false"):
        return word
    return flag if value.lower() == "true" else f"--no{flag[1:]}"


def _wrong(ended: BaseException | None) -> _Wrong | None:
    """What a rule of ours has raised: tyro makes a box of it, and an exit, which still knows what it came from."""
    while ended is not None and not isinstance(ended, _Wrong):
        ended = ended.__context__
    return ended


def _of_no_flag(unknown: Sequence[str], known: Mapping[str, Any], prog: str, absent: Mapping[str, str]) -> str:
    flag = next((word for word in unknown if word.startswith("-")), "").partition("=")[0].replace("_", "-")
    if not flag:
        return f"'{unknown[0]}' belongs to no flag; see {prog} --help."
    if flag in absent:
        return absent[flag]
    near = difflib.get_close_matches(flag, known, 1)
    return f"There is no flag {flag}; {f'did you mean {near[0]}?' if near else f'see {prog} --help.'}"


def by_flag(words: Sequence[str]) -> list[tuple[str, list[str]]]:
    """The flags of a command line in order, each with the words that follow it, or that = binds to it."""
    found: list[tuple[str, list[str]]] = [("", [])]
    for word in words:
        if re.match(r"--|-[a-z](=|$)", word):
            flag, equals, value = word.partition("=")
            found.append((flag.replace("_", "-"), [value] if equals else []))
        else:
            found[-1][1].append(word)
    return found
