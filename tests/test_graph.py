"""`graph`: what is drawn of executions, files, values and calls."""

from __future__ import annotations

import re
import sqlite3

import pytest
from support import Lab

from redun_lite import File, catch, subrun, task
from redun_lite._cli import main
from redun_lite._client.graph import draw
from redun_lite._client.picture import FILE, Box, Picture, to_svg
from redun_lite._errors import UsageError
from redun_lite._history import open_history
from redun_lite._status import CACHED, CANCELLED, DONE, FAILED

redun_namespace = "test_graph"


@task
def read(path):
    return File(path)


@task
def trim(file, k=0):
    out = File(f"{file.path}.{k}")
    out.write(file.read())
    return out


@task
def count(file):
    return len(file.read())


@task
def total(numbers):
    return sum(numbers)


@task
def sample(path, k):
    return count(trim(read(path), k))


@task
def study(path, n):
    return total([sample(path, k) for k in range(n)])


@task
def boom(x):
    raise ValueError(f"cannot take {x}")


@task
def zero(error):
    return 0


@task
def careful(n):
    return [catch(boom(i), ValueError, zero) for i in range(n)]


@task
def countdown(n):
    return n if n == 0 else countdown(n - 1)


@task
def twice(x):
    return [total([x, 1]), total([x, 1])]


@task
def apart(n):
    return subrun(many(n), executor="default")


@task
def many(n):
    return [total([i]) for i in range(n)]


