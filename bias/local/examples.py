"""What the local judge learns from: texts with a level from 1 to 5, read from public data and from
the sentences that ship with it.

Of rated texts (ToxiGen's human ratings, MIT and CDLA-Permissive 2.0) a hash of the text says which
part each is in: training, calibration or test. A text that stands twice is in one part.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Literal

from bias.local.groups import GROUPS, fill, swapped
from model_pipeline.errors import InvalidInput
from model_pipeline.text.sentences import sentences

Part = Literal["train", "calibration", "test"]
RATED = Path("toxigen_human/toxigen_dev_even.jsonl")
WRITTEN = Path(__file__).with_name("written.tsv")
TRAIN, CALIBRATION = 0.7, 0.8  # the shares of the hash up to which a text is in that part
FILLED = 5  # groups that each written template is filled with
PLAIN = 150  # texts of each source of plain mentions
SHORT, LONG = 6, 30  # words: no text is cut below, no sentence is prose above
LEFT_OUT = 0.12  # of the words of a thinned text
RESPELLED = 0.6  # of the words that can be
RATED_WEIGHT, WRITTEN_WEIGHT, PLAIN_WEIGHT = 1.0, 0.5, 0.5
WORDS = re.compile(r"[A-Za-z']+")
# Not those of bias/controls.py alone, which test what is learnt here.
SPELLINGS = {
    "the": ("da", "tha", "teh"), "this": ("dis",), "that": ("dat", "tht"), "them": ("dem", "em"),
    "they": ("dey",), "these": ("dese",), "those": ("dose",), "there": ("der", "dere"),
    "with": ("wit", "w", "wiv"), "you": ("u", "ya"), "your": ("ur", "yo"), "are": ("r",),
    "because": ("cuz", "cause", "bc", "coz"), "about": ("bout",), "people": ("ppl", "folk"),
    "and": ("n", "an'"), "what": ("wat", "wut"), "just": ("jus",), "should": ("shud",),
    "would": ("wud",), "have": ("hav",), "isn't": ("ain't",), "aren't": ("ain't",),
    "don't": ("dont",), "can't": ("cant",), "going": ("gon", "goin"), "want": ("wan",),
    "nothing": ("nuthin", "nada"), "something": ("sumthin",), "brother": ("bruh", "bro"),
    "sister": ("sis",), "good": ("gud",), "know": ("kno",), "not": ("nt", "not"), "for": ("fer",),
    "always": ("alwayz",), "never": ("neva",), "other": ("otha",), "their": ("dere", "thier"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Example:
    """`level` is a mean of ratings, from 1 to 5; `source` is "toxigen", "written" or "plain"."""

    text: str
    level: float
    source: str
    groups: tuple[str, ...] = ()
    weight: float = 1.0


def part(text: str) -> Part:
    """The same for every case and spacing of a text."""
    plain = " ".join(text.casefold().split())
    share = int(hashlib.sha256(plain.encode()).hexdigest()[:8], 16) / 2**32
    return "train" if share < TRAIN else "calibration" if share < CALIBRATION else "test"


def rated(data: Path, wanted: Part) -> list[Example]:
    """Those of `data` in the part. Raises InvalidInput where the file is not there or not so."""
    path = data / RATED
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines if line.strip()]
        found = [
            Example(
                row["text"],
                6 - float(row["toxicity_score"]),
                "toxigen",
                tuple(row["target_groups"]),
                RATED_WEIGHT,
            )
            for row in rows
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(
            f"{path} cannot be read ({error}): give the folder that holds ToxiGen's human ratings, "
            f"as {RATED}, with text, toxicity_score and target_groups in each row."
        ) from error
    return [one for one in found if part(one.text) == wanted]


def written(seed: int) -> list[Example]:
    """The shipped sentences, templates filled with drawn groups."""
    random = Random(seed)  # noqa: S311
    found = []
    for line in WRITTEN.read_text(encoding="utf-8").splitlines():
        level, _, text = line.partition("\t")
        drawn = random.sample(GROUPS, FILLED) if "{" in text else [GROUPS[0]]
        found += [
            Example(fill(text, group), float(level), "written", weight=WRITTEN_WEIGHT)
            for group in drawn
        ]
    return found


def plain(data: Path, seed: int) -> list[Example]:
    """Texts that mention people and harm nobody, level 5, of the sets that `data` has."""
    random = Random(seed)  # noqa: S311
    found: list[Example] = []
    for texts in _plain(data):
        own = sorted(set(texts))
        drawn = random.sample(own, min(PLAIN, len(own)))
        found += [Example(text, 5.0, "plain", weight=PLAIN_WEIGHT) for text in drawn]
    return found


def swaps(examples: list[Example], seed: int) -> list[Example]:
    """Each of `examples` that names a group, with another group named; its level is the same."""
    random = Random(seed)  # noqa: S311
    others = [replace(one, text=swapped(one.text, random)) for one in examples]
    return [new for new, old in zip(others, examples, strict=True) if new.text != old.text]


def spelled(examples: list[Example], seed: int) -> list[Example]:
    """Each of `examples` but plain ones, as people type who need no dictionary; its level is
    the same."""
    random = Random(seed)  # noqa: S311
    rude = [one for one in examples if one.source != "plain"]
    others = [replace(one, text=respelled(one.text, random)) for one in rude]
    return [new for new, old in zip(others, rude, strict=True) if new.text != old.text]


def probes(data: Path) -> list[str]:
    """Sentences that mention people and harm nobody, of sets that nothing is learnt from: WinoBias
    (MIT), and BBQ's ambiguous contexts on religion (CC BY 4.0)."""
    wino = [
        re.sub(r"^\d+ |[\[\]]", "", line)
        for line in _lines(data / "fair_llm_benchmark/WinoBias/data/anti_stereotyped_type1.txt.dev")
    ]
    return wino + _ambiguous(data, "Religion")


