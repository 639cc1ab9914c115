"""Values of a class that are kept in files where their author wants them.

The value store takes whatever is large.  Here it is the class that says where its instances go, so
that other programs find them, or a bucket with rules of its own keeps them.
"""

from __future__ import annotations

from typing import Any, ClassVar

from ._errors import StoredValueError
from ._fs import join_path, normalize_path
from ._fs_registry import get_filesystem
from ._value import ProxyValue


class FileCache(ProxyValue):
    """Keeps the instances of a class in files; the database has their paths only.

    Subclass it, and set `type` to the class and `base_path` to a folder.  A file is named after the
    key of what it holds.  If it is gone or holds something else, the result is no longer valid, and
    the task that made it runs again.

    Attributes
    ----------
    type
        The class.
    base_path
        Where the files go: a folder on any file system that `File` knows, relative to the current
        directory.

    Examples
    --------
    >>> import tempfile
    >>> from string import Template
    >>> class TemplateCache(FileCache):
    ...     type = Template
    ...     base_path = tempfile.mkdtemp()
    >>> path = TemplateCache(Template("Dear $name")).serialize()
    >>> path.decode()
    '/.../...'
    >>> TemplateCache.deserialize(Template, path).template
    'Dear $name'
    """

    type_name = "redun_lite.FileCache"
    base_path: ClassVar[str] = "."

    def serialize(self) -> bytes:
        """Write the file; return its path.

        What is written is what the next class in the order of bases serializes to: a pickle, unless
        a proxy with a format of its own is among them.
        """
        path = join_path(normalize_path(self.base_path), self.get_hash())
        with get_filesystem(url=path).open(path, "wb") as stream:
            stream.write(super().serialize())
        return path.encode("utf-8", "surrogateescape")

    @classmethod
    def deserialize(cls, raw_type: Any, data: bytes) -> Any:
        """Return the value in the file whose path `serialize` returned.

        Raises
        ------
        StoredValueError
            The file holds another value.
        OSError
            It cannot be read.
        """
        path = data.decode("utf-8", "surrogateescape")
        with get_filesystem(url=path).open(path, "rb") as stream:
            value = super().deserialize(raw_type, stream.read())
        if cls(value).get_hash() != path.rpartition("/")[2]:
            raise StoredValueError(f"{path} holds another value than its name tells")
        return value
