"""He and she, her and his, they and its verbs: what a pronoun becomes goes by the words around it.

"her" is "his" before a noun and "him" elsewhere; "his" is "her" before a noun and "hers" elsewhere.
Which it is, is told by the next word: closed classes (prepositions, articles, conjunctions,
auxiliaries, punctuation) are no noun, all else may begin one. Known limits: two objects without an
article ("gave her money" is read as her money), a bare verb after anything but let, make, help,
see, watch and hear, and verbs further on in a sentence about "they".
"""

from __future__ import annotations

from collections.abc import Sequence

SUBJECT, OBJECT, BEFORE_NOUN, ALONE, REFLEXIVE = range(5)
FORMS: dict[str, tuple[str, str, str, str, str]] = {
    "male": ("he", "him", "his", "his", "himself"),
    "female": ("she", "her", "her", "hers", "herself"),
    "neutral": ("they", "them", "their", "theirs", "themselves"),
}

# Where one of these follows, "her" and "his" stand for themselves.
NO_NOUN = frozenset(
    "a an the this that these those some any no every each either neither both another all i you "
    "he she it we they me him us them my your his her its our their mine yours hers theirs myself "
    "yourself himself herself itself ourselves themselves and or but nor so yet if because since "
    "unless although though while when whenever where wherever why how who whom whose which what "
    "whatever than as whether until till of in on at by for from to into onto with without within "
    "about against between among through during before after above below under over up down off "
    "out across along around behind beside besides beyond despite except inside near outside per "
    "regarding toward towards upon via is are was were be been being am has have had do does did "
    "will would shall should can could may might must not never n't again away there here now "
    "then too also instead anyway alone together once twice already today tomorrow yesterday "
    "tonight afterwards forever everywhere anywhere somewhere however moreover therefore "
    "nevertheless nonetheless whereas due throughout like became becomes someone something "
    "everyone everything anyone anything nobody nothing".split()
)
LY_NOUNS = frozenset(
    "family early only lovely elderly daily weekly monthly yearly friendly ugly likely supply "
    "ally assembly lonely holy belly jelly reply monopoly anomaly fly butterfly bully lively "
    "deadly costly orderly scholarly worldly heavenly earthly".split()
)
LETTING = frozenset(
    "let lets letting make makes made making help helps helped helping see sees saw seeing watch "
    "watches watched watching hear hears heard hearing".split()
)
GIVING = frozenset(
    "give gives gave given giving offer offers offered offering earn earned earning cost costs "
    "pay pays paid paying charge charges charged charging owe owes owed lend lent send sent bring "
    "brought secure secured securing win won winning bore award awarded awarding".split()
)
AMOUNTS = frozenset(
    "two three four five ten twenty thirty fifty hundred thousand million several many much more "
    "less enough plenty lots".split()
)
# What a verb can make of somebody: "kept her safe", "held him hostage", "drove her home".
MADE = frozenset(
    "safe happy sad angry sick dead alive hostage captive unprotected responsible unable able "
    "ready nervous uncomfortable guilty famous jealous hard first second third last out home back "
    "less unconscious awake busy crazy mad proud popular eligible breakfast lunch dinner".split()
)
MAKING = frozenset(
    "make makes made making keep keeps kept keeping hold holds held holding leave leaves left "
    "leaving find finds found believe believes believed drive drives drove driven take takes took "
    "bring brings brought send sends sent walk walked follow followed call called calls pay pays "
    "paid wish wished get gets got want wants wanted put puts rank ranked hit render rendered "
    "welcome invite invited drop dropped stick throw threw kick kicked knock knocked push "
    "pushed".split()
)
DETERMINERS = frozenset("the a an this that these those his her their its my your our".split())
BARE_VERBS = frozenset(
    "be become go come leave know get take see feel think cry believe realize realise understand "
    "win fall stay run die live do have find make keep look seem want need laugh smile speak talk "
    "walk work play sing dance pass move escape enter eat drink sleep perform appear grow learn "
    "join return succeed say tell forget remember try start stop".split()
)


def place(word: str, group: str, previous: str, following: Sequence[str]) -> int | None:
    """Which of FORMS the pronoun `word` (lower case) is, if it is one of `group`. `previous` is the
    word before it, "" for none; `following` are the next words of the same clause: none where
    punctuation follows."""
    forms = FORMS[group]
    if word not in forms:
        return None
    if group == "neutral" or forms.count(word) == 1:
        return forms.index(word)
    alone = ALONE if word == "his" else OBJECT
    return BEFORE_NOUN if _before_noun(previous, following) else alone


def _before_noun(previous: str, following: Sequence[str]) -> bool:
    if not following:
        return False
    first = following[0].partition("'")[0]
    second = following[1] if len(following) > 1 else ""
    if first in NO_NOUN:
        return False
    if previous in LETTING and (first in BARE_VERBS or second in DETERMINERS):
        return False
    if previous in GIVING and (first in AMOUNTS or first.isdecimal()):
        return False
    if previous in MAKING and first in MADE and (second in NO_NOUN or not second):
        return False
    if first.endswith("ly") and first not in LY_NOUNS:
        return bool(second) and second not in NO_NOUN
    return True


PLURAL = {
    "is": "are", "was": "were", "has": "have", "does": "do",
    "isn't": "aren't", "wasn't": "weren't", "hasn't": "haven't", "doesn't": "don't",
}  # fmt: skip
NO_VERB = frozenset(
    "always perhaps sometimes thus besides nowadays afterwards upwards downwards towards this his "
    "its as us yes unless plus versus across".split()
)
BETWEEN = frozenset(
    "also often never ever still just now then soon once again really rarely".split()
)


def with_they(verb: str) -> str:
    """A verb (lower case) as it follows "they": "goes" to "go"; itself where it does not change."""
    if verb in PLURAL:
        return PLURAL[verb]
    if verb in NO_VERB or len(verb) < 3 or not verb.endswith("s") or verb.endswith("ss"):
        return verb
    if verb.endswith("ies") and len(verb) > 4:
        return verb[:-3] + "y"
    if verb.endswith(("sses", "shes", "ches", "xes", "zzes", "oes")):
        return verb[:-2]
    return verb[:-1]


def may_stand_between(word: str) -> bool:
    """A pronoun and its verb: "she often goes"."""
    return word in BETWEEN or word in NO_VERB or (word.endswith("ly") and word not in LY_NOUNS)


def they_contracted(suffix: str, following: Sequence[str]) -> str:
    """What "'s" of "he's" is of "they": "'ve" before a participle, "'re" elsewhere."""
    if suffix not in ("'s", "’s"):
        return suffix
    first = next((word for word in following if not may_stand_between(word)), "")
    participle = first in ("been", "got", "had", "done", "gone", "made", "seen", "taken", "become")
    return suffix[0] + ("ve" if participle else "re")
