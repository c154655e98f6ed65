"""Whether two questions ask for the same, as far as their words tell.

An embedder puts "with" beside "without" and 2.3 beside 2.4: the answers differ, the vectors hardly
do. So, however near the vectors, two questions count as one only if they hold the same words that
carry meaning, in the same order, numbers and names among them, negate alike, and ask alike.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

# A name or number as people write it: app.get, num_workers, 2.4, c++, don't.
_WORD = re.compile(r"[-+]?[^\W_](?:[\w.\-/:'’]*\w)?[+#%]*")
# How one asks, and not for what. Nothing here turns a question round: no "not", "from", "should".
_LIGHT = frozenset(
    """
    a an the and i i'd i'm me my we our us you your it its it's this that these those there
    is are was were be been am do does did doing can could will would may might have has had
    of to in on for please pls kindly thanks thank hello hi hey tell know like want wanna
    explain describe show give what which how who where when why what's whats how's way ways so just
    """.split()
)
_NEGATIVE = frozenset("no not none nor never nothing nobody neither without cannot".split())
_ASKS = {
    "who": "who", "whom": "who", "whose": "who", "when": "when", "where": "where", "why": "why",
    "how": "how", "how's": "how", "what": "what", "which": "what", "what's": "what",
    "whats": "what",
}  # fmt: skip
_AMOUNT = frozenset("many much long often far old big large fast".split())


@dataclass(frozen=True, slots=True)
class Gist:
    """What must agree: the words that carry meaning, in order; how often it negates; the word it
    asks with ("" for none)."""

    words: tuple[str, ...]
    negations: int
    asks: str


def gist(question: str) -> Gist:
    written = [found[0].replace("’", "'") for found in _WORD.finditer(question)]
    words = [word.casefold() for word in written]
    light = [
        word in _LIGHT and (number == 0 or word == "i" or not written[number].isupper())
        for number, word in enumerate(words)  # IT, US and WHO are names; so is A, but at the start
    ]
    negations = sum(word in _NEGATIVE or word.endswith("n't") for word in words)
    heavy = [
        word.removesuffix("'s") for word, is_light in zip(words, light, strict=True) if not is_light
    ]
    return Gist(tuple(heavy), negations, _asks([word for word in words if word not in heavy]))


def _asks(words: list[str]) -> str:
    for word, after in pairwise([*words, ""]):
        if word == "how" and after in _AMOUNT:
            return "how much"
        if word in ("what", "what's") and {"way", "ways"} & set(words):
            return "how"
        if word in _ASKS:
            return _ASKS[word]
    return ""
