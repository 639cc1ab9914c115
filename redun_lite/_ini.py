"""INI text into sections that know where each option is written and what its value means.

The grammar is that of `configparser`: `[section]`, `option = value` or `option: value`, values
continued on indented lines, whole-line comments with `#` or `;`.  It is read here and not by
`configparser`, which forgets on which line an option stood; finding the lines in a second pass
would take a second reader of the same grammar, and the two would have to agree.
`tests/test_ini.py` holds this one against `configparser`.

`${name}` in a value stands for another option of the section, else an option of `[DEFAULT]`, else
an environment variable; `${section:name}` for an option elsewhere; `$$` for a dollar sign.  It is
looked up when the value is asked for, so that options which are not used may refer to a variable
that is not set.  Options of `[DEFAULT]` are defaults for every section.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from ._errors import ConfigError, suggest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Union

    # How an option's value is read: see `Section.parse`.
    Kind = Union[type[Any], tuple[str, ...], Callable[[Any], Any]]

DEFAULT = "DEFAULT"
"""The section whose options every other section has too."""

_HEADER = re.compile(r"\[\s*([^]\s][^]]*?)\s*\]\s*(?:[#;].*)?$")
_OPTION = re.compile(r"([^=:]+?)\s*[=:]\s*(.*)$")
_VARIABLE = re.compile(r"\$(?:\$|\{([^}]*)\})?")
_FLAGS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


class Section(Mapping[str, Any]):
    """One section's options, as a mapping, and where each is written.

    Values are text with variables filled in; in a `Config` made from a dict, values of other types
    stay what they are.  Iteration includes the options that come from `[DEFAULT]`.
    """

    __slots__ = ("_file", "_line", "_lines", "_options", "_siblings", "name")

    def __init__(
        self,
        name: str,
        options: Mapping[str, Any],
        siblings: Mapping[str, Section] | None = None,
        *,
        file: str | None = None,
        line: int = 0,
        lines: Mapping[str, list[int]] | None = None,
    ) -> None:
        self.name = name
        self._options = options
        self._siblings = {} if siblings is None else siblings
        self._file = file
        self._line = line
        self._lines = lines or {}

    def __getitem__(self, option: str) -> Any:
        return self._resolve(option, frozenset())

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(option for owner in self._owners() for option in owner._options))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, option: object) -> bool:
        return any(option in owner._options for owner in self._owners())

    def __repr__(self) -> str:
        return f"<Section [{self.name}] of {self.where()}>"

    def written(self) -> dict[str, Any]:
        """Return the section's own options as written: variables not filled in, no defaults."""
        return dict(self._options)

    def span(self) -> tuple[int, int]:
        """Return the first and the last line of the section, without what follows its options."""
        return self._line, max(
            [self._line, *(line for lines in self._lines.values() for line in lines)]
        )

    def where(self, option: str | None = None, line_of_value: int = 0) -> str:
        """Return `file:line` of the section, or of an option, or of a line of its value."""
        for owner in self._owners():
            lines = owner._lines.get(option) if option is not None else None
            if lines:
                return f"{owner._file}:{lines[min(line_of_value, len(lines) - 1)]}"
        return "config" if self._file is None else f"{self._file}:{self._line}"

    def error(self, message: str, option: str | None = None, line_of_value: int = 0) -> ConfigError:
        """Return a `ConfigError` about the section, or about an option of it."""
        what = f"[{self.name}]" if option is None else f"[{self.name}] {option}"
        return ConfigError(f"{self.where(option, line_of_value)}: {what}: {message}")

    def parse(self, spec: Mapping[str, Kind]) -> dict[str, Any]:
        """Return the options that are set, converted as `spec` says.

        Parameters
        ----------
        spec
            For each known option its kind: `int`, `float`, `str`, `bool`, `dict` or `list` (both
            written as JSON), a tuple of the words that are allowed, or a function that converts a
            value or raises `ValueError` with what it expected ("a date").

        Returns
        -------
        dict
            Without the options that are not set: defaults belong to whoever uses them.

        Raises
        ------
        ConfigError
            An option is not in `spec`, or its value is not of its kind.

        Examples
        --------
        >>> section = Section("mine", {"size": "4", "mode": "slow"})
        >>> section.parse({"size": int, "mode": ("slow", "fast"), "title": str})
        {'size': 4, 'mode': 'slow'}
        """
        for option in self._options:
            if option not in spec:
                raise self.error(f"unknown option; {suggest(option, spec)}", option)
        return {option: self.read(option, kind) for option, kind in spec.items() if option in self}

    def read(self, option: str, kind: Kind) -> Any:
        """Return one option's value, converted as in `parse`; None if it is not set."""
        if option not in self:
            return None
        value = self[option]
        try:
            return _convert(value, kind)
        except ValueError as error:
            # Shown as written, not as resolved: a variable may hold a secret.
            owners = (owner for owner in self._owners() if option in owner._options)
            written = next(owners)._options[option]
            message = f"expected {error}, got {shown(written)}"
            if isinstance(written, str) and re.search(r"\s[#;]", written):
                message += " (a comment needs a line of its own)"
            raise self.error(message, option, getattr(error, "line", 0)) from None

    def _owners(self) -> tuple[Section, ...]:
        default = self._siblings.get(DEFAULT)
        return (self,) if default is None or default is self else (self, default)

    def _resolve(self, option: str, seen: frozenset[tuple[str, str]]) -> Any:
        """Return a value with its variables filled in.

        In an option that refers to itself, directly or through others, its name means the next
        source: `HOME = ${HOME}` is the environment's.
        """
        for owner in self._owners():
            if option not in owner._options or (owner.name, option) in seen:
                continue
            value = owner._options[option]
            if not isinstance(value, str) or "$" not in value:
                return value
            fill_in = partial(self._variable, option=option, seen=seen | {(owner.name, option)})
            return _VARIABLE.sub(fill_in, value)
        raise KeyError(option)

    def _variable(self, match: re.Match[str], option: str, seen: frozenset[tuple[str, str]]) -> str:
        if match[0] == "$$":
            return "$"
        if match[0] == "$":
            raise self.error(
                "a $ alone; write $$ for a dollar sign, ${NAME} for a variable", option
            )
        section_name, _, variable = match[1].rpartition(":")
        section = self._siblings.get(section_name) if section_name else self
        try:
            if section is not None:
                return str(section._resolve(variable, seen))
        except KeyError:
            pass
        if section_name:
            raise self.error(f"{match[0]} is no option of this configuration", option)
        if variable not in os.environ:
            message = f"{match[0]} is neither an option here nor an environment variable"
            raise self.error(message, option)
        return os.environ[variable]


