"""A report on the source of Python's standard library: a table and a chart.

Every module is read by a job of its own, so that a change of one file costs reading one file.  The
jobs that only find files take `FileSet`s, which notice files that come and go.
"""

import ast
import csv
import glob
import os
import sysconfig
import warnings
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from redun_lite import File, FileSet, task

redun_namespace = "stdlib_report"

STDLIB = Path(sysconfig.get_paths()["stdlib"])
REPORT = Path(__file__).resolve().parent / "report"

SKIPPED = frozenset({"__pycache__", "site-packages", "test", "tests", "idle_test"})

# Sources that are parsed here may hold what the compiler warns of.  Set for good, since
# `warnings.catch_warnings` must not be used in threads.
for category in (SyntaxWarning, DeprecationWarning):
    warnings.filterwarnings("ignore", category=category, module=r"<unknown>")


class Counts(NamedTuple):
    """What was counted in a module, or in all modules of a package."""

    name: str
    lines: int
    code: int
    docstrings: int  # lines, as are comments and blank
    comments: int
    blank: int
    functions: int
    classes: int
    documented: int  # functions and classes that have a docstring
    unparsable: int  # modules that hold a syntax error


def total(name: str, parts: list[Counts]) -> Counts:
    sums = (sum(part[i] for part in parts) for i in range(1, len(Counts._fields)))
    return Counts(name, *sums)


def files_in(folder: str, pattern: str) -> FileSet:
    return FileSet(f"{glob.escape(folder)}/{pattern}")


# Reading.  A task's hash covers its own source; what else it depends on is in hash_includes.


@task(hash_includes=[SKIPPED, files_in])
def survey(root: Path, modules: FileSet, packages: FileSet) -> list[list[Counts]]:
    """Count the top-level modules, and those in each package.

    Parameters
    ----------
    root
        Where module names start.
    modules, packages
        The files `*.py` and `*/__init__.py` in it.  A folder that has no `__init__.py`, such as
        site-packages, is no package.
    """
    folders = [package.dirname() for package in packages]
    return [read_files(root, modules)] + [
        read_files(root, files_in(folder, "**/*.py"))
        for folder in folders
        if os.path.basename(folder) not in SKIPPED
    ]


@task(hash_includes=[SKIPPED])
def read_files(root: Path, files: FileSet) -> list[Counts]:
    counts = []
    for file in files:
        path = Path(file.path).relative_to(root).with_suffix("")
        if SKIPPED.isdisjoint(path.parent.parts):
            parts = path.parts[:-1] if path.name == "__init__" else path.parts
            counts.append(read_module(".".join(parts) or root.name, file))
    return counts


def definitions(tree: ast.Module) -> Iterator[Any]:
    """Yield the module, and all functions and classes in it."""
    nodes: list[ast.AST] = [tree]
    while nodes:
        node = nodes.pop()
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node
        nodes.extend(
            child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr)
        )


@task(hash_includes=[definitions])
def read_module(name: str, file: File) -> Counts:
    """Count the lines and definitions of one module.

    A line inside a docstring is one of the docstring, otherwise one that starts with # is a
    comment.  Of a file that does not parse, only lines are counted.
    """
    source = file.read("rb")
    docstring_lines = set()
    functions = classes = documented = unparsable = 0
    try:
        for node in definitions(ast.parse(source)):
            if not isinstance(node, ast.Module):
                is_class = isinstance(node, ast.ClassDef)
                classes += is_class
                functions += not is_class
            if ast.get_docstring(node, clean=False) is not None:
                documented += not isinstance(node, ast.Module)
                docstring = node.body[0]
                docstring_lines.update(range(docstring.lineno, docstring.end_lineno + 1))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        unparsable = 1
    kinds = {"code": 0, "docstring": 0, "comment": 0, "blank": 0}
    lines = source.splitlines()
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if number in docstring_lines:
            kinds["docstring"] += 1
        elif not text:
            kinds["blank"] += 1
        elif text.startswith(b"#"):
            kinds["comment"] += 1
        else:
            kinds["code"] += 1
    return Counts(name, len(lines), *kinds.values(), functions, classes, documented, unparsable)


# Reporting


@task
def join(groups: list[list[Counts]]) -> list[Counts]:
    """Return the modules of all groups, sorted by name."""
    return sorted(module for group in groups for module in group)


@task(hash_includes=[total])
def by_package(modules: list[Counts]) -> list[Counts]:
    """Return the totals of each package, or module that is in none, the largest first."""
    packages: dict[str, list[Counts]] = {}
    for module in modules:
        packages.setdefault(module.name.partition(".")[0], []).append(module)
    totals = [total(name, parts) for name, parts in packages.items()]
    return sorted(totals, key=lambda package: (-package.lines, package.name))


@task(hash_includes=[total])
def summarize(modules: list[Counts]) -> dict[str, int]:
    totals = total("", modules)._asdict()
    del totals["name"]
    return {"modules": len(modules), **totals}


@task
def write_table(modules: list[Counts], path: str) -> File:
    file = File(path)
    with file.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(Counts._fields)
        table.writerows(modules)
    return file


