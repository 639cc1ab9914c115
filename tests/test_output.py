"""Files that commands read and write where the user says."""

import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redun_lite._client.output import read_ahead
from redun_lite._errors import UsageError


def through_a_pipe(content: bytes, size: int) -> list[bytes]:
    reading, writing = os.pipe()
    with open(reading, "rb") as stream:
        lines = read_ahead(stream, size)
        os.write(writing, content)
        os.close(writing)
        return list(lines)


@given(st.lists(st.sampled_from([b"a", b"bc", b"\n", b"\r", b"\n\n"])), st.integers(1, 9))
def test_the_lines_of_a_pipe_are_those_of_a_file_however_they_come(pieces, size):
    content = b"".join(pieces)
    assert through_a_pipe(content, size) == list(io.BytesIO(content))


def test_what_is_in_memory_is_read_as_it_is():
    assert list(read_ahead(io.BytesIO(b"one\ntwo"))) == [b"one\n", b"two"]


def test_who_writes_into_a_pipe_goes_on_while_one_works_on_a_line():
    reading, writing = os.pipe()
    with open(reading, "rb") as stream:
        lines = read_ahead(stream)
        os.write(writing, b"first\n")
        assert next(lines) == b"first\n"
        for _ in range(100):  # More than a pipe holds, and nobody asks for the next line.
            os.write(writing, b"x" * 65_535 + b"\n")
        os.close(writing)
        assert sum(map(len, lines)) == 100 * 65_536


def test_standard_input_that_cannot_be_read_is_one_line(tmp_path):
    folder = os.open(tmp_path, os.O_RDONLY)

    class Stream(io.BytesIO):
        def fileno(self):
            return folder

    with pytest.raises(UsageError, match="cannot read standard input: it is a folder"):
        list(read_ahead(Stream()))
    os.close(folder)
