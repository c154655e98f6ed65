"""People swapped in texts: grammar, places, and back again."""

from __future__ import annotations

import csv
import itertools
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bias.swaps import NEUTRAL, Swapped, axes, exchange, groups_in, version

TERMS = yaml.safe_load(
    (Path(__file__).parents[2] / "bias" / "data" / "identities.yaml").read_text("utf-8")
)["axes"]


def to_female(text: str) -> str:
    return exchange(text, "gender", "male", "female").text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("He gave her his book and kept hers himself.",
         "She gave him her book and kept his herself."),
        ("Her idea was his.", "His idea was hers."),
        ("They saw her leave and let her go.", "They saw him leave and let him go."),
        ("She painted her newly built house; I asked her politely.",
         "He painted his newly built house; I asked him politely."),
        ("He told her he'd seen her cat.", "She told him she'd seen his cat."),
        ("AN ACTOR met a waitress.", "AN ACTRESS met a waiter."),
        ("A heroine, an heir and a man.", "A hero, an heiress and a woman."),
        ("The boys' room, the ladies' room, women's rights.",
         "The girls' room, the gentlemen's room, men's rights."),
        ("Mr. Smith and Mrs. Jones; Sir!", "Ms. Smith and Mr. Jones; Madam!"),
        ("he/she decides", "she/he decides"),
        ("James's mother phoned Daniel Walsh.", "Mary's father phoned Emma Walsh."),
        ("Man and mankind, the human, a manual, themselves.",
         "Woman and mankind, the human, a manual, themselves."),
    ],
)  # fmt: skip
def test_gender(text: str, expected: str) -> None:
    assert to_female(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("He goes there and he's been late.", "They go there and they've been late."),
        ("Is he ready? When he often says so, he has his own car.",
         "Are they ready? When they often say so, they have their own car."),
        ("He washes and carries it; does he know?", "They wash and carries it; do they know?"),
        ("The man saw him himself, the book is his.",
         "The person saw them themselves, the book is theirs."),
        ("He's tired; he'll rest, he passes.", "They're tired; they'll rest, they pass."),
    ],
)  # fmt: skip
def test_they_and_its_verbs(text: str, expected: str) -> None:
    """One verb further on stays as it was: a known limit, shown here."""
    assert exchange(text, "gender", "male", NEUTRAL).text == expected


@pytest.mark.parametrize(
    "text",
    [
        "`he = she` and ```\nman = his\n```",
        "See https://example.org/his/man?she=1 and mailto:her@example.org, his@example.org.",
        "Open /home/him/her, ~/man/x, C:\\she\\he, a/she/b/he, man.txt, she.he.com.",
        '"The Old Man and the Sea" and “His Dark Materials”, *Little Women*',
        "his_file, she2, he-man, T-he, [text](man)",
        "<man> and <a href='he'>",
        "man pages and the man page",
    ],
)
def test_what_is_no_prose_stays(text: str) -> None:
    assert exchange(text, "gender", "male", "female") == Swapped(text, ())


def test_a_quoted_sentence_is_no_title() -> None:
    assert to_female('He said: "The man is here."') == 'She said: "The woman is here."'


@pytest.mark.parametrize(
    ("axis", "a", "b", "text", "expected"),
    [
        ("religion", "Christian", "Jewish", "A Christian met a Christian man; she is Christian.",
         "A Jew met a Jewish man; she is Jewish."),
        ("religion", "Christian", "Jewish", "Jewish holidays, Jews and the synagogue's Torah",
         "Christian holidays, Christians and the church's Bible"),
        ("religion", "Christian", "Muslim", "A Christian met an imam.", "A Muslim met a priest."),
        ("nationality", "American", "German", "An American met a German in America.",
         "A German met an American in Germany."),
        ("ethnicity", "Black", "White", "A black man, an African American, a black cat.",
         "A white man, a European American, a black cat."),
        ("ethnicity", "White", "Black", "Emily Walsh called. Ms. Walsh's dog is in Washington.",
         "Lakisha Jefferson called. Ms. Jefferson's dog is in Washington."),
        ("ethnicity", "Black", "White", "The Booker Prize", "The Booker Prize"),
        ("disability", "blind", "autistic", "A blind student in a blind spot.",
         "An autistic student in a blind spot."),
        ("age", "old", "young", "An old man has an old version; a 75-year-old engineer.",
         "A young man has an old version; a 25-year-old engineer."),
        ("orientation", "gay", "straight", "A gay couple walks straight on.",
         "A straight couple walks straight on."),
    ],
)  # fmt: skip
def test_other_axes(axis: str, a: str, b: str, text: str, expected: str) -> None:
    assert exchange(text, axis, a, b).text == expected


def test_what_the_other_group_has_no_word_for_is_told() -> None:
    found = exchange("The Christian went to church.", "religion", "Christian", "Buddhist")
    assert found.text == "The Buddhist went to church."
    assert found.missing == ("church",)


def test_groups_that_are_not_there_are_refused() -> None:
    with pytest.raises(ValueError, match="religion has the groups"):
        exchange("x", "religion", "Christian", NEUTRAL)
    with pytest.raises(ValueError, match="not male and male"):
        exchange("x", "gender", "male", "male")


def test_groups_that_a_text_names() -> None:
    assert groups_in("A Jewish man beside a mosque", "religion") == {"Jewish", "Muslim"}
    assert groups_in("She is late", "gender") == {"female"}
    assert groups_in("A blind spot of a straight line", "disability") == frozenset()


