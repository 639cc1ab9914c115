"""Promises: how they settle, who is told, and in what order."""

from __future__ import annotations

import itertools
from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redun_lite import Promise


class Loop:
    """A queue that resumes what stands in it only when the test says so."""

    def __init__(self) -> None:
        self.items: deque[Any] = deque()
        self.append = self.items.append

    def run(self) -> None:
        while self.items:
            self.items.popleft().resume()


def fulfilled(value: Any) -> Promise[Any]:
    promise: Promise[Any] = Promise()
    promise.fulfil(value)
    return promise


def rejected(error: BaseException) -> Promise[Any]:
    promise: Promise[Any] = Promise()
    promise.reject(error)
    return promise


def fail(error: BaseException) -> Any:
    raise error


ERROR = ValueError("wrong")


# One promise


def test_a_promise_can_be_settled_by_the_function_that_it_is_given():
    assert Promise(lambda resolve, reject: resolve(1)).value == 1
    assert Promise(lambda resolve, reject: reject(ERROR)).error is ERROR
    assert Promise(lambda resolve, reject: fail(ERROR)).error is ERROR
    later: list[Any] = []
    promise: Promise[Any] = Promise(lambda resolve, reject: later.append(resolve))
    assert promise.is_pending
    assert later[0](2) == 2
    assert promise.is_fulfilled
    assert promise.value == 2


def test_who_settles_a_promise_gets_back_what_it_is_settled_with():
    assert Promise().do_resolve(3) == 3
    assert Promise().do_reject(ERROR) is ERROR


def test_a_new_promise_has_neither_value_nor_error():
    promise: Promise[Any] = Promise()
    assert promise.is_pending
    assert [promise.is_settled, promise.is_fulfilled, promise.is_rejected] == [False] * 3
    assert promise.error is None
    with pytest.raises(RuntimeError, match="no value yet"):
        _ = promise.value


@pytest.mark.parametrize("value", [1, None, False, [], Promise()])
def test_a_fulfilled_promise_has_its_value(value):
    promise = fulfilled(value)
    assert promise.is_settled
    assert promise.is_fulfilled
    assert not promise.is_rejected
    assert promise.value is value
    assert promise.error is None


def test_a_rejected_promise_raises_its_error():
    promise = rejected(ERROR)
    assert promise.is_settled
    assert promise.is_rejected
    assert not promise.is_fulfilled
    assert promise.error is ERROR
    with pytest.raises(ValueError, match="wrong") as caught:
        _ = promise.value
    assert caught.value is ERROR


@pytest.mark.parametrize("first", [fulfilled, rejected])
def test_a_promise_settles_once(first):
    promise = first(ERROR)
    promise.fulfil(2)
    promise.reject(KeyError())
    assert (promise.error or promise.value) is ERROR
    assert promise.is_rejected == (first is rejected)


# then and catch


@pytest.mark.parametrize("early", [True, False])
def test_a_callback_gets_the_value_whether_it_comes_before_or_after(early):
    promise: Promise[Any] = Promise()
    if early:
        promise.fulfil(20)
    continued = promise.then(lambda value: value + 1)
    promise.fulfil(20)
    assert continued.value == 21


@pytest.mark.parametrize("early", [True, False])
def test_a_callback_for_errors_gets_the_error(early):
    promise: Promise[Any] = Promise()
    if early:
        promise.reject(ERROR)
    one, two = promise.catch(repr), promise.then(None, repr)
    promise.reject(ERROR)
    assert one.value == two.value == "ValueError('wrong')"


def test_an_outcome_that_has_no_callback_is_passed_on():
    assert fulfilled(1).catch(fail).value == 1
    assert fulfilled(1).then().value == 1
    assert rejected(ERROR).then(fail).error is ERROR
    assert rejected(ERROR).then(fail).then(fail).catch(lambda error: error).value is ERROR


def test_what_a_callback_raises_is_the_error():
    assert fulfilled(ERROR).then(fail).error is ERROR
    other = KeyError()
    assert rejected(ERROR).catch(lambda _: fail(other)).error is other


def test_what_a_callback_raises_beyond_errors_is_not_held_back():
    with pytest.raises(KeyboardInterrupt):
        fulfilled(1).then(lambda _: fail(KeyboardInterrupt()))


def test_only_one_of_two_callbacks_is_called():
    assert fulfilled(ERROR).then(fail, lambda _: "caught").error is ERROR
    assert rejected(ERROR).then(fail, lambda _: "caught").value == "caught"


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("settle", [Promise.fulfil, Promise.reject])
def test_a_promise_that_a_callback_returns_is_waited_for(early, settle):
    inner: Promise[Any] = Promise()
    if early:
        settle(inner, ERROR)
    continued = fulfilled(1).then(lambda _: inner)
    assert continued.is_settled == early
    settle(inner, ERROR)
    assert (continued.error or continued.value) is ERROR
    assert continued.is_rejected == (settle is Promise.reject)


