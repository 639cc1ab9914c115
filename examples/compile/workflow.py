"""Two C programs and the library they share, built by gcc.

Files go in as arguments and come out as results, so a job runs again when a file that it reads was
edited or a file that it wrote is gone.
"""

import subprocess
import sys
from pathlib import Path

from redun_lite import File, task

redun_namespace = "compile"

HERE = Path(__file__).resolve().parent


def run_gcc(*arguments: str) -> None:
    """Run gcc; if it fails, what it says becomes the error of the job."""
    done = subprocess.run(["gcc", *arguments], stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"gcc {' '.join(arguments)} failed:\n{done.stderr}")
    sys.stderr.write(done.stderr)  # warnings


# A task's hash covers its own source.  What it calls besides tasks is listed in hash_includes.


@task(hash_includes=[run_gcc])
def compile_c(source: File, headers: list[File], target: str, optimize: int) -> File:
    """Compile one source.  The headers are read by gcc, so a change of them counts too."""
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    run_gcc("-Wall", f"-O{optimize}", "-c", source.path, "-o", target)
    return File(target)


@task(hash_includes=[run_gcc])
def link(objects: list[File], target: str) -> File:
    run_gcc(*(file.path for file in objects), "-o", target)
    return File(target)


@task
def build(name: str, sources: list[File], headers: list[File], out: str, optimize: int) -> File:
    """Build one program.  Both programs compile lib.c; equal calls in an execution run once."""
    objects = [
        compile_c(source, headers, f"{out}/{Path(source.path).stem}.o", optimize)
        for source in sources
    ]
    return link(objects, f"{out}/{name}")


@task
def main(out: Path = HERE / "build", optimize: int = 2) -> dict[str, File]:
    headers = [File(HERE / "lib.h")]
    lib = File(HERE / "lib.c")
    return {
        name: build(name, [File(HERE / f"{name}.c"), lib], headers, str(out), optimize)
        for name in ("prog", "prog2")
    }
