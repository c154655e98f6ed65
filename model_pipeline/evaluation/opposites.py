"""Words that say the opposite of each other."""

from __future__ import annotations

from collections.abc import Set

from model_pipeline.text.words import stems

_PAIRS = """
accept reject, accept refuse, accept decline, add remove, after before, allow forbid, allow
prevent, allow prohibit, allow ban, always never, approve deny, ascend descend, asynchronous
synchronous, automatic manual, best worst, big small, buy sell, charge discharge, cheap
expensive, clockwise counterclockwise, connect disconnect, create delete, decrease increase,
deep shallow, deposit withdraw, early late, earlier later, east west, easy difficult, easy hard,
enable disable, encrypt decrypt, even odd, ever never, exclude include, excluding including,
export import, external internal, fail succeed, false true, fast slow, faster slower, female
male, few many, fewer more, first last, for against, forward backward, free paid, full empty,
gain loss, greater less, guilty innocent, heavy light, high low, higher lower, horizontal
vertical, hot cold, inbound outbound, input output, inside outside, join leave, large small,
larger smaller, legal illegal, less more, long short, longer shorter, lose win, major minor,
mandatory optional, maximum minimum, max min, most least, mutable immutable, negative positive,
north south, offline online, on off, open close, opened closed, optional required, over under,
pass fail, possible impossible, private public, push pull, raise reduce, reduce increase, rich
poor, rise fall, safe dangerous, same different, send receive, sequential parallel, simple
complex, single multiple, single married, start end, start stop, begin end, strong weak, success
failure, summer winter, temporary permanent, top bottom, up down, upper lower, upload download,
valid invalid, visible hidden, warm cold, wide narrow
"""
OPPOSITES = frozenset(frozenset(stems(pair.split())) for pair in _PAIRS.split(","))
_OF = {
    word: {other for pair in OPPOSITES if word in pair for other in pair if other != word}
    for pair in OPPOSITES
    for word in pair
}
PREFIXES = ("un", "in", "im", "dis", "non", "ir", "il")


def opposed(wanted: Set[str], said: Set[str]) -> frozenset[str]:
    """The words of `wanted` (stems) in whose place their opposite is said."""
    new = said - wanted
    return frozenset(word for word in wanted - said if _opposed(word, new))


def _opposed(word: str, new: Set[str]) -> bool:
    return (
        not _OF.get(word, set()).isdisjoint(new)
        or any(prefix + word in new for prefix in PREFIXES)
        or any(word.startswith(prefix) and word[len(prefix) :] in new for prefix in PREFIXES)
    )