def _plain(data: Path) -> Iterator[list[str]]:
    """Winogender (MIT), BBQ's ambiguous contexts (CC BY 4.0), ABCD's conversations (MIT) and
    FastAPI's documentation (MIT)."""
    table = data / "fair_llm_benchmark/Winogender/data/all_sentences.tsv"
    yield [row["sentence"] for row in csv.DictReader(_lines(table), delimiter="\t")]
    yield _ambiguous(data, "Age") + _ambiguous(data, "Physical_appearance")
    yield [
        said
        for one in json.loads("".join(_lines(data / "abcd_support/abcd_sample.json")) or "[]")
        for who, said in one["original"]
        if who in ("customer", "agent") and len(said.split()) > 2
    ]
    yield [
        text
        for path in sorted((data / "fastapi_docs/docs").rglob("*.md"))
        for text in prose(path.read_text(encoding="utf-8"))
    ]


def prose(content: str) -> list[str]:
    """Its sentences of about a line."""
    spans = [one for one in sentences(content) if one.kind == "text"]
    texts = [" ".join(content[one.start : one.end].split()) for one in spans]
    return [text for text in texts if SHORT <= len(text.split()) <= LONG]


def _ambiguous(data: Path, category: str) -> list[str]:
    rows = (json.loads(line) for line in _lines(data / f"bbq/data/{category}.jsonl"))
    return sorted({row["context"] for row in rows if row["context_condition"] == "ambig"})


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def reworded(text: str, random: Random) -> list[str]:
    """Texts that are near to `text` but not of one level with it for certain: a teacher says which
    they have. Another group, a part of it, fewer words."""
    return [_part(swapped(text, random), random), _thinned(swapped(text, random), random)]


def respelled(text: str, random: Random) -> str:
    """Some of its words spelled as they are said or typed, and sometimes no capitals."""

    def other(match: re.Match[str]) -> str:
        word = match[0].lower()
        if random.random() > RESPELLED:
            return match[0]
        if word in SPELLINGS:
            return random.choice(SPELLINGS[word])
        return word[:-1] + random.choice(["", "'"]) if word.endswith("ing") else match[0]

    found = WORDS.sub(other, text)
    return found.lower() if random.random() < 0.5 else found


def _part(text: str, random: Random) -> str:
    words = text.split()
    if len(words) <= SHORT:
        return text
    kept = max(SHORT, int(len(words) * random.uniform(0.5, 0.9)))
    first = random.choice([0, len(words) - kept])
    return " ".join(words[first : first + kept])


def _thinned(text: str, random: Random) -> str:
    return " ".join(word for word in text.split() if random.random() > LEFT_OUT) or text
