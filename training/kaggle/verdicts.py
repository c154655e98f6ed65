"""Who is to blame for a run that ended in an error: what is around it, after which the same again
may work, or the run itself."""

from __future__ import annotations

import re
from collections.abc import Sequence

from training.kaggle.runs import Verdict

LAST = 200  # lines of a log that are looked at
LONGEST = 300  # characters of a reason
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# What is told, by what Kaggle or the log says. The first that is found counts.
SIGNS: Sequence[tuple[re.Pattern[str], str]] = [
    (re.compile(pattern, re.IGNORECASE), reason)
    for pattern, reason in (
        (
            r"temporary failure in name resolution|NameResolutionError|failed to resolve '",
            "The kernel has no internet: verify the phone number of the Kaggle account.",
        ),
        (
            r"no CUDA-capable device|found no NVIDIA driver|CUDA driver initialization failed|"
            r"no GPU is visible",
            "Kaggle gave it no GPU.",
        ),
        (
            r"CUDA error: (unspecified launch failure|uncorrectable ECC|an illegal instruction)|"
            r"uncorrectable ECC error|NCCL error: .*system error|GPU has fallen off the bus",
            "The GPU failed.",
        ),
        (
            r"(429 Client Error|50[0234] Server Error).*https?://|"
            r"(ConnectTimeout|ReadTimeout|ConnectionError|Max retries exceeded).*https?://|"
            r"HTTPSConnectionPool\(",
            "A server that it needs did not answer.",
        ),
        (r"kaggle infrastructure|internal error|failed to start", "Kaggle could not run it."),
    )
]


def verdict_of(said: str, log: Sequence[str]) -> tuple[Verdict, str]:
    """By what Kaggle `said` and by the last lines of the log; with the reason, one line."""
    lines = [COLOUR.sub("", line).strip() for line in (said, *log[-LAST:])]
    told = [line for line in lines if line]
    for sign, reason in SIGNS:
        if any(sign.search(line) for line in told):
            return "infrastructure", reason
    last = told[-1] if told else "It ended in an error, and neither Kaggle nor its log say which."
    return "failed", last[:LONGEST]
