"""Whether an answer is written in the language of its question, as far as two texts show that.

By script first: the letters of most of a text (Unicode names). Between texts in Latin script, by
function words, which no sentence does without: a language is told where at least three of its words
stand in the text, twice as many as of any other. Where either text does not tell (a name, a number,
code), nothing is said: this finds the plainly wrong, and takes nothing for wrong that may be right.

Known not to be found: short answers, and languages in Latin script that are not listed here.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from model_pipeline.evaluation.examples import Example, Prediction

MOST = 4_000  # characters of a text that are looked at
LEAST_LETTERS = 8
SHARE = 0.6
LEAST_WORDS = 3
WORD = re.compile(r"[^\W\d_]+")
ONE_WRITING = {"HIRAGANA": "CJK", "KATAKANA": "CJK"}  # beside each other in one text
FUNCTION_WORDS = {
    "English": "the of and to is that it for was with are this be by from have which not they",
    "German": "der die das und ist nicht ein eine mit den dem zu von auf werden wird auch sich für",
    "French": "le les des est une dans qui pour que sur pas avec sont du ce cette au vous il",
    "Spanish": "el los las una es por con para del se como más pero lo su está son al que",
    "Portuguese": "os uma não com para do da em é por mais dos como ao seu são na um que",
    "Italian": "il di che è per una non con sono del della gli alla nel come più dei si le",
    "Dutch": "het een van is dat niet op zijn voor met wordt aan ook er bij naar deze worden de",
    "Polish": "nie się jest na że do jak w z co przez dla są być oraz po od który",
    "Swedish": "och att det som en är av för på med den inte till har ett kan om de",
}
LANGUAGES = {name: frozenset(words.split()) for name, words in FUNCTION_WORDS.items()}


def language(text: str) -> str | None:
    """A script, or within Latin a language; None where the text does not tell."""
    text = text[:MOST]
    letters = [one for one in text if one.isalpha()]
    if len(letters) < LEAST_LETTERS:
        return None
    script, count = Counter(map(_script, letters)).most_common(1)[0]
    if count < SHARE * len(letters):
        return None
    return _latin(text) if script == "LATIN" else script.title()


@lru_cache(4096)
def _script(letter: str) -> str:
    name = unicodedata.name(letter, "UNKNOWN").split()[0]
    return ONE_WRITING.get(name, name)


def _latin(text: str) -> str:
    """One of LANGUAGES, or "Latin" where the words do not tell which."""
    words = set(WORD.findall(text.casefold()))
    counts = Counter({name: len(words & own) for name, own in LANGUAGES.items()})
    (best, most), (_, second) = counts.most_common(2)
    return best if most >= LEAST_WORDS and most >= 2 * second else "Latin"


def differ(a: str | None, b: str | None) -> bool:
    """Whether two findings of `language` cannot be of one language."""
    if a is None or b is None or a == b:
        return False
    latin = {"Latin", *LANGUAGES}
    return not (a in latin and b in latin and "Latin" in (a, b))


def in_language(example: Example, prediction: Prediction) -> Prediction:
    """`prediction`, or with an error where its answer is in neither the question's language nor a
    reference's."""
    if prediction.error is not None or prediction.declined or not prediction.answer:
        return prediction
    found = language(prediction.answer)
    wanted = [language(text) for text in (example.question, *example.references)]
    if all(differ(found, one) for one in wanted):
        return replace(
            prediction, error=f"The answer is in another language than {_named(wanted)}."
        )
    return prediction


def _named(wanted: Sequence[str | None]) -> str:
    return " or ".join(dict.fromkeys(str(one) for one in wanted))
