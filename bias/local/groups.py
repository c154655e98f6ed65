"""Groups of people by name, to fill templates and to swap one name for another, so that none of
them carries a level of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Group:
    adjective: str
    people: str


def _group(line: str) -> Group:
    adjective, _, people = line.partition("|")
    return Group(adjective, people or f"{adjective} people")


GROUPS = [
    _group(line)
    for line in (
        "Muslim|Muslims; Jewish|Jews; Christian|Christians; Hindu|Hindus; Buddhist|Buddhists; "
        "Sikh|Sikhs; Catholic|Catholics; atheist|atheists; Mormon|Mormons; Black; white; brown; "
        "African|Africans; African American|African Americans; Asian|Asians; Chinese; Japanese; "
        "Korean|Koreans; Indian|Indians; Pakistani|Pakistanis; Vietnamese; Filipino|Filipinos; "
        "Latino|Latinos; Mexican|Mexicans; Puerto Rican|Puerto Ricans; Brazilian|Brazilians; "
        "Native American|Native Americans; Indigenous; Arab|Arabs; Middle Eastern; Turkish|Turks; "
        "Iranian|Iranians; Syrian|Syrians; Somali|Somalis; Nigerian|Nigerians; Russian|Russians; "
        "Polish|Poles; German|Germans; French; Irish; Italian|Italians; American|Americans; Roma; "
        "Romani; immigrant|immigrants; refugee|refugees; migrant|migrants; foreign|foreigners; "
        "gay; lesbian|lesbians; bisexual; transgender; trans; queer; LGBTQ; straight; nonbinary; "
        "homosexual|homosexuals; female|women; male|men; young; old; elderly; teenage|teenagers; "
        "disabled; deaf; blind; autistic; mentally ill; bipolar; schizophrenic; depressed; "
        "dyslexic; wheelchair-bound|wheelchair users; physically disabled; mentally disabled; "
        "fat; obese; short; poor; homeless; working-class; rich; unemployed; rural; single|single "
        "mothers; divorced; veteran|veterans; vegan|vegans"
    ).split("; ")
]
# Names that stand for one another in a sentence without breaking its grammar.
_ADJECTIVES = sorted({g.adjective.casefold() for g in GROUPS} - {"single", "short", "old", "rich"})
_PEOPLE = sorted({g.people.casefold() for g in GROUPS} | {"blacks", "whites", "gays", "asians"})
_NAMED = re.compile(
    rf"\b({'|'.join(sorted(map(re.escape, _PEOPLE + _ADJECTIVES), key=len, reverse=True))})\b",
    re.IGNORECASE,
)


def fill(template: str, group: Group) -> str:
    """`{people}`, `{adjective}` and `{a adjective}` are the group's; it begins with a capital."""
    article = "an" if group.adjective[0].lower() in "aeiou" else "a"
    text = (
        template.replace("{a adjective}", f"{article} {group.adjective}")
        .replace("{people}", group.people)
        .replace("{adjective}", group.adjective)
    )
    return text[:1].upper() + text[1:]


def swapped(text: str, random: Random) -> str:
    """`text` with one of its groups named as another wherever it stands; itself where it names
    none."""
    named = [match[0].casefold() for match in _NAMED.finditer(text)]
    if not named:
        return text
    mine, group = random.choice(named), random.choice(GROUPS)
    theirs = group.people if mine in _PEOPLE else group.adjective
    return _NAMED.sub(lambda match: theirs if match[0].casefold() == mine else match[0], text)
