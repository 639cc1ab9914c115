"""Sets of row ids, and counts by row id, that take a few bits for each row there is.

What goes through a whole repository has to remember which of a hundred million rows it has met.
Row ids are small integers with few gaps; so a bit for each is a thousandth of what a Python set
takes.  They are kept in pages, since an id in a broken database may be any number.
"""

from __future__ import annotations

from array import array

_PAGE = 16  # Bits of an id that tell its place in a page.
_MASK = (1 << _PAGE) - 1


class IdSet:
    """A set of row ids.

    Examples
    --------
    >>> ids = IdSet()
    >>> ids.add(7), ids.add(7)
    (True, False)
    >>> 7 in ids, 8 in ids, len(ids)
    (True, False, 1)
    """

    __slots__ = ("_pages", "_size")

    def __init__(self) -> None:
        self._pages: dict[int, bytearray] = {}
        self._size = 0

    def add(self, row_id: int) -> bool:
        """Add an id; say whether it is new."""
        page = self._pages.get(row_id >> _PAGE)
        if page is None:
            page = self._pages[row_id >> _PAGE] = bytearray(1 << (_PAGE - 3))
        place = row_id & _MASK
        bit = 1 << (place & 7)
        if page[place >> 3] & bit:
            return False
        page[place >> 3] |= bit
        self._size += 1
        return True

    def __contains__(self, row_id: int) -> bool:
        page = self._pages.get(row_id >> _PAGE)
        if page is None:
            return False
        place = row_id & _MASK
        return bool(page[place >> 3] & (1 << (place & 7)))

    def __len__(self) -> int:
        return self._size


class IdCounts:
    """A count for each row id, 0 at first.

    Examples
    --------
    >>> counts = IdCounts()
    >>> counts.change(7, 2), counts.change(7, -1), counts[8]
    (2, 1, 0)
    """

    __slots__ = ("_pages",)

    def __init__(self) -> None:
        self._pages: dict[int, array[int]] = {}

    def change(self, row_id: int, by: int) -> int:
        """Add to a count; return what it is then."""
        page = self._pages.get(row_id >> _PAGE)
        if page is None:
            page = self._pages[row_id >> _PAGE] = array("q", bytes(8 << _PAGE))
        place = row_id & _MASK
        page[place] += by
        return page[place]

    def __getitem__(self, row_id: int) -> int:
        page = self._pages.get(row_id >> _PAGE)
        return 0 if page is None else page[row_id & _MASK]
