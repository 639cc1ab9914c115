"""The parameters of a function: whether a call fits them, and what it gives each of them."""

from __future__ import annotations

import inspect
from typing import Any, Callable

from ._errors import ArgumentError


class Parameters:
    """The parameters of a task's function, as the engine needs them.

    A call is bound once, when its job starts.  From then on the arguments are one flat list, a
    value for each parameter in the order of the signature: `*args` is one tuple, `**kwargs` one
    dict in order of names.
    """

    __slots__ = (
        "_extra_args",
        "_extra_kwargs",
        "_positional",
        "_required",
        "_simple",
        "_task",
        "names",
        "signature",
    )

    def __init__(self, func: Callable[..., Any], task_name: str, given: int = 0) -> None:
        self._task = task_name
        self.signature = signature = inspect.signature(func)
        if given:
            parameters = list(signature.parameters.values())[given:]
            self.signature = signature.replace(parameters=parameters)
        parameters = list(self.signature.parameters.values())
        kinds = inspect.Parameter
        self.names = tuple(parameter.name for parameter in parameters)
        positional = (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)
        self._positional = sum(parameter.kind in positional for parameter in parameters)
        self._extra_args = any(parameter.kind is kinds.VAR_POSITIONAL for parameter in parameters)
        self._extra_kwargs = any(parameter.kind is kinds.VAR_KEYWORD for parameter in parameters)
        self._simple = self._positional == len(self.names)
        self._required = tuple(
            parameter.name
            for parameter in parameters
            if parameter.kind in positional and parameter.default is kinds.empty
        )

    def accept(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Raise an `ArgumentError` unless the function can be called so."""
        if kwargs or not self._simple or not len(self._required) <= len(args) <= self._positional:
            self._bind(args, kwargs)

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> inspect.BoundArguments:
        try:
            bound = self.signature.bind(*args, **kwargs)
            for name in self._required:
                if name not in bound.arguments:  # Which Python 3.13.0 does not always notice.
                    raise TypeError(f"missing a required argument: {name!r}")
            return bound
        except TypeError as error:
            call = f"{self._task}{_short_signature(self.signature)}"
            raise ArgumentError(f"{call}: {error}") from None

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """Return a value for each parameter, defaults filled in."""
        if not kwargs and self._simple and len(args) == self._positional:
            return args
        bound = self._bind(args, kwargs)
        bound.apply_defaults()
        if self._extra_kwargs:
            name = self.names[-1]
            bound.arguments[name] = dict(sorted(bound.arguments[name].items()))
        return tuple(bound.arguments.values())

    def given(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> set[str]:
        """Return the names of the parameters that a call gives a value; others have defaults."""
        return set(self._bind(args, kwargs).arguments)

    def call_arguments(self, values: tuple[Any, ...]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return bound values as the arguments to call the function with."""
        if self._simple:
            return values, {}
        count = self._positional
        args = values[:count]
        if self._extra_args:
            args += tuple(values[count])
            count += 1
        last = len(self.names) - self._extra_kwargs
        kwargs = dict(zip(self.names[count:last], values[count:last]))
        if self._extra_kwargs:
            kwargs.update(values[-1])
        return args, kwargs


def _short_signature(signature: inspect.Signature) -> str:
    bare = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in signature.parameters.values()
    ]
    return str(inspect.Signature(bare))
