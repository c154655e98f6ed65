"""Text and names made safe to show. Stored text keeps every character; these are for the eye."""

from __future__ import annotations

import re

# What hides or reorders other text, or moves a terminal's cursor: controls, overrides and
# isolates of direction, annotations, tags. Joiners and marks of direction that a script needs stay.
_MISLEADING = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u206f\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
# In a name nothing may be unseen: also line breaks, and all that has no width. Only between
# characters beyond ASCII joiners and variants are part of a script or an emoji.
_UNSEEN = re.compile(
    r"[\0-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f"
    r"\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
    r"|(?<![^\0-\x7f])[\u200c\u200d\ufe00-\ufe0f]|[\u200c\u200d](?![^\0-\x7f])"
)


def shown(text: str) -> str:
    """`text` with U+FFFD for what could hide or reorder the rest, one for one."""
    return _MISLEADING.sub("\N{REPLACEMENT CHARACTER}", text)


def named(name: str) -> str:
    """`name` with what cannot be seen spelled out, as in `a<U+202E>fdp.md`."""
    return _UNSEEN.sub(lambda match: f"<U+{ord(match[0]):04X}>", name)
