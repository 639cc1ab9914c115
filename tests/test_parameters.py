"""Parameters: how calls are bound."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redun_lite import TaskExpression
from redun_lite._errors import ArgumentError
from redun_lite._hash import key_of
from redun_lite._parameters import Parameters


def no_parameters():
    return locals()


def one(a):
    return locals()


def with_default(a, b=(0,)):
    return locals()


def positional_only(a, b=1, /):
    return locals()


def mixed(a, /, b, c=3):
    return locals()


def keyword_only(*, a, b=2):
    return locals()


def extra_args(a, b=2, *rest):
    return locals()


def extra_kwargs(a, **rest):
    return locals()


def everything(p, q=2, /, c=3, *rest, d, e=5, **more):
    return locals()


def only_args(*args):
    return locals()


def only_kwargs(**kwargs):
    return locals()


def args_then_keyword(*args, a=1):
    return locals()


FUNCTIONS = [
    no_parameters, one, with_default, positional_only, mixed, keyword_only, extra_args,
    extra_kwargs, everything, only_args, only_kwargs, args_then_keyword,
]  # fmt: skip


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
@settings(max_examples=settings.default.max_examples // 2)  # For each of twelve signatures.
@given(
    st.lists(st.integers(), max_size=5).map(tuple),
    st.dictionaries(st.sampled_from("abcdexyz"), st.integers(), max_size=5),
)
def test_a_call_is_bound_as_python_binds_it(function, args, kwargs):
    parameters = Parameters(function, "f")
    try:
        expected = function(*args, **kwargs)
    except TypeError:
        expected = None
    if expected is None:
        for method in (parameters.accept, parameters.bind):
            with pytest.raises(ArgumentError, match=r"^f\(.*\): "):
                method(args, kwargs)
        return
    parameters.accept(args, kwargs)
    values = parameters.bind(args, kwargs)
    assert dict(zip(parameters.names, values)) == expected

    called_args, called_kwargs = parameters.call_arguments(values)
    assert function(*called_args, **called_kwargs) == expected


@pytest.mark.parametrize(
    ("function", "calls"),
    [
        (with_default, [((1,), {}), ((1, (0,)), {}), ((), {"a": 1}), ((), {"b": (0,), "a": 1})]),
        (extra_kwargs, [((1,), {"x": 1, "y": 2}), ((), {"y": 2, "a": 1, "x": 1})]),
        (mixed, [((1, 2), {}), ((1,), {"b": 2}), ((1,), {"c": 3, "b": 2})]),
    ],
)
def test_calls_that_mean_the_same_are_bound_to_the_same_keys(function, calls):
    parameters = Parameters(function, "f")
    assert len({key_of(parameters.bind(args, kwargs)) for args, kwargs in calls}) == 1


def test_a_parameter_without_a_name_for_callers_cannot_be_given_by_name():
    with pytest.raises(ArgumentError, match=r"^f\(p, q=2, /, c=3, .*'p'"):
        Parameters(everything, "f").bind((), {"p": 1, "d": 2})


def test_lazy_arguments_are_bound_as_they_are():
    lazy = TaskExpression("ns.f")
    values = Parameters(everything, "f").bind((lazy,), {"d": [lazy], "z": lazy})
    named = dict(zip(Parameters(everything, "f").names, values))
    assert named["p"] is named["d"][0] is named["more"]["z"] is lazy
