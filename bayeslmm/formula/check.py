"""Every call and name of a formula checked before anything else is done with it."""

from __future__ import annotations

from collections.abc import Collection

from bayeslmm.errors import FormulaError, UnsafeFormulaError, UnsupportedSyntaxError, suggest
from bayeslmm.formula.allowed import ALLOWED, NUMPY_SAFE, Function, find_function, is_dunder
from bayeslmm.formula.refusals import FUNCTIONS
from bayeslmm.formula.tree import (
    Argument,
    Bar,
    Call,
    Column,
    Node,
    Number,
    Operation,
    Subset,
    without_groups,
)


def check_calls(node: Node, extra_names: Collection[str]) -> None:
    """Refuse what a formula may not call, and arguments that cannot be passed.

    Parameters
    ----------
    node : Node
        One side of a formula.
    extra_names : collection of str
        The user's functions and constants.

    Raises
    ------
    UnsafeFormulaError
        A function that is not on the list, a special name.
    UnsupportedSyntaxError
        A function of another package.
    FormulaError
        Arguments the function does not take.
    """
    for piece in node.walk():
        if isinstance(piece, Column) and not piece.quoted and is_dunder(piece.name):
            raise UnsafeFormulaError(
                f"special names such as `{piece.name}` are not read in a formula.",
                place=piece.place,
                fix=f"if it is a column: `{piece.name}` in backticks",
            )
        if isinstance(piece, Call):
            function = _check_function(piece, extra_names)
            _check_arguments(piece, function)
            for argument in piece.arguments:
                _check_value(argument)


def _check_function(call: Call, extra_names: Collection[str]) -> Function:
    name = call.function
    if name == "cbind" and name not in extra_names:
        successes = call.arguments[0].source if call.arguments else "successes"
        raise UnsupportedSyntaxError(
            "`cbind()` is not read here: counts are given with their totals.",
            place=call.place,
            fix=f"proportion({successes}, n), where n is a column: successes plus failures",
        )
    if name in FUNCTIONS and name not in extra_names:
        what, fix = FUNCTIONS[name]
        raise UnsupportedSyntaxError(what, place=call.place, fix=fix)
    function = find_function(name, extra_names)
    if function is not None and not is_dunder(name):
        return function
    bare = name.rpartition(".")[2]
    known = ", ".join([*sorted(ALLOWED, key=str.lower), *sorted(extra_names)])
    close = suggest(name, [*ALLOWED, *extra_names])
    fix = f'extra_namespace={{"{bare}": {name}}}, then {bare}(...) in the formula'
    if is_dunder(name):
        fix = "special names cannot be handed over either"
    raise UnsafeFormulaError(
        f"`{name}` is not a function that a formula may call; nothing was run.",
        place=call.function_place,
        found=f"functions it may call: {known}; and np.{{{', '.join(sorted(NUMPY_SAFE))}}}",
        fix=f"did you mean `{close}`? Or {fix}" if close and "." not in name else fix,
    )


def _check_arguments(call: Call, function: Function) -> None:
    names = [a.name for a in call.arguments if a.name is not None]
    for before, after in zip(call.arguments, call.arguments[1:], strict=False):
        if before.name is not None and after.name is None:
            raise FormulaError(
                "arguments without a name come first.",
                place=after.place,
                fix=f"name it too: {call.function}(..., name={after.source})",
            )
    if function.parameters is None:
        if call.function == "c" and names:
            raise FormulaError("the items of a list have no names.", place=call.place)
        return
    positional = len(call.arguments) - len(names)
    taken = set(function.parameters[:positional])
    signature = f"{call.function}({', '.join(function.parameters)})"
    for argument in call.arguments:
        if argument.name is None:
            continue
        if argument.name not in function.parameters or argument.name in taken:
            twice = argument.name in taken
            raise FormulaError(
                f"`{call.function}` "
                + (f"gets `{argument.name}` twice." if twice else f"has no `{argument.name}`."),
                place=argument.place,
                fix=signature,
            )
        taken.add(argument.name)
    if positional > len(function.parameters) or len(call.arguments) < function.required:
        few = len(call.arguments) < function.required
        raise FormulaError(
            f"`{call.function}` has too {'few' if few else 'many'} arguments.",
            place=call.place,
            fix=signature,
        )
    if function.known_as == "proportion":
        _check_proportion(call)


def _check_proportion(call: Call) -> None:
    for position, argument in enumerate(call.arguments):
        value = without_groups(argument.value)
        number = isinstance(value, Number) and isinstance(value.value, int)
        if not isinstance(value, Column) and not (position == 1 and number):
            raise FormulaError(
                "`proportion` takes columns: the successes, and the trials (or one number).",
                place=argument.place,
                fix="make a column of it first",
            )


def _check_value(argument: Argument) -> None:
    for piece in argument.value.walk():
        if isinstance(piece, Bar):
            raise UnsupportedSyntaxError(
                f"`{'|' if piece.correlated else '||'}` cannot stand inside a function.",
                place=piece.bar_place,
                fix="a random term is a term of its own: y ~ x + (1 | g)",
            )
        if isinstance(piece, Operation) and piece.operator == ":":
            raise UnsupportedSyntaxError(
                "`:` cannot stand inside a function.",
                place=piece.operator_place,
                fix="multiply numbers with *, and write interactions outside: f(x):g",
            )
        if isinstance(piece, Subset):
            raise UnsupportedSyntaxError(
                "a level is picked outside of functions only.",
                place=piece.place,
                fix=f"{piece.column.name} == '{piece.level}'",
            )
