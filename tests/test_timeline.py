"""`timeline`: which jobs ran when, as bars, as bands, as a trace."""

from __future__ import annotations

import json
import random
import sqlite3
from xml.etree import ElementTree

import pytest
from support import Lab

from redun_lite import subrun, task
from redun_lite._cli import main
from redun_lite._client.timeline import Bar, _in_lanes, chrome_trace, draw, read_timeline, ticks
from redun_lite._history import open_history
from redun_lite._status import CACHED, DONE, FAILED

redun_namespace = "test_timeline"
SECOND = 1_000_000


@task
def work(i):
    return i


@task
def gather(n):
    return [work(i) for i in range(n)]


@task
def twice():
    return [work(1), work(1)]


@task(retries=1, retry_delay=0)
def shaky(x):
    raise ValueError(f"<{x}>")


@task
def whole(n):
    return subrun(gather(n), executor="default")


class Times:
    """A repository whose last execution gets times that a test says.

    Parameters
    ----------
    times
        For each job of `work`, in order, when it began and ended, in seconds.
    """

    def __init__(self, folder, expr, times=(), took=10.0):
        self.lab = Lab(folder)
        self.lab.run(expr)
        connection = sqlite3.connect(self.lab.path)
        with connection:
            connection.execute("UPDATE execution SET started = 0, ended = ?", (took * SECOND,))
            connection.execute("UPDATE job SET started = 0, ended = ?", (took * SECOND,))
            ids = connection.execute(
                "SELECT job.id FROM job JOIN task ON task.id = task_id "
                "WHERE fullname = 'test_timeline.work' ORDER BY job.id"
            ).fetchall()
            for (job_id,), (begin, end) in zip(ids, times):
                connection.execute(
                    "UPDATE job SET started = ?, ended = ? WHERE id = ?",
                    (int(begin * SECOND), int(end * SECOND), job_id),
                )
        connection.close()

    def read(self, **more):
        with open_history(str(self.lab.path)) as history:
            return read_timeline(history, history.find("-"), **more)

    def svg(self):
        with open_history(str(self.lab.path)) as history:
            return draw(history, history.find("-"))

    def trace(self):
        with open_history(str(self.lab.path)) as history:
            return json.loads("".join(chrome_trace(history, history.find("-"))))


def texts(svg):
    root = ElementTree.fromstring(svg)
    return [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]


def bar(started, ended, is_above=False):
    return Bar(started, "work", DONE, started, ended, None, is_above)


# Lanes


def test_a_job_takes_the_first_lane_that_is_free():
    bars = [bar(0, 10), bar(1, 3), bar(3, 5), bar(4, 6), bar(10, 11)]
    assert [placed.lane for placed in _in_lanes(bars)] == [0, 1, 1, 2, 0]


def test_jobs_that_led_to_others_have_lanes_of_their_own():
    bars = [bar(0, 10, True), bar(1, 3), bar(2, 9, True)]
    assert [(b.is_above, b.lane) for b in _in_lanes(bars)] == [(True, 0), (True, 1), (False, 0)]


@pytest.mark.parametrize("seed", range(5))
def test_there_are_as_many_lanes_as_jobs_at_a_time_and_none_overlap(seed):
    pick = random.Random(seed)
    starts = sorted(pick.randrange(300) for _ in range(80))
    bars = _in_lanes([bar(start, start + pick.randrange(1, 40)) for start in starts])
    at_a_time = max(sum(b.started <= t < b.ended for b in bars) for t in range(340))
    assert max(b.lane for b in bars) + 1 == at_a_time
    for i, a in enumerate(bars):
        for b in bars[:i]:
            assert a.lane != b.lane or a.started >= b.ended or b.started >= a.ended


def test_jobs_that_took_no_time_do_not_lie_on_each_other():
    assert [b.lane for b in _in_lanes([bar(5, 5), bar(5, 5)])] == [0, 1]


# The axis


@pytest.mark.parametrize(
    ("took", "shown"),
    [
        (40, ["0", "5 µs", "10 µs"]),
        (450_000, ["0", "50 ms", "100 ms"]),
        (95 * SECOND, ["0", "15 s", "30 s"]),
        (8 * 60 * SECOND, ["0", "1 min", "2 min"]),
        (200 * 60 * SECOND, ["0", "30 min", "60 min"]),
        (30 * 3600 * SECOND, ["0", "6 h", "12 h"]),
        (40 * 86400 * SECOND, ["0", "5 d", "10 d"]),
        (5000 * 86400 * SECOND, ["0", "1,000 d", "2,000 d"]),
    ],
)
def test_moments_on_the_axis_are_round(took, shown):
    moments, label = ticks(took)
    assert [label(moment) for moment in moments[:3]] == shown
    assert 2 <= len(moments) <= 10
    assert moments[-1] <= took