def lab_in(folder):
    (folder / "raw").write_text("text")
    return Lab(folder)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Return a place where one workflow of each shape has run, in this order."""
    lab = lab_in(tmp_path_factory.mktemp("graph"))
    raw = str(lab.folder / "raw")
    for expr in (
        study(raw, 2),
        study(raw, 40),
        careful(9),
        countdown(30),
        twice(5),
        apart(12),
    ):
        lab.run(expr)
    with pytest.raises(ValueError, match="cannot take"):
        lab.run(boom(1))
    return lab


@pytest.fixture
def history(lab):
    with open_history(str(lab.path)) as history:
        yield history


def execution(lab, task_name: str) -> str:
    """Return the last execution that began with a task."""
    return lab.query(
        "SELECT uuid FROM execution WHERE parent_job_id IS NULL AND id IN (SELECT job.id >> 32 "
        "FROM job JOIN task ON task.id = task_id WHERE fullname = ? AND parent_id IS NULL) "
        "ORDER BY id DESC",
        f"test_graph.{task_name}",
    )[0]


def drawn(boxes: list[Box]) -> list[object]:
    """Return names of boxes, each behind it a list of what is inside."""
    found: list[object] = []
    for box in boxes:
        found.append(box.name)
        if box.boxes:
            found.append(drawn(box.boxes))
    return found


def inside(picture: Picture, *path: str) -> Box:
    boxes = picture.boxes
    for name in path:
        (box,) = (box for box in boxes if box.name == name)
        boxes = box.boxes
    return box


def arrows(box: Box | Picture) -> list[str]:
    return [f"{box.boxes[a.source].name} -> {box.boxes[a.target].name}" for a in box.arrows]


# Executions


def test_jobs_are_boxes_inside_the_job_that_led_to_them(history, lab):
    first = lab.query("SELECT uuid FROM execution ORDER BY id")[0]
    picture = draw(history, first)
    assert drawn(picture.boxes) == [
        "study",
        ["total", "sample", ["count", "trim", "read"], "sample", ["count", "trim", "read"]],
    ]


def test_arrows_say_whose_result_went_into_whom(history, lab):
    picture = draw(history, lab.query("SELECT uuid FROM execution ORDER BY id")[0])
    study_box = inside(picture, "study")
    assert arrows(study_box) == ["sample -> total", "sample -> total"]
    assert arrows(study_box.boxes[1]) == ["trim -> count", "read -> trim"]
    assert study_box.boxes[1].arrows[0].tip == "file"


def test_many_equal_siblings_are_one_box_with_all_that_is_below(history, lab):
    picture = draw(history, execution(lab, "study"))
    assert drawn(picture.boxes) == [
        "study",
        ["total", "sample ×40", ["count ×40", "trim ×40", "read ×40"]],
    ]
    assert arrows(inside(picture, "study")) == ["sample ×40 -> total"]
    assert arrows(inside(picture, "study", "sample ×40")) == [
        "trim ×40 -> count ×40",
        "read ×40 -> trim ×40",
    ]


def test_how_many_are_folded_can_be_chosen(history, lab):
    picture = draw(history, execution(lab, "study"), fold=40)
    assert len(inside(picture, "study").boxes) == 41
    picture = draw(history, lab.query("SELECT uuid FROM execution ORDER BY id")[0], fold=1)
    assert drawn(picture.boxes)[1] == ["total", "sample ×2", ["count ×2", "trim ×2", "read ×2"]]


def test_a_recursion_is_folded_from_its_third_turn_on(history, lab):
    picture = draw(history, execution(lab, "countdown"))
    assert drawn(picture.boxes) == ["countdown", ["countdown", ["countdown ×29"]]]


def test_statuses_of_folded_jobs_are_counted_and_the_worst_shows(history, lab):
    picture = draw(history, execution(lab, "careful"))
    failed = inside(picture, "careful", "boom ×9")
    assert failed.status == FAILED
    assert inside(picture, "careful").status == DONE
    mixed = draw(history, execution(lab, "twice"), fold=1)
    (box,) = inside(mixed, "twice").boxes
    assert (box.name, box.status) == ("total ×2", DONE)
    assert box.lines[0].startswith("1 done, 1 cached")


def test_a_cached_job_is_marked(history, lab):
    picture = draw(history, execution(lab, "twice"))
    assert sorted(box.status for box in inside(picture, "twice").boxes) == [CACHED, DONE]


def test_an_error_is_shown_in_its_job(history, lab):
    (box,) = draw(history, execution(lab, "boom")).boxes
    assert (box.status, box.lines) == (FAILED, ["ValueError: cannot take 1"])


def test_jobs_of_a_subrun_are_inside_the_job_that_it_belongs_to(history, lab):
    picture = draw(history, execution(lab, "apart"))
    root = inside(picture, "apart").boxes[0]
    assert root.name == "subrun_root_task"
    assert drawn(root.boxes) == ["many", ["total ×12"]]


def test_levels_that_are_left_out_are_counted(history, lab):
    picture = draw(history, execution(lab, "study"), depth=2)
    assert drawn(picture.boxes) == ["study", ["total", "sample ×40"]]
    assert picture.notes == ["120 deeper jobs are left out"]


def test_what_a_box_tells_besides(history, lab):
    picture = draw(history, execution(lab, "twice"))
    tip = inside(picture, "twice").boxes[0].tip.split("\n")
    assert re.fullmatch(r"[0-9a-f]{8}-\d+  DONE  .*", tip[0])
    assert tip[1:] == ["test_graph.total(numbers=[5, 1])", "= 6"]


def test_more_boxes_than_can_be_drawn_are_left_out(history, lab, monkeypatch):
    monkeypatch.setattr("redun_lite._client.graph._MAX_BOXES", 2)
    monkeypatch.setattr("redun_lite._client.graph._MOST_BOXES", 3)
    picture = draw(history, execution(lab, "study"))
    assert drawn(picture.boxes) == ["study", ["total", "sample ×40"]]
    assert picture.notes == ["120 further jobs are left out"]


def test_an_execution_that_was_cut_off_can_be_drawn(tmp_path):
    lab = lab_in(tmp_path)
    lab.run(countdown(2))
    connection = sqlite3.connect(lab.path)
    with connection:
        connection.execute("UPDATE execution SET status = 'RUNNING', ended = NULL, heartbeat = 0")
        connection.execute("UPDATE job SET status = 'RUNNING', ended = NULL, call_id = NULL")
        connection.execute("DELETE FROM job WHERE parent_id IS NULL")
    connection.close()
    with open_history(str(lab.path)) as history:
        svg = to_svg(draw(history, "-"))
    assert "KILLED" in svg


def test_cancelled_jobs_have_a_status_too(tmp_path):
    lab = lab_in(tmp_path)
    lab.run(countdown(1))
    connection = sqlite3.connect(lab.path)
    with connection:
        connection.execute("UPDATE job SET status = 'CANCELLED', call_id = NULL")
    connection.close()
    with open_history(str(lab.path)) as history:
        assert draw(history, "-").boxes[0].status == CANCELLED


# Lineage


def test_a_file_is_drawn_with_what_it_was_made_from(history, lab):
    picture = draw(history, str(lab.folder / "raw.0"))
    assert [(box.kind == FILE, box.name) for box in picture.boxes] == [
        (True, "raw.0"),
        (False, "trim"),
        (False, "read"),
    ]
    assert arrows(picture) == ["trim -> raw.0", "read -> trim"]
    assert [arrow.label for arrow in picture.arrows] == ["", "file"]


def test_a_call_and_a_job_are_drawn_alike(history, lab):
    uuid, number, key = history.database.rows(
        "SELECT uuid, job.id & 4294967295, key FROM job JOIN call ON call.id = call_id "
        "JOIN task ON task.id = job.task_id JOIN execution ON execution.id = job.id >> 32 "
        "WHERE fullname = 'test_graph.study' ORDER BY job.id LIMIT 1"
    )[0]
    by_job = draw(history, f"{uuid[:8]}-{number}")
    by_call = draw(history, key.hex())
    assert to_svg(by_job) == to_svg(by_call)
    assert drawn(by_call.boxes)[:2] == ["study", "total"]


def test_many_equal_calls_are_one_box(history, lab):
    key = history.database.rows(
        "SELECT key FROM job JOIN call ON call.id = call_id JOIN task ON task.id = job.task_id "
        "WHERE fullname = 'test_graph.study' ORDER BY job.id DESC LIMIT 1"
    )[0][0]
    picture = draw(history, key.hex())
    assert drawn(picture.boxes) == ["study", "total", "count ×40", "trim ×40", "read"]
    assert [arrow.label for arrow in picture.arrows[1:]] == ["numbers ×40", "file ×40", "file"]


def test_what_was_made_with_a_file(history, lab):
    picture = draw(history, str(lab.folder / "raw.1"), is_down=True)
    assert picture.subtitle == "what was made with it · 3 calls"
    assert arrows(picture) == ["raw.1 -> count", "count -> total", "count -> total"]


def test_a_task_cannot_be_drawn(history):
    with pytest.raises(UsageError, match=r"'test_graph\.total' is a task, not an execution"):
        draw(history, "test_graph.total")


def test_a_job_without_a_call_has_no_lineage(tmp_path):
    lab = lab_in(tmp_path)
    lab.run(countdown(0))
    connection = sqlite3.connect(lab.path)
    with connection:
        connection.execute("UPDATE job SET status = 'CANCELLED', call_id = NULL")
    connection.close()
    with open_history(str(lab.path)) as history:
        uuid = history.find("-").uuid
        with pytest.raises(UsageError, match="is CANCELLED, and has no call recorded"):
            draw(history, f"{uuid[:8]}-1")


# The command


@pytest.fixture
def graph(lab, monkeypatch, capsys):
    """Return a function that runs the command on the lab's repository."""
    monkeypatch.chdir(lab.folder)

    def graph(*words):
        code = main(["graph", "--repo", str(lab.path), *words])
        return (code, *capsys.readouterr())

    return graph


