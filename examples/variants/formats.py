"""Genomes, reads and variants in the text files that the trade has for them.

The lists in capitals are for the `hash_includes` of tasks: the code that reads and writes a format.
"""

from collections.abc import Iterable, Iterator

from redun_lite import File

Read = tuple[str, str, str]
"""Name, bases, qualities: a quality of q is the character 33 + q, and says that the base is wrong
with a chance of 10 ** (-q / 10)."""

Alignment = tuple[int, str, str]
"""Where a read begins in the genome, counted from 0; bases and qualities in its direction."""

Variant = tuple[int, str, str]
"""Position in the genome, counted from 1; the base of the reference, and that of the sample."""


def write_lines(path: str, lines: Iterable[str]) -> File:
    file = File(path)
    file.write("\n".join(lines) + "\n")
    return file


def read_fasta(file: File) -> str:
    return "".join(file.read().split("\n")[1:])


def write_fasta(path: str, genome: str) -> File:
    return write_lines(path, [">virus", genome])


def read_fastq(file: File) -> Iterator[Read]:
    lines = file.read().split("\n")
    return ((lines[i][1:], lines[i + 1], lines[i + 3]) for i in range(0, len(lines) - 1, 4))


def write_fastq(path: str, reads: Iterable[Read]) -> File:
    return write_lines(path, (f"@{name}\n{bases}\n+\n{quals}" for name, bases, quals in reads))


def read_sam(file: File) -> Iterator[Alignment]:
    rows = (line.split("\t") for line in file.read().split("\n") if line[:1] not in ("", "@"))
    return ((int(row[3]) - 1, row[9], row[10]) for row in rows)


def write_sam(path: str, length: int, alignments: Iterable[tuple[str, int, Alignment]]) -> File:
    """Write alignments, each with the name of its read and 16 for one in the other direction."""
    rows = (
        f"{name}\t{flag}\tvirus\t{start + 1}\t60\t{len(bases)}M\t*\t0\t0\t{bases}\t{qualities}"
        for name, flag, (start, bases, qualities) in alignments
    )
    return write_lines(path, [f"@SQ\tSN:virus\tLN:{length}\tTP:circular", *rows])


def read_vcf(file: File) -> set[Variant]:
    rows = (line.split("\t") for line in file.readlines() if not line.startswith("#"))
    return {(int(row[1]), row[3], row[4]) for row in rows}


def write_vcf(path: str, variants: Iterable[Variant]) -> File:
    rows = (f"virus\t{at}\t.\t{old}\t{new}\t.\tPASS\t." for at, old, new in variants)
    header = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
    return write_lines(path, ["##fileformat=VCFv4.3", header, *rows])


FASTA = [read_fasta, write_fasta, write_lines]
FASTQ = [read_fastq, write_fastq, write_lines]
SAM = [read_sam, write_sam, write_lines]
VCF = [read_vcf, write_vcf, write_lines]
