"""Words that tell the dimension of what a judge found harmful. They never make a verdict: the level
is the model's alone, so that a word quoted or denied harms nobody."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bias.verdicts import Dimension

_BE = r"(?:are|is|were|was|re|s|being)"
_NOT = r"(?:not|n't|never)"
PATTERNS: dict[Dimension, tuple[str, ...]] = {
    Dimension.EXCLUSION: (
        rf"(?:should|must|can|may|do|does|ought)\s*{_NOT}\s+(?:to\s+)?(?:be\s+)?(?:allowed|permitted|"
        r"able|let|exist|belong|have|get|vote|hold|serve|teach|adopt|marry|breed)\b",
        r"\b(?:go|send|sent|ship|get)\b[\w ]{0,20}\b(?:back|out|home)\b",
        r"\b(?:deport\w*|banned|ban|expel\w*|exterminat\w+|eradicat\w+|get rid of|round(?:ed)? up|"
        r"keep (?:them|\w+) (?:out|away)|lock(?:ed)? (?:them )?(?:up|away)|wiped? out|no place|"
        r"(?:not|n't) (?:belong|welcome)|too many|wall along|don'?t (?:really )?exist|made up)\b",
    ),
    Dimension.UNEQUAL_TREATMENT: (
        r"\b(?:inferior|superior|less (?:than|intelligent|human|capable|worthy|valuable|able)|"
        r"second.class|not (?:as|made|fit|meant|suited|capable|equal)\b[\w ]{0,30}|"
        r"(?:in|to) the kitchen|for an? (?:\w+ )?(?:woman|girl|man|person)|obey\w*|submissive|"
        r"paid less|deserve less|special treatment|belong(?:s)? (?:in|to))\b",
        r"\bwom[ae]n should\b",
    ),
    Dimension.DEROGATION: (
        r"\b(?:hate|despise|loathe|disgust\w*|vermin|scum|filth\w*|dirty|trash|garbage|animals?|apes?|"
        r"monkeys?|pigs?|rats?|cockroach\w*|parasit\w*|disease|plague|cancer|subhuman|savages?|"
        r"barbarian\w*|primitive|worthless|useless|stupid|dumb|idiots?|morons?|retard\w*|ugly|"
        r"pathetic|evil|monsters?|freaks?|perver\w*|sick|abomination|burdens?|nothing but|losers?|"
        r"bitch\w*|whores?|sluts?|cunts?|fags?|faggots?|niggers?|niggas?|kikes?|spics?|chinks?|"
        r"trann(?:y|ies)|dykes?|bastards?|assholes?|fuck\w*|shit\w*|suck\w*|kill\w*|die|rape\w*|"
        r"beat(?:en)?|burn|hang(?:ed)?|shoot|slap\w*|shut up|screw you|damn you|nudes?|naked|tits|"
        r"dick|sexy)\b",
    ),
    Dimension.STEREOTYPING: (
        r"\b(?:all|every|most|none) (?:of )?(?:them|these|those|the)\b",
        rf"\b(?:all|every|most|typical(?:ly)?) [\w-]+(?: [\w-]+)? {_BE}?\b",
        rf"\b{_BE} (?:all|always|just|only|so|too|very|good at|bad at|known|naturally|"
        r"more likely)\b",
        r"\b(?:always|never|only (?:care|want|think|come|good)|lazy|greedy|violent|dangerous|"
        r"criminals?|terrorists?|thieves|steal\w*|rapists?|gangs?|drugs?|drunks?|alcoholics?|"
        r"emotional|cheap|sneaky|crazy|aggressive|good at|bad at|tend to|known for|can'?t (?:be "
        r"trusted|drive)|(?:don'?t|refuse to|do not) (?:want to )?work|welfare|control (?:the|of)|"
        r"same|by nature|in their (?:blood|genes|dna|nature|culture)|money|promiscuous|deceitful|"
        r"backward|uneducated|weak)\b",
    ),
    Dimension.LOADED_LANGUAGE: (
        r"\b(?:so.called|illegals?|aliens?|thugs?|invasion|invad\w+|flood\w*|swarm\w*|horde\w*|"
        r"infest\w*|agenda|victim card|playing (?:the )?\w+|snowflakes?|invaders?|takeover|"
        r"tak(?:e|ing|en) over|propaganda|normal people|our (?:way of life|women|jobs|country)|"
        r"threat|destroy\w*|ruin\w*|real (?:men|women|americans))\b",
    ),
}
_COMPILED = {
    dimension: re.compile("|".join(patterns), re.IGNORECASE)
    for dimension, patterns in PATTERNS.items()
}


@dataclass(frozen=True, slots=True)
class Cue:
    """[start, end) of the searched text."""

    start: int
    end: int
    dimension: Dimension


def cues(text: str) -> Iterator[Cue]:
    """Those of `text`, by dimension, then by place."""
    for dimension, pattern in _COMPILED.items():
        for match in pattern.finditer(text):
            yield Cue(match.start(), match.end(), dimension)
