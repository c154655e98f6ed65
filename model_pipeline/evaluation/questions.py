"""A sentence of a document to the question that it answers, by rules.

Each rule takes one shape of English sentence and asks for its subject, or for what follows from
its condition; the sentence is the answer. A sentence of another shape, or a question that would
lean on what stands around it ("it", "this value", "as shown above"), becomes none: few questions
that can be read are better than many.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from model_pipeline.text.sentences import sentences
from model_pipeline.text.words import WORD, shown, terms

SENTENCE_WORDS = 6, 45
QUESTION_WORDS = 4, 22
SUBJECT_WORDS = 7

# What points to another sentence, or to the page.
LEANS = re.compile(
    r"\b(?:it|its|itself|they|them|their|this|these|those|he|she|his|her|we|our|us|i|my|former|"
    r"latter|above|below|following|previous|previously|next|earlier|later|here|also|such|another|"
    r"however|therefore|thus|hence|moreover|instead|likewise|similarly|otherwise|then|too|again|"
    r"so|section|chapter|page|examples?|e\.g|i\.e|figure|table|see|note|others?|same|something|"
    r"aforementioned|respectively|first|second|third|finally|both|either|neither)\b",
    re.IGNORECASE,
)
# No noun phrase begins so, or none that says by itself what it names.
NO_SUBJECT = re.compile(
    r"(?:that|which|who|there|what|where|how|why|if|when|while|and|but|or|for|in|on|at|by|with|as|"
    r"to|from|of|not|no|only|all|any|each|every|some|one|many|more|less|new|you|your|let|nothing|"
    r"nobody|once|after|before|although|because|since|unless|until|like|unlike|several|two|three|"
    r"four|five|please|make|use|set|add|run|click|try|check|remember|be|do|does|did|just|simply|"
    r"sometimes|often|usually|currently|today|now|(?:the )?most|\w+ly|\w+ing)\b",
    re.IGNORECASE,
)
VERB = re.compile(
    r"\b(?:is|are|was|were|has|have|had|can|may|might|must|should|will|would|could|does|do|did|be|"
    r"been|that|which|who|whose|not|and|or|you|if|when|because|The|A|An)\b"
)
# "The value": of what?
GENERIC = re.compile(
    r"the (?:\S+|.*\b(?:arguments?|parameters?|options?|flags?|values?|fields?|property|variable))"
)
STRAY = re.compile(r"(?:\b(?:always|never|often|only|already|still|even|just|now)|ly)$")
ODD = re.compile(r"[<>{}\[\]|=\\~^*#;:!?…→“”]|\.\.|://|\w\(|--|—|–|^\W|\b\w\.\s")
TORN = re.compile(
    r"\b(?:you saw|and what|or what)\b|[,'( ]\?$|\"\"|''|``|\b(?:the|a|an|and|or|\w+ly)\?$|"
    r"^How do you .*\b(?:of|on)\?$"
)
CAPITAL = re.compile(r"(?<=[a-z,;] )[A-Z]\w*")  # no sentence's first word

# What is said of one, and the form that "does" takes.
SAYS = dict(
    pair.split("/")
    for pair in (
        "returns/return raises/raise contains/contain provides/provide defines/define uses/use "
        "specifies/specify represents/represent denotes/denote holds/hold "
        "determines/determine requires/require creates/create indicates/indicate allows/allow "
        "describes/describe includes/include supports/support accepts/accept produces/produce "
        "means/mean causes/cause introduces/introduce enables/enable prevents/prevent costs/cost "
        "offers/offer yields/yield covers/cover replaces/replace generates/generate stores/store "
        "executes/execute binds/bind"
    ).split()
) | {
    "consists of": "consist of", "refers to": "refer to", "evaluates to": "evaluate to",
    "depends on": "depend on", "applies to": "apply to",
}  # fmt: skip
COUNTS = {"has": "have", "takes": "take"} | SAYS
SUBJECT = r"(?P<subject>[^,()]+?)"
BE = r"(?P<be>is|are)"
DONE = r"(?P<done>(?!not\b|only\b|used\b|given\b)[a-z]+(?:ed|ten|own|uilt|ade|ent|ound|und|ead|en))"
NUMBER = r"(?:\d[\d.,]*|two|three|four|five|six|seven|eight|nine|ten|twelve|twenty)"

DEFINES = re.compile(
    rf"{SUBJECT} {BE} (?P<as>an?|the|any|defined as|known as|called) "
    r"(?=.*\b(?:that|which|who|used|of|for|to|whose|where|with|by)\b)"
)
STATES = re.compile(
    rf"{SUBJECT} (?P<says>{'|'.join(SAYS)})(?! of | in | for )(?P<rest>(?: \S+){{3,}})"
)
STATE = re.compile(
    rf"(?P<subject>[^,()]+?[^s]s) (?P<says>{'|'.join(SAYS.values())})(?P<rest>(?: \S+){{3,}})"
)
TO_DO_SO = frozenset(["allow", "enable", "cause", "prevent"])  # said in full by "to"
TIMED = re.compile(
    rf"{SUBJECT} {BE} {DONE}\b.*\b(?:when|whenever|before|after|until|once|as soon as)\b."
)
DONE_BY = re.compile(
    rf"{SUBJECT} (?P<be>is|are|can be|may be|must be) {DONE} (?:by|using|through)(?: \S+){{2,}}"
)
USED_FOR = re.compile(rf"{SUBJECT} (?P<be>is|are|can be|may be) used (?:to|for) .")
TO_DO = re.compile(r"to (?P<do>[a-z]+ [^,]{4,80}), (?:you (?:can|must|need to|should) )?[a-z]")
YOU_CAN = re.compile(r"you can (?P<do>[a-z]+ [^,]{4,80}?) (?:by|using) .")
VAGUE = re.compile(
    r"(?:read|learn|find|have|help|contribute|ensure|be|do|use|avoid|know|get started|\w+ly)\b|"
    r".*\b(?:not|that|which)\b"
)
CONDITION = re.compile(r"(?P<if>if|when) (?P<clause>[^,]{10,90}), (?!read |see ).{10}")
NO_CLAUSE = re.compile(
    r"(?:you|in doubt|possible|necessary|true|false|that|what|\w+ing|\w+ed)\b|.*\b(?:not|you)\b"
)
AMOUNT = re.compile(
    rf"{SUBJECT} (?P<says>has|takes|accepts|supports|allows|contains|requires|provides) "
    rf"(?:up to |at least |at most |exactly |about )?{NUMBER} (?P<what>[a-z]+(?: [a-z]+)?s)\b"
)


@dataclass(frozen=True, slots=True)
class Asked:
    """`sentence` is the passage's own, and answers `question`. `kind` is what is asked for."""

    question: str
    sentence: str
    kind: str