def test_the_same_execution_is_drawn_the_same_each_time(graph):
    assert graph("-")[1].startswith("<svg ")
    assert graph("-") == graph("-")


@pytest.mark.parametrize(
    ("name", "start"),
    [("x.svg", "<svg "), ("x.dot", "digraph {"), ("x.GV", "digraph {"), ("x.mmd", "---\ntitle:")],
)
def test_the_name_of_the_output_says_its_format(graph, tmp_path, name, start):
    code, out, _ = graph("-", "-o", str(tmp_path / name))
    assert (code, out) == (0, "")
    assert (tmp_path / name).read_text(encoding="utf-8").startswith(start)


def test_a_format_can_be_asked_for(graph):
    assert graph("-", "--format", "mermaid")[1].startswith("---\ntitle:")


def test_a_file_is_found_by_the_end_of_its_path(graph):
    code, out, _ = graph("raw.0", "--format", "dot")
    assert code == 0
    assert 'label="raw.0"' in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-", "-o", "x.png"], "a name that ends in .svg, .dot, .gv, .mmd, .mermaid says"),
        (
            ["-", "-o", "no/such/folder/x.svg"],
            "no/such/folder/x.svg: there is no folder /",
        ),
        (["-", "--fold", "-1"], "graph: --fold: expected a whole number from 0 on, got '-1'"),
        (["-", "--depth", "0"], "graph: --depth: expected a whole number from 1 on, got '0'"),
        (["abcdefabcdef"], "no execution, job, call, value, task or file 'abcdefabcdef'"),
    ],
)
def test_what_cannot_work_is_one_line(graph, words, told):
    code, out, err = graph(*words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert told in err


def test_there_is_nothing_to_draw_before_the_first_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REDUN_LITE_CONFIG", raising=False)
    assert main(["graph", "-"]) == 2
    assert "nothing is recorded yet" in capsys.readouterr().err


def test_a_dash_stands_for_standard_output(graph):
    assert graph("-", "-o", "-") == graph("-")
