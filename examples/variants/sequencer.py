"""Samples of a virus and their sequencing, simulated, so that the truth is known.

The genome is small and circular.  Each sample was infected by an earlier one and has mutations of
its own besides those it inherits.  Whatever is random comes from a generator whose seed says what
it is for, so a sample is the same however many there are, and in whatever order they are made.
"""

from random import Random

from formats import FASTA, FASTQ, VCF, read_fasta, write_fasta, write_fastq, write_vcf

from redun_lite import File, task

redun_namespace = "variants"

GENOME_LENGTH = 5000
READ_LENGTH = 100
MUTATIONS = 5
ADAPTER = "AGATCGGAAGAGCACACGTCTGAACTCCAGTCA"  # what is read past the end of a short fragment


@task(hash_includes=[FASTA, GENOME_LENGTH])
def make_reference(seed: int, path: str) -> File:
    return write_fasta(path, "".join(Random(f"{seed}").choices("ACGT", k=GENOME_LENGTH)))


def find_descent(number: int, seed: int) -> tuple[int, ...]:
    """Return the numbers of the samples from the first to this one, each infected by the last."""
    descent = [number]
    while descent[-1] > 0:
        descent.append(Random(f"{seed} source of {descent[-1]}").randrange(descent[-1]))
    return tuple(reversed(descent))


def other_than(base: str, chance: Random) -> str:
    return chance.choice("ACGT".replace(base, ""))


def reverse_complement(bases: str) -> str:
    return bases.translate(str.maketrans("ACGT", "TGCA"))[::-1]


def read_fragment(fragment: str, chance: Random) -> tuple[str, str]:
    """Return the bases read and their qualities, which from some point on get ever worse."""
    bases = list((fragment + ADAPTER).ljust(READ_LENGTH, "A")[:READ_LENGTH])
    qualities = ""
    fading = chance.randint(READ_LENGTH // 2, READ_LENGTH * 3 // 2)
    for i, base in enumerate(bases):
        quality = max(2, 34 - int(12 * chance.random()) - 2 * max(0, i - fading))
        qualities += chr(33 + quality)
        if chance.random() < 10 ** (-quality / 10):
            bases[i] = other_than(base, chance)
    return "".join(bases), qualities


SIMULATION = [other_than, reverse_complement, read_fragment, READ_LENGTH, MUTATIONS, ADAPTER]


@task(executor="process", nout=2, hash_includes=[FASTA, FASTQ, VCF, SIMULATION])
def sequence(
    reference: File, descent: tuple[int, ...], seed: int, depth: float, fastq: str, vcf: str
) -> tuple[File, File]:
    """Return the reads of a sample, and the variants that it has in truth."""
    ancestral = read_fasta(reference)
    genome = list(ancestral)
    for number in descent:
        chance = Random(f"{seed} mutations of {number}")
        for i in chance.sample(range(len(genome)), MUTATIONS):
            genome[i] = other_than(genome[i], chance)
    pairs = enumerate(zip(ancestral, genome), start=1)
    truth = [(position, old, new) for position, (old, new) in pairs if old != new]

    chance = Random(f"{seed} reads of {descent[-1]}")
    circle = "".join(genome) * 2
    reads = []
    depth *= chance.uniform(0.1, 1.2)  # Not every sample yields what was hoped for.
    for number in range(round(depth * len(genome) / READ_LENGTH)):
        start = chance.randrange(len(genome))
        fragment = circle[start : start + chance.randint(50, 250)]
        if chance.random() < 0.5:
            fragment = reverse_complement(fragment)
        reads.append((f"read{number}", *read_fragment(fragment, chance)))
    return write_fastq(fastq, reads), write_vcf(vcf, truth)
