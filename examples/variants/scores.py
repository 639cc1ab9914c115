"""How the variants that were called compare with the truth: of each sample, and of all."""

import csv
from typing import NamedTuple

from formats import VCF, read_vcf

from redun_lite import File, task

redun_namespace = "variants"


class Sample(NamedTuple):
    """What comes out of the steps for a sample."""

    name: str
    descent: tuple[int, ...]
    depth: float
    truth: File
    calls: File


class Score(NamedTuple):
    """The places in the genome where a sample's variants were found, missed, or called falsely."""

    name: str
    descent: tuple[int, ...]
    depth: float
    found: list[int]
    missed: list[int]
    false: list[int]


KINDS = ("found", "missed", "false")


def share(part: int, rest: int) -> float:
    """Return what share of all a part is; of nothing, all."""
    return part / (part + rest) if part + rest else 1.0


def recall(score: Score) -> float:
    """Return the share of what is there that was found."""
    return share(len(score.found), len(score.missed))


def precision(score: Score) -> float:
    """Return the share of what was called that is there."""
    return share(len(score.found), len(score.false))


def total(scores: list[Score], kind: str) -> int:
    return sum(len(getattr(score, kind)) for score in scores)


@task(hash_includes=[VCF])
def compare(samples: list[Sample]) -> list[Score]:
    """Return the scores in the order of descent: whom a sample infected follows it."""
    scores = []
    for sample in sorted(samples, key=lambda sample: sample.descent):
        truth, calls = read_vcf(sample.truth), read_vcf(sample.calls)
        kinds = (truth & calls, truth - calls, calls - truth)
        places = (sorted(place for place, _, _ in variants) for variants in kinds)
        scores.append(Score(sample.name, sample.descent, sample.depth, *places))
    return scores


@task(hash_includes=[KINDS, share, recall, precision])
def write_table(scores: list[Score], path: str) -> File:
    file = File(path)
    with file.open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["sample", "depth", *KINDS, "recall", "precision"])
        for score in sorted(scores):
            counts = (len(getattr(score, kind)) for kind in KINDS)
            rates = f"{recall(score):.4f}", f"{precision(score):.4f}"
            table.writerow([score.name, f"{score.depth:.2f}", *counts, *rates])
    return file


@task(hash_includes=[KINDS, share, total])
def summarize(scores: list[Score]) -> dict[str, float]:
    found, missed, false = (total(scores, kind) for kind in KINDS)
    return {
        "samples": len(scores),
        "variants": found + missed,
        "found": found,
        "false": false,
        "recall": round(share(found, missed), 4),
        "precision": round(share(found, false), 4),
    }