def read_sections(text: str, file: str) -> dict[str, Section]:
    r"""Read INI text.

    Parameters
    ----------
    text
        The text, its lines ended by newlines.
    file
        How error messages name the place it comes from.

    Raises
    ------
    ConfigError
        A line is not INI, or a section or an option is there twice.

    Examples
    --------
    >>> sections = read_sections("[limits]\ndb = 10", "x.ini")
    >>> sections["limits"].where("db")
    'x.ini:2'
    """
    headers: dict[str, int] = {}
    written: dict[str, dict[str, list[tuple[int, str]]]] = {}
    name = ""
    section: dict[str, list[tuple[int, str]]] | None = None
    value: list[tuple[int, str]] | None = None
    indent = 0
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.strip()
        depth = len(line) - len(line.lstrip())
        if stripped.startswith(("#", ";")):
            continue
        if value is not None and (depth > indent or not stripped):
            value.append((number, stripped))
            continue
        if not stripped:
            continue
        indent = depth
        header = _HEADER.match(stripped)
        option = _OPTION.match(stripped)
        if header:
            name = header[1]
            if name in headers:
                first = f"{file}:{headers[name]}"
                raise ConfigError(f"{file}:{number}: [{name}] is a second one; join it to {first}")
            headers[name] = number
            section = written[name] = {}
            value = None
        elif section is None:
            raise ConfigError(f"{file}:{number}: expected a [section], got {shown(stripped)}")
        elif option is None:
            raise ConfigError(
                f"{file}:{number}: expected a [section], or option = value, whose further lines "
                f"are indented; got {shown(stripped)}"
            )
        elif option[1] in section:
            first = f"{file}:{section[option[1]][0][0]}"
            raise ConfigError(f"{file}:{number}: [{name}] {option[1]}: already set at {first}")
        else:
            value = section[option[1]] = [(number, option[2])]

    sections: dict[str, Section] = {}
    for name, options in written.items():
        sections[name] = Section(
            name,
            {
                option: "\n".join(part for _, part in parts).rstrip()
                for option, parts in options.items()
            },
            sections,
            file=file,
            line=headers[name],
            lines={option: [number for number, _ in parts] for option, parts in options.items()},
        )
    return sections


