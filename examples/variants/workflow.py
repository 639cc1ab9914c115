"""Finding the variants of sequenced samples, and how many of those that are there are found.

Each step of each sample is a job that takes `File`s and writes one.  The steps compute in pure
Python, so they run in worker processes.
"""

from collections import Counter
from operator import ne
from pathlib import Path
from typing import Any

from chart import draw_chart
from formats import (
    FASTA,
    FASTQ,
    SAM,
    VCF,
    read_fasta,
    read_fastq,
    read_sam,
    write_fastq,
    write_sam,
    write_vcf,
)
from scores import Sample, compare, summarize, write_table
from sequencer import (
    ADAPTER,
    GENOME_LENGTH,
    find_descent,
    make_reference,
    reverse_complement,
    sequence,
)

from redun_lite import File, task

redun_namespace = "variants"

HERE = Path(__file__).resolve().parent


# The steps.  A task's hash covers its own source; what else it depends on is in hash_includes.


def find_adapter(bases: str) -> int:
    """Return where the adapter begins, which the end of the read may cut short."""
    found = bases.find(ADAPTER[:10])
    if found >= 0:
        return found
    overlaps = (length for length in range(9, 2, -1) if bases.endswith(ADAPTER[:length]))
    return len(bases) - next(overlaps, 0)


def find_bad_tail(qualities: str) -> int:
    """Return where the tail begins whose qualities, in sum, fall short of 20 by most."""
    shortfall = largest = 0
    begin = len(qualities)
    for i in range(len(qualities) - 1, -1, -1):
        shortfall += 33 + 20 - ord(qualities[i])
        if shortfall < 0:
            break
        if shortfall > largest:
            begin, largest = i, shortfall
    return begin


@task(executor="process", hash_includes=[FASTQ, find_adapter, find_bad_tail, ADAPTER])
def trim(reads: File, path: str) -> File:
    """Cut off adapters and bad tails, and leave out reads of which too little remains."""
    trimmed = []
    for name, bases, qualities in read_fastq(reads):
        end = min(find_adapter(bases), find_bad_tail(qualities))
        if end >= 40:
            trimmed.append((name, bases[:end], qualities[:end]))
    return write_fastq(path, trimmed)


WORD = 15  # bases


def place(bases: str, circle: str, words: dict[str, int]) -> int:
    """Return where a read begins if a word says so and nine bases of ten agree, or else -1."""
    for i in range(0, len(bases) - WORD + 1, WORD):
        found = words.get(bases[i : i + WORD])
        if found is not None:
            start = (found - i) % len(words)
            if sum(map(ne, bases, circle[start : start + len(bases)])) <= len(bases) // 10:
                return start
    return -1


@task(executor="process", hash_includes=[FASTA, FASTQ, SAM, place, reverse_complement, WORD])
def align(reads: File, reference: File, path: str) -> File:
    """Find where in the genome each read is from, by its words; leave out those from nowhere."""
    genome = read_fasta(reference)
    circle = genome * 2
    words = {circle[i : i + WORD]: i for i in range(len(genome))}
    aligned = []
    for name, bases, qualities in read_fastq(reads):
        backward = reverse_complement(bases), qualities[::-1]
        for flag, strand in ((0, (bases, qualities)), (16, backward)):
            start = place(strand[0], circle, words)
            if start >= 0:
                aligned.append((name, flag, (start, *strand)))
                break
    return write_sam(path, len(genome), aligned)


@task(executor="process", nout=2, hash_includes=[FASTA, SAM, VCF])
def call(aligned: File, reference: File, min_depth: int, path: str) -> tuple[File, float]:
    """Pile the reads up on the genome.  Return where they agree on another base, and their depth.

    A variant takes `min_depth` bases that are 95% sure, three of four of them the same.
    """
    genome = read_fasta(reference)
    pile = [[] for _ in genome]
    for start, bases, qualities in read_sam(aligned):
        for i, (base, quality) in enumerate(zip(bases, qualities), start):
            if ord(quality) >= 33 + 13:
                pile[i % len(genome)].append(base)
    variants = []
    for position, (old, column) in enumerate(zip(genome, pile), start=1):
        if len(column) >= min_depth:
            new, count = Counter(column).most_common(1)[0]
            if new != old and count >= 0.75 * len(column):
                variants.append((position, old, new))
    return write_vcf(path, variants), sum(map(len, pile)) / len(genome)


@task(hash_includes=[find_descent])
def analyse(
    number: int, seed: int, reference: File, depth: float, min_depth: int, out: str
) -> Sample:
    """Take one sample through the steps."""
    name = f"s{number:03}"
    descent = find_descent(number, seed)
    fastq, truth = sequence(
        reference, descent, seed, depth, f"{out}/reads/{name}.fastq", f"{out}/truth/{name}.vcf"
    )
    trimmed = trim(fastq, f"{out}/trimmed/{name}.fastq")
    aligned = align(trimmed, reference, f"{out}/aligned/{name}.sam")
    calls, mean_depth = call(aligned, reference, min_depth, f"{out}/calls/{name}.vcf")
    return Sample(name, descent, mean_depth, truth, calls)


@task(hash_includes=[GENOME_LENGTH])
def main(
    samples: int = 24,
    seed: int = 1,
    depth: float = 25,
    min_depth: int = 4,
    out: Path = HERE / "build",
) -> dict[str, Any]:
    """Sequence samples, call their variants, and say how right the calls are.

    Parameters
    ----------
    samples
        How many.
    seed
        Another seed is another virus and other samples.
    depth
        How many times a genome is read.  A sample gets between a tenth and 1.2 times that.
    min_depth
        How many reads a call takes.
    out
        Where all files go.
    """
    for name, value in (("samples", samples), ("min-depth", min_depth)):
        if value < 1:
            raise ValueError(f"--{name} {value}: it takes 1 at least")
    reference = make_reference(seed, f"{out}/reference.fasta")
    scores = compare(
        [analyse(i, seed, reference, depth, min_depth, str(out)) for i in range(samples)]
    )
    return {
        "table": write_table(scores, f"{out}/samples.csv"),
        "chart": draw_chart(scores, GENOME_LENGTH, min_depth, f"{out}/samples.svg"),
        "totals": summarize(scores),
    }