def questions(passage: str) -> Iterator[Asked]:
    """Those that the sentences of a passage answer, in order, at most one a sentence."""
    words = set(WORD.findall(passage))
    names = frozenset(one for one in CAPITAL.findall(passage) if one.lower() not in words)
    for place in sentences(passage):
        if place.kind in ("text", "item") and (
            found := ask(passage[place.start : place.end], names)
        ):
            yield found


def ask(sentence: str, names: frozenset[str] = frozenset()) -> Asked | None:
    """The first question that a rule makes of the sentence. `names` keep their capital."""
    said = shown(sentence)
    if not _stands_alone(said):
        return None
    body = _lowered(said[:-1], names)
    for kind, rule in RULES:
        question = rule(body)
        if question and _readable(question):
            return Asked(question, sentence.strip(), kind)
    return None


def _stands_alone(said: str) -> bool:
    words = said.split()
    return (
        said.endswith(".")
        and said[:1].isupper()
        and SENTENCE_WORDS[0] <= len(words) <= SENTENCE_WORDS[1]
        and not ODD.search(said[:-1])
        and not LEANS.search(" ".join(words[:3]))
        and not re.search(r"\bfollowing\b|\bread the\b", said)
    )


def _readable(question: str) -> bool:
    return (
        QUESTION_WORDS[0] <= len(question.split()) <= QUESTION_WORDS[1]
        and question.count("(") == question.count(")")
        and question.count('"') % 2 == 0
        and not LEANS.search(question)
        and not TORN.search(question)
    )


