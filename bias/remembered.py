"""A judge that asks another once for each text: what it has judged is kept on disk, so that a run
that was killed goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from bias.verdict_rows import from_row, to_row
from bias.verdicts import Judge, Unjudged, Verdict
from model_pipeline.evaluation.byte_cache import ByteCache
from model_pipeline.evaluation.row_cache import key

AT_ONCE = 32  # texts that a kill may lose
MAX_ROWS = 200_000


class Remembered:
    """`progress` hears how many texts of a call have a verdict, and of how many. What could not be
    judged is asked again."""

    def __init__(
        self,
        judge: Judge,
        path: Path,
        *,
        progress: Callable[[int, int], None] = lambda done, of: None,
    ) -> None:
        self._judge = judge
        self._path = path
        self._progress = progress
        self.signature = judge.signature

    def judge(self, texts: Sequence[str]) -> list[Verdict | Unjudged]:
        keys = {text: key(self.signature, text) for text in texts}
        with ByteCache(self._path, max_rows=MAX_ROWS) as kept:
            rows = kept.get(list(keys.values()))
            found: dict[str, Verdict | Unjudged] = {
                text: from_row(json.loads(rows[one])) for text, one in keys.items() if one in rows
            }
            missing = [text for text in keys if text not in found]
            for start in range(0, len(missing), AT_ONCE):
                self._progress(len(found), len(keys))
                some = missing[start : start + AT_ONCE]
                verdicts = dict(zip(some, self._judge.judge(some), strict=True))
                found |= verdicts
                kept.put(
                    {
                        keys[text]: json.dumps(to_row(verdict)).encode()
                        for text, verdict in verdicts.items()
                        if isinstance(verdict, Verdict)
                    }
                )
        self._progress(len(keys), len(keys))
        return [found[text] for text in texts]