# Bars


def test_each_job_is_a_bar_from_its_beginning_to_its_end(tmp_path):
    timeline = Times(tmp_path, gather(2), [(1, 4), (2, 8)]).read()
    assert [(b.task, b.started, b.ended, b.is_above, b.lane) for b in timeline.bars] == [
        ("test_timeline.gather", 0, 10 * SECOND, True, 0),
        ("test_timeline.work", 1 * SECOND, 4 * SECOND, False, 0),
        ("test_timeline.work", 2 * SECOND, 8 * SECOND, False, 1),
    ]
    assert timeline.took == 10 * SECOND


def test_cached_jobs_are_counted_and_not_drawn(tmp_path):
    times = Times(tmp_path, twice())
    timeline = times.read()
    assert timeline.counts == {CACHED: 1, DONE: 2}
    assert len(timeline.bars) == 2
    assert "3 jobs · 1 cached, not shown" in texts(times.svg())[1]


def test_a_picture_says_what_ran_and_for_how_long(tmp_path):
    shown = texts(Times(tmp_path, gather(2), [(1, 4), (2, 8)]).svg())
    assert shown[2:] == [
        *["0", "2 s", "4 s", "6 s", "8 s", "10 s"],
        *["gather", "work", "work"],
        *["work ×2 · 9.0 s", "waits for others"],
    ]


def test_attempts_are_parts_of_a_bar(tmp_path):
    lab = Lab(tmp_path)
    with pytest.raises(ValueError, match="<1>"):
        lab.run(shaky(1))
    with open_history(str(lab.path)) as history:
        timeline = read_timeline(history, history.find("-"))
        svg = draw(history, history.find("-"))
    (only,) = timeline.bars
    assert only.status == FAILED
    assert [failed for _, _, failed in only.attempts] == [True, True]
    assert svg.count('class="bar bad"') == 3  # Two attempts, and the legend.
    assert "2 attempts" in svg


def test_jobs_of_subruns_are_there(tmp_path):
    tasks = {b.task for b in Times(tmp_path, whole(3)).read().bars}
    assert {"test_timeline.gather", "test_timeline.work", "test_timeline.whole"} <= tasks


def test_a_job_that_has_not_ended_goes_on_to_the_last_sign_of_life(tmp_path):
    times = Times(tmp_path, gather(1), [(1, 4)])
    connection = sqlite3.connect(times.lab.path)
    with connection:
        connection.execute(
            "UPDATE execution SET status = 'RUNNING', ended = NULL, heartbeat = ?", (7 * SECOND,)
        )
        connection.execute("UPDATE job SET status = 'RUNNING', ended = NULL")
    connection.close()
    timeline = times.read()
    assert {(b.status, b.ended) for b in timeline.bars} == {("KILLED", 7 * SECOND)}


def test_names_are_escaped(tmp_path):
    @task(name="x", namespace="a", version="1")
    def hostile():
        return 1

    lab = Lab(tmp_path)
    lab.run(hostile())
    connection = sqlite3.connect(lab.path)
    with connection:
        connection.execute("UPDATE task SET fullname = ?", ("<script>\x1b'\"&",))
    connection.close()
    with open_history(str(lab.path)) as history:
        svg = draw(history, history.find("-"))
        json.loads("".join(chrome_trace(history, history.find("-"))))
    ElementTree.fromstring(svg)
    assert "<script" not in svg
    assert "\x1b" not in svg


# Bands


def test_the_jobs_of_a_task_are_a_band_if_there_are_too_many(tmp_path):
    times = Times(tmp_path, gather(4), [(0, 5), (0, 5), (0, 2.5), (5, 10)])
    timeline = times.read(most=4)
    assert timeline.bars == []
    assert [(band.task, band.jobs, band.busy) for band in timeline.bands] == [
        ("test_timeline.work", 4, 17.5 * SECOND),
        ("test_timeline.gather", 1, 10 * SECOND),
    ]
    assert [band.is_above for band in timeline.bands] == [False, True]


