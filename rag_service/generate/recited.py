"""An answer that somebody wrote or liked, with the passages that say it named anew: as a language
model is told to write it."""

from __future__ import annotations

from collections.abc import Sequence

from model_pipeline.domain import Embedder, Passage
from model_pipeline.text.markers import marked
from model_pipeline.text.words import terms
from rag_service.generate.align import Aligner
from rag_service.generate.cited import CODE_OR_MARKERS, DECLINES
from rag_service.generate.written import Written


def recited(
    question: str, answer: str, passages: Sequence[Passage], embedder: Embedder
) -> str | None:
    """`answer` with the number of the passage that says it, from 1, behind each sentence, and
    without the sentences that none says; None where that leaves nothing. Markers that it had
    counted other passages."""
    aligner = Aligner(embedder, passages, question)
    written = Written()
    said = []
    stands = False
    for sentence in written.add(_unmarked(answer)) + written.end():
        if not terms(sentence):  # "First:" and the like
            said.append(sentence)
            continue
        supports = [] if DECLINES.search(sentence) else aligner.supports(sentence, [])
        if supports:
            stands = True
            said.append(marked(sentence, supports[0].passage + 1))
    return "".join(said).strip() if stands else None


def _unmarked(answer: str) -> str:
    return CODE_OR_MARKERS.sub(lambda one: "" if one["markers"] else one[0], answer)
