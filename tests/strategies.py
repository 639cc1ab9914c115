"""Values for property tests: all that can be an argument, nested in each other."""

from __future__ import annotations

import collections

from hypothesis import strategies as st
from key_corpus import Attributes, Frozen, Plain, Point, Slots

ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    st.text(),
    st.binary(),
)
FROZEN = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.frozensets(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.builds(Point, inner, inner),
        st.builds(Frozen, inner, inner),
    ),
    max_leaves=8,
)
VALUES = st.recursive(
    ATOMS | FROZEN,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(FROZEN, inner, max_size=4),
        st.sets(FROZEN, max_size=4),
        st.builds(Plain, inner, inner),
        st.builds(Slots, inner),
        st.builds(lambda a, b: Attributes(a=a, b=b), inner, inner),
        st.lists(inner, max_size=3).map(collections.deque),
    ),
    max_leaves=20,
)