def test_a_band_is_as_high_as_jobs_ran_at_a_time(tmp_path):
    times = Times(tmp_path, gather(4), [(0, 5), (0, 5), (0, 2.5), (5, 10)])
    running = times.read(most=4).bands[0].running
    quarter = len(running) // 4
    assert running[quarter // 2] == pytest.approx(3)
    assert running[quarter + quarter // 2] == pytest.approx(2)
    assert running[3 * quarter] == pytest.approx(1)


@pytest.mark.parametrize("seed", range(3))
def test_bands_hold_all_the_time_that_jobs_took(tmp_path, seed):
    pick = random.Random(seed)
    begins = [pick.uniform(0, 9) for _ in range(12)]
    spans = [(begin, pick.uniform(begin, 10)) for begin in begins]
    band = Times(tmp_path, gather(12), spans).read(most=1).bands[0]
    width = -(-(10 * SECOND + 1) // len(band.running))
    assert sum(band.running) * width == pytest.approx(band.busy, abs=2)


def test_more_jobs_at_a_time_than_fit_are_bands(tmp_path, monkeypatch):
    monkeypatch.setattr("redun_lite._client.timeline.MAX_LANES", 3)
    assert Times(tmp_path, gather(4)).read().bands


def test_bands_say_how_many_jobs_there_were(tmp_path, monkeypatch):
    monkeypatch.setattr("redun_lite._client.timeline.MAX_BARS", 1)
    monkeypatch.setattr("redun_lite._client.timeline.read_timeline.__defaults__", (1,))
    shown = texts(Times(tmp_path, gather(4)).svg())
    assert "×4 · 40.0 s" in shown
    assert "How many jobs of each task ran at a time; the highest number is at the right." in shown


# Traces


def test_a_trace_has_an_event_for_each_job(tmp_path):
    trace = Times(tmp_path, gather(2), [(1, 4), (2, 8)]).trace()
    events = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    assert [(e["name"], e["ts"], e["dur"], e["pid"], e["tid"]) for e in events] == [
        ("test_timeline.gather", 0, 10 * SECOND, 1, 1),
        ("test_timeline.work", 1 * SECOND, 3 * SECOND, 2, 1),
        ("test_timeline.work", 2 * SECOND, 6 * SECOND, 2, 2),
    ]
    assert events[1]["args"]["call"] == "test_timeline.work(i=0)"
    named = [e["args"]["name"] for e in trace["traceEvents"] if e["name"] == "process_name"]
    assert named == ["jobs that wait for others", "jobs"]


def test_a_trace_says_what_it_leaves_out(tmp_path, monkeypatch):
    monkeypatch.setattr("redun_lite._client.timeline.MAX_EVENTS", 3)
    trace = Times(tmp_path, gather(4), [(1, 2), (1, 9), (1, 2), (1, 8)]).trace()
    assert trace["otherData"]["leftOut"] == "the 2 shortest jobs"
    assert {e["dur"] for e in trace["traceEvents"] if e["ph"] == "X"} == {
        10 * SECOND,
        8 * SECOND,
        7 * SECOND,
    }


def test_attempts_lie_within_their_job(tmp_path):
    lab = Lab(tmp_path)
    with pytest.raises(ValueError, match="<1>"):
        lab.run(shaky(1))
    with open_history(str(lab.path)) as history:
        trace = json.loads("".join(chrome_trace(history, history.find("-"))))
    job, *attempts = (event for event in trace["traceEvents"] if event["ph"] == "X")
    assert [event["name"] for event in attempts] == ["attempt 1", "attempt 2"]
    for event in attempts:
        assert (event["pid"], event["tid"]) == (job["pid"], job["tid"])
        assert job["ts"] <= event["ts"]
        assert event["ts"] + event["dur"] <= job["ts"] + job["dur"]


# The command


@pytest.mark.parametrize(("name", "start"), [("x.svg", "<svg "), ("x.json", '{"displayTimeUnit"')])
def test_the_name_of_the_output_says_its_format(tmp_path, name, start):
    lab = Times(tmp_path, gather(2)).lab
    assert main(["timeline", "-", "--repo", str(lab.path), "-o", str(tmp_path / name)]) == 0
    assert (tmp_path / name).read_text(encoding="utf-8").startswith(start)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-", "-o", "x.png"], "a name that ends in .svg, .json says the format"),
        (["abc"], "no execution 'abc'"),
    ],
)
def test_what_cannot_work_is_one_line(tmp_path, capsys, words, told):
    lab = Times(tmp_path, gather(2)).lab
    assert main(["timeline", "--repo", str(lab.path), *words]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert told in err
