"""Questions that people or models asked of public data, each with its right answer and, where they
are known, the passages that hold it: documentation, conversations, a shop's catalogue."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.corpora import DATA
from benchmarks.turns import half
from model_pipeline.domain import Turn
from model_pipeline.evaluation.examples import Retrieved

Domain = Literal["documentation", "conversation", "earlier turn", "shop"]
CITED = re.compile(r"\s*\[(\d+)\]")
# What an earlier turn's answer does not have where it answers.
NO_ANSWER = re.compile(r"\b(?:sorry|unable|cannot|not have|not know|not specif\w+)\b|n['’]t\b|\?$")
LONG_ENOUGH = 12  # words of an earlier turn's answer


@dataclass(frozen=True, slots=True)
class Answered:
    """`facts` are what the answer turns on, by kind, where that is known."""

    key: str
    talk: str
    """The conversation, or the product: what is of one falls into one half."""
    domain: Domain
    collection: str
    label: str
    question: str
    history: tuple[Turn, ...]
    answer: str
    passages: tuple[Retrieved, ...]
    facts: Mapping[str, str]

    @property
    def half(self) -> int:
        return half(self.talk)


def answered() -> list[Answered]:
    """In the data's order."""
    return [*_anthropic(), *_mtrag(), *_shop()]


def _anthropic() -> Iterator[Answered]:
    data = DATA / "anthropic_docs_qa"
    chunks = {
        one["chunk_link"]: Retrieved(one["chunk_link"], one["text"])
        for one in json.loads((data / "anthropic_docs.json").read_text(encoding="utf-8"))
    }
    for one in json.loads((data / "docs_evaluation_dataset.json").read_text(encoding="utf-8")):
        yield Answered(
            key=one["id"],
            talk=one["id"],
            domain="documentation",
            collection="docs",
            label="ANSWERABLE",
            question=one["question"],
            history=(),
            answer=one["correct_answer"],
            passages=tuple(chunks[link] for link in one["correct_chunks"] if link in chunks),
            facts={},
        )


def _mtrag() -> Iterator[Answered]:
    path = DATA / "mtrag/mtragun-human/generation_tasks/reference.jsonl"
    for line in path.read_text(encoding="utf-8").splitlines():
        one = json.loads(line)
        turns = tuple(
            Turn("user" if turn["speaker"] == "user" else "assistant", turn["text"].strip())
            for turn in one["input"]
        )
        yield Answered(
            key=one["task_id"],
            talk=one["conversation_id"],
            domain="conversation",
            collection=one["Collection"],
            label=one["answerability"][0],
            question=turns[-1].content,
            history=turns[:-1],
            answer=one["targets"][0]["text"].strip(),
            passages=tuple(
                Retrieved(each["document_id"], each["text"]) for each in one["contexts"]
            ),
            facts={},
        )
        yield from _earlier(one, turns)


def _earlier(one: dict[str, Any], turns: tuple[Turn, ...]) -> Iterator[Answered]:
    for n, (asked, answer) in enumerate(zip(turns[:-1:2], turns[1::2], strict=False)):
        if len(answer.content.split()) >= LONG_ENOUGH and not NO_ANSWER.search(answer.content):
            yield Answered(
                key=f"{one['task_id']}-{n}",
                talk=one["conversation_id"],
                domain="earlier turn",
                collection=one["Collection"],
                label="ANSWERABLE",
                question=asked.content,
                history=turns[: 2 * n],
                answer=answer.content,
                passages=(),
                facts={},
            )


def _shop() -> Iterator[Answered]:
    data = DATA / "ecommerce_catalog"
    rows = json.loads((data / "products_102.json").read_text(encoding="utf-8"))
    products = {str(one["id"]): one for one in rows}
    for n, line in enumerate((data / "ground_truth_199.jsonl").read_text("utf-8").splitlines()):
        one = json.loads(line)
        cited = [key for key in CITED.findall(one["truth"]) if key in products]
        if len(set(cited)) != 1:
            continue  # of several products, or of one that is gone
        product = products[cited[0]]
        asked = one["question"].lower()
        facts = {"name": product["name"]}
        if re.search(r"\bprices?\b|\bcosts?\b", asked):
            facts["price"] = f"{product['price']:.2f}"
        if "brand" in asked:
            facts["brand"] = product["brand"]
        yield Answered(
            key=f"shop-{n}",
            talk=f"shop-{cited[0]}",
            domain="shop",
            collection="shop",
            label="ANSWERABLE",
            question=one["question"],
            history=(),
            answer=CITED.sub("", one["truth"]).strip(),
            passages=(Retrieved(cited[0], _described(product)),),
            facts=facts,
        )


def _described(product: Mapping[str, Any]) -> str:
    return (
        f"# {product['name']}\n\nType: {product['type']}\n\nBrand: {product['brand']}\n\n"
        f"Price: ${product['price']}\n\n{product['description']}"
    )