def test_a_promise_cannot_wait_for_itself():
    promise: Promise[Any] = Promise()
    continued: Promise[Any] = promise.then(lambda _: continued)
    promise.fulfil(1)
    assert isinstance(continued.error, RuntimeError)


def test_callbacks_are_called_in_the_order_in_which_they_were_added():
    promise, seen = Promise(), []
    for i in range(5):
        promise.then(lambda value, i=i: seen.append((i, value)))
    promise.fulfil("v")
    assert seen == [(i, "v") for i in range(5)]


# all


def test_all_gives_the_values_in_order_of_the_promises():
    promises = [Promise() for _ in range(3)]
    together = Promise.all(promises)
    for i in (2, 0, 1):
        assert not together.is_settled
        promises[i].fulfil(i)
    assert together.value == [0, 1, 2]


def test_all_of_none_is_fulfilled():
    assert Promise.all([]).value == []


def test_all_of_settled_promises_is_settled():
    assert Promise.all([fulfilled(1), fulfilled(2)]).value == [1, 2]
    assert Promise.all([fulfilled(1), rejected(ERROR)]).error is ERROR


def test_all_is_rejected_as_soon_as_one_promise_is():
    promises = [Promise() for _ in range(3)]
    together = Promise.all(promises)
    promises[1].reject(ERROR)
    assert together.error is ERROR


def test_all_has_the_error_that_came_first():
    loop = Loop()
    promises = [Promise(queue=loop) for _ in range(3)]
    together = Promise.all(promises)
    for i in (2, 0, 1):
        promises[i].reject(ValueError(i))
    loop.run()
    assert together.error.args == (2,)


def test_the_same_promise_may_be_given_to_all_more_than_once():
    promise: Promise[Any] = Promise()
    together = Promise.all([promise, promise])
    promise.fulfil(1)
    assert together.value == [1, 1]


@given(st.permutations(range(5)), st.sets(st.integers(0, 4)), st.integers(0, 5))
def test_all_comes_out_alike_in_every_order(order, failing, already):
    promises = [Promise() for _ in range(5)]

    def settle(i: int) -> None:
        promises[i].reject(ValueError(i)) if i in failing else promises[i].fulfil(i)

    for i in order[:already]:
        settle(i)
    together = Promise.all(promises)
    for i in order[already:]:
        settle(i)
    if failing:
        assert together.error.args[0] in failing
    else:
        assert together.value == [0, 1, 2, 3, 4]


# Queues


def test_with_a_queue_nothing_is_called_before_the_queue_is_served():
    loop, seen = Loop(), []
    promise: Promise[Any] = Promise(queue=loop)
    promise.then(seen.append)
    promise.fulfil(1)
    assert seen == []
    loop.run()
    assert seen == [1]


def test_what_follows_a_promise_stands_in_its_queue():
    loop, seen = Loop(), []
    promise: Promise[Any] = Promise(queue=loop)
    Promise.all([promise.then(lambda value: value + 1)]).then(seen.append)
    promise.fulfil(1)
    loop.run()
    assert seen == [[2]]


def test_a_callback_that_settles_promises_is_done_before_others_are_called():
    seen = []
    first, second = Promise(), Promise()
    second.then(lambda _: seen.append("second"))
    first.then(lambda _: [second.fulfil(1), seen.append("first")])
    first.fulfil(None)
    assert seen == ["first", "second"]


# Depth

DEEP = 20_000  # Twice the most calls inside each other that any Python lets C functions make.


@pytest.mark.parametrize("settle", [Promise.fulfil, Promise.reject])
def test_a_long_chain_settles_without_recursion(settle):
    start: Promise[Any] = Promise()
    end = start
    for _ in range(DEEP):
        end = end.then()
    settle(start, ERROR)
    assert (end.error or end.value) is ERROR


def test_a_long_chain_of_callbacks_counts_its_links():
    start: Promise[int] = Promise()
    end = start
    for _ in range(DEEP):
        end = end.then(lambda value: value + 1)
    start.fulfil(0)
    assert end.value == DEEP


def test_a_long_chain_of_promises_that_follow_each_other_settles_without_recursion():
    start: Promise[int] = Promise()
    end: Promise[int] = start
    for _ in range(DEEP):
        end = fulfilled(None).then(lambda _, inner=end: inner)
    start.fulfil(7)
    assert end.value == 7


def test_nested_alls_settle_without_recursion():
    start: Promise[int] = Promise()
    end: Promise[Any] = start
    for _ in range(DEEP // 10):
        end = Promise.all([end]).then(lambda values: values[0])
    start.fulfil(7)
    assert end.value == 7


def test_a_wide_all_is_told_by_each_promise_once():
    promises = [Promise() for _ in range(DEEP)]
    together = Promise.all(promises)
    for promise, i in zip(promises, itertools.count()):
        promise.fulfil(i)
    assert sum(together.value) == sum(range(DEEP))
