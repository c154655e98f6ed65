"""A text as words in their places, without what is no prose: code, addresses, paths, titles in
quotation marks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

WORD = re.compile(r"\w+(?:[-’']\w+)*")
SUFFIX = re.compile(r"(?i)(?:['’](?:s|ll|d|re|ve|m))$")
NO_PROSE = re.compile(
    r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)"  # fenced code
    r"|`[^`\n]*`"
    r"|<[^<>\n]*>"  # tags, and addresses in brackets
    r"|\]\([^)\s]*\)"  # where a link leads
    r"|\b(?:https?|ftp|file|mailto|www)(?::|\.)[^\s)>\]]*"
    r"|[\w.+-]+@[\w-]+(?:\.\w+)+"
    r"|(?<![\w/])(?:[A-Za-z]:\\|~?\.{0,2}/)[\w.~\\/-]+"  # paths
    r"|\w+(?:/[\w.-]+){2,}"
    r"|\w+(?:\.\w+)+",  # names of files, modules and hosts
    re.DOTALL,
)
QUOTED = re.compile(
    r"[\"“„«]([^\"“”„«»\n]{3,120})[\"”“»]|(?<![\w*_])([*_])(?!\s)([^*_\n]{3,120})\2"
)
SMALL = frozenset("a an and as at by for from in into of on or the to vs with de la".split())


@dataclass(frozen=True, slots=True)
class Word:
    """`text[start:end]`, and the `suffix` ('s, 'll) that follows it at `end`. `gap` is whether
    anything but white space stands between the word before and this one."""

    start: int
    end: int
    text: str
    suffix: str
    gap: bool
    prose: bool

    @property
    def lower(self) -> str:
        return self.text.lower()


def words(text: str) -> list[Word]:
    """In order. Those that are no prose are among them, and marked."""
    masked = list(_masked(text))
    found: list[Word] = []
    end = 0
    at = 0
    for match in WORD.finditer(text):
        while at < len(masked) and masked[at][1] <= match.start():
            at += 1
        prose = at == len(masked) or match.end() <= masked[at][0]
        suffix = SUFFIX.search(match[0])
        base = match[0][: suffix.start()] if suffix else match[0]
        gap = bool(found) and bool(text[end : match.start()].strip())
        found.append(
            Word(
                match.start(), match.start() + len(base), base, suffix[0] if suffix else "",
                gap, prose,
            )
        )  # fmt: skip
        end = match.end()
    return found


def following(found: Sequence[Word], index: int, most: int = 3) -> list[str]:
    """The next words in lower case, up to any punctuation."""
    after = []
    for one in found[index + 1 : index + 1 + most]:
        if one.gap:
            break
        after.append(one.lower + one.suffix.lower().replace("’", "'"))
    return after


def _masked(text: str) -> Iterator[tuple[int, int]]:
    spans = [match.span() for match in NO_PROSE.finditer(text)]
    spans += [match.span() for match in QUOTED.finditer(text) if _is_title(match[1] or match[3])]
    last = 0
    for start, end in sorted(spans):
        if end > last:
            yield max(start, last), end
            last = end


def _is_title(quoted: str) -> bool:
    """Two words or more, all with a capital but the small ones between, and no sentence."""
    found = [match[0] for match in WORD.finditer(quoted)]
    if len(found) < 2 or quoted.rstrip()[-1] in ".,;":
        return False
    large = [one for one in found if one.lower() not in SMALL]
    return len(large) > 1 and found[0][0].isupper() and all(not one[0].islower() for one in large)
