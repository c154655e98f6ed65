"""What was judged is not judged again, also by a run that follows one that was killed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from bias.remembered import AT_ONCE, Remembered
from bias.verdict_rows import from_row, to_row
from bias.verdicts import Unjudged, Verdict
from tests.bias.lexicon import LexiconJudge

TEXTS = [f"text {n} is stupid" if n % 3 else f"text {n}" for n in range(100)]


class Killed(LexiconJudge):
    def judge(self, texts: Sequence[str]) -> list[Verdict | Unjudged]:
        if len(self.asked) == 2:
            raise KeyboardInterrupt
        return super().judge(texts)


def test_a_run_that_was_killed_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.sqlite"
    with pytest.raises(KeyboardInterrupt):
        Remembered(Killed(), path).judge(TEXTS)
    judge, told = LexiconJudge(), []
    found = Remembered(judge, path, progress=lambda *one: told.append(one)).judge(TEXTS)
    assert found == LexiconJudge().judge(TEXTS)
    assert sum(map(len, judge.asked)) == len(TEXTS) - 2 * AT_ONCE
    assert told[0] == (2 * AT_ONCE, 100) and told[-1] == (100, 100)


def test_the_same_text_is_asked_once_and_what_failed_again(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.sqlite"
    judge = LexiconJudge(unreadable=frozenset(("odd",)))
    found = Remembered(judge, path).judge(["a", "odd", "a"])
    assert judge.asked == [["a", "odd"]] and found[0] == found[2]
    judge.unreadable = frozenset()
    assert isinstance(Remembered(judge, path).judge(["a", "odd"])[1], Verdict)
    assert judge.asked[1:] == [["odd"]]


def test_another_judge_is_asked_anew(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.sqlite"
    Remembered(LexiconJudge(), path).judge(["a"])
    other = LexiconJudge(signature="lexicon|v2")
    Remembered(other, path).judge(["a"])
    assert other.asked == [["a"]]


def test_verdicts_come_back_as_they_were() -> None:
    for one in [*LexiconJudge().judge(TEXTS), Unjudged("no")]:
        assert from_row(to_row(one)) == one