def read_text(path: Path) -> str:
    """Return the text of a file; raise a `ConfigError` if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: expected text in UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def positive(value: Any) -> int:
    """Convert to an integer of at least 1; a kind for `Section.parse`."""
    number = _integer(value)
    if number < 1:
        raise ValueError("a whole number of at least 1")
    return number


def count(value: Any) -> int:
    """Convert to an integer of at least 0; a kind for `Section.parse`."""
    number = _integer(value)
    if number < 0:
        raise ValueError("a whole number of at least 0")
    return number


def seconds(value: Any) -> float:
    """Convert to a number of seconds; a kind for `Section.parse`."""
    number = _number(value)
    if number < 0:
        raise ValueError("a number of seconds, at least 0")
    return number


def words(value: Any) -> tuple[str, ...]:
    """Convert text to its words, a list to a tuple; a kind for `Section.parse`."""
    return tuple(value.split() if isinstance(value, str) else map(_text, _array(value)))


def lines(value: Any) -> tuple[str, ...]:
    """Convert text to its lines, a list to a tuple; a kind for `Section.parse`."""
    if isinstance(value, str):
        return tuple(line for line in value.split("\n") if line)
    return tuple(map(_text, _array(value)))


def json_or_text(value: Any) -> Any:
    """Convert JSON text to what it says, and leave other text as it is."""
    try:
        return _json(value)
    except _BadJSON:
        return value


def json_object(value: Any) -> dict[str, Any]:
    """Convert JSON text to the object it holds; the `dict` kind of `Section.parse`."""
    found = _json(value)
    if not isinstance(found, dict):
        raise ValueError("a JSON object")
    return found


def value_of_word(text: str) -> Any:
    """Return the value that a text is in JSON, or the text itself if it is none.

    What is beyond JSON to other programs stays text: NaN, and numbers of no finite value.

    >>> [value_of_word(word) for word in ("7", "seven", "NaN", "1e999")]
    [7, 'seven', 'NaN', '1e999']
    """
    import json

    try:
        return json.loads(text, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError):
        return text


def _finite(text: str) -> float:
    number = float(text)
    if number - number != 0:
        raise ValueError(text)
    return number


def shown(value: object) -> str:
    """Return a value as an error's line shows it: quoted, and cut if it is long."""
    text = repr(value)
    return text if len(text) <= 60 else text[:56] + " ..."


class _BadJSON(ValueError):
    """Text that is not JSON, from a line of its value on (counted from 0)."""

    def __init__(self, problem: str, line: int) -> None:
        super().__init__(f"JSON ({problem})")
        self.line = line


def _convert(value: Any, kind: Kind) -> Any:
    if isinstance(kind, tuple):
        if value not in kind:
            raise ValueError(" or ".join(kind))
        return value
    return _CONVERTERS.get(kind, kind)(value)


def _integer(value: Any) -> int:
    if isinstance(value, (int, str)) and not isinstance(value, bool):
        try:
            return int(value)
        except ValueError:
            pass
    raise ValueError("a whole number")


def _number(value: Any) -> float:
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            pass
        else:
            if abs(number) < float("inf"):  # False for NaN, too.
                return number
    raise ValueError("a number")


def _flag(value: Any) -> bool:
    try:
        return _FLAGS[str(value).lower()]
    except KeyError:
        raise ValueError("true or false") from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("text")
    return value


def _array(value: Any) -> list[Any]:
    found = _json(value)
    if not isinstance(found, (list, tuple)):
        raise ValueError("a list")
    return list(found)


def _json(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    import json  # Most configurations hold none.

    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        raise _BadJSON(error.msg, error.lineno - 1) from None
    except RecursionError:
        raise _BadJSON("nested too deeply", 0) from None


_CONVERTERS: dict[Any, Callable[[Any], Any]] = {
    int: _integer,
    float: _number,
    bool: _flag,
    str: _text,
    dict: json_object,
    list: _array,
}