def _lowered(text: str, names: frozenset[str]) -> str:
    """Without the capital that only the sentence's beginning gave it."""
    first, _, rest = text.partition(" ")
    if first in names or any(one.isupper() or one.isdigit() or one in "_." for one in first[1:]):
        return text
    if rest[:1].isupper() and first not in ("The", "A", "An", "To", "If", "When"):
        return text  # the first of several words of a name
    return text[:1].lower() + text[1:]


def _subject(match: re.Match[str] | None, most: int = SUBJECT_WORDS) -> str | None:
    """A noun phrase that says by itself what it names."""
    text = match["subject"] if match else ""
    if not 1 <= len(text.split()) <= most or not terms(text):
        return None
    if NO_SUBJECT.match(text) or GENERIC.fullmatch(text) or STRAY.search(text):
        return None
    words = text.lower().split()
    # A heading that ran into its sentence says a word twice.
    return None if VERB.search(text[1:]) or len(set(words)) < len(words) else text


def _amount(body: str) -> str | None:
    match = AMOUNT.match(body)
    subject = _subject(match)
    if not match or not subject:
        return None
    return f"How many {match['what']} does {subject} {COUNTS[match['says']]}?"


def _time(body: str) -> str | None:
    match = TIMED.match(body)
    subject = _subject(match)
    return f"When {match['be']} {subject} {match['done']}?" if match and subject else None


def _manner(body: str) -> str | None:
    match = DONE_BY.match(body)
    subject = _subject(match)
    if not match or not subject or match["done"] in ("followed", "preceded", "replaced"):
        return None
    first, _, rest = f"{match['be']} ".partition(" ")
    return f"How {first} {subject} {rest}{match['done']}?"


def _action(body: str) -> str | None:
    match = TO_DO.match(body) or YOU_CAN.match(body)
    return f"How do you {match['do']}?" if match and not VAGUE.match(match["do"]) else None


def _purpose(body: str) -> str | None:
    match = USED_FOR.match(body)
    subject = _subject(match)
    if not match or not subject:
        return None
    first, _, rest = f"{match['be']} ".partition(" ")
    return f"What {first} {subject} {rest}used for?"


def _definition(body: str) -> str | None:
    match = DEFINES.match(body)
    subject = _subject(match, most=4)  # of a longer one something else is said than what it is
    if not match or not subject:
        return None
    if subject.startswith(("a ", "an ")) and match["as"] not in ("a", "an"):
        return None
    return f"What {match['be']} {subject}?"


def _attribute(body: str) -> str | None:
    one, many = STATES.match(body), STATE.match(body)
    match = one or many
    subject = _subject(match)
    if not match or not subject:
        return None
    says = SAYS[match["says"]] if one else match["says"]
    if says in TO_DO_SO and " to " not in match["rest"]:
        return None
    return f"What {'does' if one else 'do'} {subject} {says}?"


def _condition(body: str) -> str | None:
    match = CONDITION.match(body)
    if not match or NO_CLAUSE.match(match["clause"]):
        return None
    # In fewer words it is a condition of something that stands elsewhere: "the token is invalid".
    if len(terms(match["clause"])) < 3:
        return None
    return f"What happens {match['if']} {match['clause']}?"


RULES: tuple[tuple[str, Callable[[str], str | None]], ...] = (
    ("amount", _amount),
    ("time", _time),
    ("manner", _manner),
    ("action", _action),
    ("purpose", _purpose),
    ("definition", _definition),
    ("attribute", _attribute),
    ("condition", _condition),
)
