"""Questions in which people are swapped: the fixed ones that are shipped, and those of the user's
own. What is asked of each probe are its variants: one for each group that can be put in."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from bias.swaps import GENDER, NEUTRAL, axes, exchange, groups_in


@dataclass(frozen=True, slots=True)
class Variant:
    """What is asked. With a `context` the answer is written from that alone, and nothing is looked
    for."""

    question: str
    context: str | None = None

    @property
    def variant_id(self) -> str:
        parts = "\0".join((self.question, self.context or ""))
        return hashlib.sha256(parts.encode("utf-8", "replace")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Probe:
    """`original` names people of `group` and of no other group of `axis`. `controls` are two like
    it about people who differ by nothing that is protected."""

    axis: str
    group: str
    original: Variant
    controls: tuple[Variant, Variant] | None = None

    @property
    def probe_id(self) -> str:
        return f"{self.axis}-{self.original.variant_id}"

    def variants(self) -> dict[str, Variant]:
        """By group, the original among them; a group that lacks a word is left out."""
        found = {self.group: self.original}
        neutral = (NEUTRAL,) if self.axis == GENDER else ()
        for other in (*axes()[self.axis], *neutral):
            swapped = _swapped(self.original, self.axis, self.group, other)
            if other != self.group and swapped is not None:
                found[other] = swapped
        return found


def turned_back(answer: str, axis: str, group: str, original: str) -> str:
    """An answer about `group` in the words of the `original` group, so that two answers that differ
    by them alone are equal."""
    if group == original or NEUTRAL in (group, original):
        return answer
    return exchange(answer, axis, group, original).text


def fixed_probes() -> list[Probe]:
    data = _data()
    found = []
    for axis, own in data["axes"].items():
        for pattern in data["patterns"]:
            found.append(_filled(axis, pattern, own, data["control"]))
        for row in data["questions"].get(axis, ()):
            found.append(_marked(axis, row["question"], row.get("control")))
        for row in data["context_patterns"]:
            question, context = (row[part].format(**own) for part in ("question", "context"))
            found.append(_probe(axis, Variant(question, context)))
    for axis, rows in data["contexts"].items():
        found += [_probe(axis, Variant(row["question"], row["context"])) for row in rows]
    return [one for one in found if one is not None]


def own_probes(questions: Sequence[str]) -> Iterator[Probe]:
    """Questions that name one group of an axis are probes of it as they are. One that names nobody
    becomes one for each axis: somebody says who they are, and asks it."""
    data = _data()
    for question in questions:
        named = [axis for axis in axes() if groups_in(question, axis)]
        found = [_probe(axis, Variant(question)) for axis in named] or [
            _filled(axis, data["frame"], own, data["control"], then=f" {question}")
            for axis, own in data["axes"].items()
        ]
        yield from (one for one in found if one is not None)


def sample(probes: Sequence[Probe], n: int | None, seed: int) -> list[Probe]:
    """At most `n` of each axis, the same ones for the same seed; in the order given."""
    kept: set[str] = set()
    for axis in axes():
        ids = sorted(one.probe_id for one in probes if one.axis == axis)
        few = n is not None and n < len(ids)
        kept |= set(random.Random(f"{seed}-{axis}").sample(ids, n or 0) if few else ids)  # noqa: S311
    return [one for one in probes if one.probe_id in kept]


@cache
def version() -> str:
    return f"probes-{_data()['version']}-{hashlib.sha256(_source().encode()).hexdigest()[:8]}"


def _filled(
    axis: str,
    pattern: str,
    own: Mapping[str, str],
    control: Mapping[str, Sequence[str]],
    *,
    then: str = "",
) -> Probe | None:
    """Of a pattern with one slot, which an axis's words and the controls fill."""
    slot = next(one for one in own if f"{{{one}}}" in pattern)

    def put(word: str) -> Variant:
        return Variant(pattern.replace(f"{{{slot}}}", word) + then)

    first, second = control[slot]
    return _probe(axis, put(own[slot]), (put(first), put(second)))


def _marked(axis: str, question: str, control: Sequence[str] | None) -> Probe | None:
    """Of a question in which braces mark what the controls replace."""
    plain = Variant(question.replace("{", "").replace("}", ""))
    if control is None:
        return _probe(axis, plain)
    before, _, rest = question.partition("{")
    after = rest.partition("}")[2]
    first, second = (Variant(before + word + after) for word in control)
    return _probe(axis, plain, (first, second))


def _probe(
    axis: str, original: Variant, controls: tuple[Variant, Variant] | None = None
) -> Probe | None:
    """None where it names several groups: what becomes of it would not be of one."""
    named = groups_in(f"{original.question}\n{original.context or ''}", axis)
    if len(named) != 1:
        return None
    return Probe(axis, next(iter(named)), original, controls)


def _swapped(original: Variant, axis: str, group: str, other: str) -> Variant | None:
    if other == group:
        return None
    question = exchange(original.question, axis, group, other)
    context = exchange(original.context or "", axis, group, other)
    if question.missing or context.missing or not (question.changes or context.changes):
        return None
    if other == NEUTRAL and groups_in(f"{question.text}\n{context.text}", axis):
        return None
    return Variant(question.text, context.text if original.context is not None else None)


@cache
def _source() -> str:
    return files("bias").joinpath("data", "probes.yaml").read_text(encoding="utf-8")


@cache
def _data() -> Mapping[str, Any]:
    loaded: Mapping[str, Any] = yaml.safe_load(_source())
    return loaded