KINDS = {"code": "#1b4f8f", "docstrings": "#f0a22e", "comments": "#6fb59a", "blank": "#d3d8de"}
STYLE = """
text { font: 13px system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
       fill: #1f2933 }
.heading { font-size: 20px; font-weight: 600 }
.muted { fill: #5b6672 }
.end { text-anchor: end }
.middle { text-anchor: middle }
.band { fill: #f6f7f9 }
.grid { stroke: #e3e7eb }
.axis { stroke: #9aa5b1 }
"""


def tick_step(largest: int) -> int:
    """Return the smallest of 1, 2, 5, 10, 20, … that goes at most eight times into a number."""
    step = 1
    while largest > 8 * step:
        step = step * 2 if str(step)[0] in "15" else step // 2 * 5
    return step


def documented(package: Counts) -> str:
    """Return the share of functions and classes that have a docstring."""
    definitions = package.functions + package.classes
    return f"{100 * package.documented / definitions:.0f} %" if definitions else "–"


def chart(packages: list[Counts], where: str) -> Iterator[str]:
    """Yield the lines of an SVG: for each package a stacked bar, its lines and documented share."""
    margin, left, bars, right, top, row = 24, 160, 620, 160, 132, 25
    bottom = top + row * len(packages)
    width, height = left + bars + right, bottom + 66
    end = width - margin
    largest = max([package.lines for package in packages] + [1])
    scale = bars / largest
    title = escape(f"The {len(packages)} largest packages in {where}")
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" aria-labelledby="title desc">'
    )
    yield f'<title id="title">{title}</title>'
    yield (
        '<desc id="desc">Horizontal stacked bars, one for each package, the largest first: its '
        "lines of code, docstrings, comments and blank lines. On the right, the share of its "
        "functions and classes that have a docstring.</desc>"
    )
    yield f"<style>{STYLE}</style>"
    yield f'<rect width="{width}" height="{height}" fill="#ffffff"/>'
    yield f'<text class="heading" x="{margin}" y="40">{title}</text>'
    yield f'<text class="muted" x="{margin}" y="64">Top-level modules count as packages.</text>'
    x = float(margin)
    for kind, colour in KINDS.items():
        yield f'<rect x="{x}" y="87" width="13" height="13" rx="2" fill="{colour}"/>'
        yield f'<text x="{x + 20}" y="98">{kind}</text>'
        x += 52 + 7 * len(kind)
    for line, y in (("functions and classes", 80), ("with a docstring", 98)):
        yield f'<text class="muted end" x="{end - 10}" y="{y}">{line}</text>'
    for i in range(0, len(packages), 2):
        y = top + row * i
        yield f'<rect class="band" x="{margin}" y="{y}" width="{end - margin}" height="{row}"/>'
    for tick in range(0, largest + 1, tick_step(largest)):
        x = round(left + tick * scale, 1)
        yield f'<line class="grid" x1="{x}" y1="{top}" x2="{x}" y2="{bottom}"/>'
        yield f'<text class="muted middle" x="{x}" y="{bottom + 20}">{tick:,}</text>'
    for i, package in enumerate(packages):
        y = top + row * i
        name = escape(package.name if len(package.name) <= 18 else package.name[:17] + "…")
        kinds = ", ".join(f"{kind} {getattr(package, kind):,}" for kind in KINDS)
        yield f"<g><title>{escape(package.name)}: {kinds}</title>"
        yield f'<text class="end" x="{left - 10}" y="{y + 17}">{name}</text>'
        x = float(left)
        for kind, colour in KINDS.items():
            length = getattr(package, kind) * scale
            yield (
                f'<rect x="{x:.1f}" y="{y + 4}" width="{length:.1f}" height="{row - 8}" '
                f'fill="{colour}"/>'
            )
            x += length
        yield f'<text x="{x + 8:.1f}" y="{y + 17}">{package.lines:,}</text>'
        yield f'<text class="end" x="{end - 10}" y="{y + 17}">{documented(package)}</text></g>'
    yield f'<line class="axis" x1="{left}" y1="{top}" x2="{left}" y2="{bottom}"/>'
    yield f'<text class="muted middle" x="{left + bars / 2}" y="{bottom + 48}">lines</text>'
    yield "</svg>"


@task(hash_includes=[chart, documented, tick_step, KINDS, STYLE])
def draw_chart(packages: list[Counts], where: str, path: str) -> File:
    file = File(path)
    file.write("\n".join(chart(packages, where)) + "\n", encoding="utf-8")
    return file


@task
def main(root: Path = STDLIB, out: Path = REPORT, largest: int = 25) -> dict[str, Any]:
    """Count the lines and definitions of all modules in a folder.

    Parameters
    ----------
    root
        The folder; by default that of the standard library.
    out
        Where the table and the chart go.
    largest
        How many packages the chart shows.
    """
    if not root.is_dir():
        raise NotADirectoryError(f"--root {root}: there is no such folder")
    modules = join(survey(root, files_in(str(root), "*.py"), files_in(str(root), "*/__init__.py")))
    packages = by_package(modules)
    return {
        "table": write_table(modules, str(out / "modules.csv")),
        "chart": draw_chart(packages[:largest], root.resolve().name, str(out / "packages.svg")),
        "totals": summarize(modules),
    }
