"""A week of a web server's logs, taken apart by what every shell has: awk, sort and gzip.

Scripts run in directories of their own.  `stage` says under which name a script finds a file, and
under which name it leaves one.
"""

import random
from pathlib import Path

from redun_lite import Dir, File, script, shell_quote, task

redun_namespace = "scripts"

HERE = Path(__file__).resolve().parent
PAGES = ["/", "/about", "/contact", "/docs/first steps", "/docs/reference", "/it's-new"]


@task(hash_includes=[PAGES])
def write_log(day: int, path: str) -> File:
    """Make up the log of a day: time, status, bytes, page, with a tab between them."""
    chance = random.Random(day)
    log = File(path)
    with log.open("w") as stream:
        for minute in sorted(chance.choices(range(24 * 60), k=400)):
            status = chance.choices([200, 404, 500], [90, 8, 2])[0]
            line = (minute, status, chance.randrange(200, 90_000), chance.choice(PAGES))
            print(*line, sep="\t", file=stream)
    return log


@task
def summarise(log: File, out: str) -> dict[str, File]:
    """Sum up a day by page, and keep what the server could not answer."""
    return script(
        r"""
        awk -F '\t' '
            $2 == 200 { requests[$4]++; bytes[$4] += $3 }
            END { for (page in requests) print page "\t" requests[page] "\t" bytes[page] }
        ' log | sort > pages.tsv
        awk -F '\t' '$2 >= 500' log | gzip -n > failures.gz
        """,
        inputs=[log.stage("log")],
        outputs={
            "pages": File(f"{out}/pages.tsv").stage("pages.tsv"),
            "failures": File(f"{out}/failures.gz").stage("failures.gz"),
        },
        tempdir=True,
    )


@task(script=True)
def count_lines(files: list[File]):
    # The result is what goes to standard output, as bytes.  The names are quoted.
    return f"""
        cat {shell_quote(files)} | gunzip | wc -l
    """


@task
def add_up(tables: list[File], out: str) -> File:
    """Sum up all days.  The inputs get names that one pattern fits."""
    return script(
        r"""
        sort day-*.tsv | awk -F '\t' '
            { requests[$1] += $2; bytes[$1] += $3 }
            END { for (page in requests) print requests[page] "\t" bytes[page] "\t" page }
        ' | sort -k 1,1nr -k 3 > total.tsv
        """,
        inputs=[table.stage(f"day-{day}.tsv") for day, table in enumerate(tables)],
        outputs=File(f"{out}/total.tsv").stage("total.tsv"),
        tempdir=True,
    )


@task
def split(logs: list[File], out: str) -> Dir:
    """Sort the requests by hour: a directory of as many files as there are hours with any."""
    return script(
        r"""
        mkdir hours
        cat log-* | awk -F '\t' '{ print > sprintf("hours/%02d.tsv", $1 / 60) }'
        """,
        inputs=[log.stage(f"log-{day}") for day, log in enumerate(logs)],
        outputs=Dir(f"{out}/hours").stage("hours"),
        tempdir=True,
    )


@task
def draw(total: File, out: str) -> File:
    """Draw a bar for each page, by a script that is none of a shell's."""
    return script(
        """
        #!/usr/bin/env python3
        from html import escape

        rows = [line.rstrip("\\n").split("\\t") for line in open("total.tsv")]
        most = int(rows[0][0])
        lines = ['<svg xmlns="http://www.w3.org/2000/svg" width="500" height="200">']
        for n, (requests, _, page) in enumerate(rows):
            width = 300 * int(requests) // most
            lines.append(f'<rect x="150" y="{24 * n + 4}" width="{width}" height="16"/>')
            lines.append(f'<text x="0" y="{24 * n + 17}">{escape(page)}</text>')
        with open("chart.svg", "w") as chart:
            print(*lines, "</svg>", sep="\\n", file=chart)
        """,
        inputs=total.stage("total.tsv"),
        outputs=File(f"{out}/chart.svg").stage("chart.svg"),
        tempdir=True,
    )


@task
def main(out: str = str(HERE / "build"), days: int = 7):
    logs = [write_log(day, f"{out}/logs/{day}.log") for day in range(days)]
    made = [summarise(log, f"{out}/days/{day}") for day, log in enumerate(logs)]
    total = add_up([files["pages"] for files in made], out)
    return {
        "failures": count_lines([files["failures"] for files in made]).decode().strip(),
        "total": total,
        "hours": split(logs, out),
        "chart": draw(total, out),
    }
