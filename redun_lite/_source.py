"""The source of functions and classes, as it is written where they are defined.

It is what a task is recognised by, so it must be the same however the module came to be imported,
and must not change with what stands around the definition.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cached_property, lru_cache
from types import CodeType, FunctionType, GetSetDescriptorType, MemberDescriptorType
from typing import Any

_NO_FILE = "<string>"
"""Name of the file of all code that `exec` was given as text.  Python 3.13 knows the text of one of
them, that of `python -c`, and would take it for the source of all."""


def find_source(obj: Any, unwrap: bool = True) -> str | None:
    """Return the source of a function or class, without what stands around it.

    That is without indentation, decorators and comments.  Of a class it is the text of every class
    statement of its name, as it cannot be told which of them was executed.

    Parameters
    ----------
    obj
        The function or class.
    unwrap
        Whether to look at what a function wraps, as `functools.wraps` tells, and not at itself.

    Returns
    -------
    str or None
        None if it has no source, or it is not found.
    """
    import ast
    import inspect

    if isinstance(obj, type):
        found = _class_statements(obj)
        if found:
            return "".join(found)
    function = unwrapped(obj) if unwrap else obj
    code = getattr(function, "__code__", None)
    if code is None or code.co_filename == _NO_FILE:
        return None
    if code.co_name == "<lambda>":
        return "\n".join(_lambdas(code, function.__globals__)) or None
    if hasattr(function, "__wrapped__"):  # Which inspect would look at.
        function = FunctionType(code, function.__globals__, closure=function.__closure__)
    try:
        lines = _dedented(inspect.getsource(function).split("\n"))
    except (OSError, TypeError):
        return None
    try:
        node = ast.parse("\n".join(lines)).body[0]
    except SyntaxError:
        return "\n".join(lines)
    return "\n".join(lines[node.lineno - 1 : node.end_lineno]) + "\n"


def unwrapped(obj: Any) -> Any:
    """Return the function that one wraps, as `functools.wraps` tells; else the object itself."""
    import inspect

    return obj if isinstance(obj, type) else inspect.unwrap(obj)


def members_of(cls: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the functions and constants of a class, and of those inside it, with their names."""
    for name, member in sorted(vars(cls).items()):
        label = prefix + name
        if isinstance(member, (staticmethod, classmethod)):
            yield label, member.__func__
        elif isinstance(member, cached_property):
            yield label, member.func
        elif isinstance(member, property):
            for accessor in filter(None, (member.fget, member.fset, member.fdel)):
                yield f"{label}.{accessor.__name__}", accessor
        elif isinstance(member, type) and member.__qualname__ == f"{cls.__qualname__}.{name}":
            yield from members_of(member, f"{label}.")
        elif isinstance(member, FunctionType) or not (
            name.startswith("__")
            or isinstance(member, (GetSetDescriptorType, MemberDescriptorType))
        ):
            yield label, member


def _dedented(lines: list[str]) -> list[str]:
    """Return lines without the indentation of the first.

    Not by textwrap.dedent: that is kept from dedenting by a string whose lines start further left.
    """
    margin = lines[0][: len(lines[0]) - len(lines[0].lstrip())]
    lines = [line[len(margin) :] if line.startswith(margin) else line for line in lines]
    return ["" if line.isspace() else line for line in lines]


def _lambdas(code: CodeType, module: dict[str, Any]) -> list[str]:
    """Return the text of all lambdas that start in the line in which one does."""
    import ast

    text = _text_of_file(code.co_filename, module)
    found = [
        node
        for node in ast.walk(_parsed(text))
        if isinstance(node, ast.Lambda) and node.lineno == code.co_firstlineno
    ]
    found.sort(key=lambda node: node.col_offset)
    return [ast.get_source_segment(text, node) or "" for node in found]


def _class_statements(cls: type) -> list[str]:
    """Return the text of the class statements of a class's name, in the file that it is from."""
    module = sys.modules.get(cls.__module__)
    files = [getattr(module, "__file__", None) or ""]
    for _, member in members_of(cls):  # Not every class is from a module, say one in a notebook.
        if isinstance(member, FunctionType):
            files.append(member.__code__.co_filename)
    for file in dict.fromkeys(files):
        text = _text_of_file(file, vars(module) if module else {})
        lines = text.split("\n")
        found = [
            _dedented(lines[node.lineno - 1 : node.end_lineno])
            for node in _class_nodes(_parsed(text), cls.__qualname__)
        ]
        if found:
            return ["\n".join(statement) + "\n" for statement in found]
    return []


def _class_nodes(tree: Any, qualname: str) -> list[Any]:
    import ast

    found = []
    inside = [(tree, "")]
    while inside:
        around, prefix = inside.pop()
        for node in ast.iter_child_nodes(around):
            name = prefix
            if isinstance(node, ast.ClassDef):
                if prefix + node.name == qualname:
                    found.append(node)
                name = f"{prefix}{node.name}."
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                name = f"{prefix}{node.name}.<locals>."
            if not isinstance(node, ast.expr):
                inside.append((node, name))
    return sorted(found, key=lambda node: node.lineno)


def _text_of_file(path: str, module: dict[str, Any]) -> str:
    import linecache

    if path == _NO_FILE:
        return ""
    linecache.checkcache(path)
    return "".join(linecache.getlines(path, module))


@lru_cache(maxsize=4)  # A class may have functions that are made elsewhere.
def _parsed(text: str) -> Any:
    import ast

    try:
        return ast.parse(text)
    except SyntaxError:
        return ast.Module(body=[], type_ignores=[])
