"""Boxes and arrows as SVG, DOT and Mermaid: whole, safe, and the same each time."""

from __future__ import annotations

import re
import shutil
import subprocess
from xml.etree import ElementTree

import pytest

from redun_lite._client.picture import FILE, JOB, Arrow, Box, Picture, to_dot, to_mermaid, to_svg
from redun_lite._client.svg import escape, fit, text_width
from redun_lite._status import CACHED, CANCELLED, DONE, FAILED, KILLED, RUNNING

HOSTILE = "</title><script>alert(1)</script>\"'&\\ \x00\x1b[2J\ud800\uffff\u202e]];end %%{init}"


def picture(*boxes: Box, arrows: tuple[Arrow, ...] = (), note: str = "") -> Picture:
    return Picture("Title", "subtitle", list(boxes), list(arrows), [note])


def box(name: str = "align", *inside: Box, kind: str = JOB, **more) -> Box:
    made = Box(kind, name, ["12 ms"], **more)
    made.boxes = list(inside)
    return made


def nested() -> Picture:
    outer = box("main", box("first"), box("second", is_pile=True), status=DONE, tip="tip")
    outer.arrows = [Arrow(0, 1, "", "reads")]
    return picture(outer, box("x.txt", kind=FILE), arrows=(Arrow(0, 1, "label"),))


def texts(svg: str) -> list[str]:
    root = ElementTree.fromstring(svg)
    return [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]


def test_an_svg_is_one_well_formed_file_that_needs_no_other():
    svg = to_svg(nested())
    ElementTree.fromstring(svg)
    assert "<script" not in svg
    assert set(re.findall(r"https?://[^\"']*", svg)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"@import|url\(|<image|href", svg)


def test_what_boxes_and_arrows_say_is_in_it():
    assert texts(to_svg(nested())) == [
        *["Title", "subtitle"],
        *["main", "12 ms", "first", "12 ms", "second", "12 ms"],
        *["x.txt", "12 ms", "label"],
    ]


def test_details_are_tooltips():
    svg = to_svg(nested())
    assert "<title>tip</title>" in svg
    assert "<title>reads</title>" in svg


def test_there_are_colours_for_light_and_dark_pages():
    light, dark = to_svg(nested()).split("@media (prefers-color-scheme: dark)")
    for status in (DONE, CACHED, FAILED, RUNNING, CANCELLED, KILLED):
        assert f".s-{status.lower()} {{" in light
        assert f".s-{status.lower()} {{" in dark


def test_each_status_has_a_mark_of_its_own_shape():
    statuses = (DONE, FAILED, CACHED, RUNNING, CANCELLED, KILLED)
    svg = to_svg(picture(*(box(status=status) for status in statuses)))
    shapes = {s: set(re.findall(rf'class="mark s-{s.lower()}" d="([^"]+)"', svg)) for s in statuses}
    assert [len(found) for found in shapes.values()] == [1] * 6
    assert len(set.union(*shapes.values())) == 6


def test_names_are_escaped_wherever_they_are_shown():
    hostile = Box(JOB, HOSTILE, [HOSTILE], HOSTILE, DONE)
    around = Box(JOB, HOSTILE, [HOSTILE], HOSTILE, FAILED)
    around.boxes, around.arrows = [hostile, box()], [Arrow(0, 1, HOSTILE, HOSTILE)]
    shown = Picture(HOSTILE, HOSTILE, [around, Box(FILE, HOSTILE, [], HOSTILE)], [], [HOSTILE])
    svg = to_svg(shown)
    ElementTree.fromstring(svg.encode())
    assert "<script" not in svg
    dot = to_dot(shown)
    dot.encode()
    code = re.sub(r"^ *//.*", "", dot, flags=re.MULTILINE)
    assert "script" not in re.sub(r'"(?:[^"\\]|\\.)*"', "", code)  # All of it within quotes.
    mermaid = to_mermaid(shown)
    mermaid.encode()
    body = mermaid.split("flowchart TD")[1]
    assert "<script" not in body
    assert not re.search(r"%%\{", mermaid)
    for line in body.split("%%")[0].splitlines():
        assert line.count('"') % 2 == 0
    for text in (svg, dot, mermaid):
        assert "\x1b" not in text
        assert "\u202e" not in text


def test_dot_has_a_cluster_for_a_box_around_others():
    dot = to_dot(nested())
    assert "subgraph cluster_n0 {" in dot
    assert 'n0_0 -> n0_1 [tooltip="reads"];' in dot
    assert 'n0_0 -> n1 [label="label", ltail=cluster_n0];' in dot
    assert dot.count("{") == dot.count("}")


@pytest.mark.skipif(shutil.which("dot") is None, reason="apt-get install graphviz")
def test_graphviz_reads_what_is_written_for_it():
    around = box(HOSTILE, box(HOSTILE, tip=HOSTILE), box(is_pile=True), tip=HOSTILE)
    around.arrows = [Arrow(0, 1, HOSTILE, HOSTILE)]
    shown = picture(around, box("x", kind=FILE), arrows=(Arrow(0, 0), Arrow(0, 1, "y")))
    done = subprocess.run(
        ["dot", "-Tplain"], input=to_dot(shown), capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len([line for line in done.stdout.splitlines() if line.startswith("edge ")]) == 3


def test_mermaid_has_a_subgraph_for_a_box_around_others():
    lines = [line.strip() for line in to_mermaid(nested()).splitlines()]
    assert 'subgraph n0["main  12 ms"]' in lines
    assert "n0_0 --> n0_1" in lines
    assert 'n0 -->|"label"| n1' in lines


def test_a_box_is_as_wide_as_its_text_and_no_wider_than_it_may_be():
    def width(name):
        return float(
            re.search(
                r'rect class="box s-none" x="\S+" y="\S+" width="([\d.]+)"',
                to_svg(picture(box(name))),
            )[1]
        )

    assert width("a_name_of_some_length") > text_width("a_name_of_some_length", 12)
    assert width("x" * 500) == width("x" * 1000)


def test_a_long_text_is_cut_in_its_middle():
    short = fit("variants.of.a.virus.compare_samples", 12, 100)
    assert text_width(short, 12) <= 100
    assert short.startswith("varian")
    assert short.endswith("mples")


def test_control_characters_are_made_visible():
    assert escape("a\x00b<\ud800") == "a\\x00b&lt;\\ud800"


def test_marks_are_told_unless_all_is_done():
    mixed = picture(box(status=DONE), box(status=CACHED))
    assert texts(to_svg(mixed))[-2:] == ["done", "cached"]
    assert "done" not in texts(to_svg(picture(box(status=DONE))))


def test_notes_stand_below():
    assert texts(to_svg(picture(box(), note="5 jobs are left out")))[-1] == "5 jobs are left out"