def test_every_row_has_a_word_for_each_group_and_no_word_twice() -> None:
    for name, axis in TERMS.items():
        for kind in ("words", "adjectives", "as_adjective", "names", "surnames"):
            rows = [row.split() for row in axis.get(kind, ())]
            assert all(len(row) == len(axis["groups"]) for row in rows), (name, kind)
            for column in zip(*rows, strict=True):
                words = [one.lower() for one in column if one != "-"]
                assert len(words) == len(set(words)), (name, kind)
    assert re.fullmatch(r"identities-1-[0-9a-f]{8}", version())


PAIRS = [
    (axis, a, b) for axis, groups in axes().items() for a, b in itertools.combinations(groups, 2)
]
FILLERS = ("and", "the report of", "met", "near", "then", "said that", "of the")
ENDS = (". ", ", ", "; ", "\n", " - ")


@st.composite
def one_to_one(draw: st.DrawFn) -> tuple[str, str, str, str]:
    """An axis, two groups, and a text of words that are counterparts of each other."""
    axis, a, b = draw(st.sampled_from(PAIRS))
    at = [TERMS[axis]["groups"].index(one) for one in (a, b)]
    pieces = []
    for _ in range(draw(st.integers(1, 6))):
        kinds = [kind for kind in ("words", "adjectives") if kind in TERMS[axis]]
        kind = draw(st.sampled_from(kinds))
        row = draw(st.sampled_from(TERMS[axis][kind])).replace("_", "~").split()
        if row[at[0]] == "-" or row[at[1]] == "-":
            continue
        plural = [row[one].endswith("s") for one in at]
        possessives = ["", "' idea"] if all(plural) else [""] if any(plural) else ["", "'s idea"]
        word = row[draw(st.sampled_from(at))].replace("~", " ")
        word = draw(st.sampled_from([word, word.upper(), word[0].upper() + word[1:]]))
        vowel = word[0].lower() in "aeio" and not word.lower().startswith("euro")
        article = draw(st.sampled_from(["", "the ", "An " if vowel else "A "]))
        noun = " students" if kind == "adjectives" else draw(st.sampled_from(possessives))
        if kind == "words" and axis == "religion" and not article:
            article = "the "  # else it may be an adjective
        pieces += [article, word, noun, draw(st.sampled_from(ENDS))]
        if axis == "gender":
            pieces += [draw(st.sampled_from(["He ", "she ", "himself, ", "HERSELF. ", "and "]))]
        pieces += [draw(st.sampled_from(FILLERS)), " "]
    return axis, a, b, "".join(pieces)


@settings(max_examples=400, deadline=None)
@given(one_to_one())
def test_swapped_twice_is_the_text_again(made: tuple[str, str, str, str]) -> None:
    axis, a, b, text = made
    once = exchange(text, axis, a, b)
    assert exchange(once.text, axis, a, b).text == text
    assert_places(text, once)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200), st.sampled_from(PAIRS))
def test_any_text_has_its_places(text: str, pair: tuple[str, str, str]) -> None:
    assert_places(text, exchange(text, *pair))


def assert_places(text: str, found: Swapped) -> None:
    """Every change is where it says, and all between is as it was."""
    old = new = 0
    for one in found.changes:
        assert text[one.start : one.end] == one.before
        assert found.text[one.new_start : one.new_end] == one.after
        assert text[old : one.start] == found.text[new : one.new_start]
        old, new = one.end, one.new_end
    assert text[old:] == found.text[new:]


@pytest.mark.shared
def test_winogender_in_all_three_genders(shared_data: Path) -> None:
    """The published counterparts, to the letter."""
    path = shared_data / "fair_llm_benchmark" / "Winogender" / "data" / "all_sentences.tsv"
    rows = dict(line.split("\t") for line in path.read_text().splitlines()[1:])
    males = [name for name in rows if ".male." in name]
    for name in males:
        male, female, neutral = (
            rows[name.replace(".male.", f".{one}.")] for one in ("male", "female", "neutral")
        )
        assert to_female(male) == female
        assert to_female(female) == male
        assert exchange(male, "gender", "male", NEUTRAL).text == neutral
        assert exchange(female, "gender", "female", NEUTRAL).text == neutral
    assert len(males) == 240


@pytest.mark.shared
def test_winobias_counterparts(shared_data: Path) -> None:
    """Pro- and anti-stereotyped sentences differ by their pronouns, but for slips of their own."""
    right = total = 0
    for type_, part in itertools.product("12", ("dev", "test")):
        pro, anti = (
            [
                re.sub(r"[\[\]]", "", line.split(" ", 1)[1]).strip()
                for line in (
                    shared_data / "fair_llm_benchmark" / "WinoBias" / "data"
                    / f"{kind}_stereotyped_type{type_}.txt.{part}"
                ).read_text().splitlines()
            ]
            for kind in ("pro", "anti")
        )  # fmt: skip
        for one, other in zip(pro, anti, strict=True):
            total += one != other
            right += one != other and to_female(one) == other
    assert total == 1584
    assert right / total > 0.97


@pytest.mark.shared
def test_pronouns_of_wikipedia_come_back(shared_data: Path) -> None:
    """GAP's test half, which no rule was made on: his and him become her, and that is undone."""
    path = shared_data / "fair_llm_benchmark" / "GAP" / "data" / "gap-test.tsv"
    counts: dict[str, list[int]] = {"his": [], "him": [], "her": []}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            once = exchange(row["Text"], "gender", "male", "female")
            twice = exchange(once.text, "gender", "male", "female")
            first = {one.new_start: one.before for one in once.changes}
            assert_places(row["Text"], once)
            for one in twice.changes:
                before = first.get(one.start, "")
                if before.lower() in counts:
                    counts[before.lower()].append(one.after == before)
    shares = {word: sum(right) / len(right) for word, right in counts.items()}
    assert min(map(len, counts.values())) > 300
    assert shares["his"] > 0.99
    assert shares["her"] > 0.99
    assert shares["him"] > 0.9
