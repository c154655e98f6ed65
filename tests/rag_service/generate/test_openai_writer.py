"""A real endpoint over HTTP, by the real client: what fails, what is tried again, who stands in."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span
from structlog.testing import capture_logs

from model_pipeline.domain import AS_RELEASED, Answer, Draft, Passage, SearchResult, Wording
from model_pipeline.embedding.onnx_embedder import OnnxEmbedder
from model_pipeline.errors import ConfigurationError, ModelUnavailable
from rag_service.answer import Answerer, Delta, Done
from rag_service.generate.cited import Cited
from rag_service.generate.extractive import Extractive
from rag_service.generate.fallback import FAILURES, Breaker, WithFallback
from rag_service.generate.openai_writer import OpenAIWriter, parse_endpoint
from rag_service.generate.prompt import Prompt
from rag_service.generate.transformers_writer import TransformersWriter, Weights
from rag_service.generate.writer import CUT, Message, Spent, unheard
from tests.rag_service.generate.conftest import SAYS, NewPassage
from tests.servers import openai_compatible
from tests.servers.openai_compatible import Endpoint

Result = TypeVar("Result")
ASKED = [Message("user", "When is the shop open?")]
HOURS = (
    "# Opening hours\n\nThe shop is open from Monday to Friday, from nine in the morning to six in "
    "the evening. It is closed on public holidays.\n"
)
RETURNS = "# Returns\n\nYou can return a tent within 30 days of the purchase.\n"


@pytest.fixture(scope="module")
def serving(tiny_llama: Path) -> Iterator[Endpoint]:
    writer = TransformersWriter(Weights(str(tiny_llama)), max_new_tokens=120)
    with openai_compatible.running(Endpoint(writer)) as endpoint:
        yield endpoint


@pytest.fixture
def endpoint(serving: Endpoint) -> Endpoint:
    serving.faults.clear()
    serving.asked.clear()
    serving.left.clear()
    serving.key, serving.strict, serving.silent = None, False, False
    return serving


class Loop:
    """One event loop for a test, and writers that are closed with it: their connections are its."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._writers: list[OpenAIWriter] = []

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self._runner.run(work)

    def writer(
        self, spec: str, *, key: str | None = None, timeout_s: float = 10, spent: Spent = unheard
    ) -> OpenAIWriter:
        endpoint = parse_endpoint(spec.removeprefix("openai:"))
        made = OpenAIWriter(*endpoint, api_key=key, timeout_s=timeout_s, spent=spent)
        self._writers.append(made)
        return self._writers[-1]

    def close(self) -> None:
        for writer in self._writers:
            self._runner.run(writer.close())
        self._runner.close()


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


async def written(writer: OpenAIWriter, wording: Wording = AS_RELEASED) -> list[str]:
    """Its text; what CUT says is told apart."""
    found = [piece async for piece in writer.write(ASKED, wording)]
    assert CUT not in found[:-1]
    return [str(piece) for piece in found]


def test_an_answer_is_streamed(loop: Loop, endpoint: Endpoint) -> None:
    writer = loop.writer(endpoint.spec)
    found = loop.run(written(writer))
    assert "".join(found) == SAYS
    assert len(found) > 15
    [asked] = endpoint.asked
    assert (asked["temperature"], asked["max_tokens"], asked["stream"]) == (0, 512, True)


def test_tokens_are_those_that_the_endpoint_tells(loop: Loop, endpoint: Endpoint) -> None:
    spent: list[tuple[int, int]] = []
    writer = loop.writer(endpoint.spec, spent=lambda *tokens: spent.append(tokens))
    loop.run(written(writer))
    count = endpoint.writer.count_tokens
    assert spent == [(count(ASKED[0].content), count(SAYS))]
    endpoint.silent = True
    assert "".join(loop.run(written(writer))) == SAYS
    endpoint.silent, endpoint.strict = False, True
    for _ in range(2):
        assert "".join(loop.run(written(writer))) == SAYS
    assert len(spent) == 1
    assert ["stream_options" in one for one in endpoint.asked] == [True, True, True, False, False]


def test_a_trace_goes_on_at_the_endpoint(loop: Loop, endpoint: Endpoint) -> None:
    context = SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    writer = loop.writer(endpoint.spec)

    async def traced() -> None:
        with use_span(NonRecordingSpan(context)):
            await written(writer)

    loop.run(written(writer))
    loop.run(traced())
    assert endpoint.traces[-2:] == [None, f"00-{1:032x}-{2:016x}-01"]


def test_what_an_endpoint_says_is_not_in_the_log(loop: Loop, endpoint: Endpoint) -> None:
    """It may quote the prompt."""
    endpoint.faults.append(400)
    with capture_logs() as lines, pytest.raises(ModelUnavailable):
        loop.run(written(loop.writer(endpoint.spec)))
    [line] = lines
    assert (line["error"], line["status"]) == ("BadRequestError", 400)
    assert "on demand" not in str(line)


@pytest.mark.parametrize("fault", [429, 500, 503, "break"])
def test_what_passes_is_tried_again(loop: Loop, endpoint: Endpoint, fault: int | str) -> None:
    endpoint.faults.extend([fault, fault])
    assert "".join(loop.run(written(loop.writer(endpoint.spec)))) == SAYS
    assert len(endpoint.asked) == 3


@pytest.mark.parametrize(
    ("faults", "attempts", "said"),
    [
        ([429] * 3, 3, "too much to do"),
        ([500] * 3, 3, "failed with status 500"),
        ([400], 1, "refuses the request"),
        ([404], 1, "does not know the model"),
        (["hang"], 1, "did not answer within 1 s"),
    ],
)
def test_what_stays_is_told_in_one_sentence(
    loop: Loop, endpoint: Endpoint, faults: Sequence[int | str], attempts: int, said: str
) -> None:
    endpoint.faults.extend(faults)
    with pytest.raises(ModelUnavailable, match=said) as caught:
        loop.run(written(loop.writer(endpoint.spec, timeout_s=1)))
    assert caught.value.passing == (400 not in faults)
    assert len(endpoint.asked) == attempts


def test_after_the_first_text_nothing_is_asked_twice(loop: Loop, endpoint: Endpoint) -> None:
    endpoint.faults.append("drop")
    found: list[str] = []

    async def read() -> None:
        async for piece in loop.writer(endpoint.spec).write(ASKED):
            found.append(piece)

    with pytest.raises(ModelUnavailable, match="broke off"):
        loop.run(read())
    assert SAYS.startswith("".join(found))
    assert found
    assert len(endpoint.asked) == 1


def test_an_endpoint_that_does_not_stop_is_left(loop: Loop, endpoint: Endpoint) -> None:
    endpoint.faults.append("babble")
    writer = loop.writer(endpoint.spec)
    writer.max_new_tokens = 20
    *text, last = loop.run(written(writer))
    assert len("".join(text)) < 20 * 16 + 20
    assert last == str(CUT)
    assert endpoint.left.wait(5)


def test_it_is_worded_as_asked_for_and_no_endpoint_sees_more(
    loop: Loop, endpoint: Endpoint
) -> None:
    writer = loop.writer(endpoint.spec)

    def asked(wording: Wording) -> tuple[list[str], dict[str, Any]]:
        found = loop.run(written(writer, wording))
        known = ("model", "messages", "stream", "stream_options")
        return found, {key: value for key, value in endpoint.asked[-1].items() if key not in known}

    greedy, sent = asked(Wording(top_p=0.5, seed=7, stop=("holidays",)))
    assert "".join(greedy) == SAYS  # the stop is the reader's
    assert sent == {"temperature": 0, "max_tokens": 512}
    found, sent = asked(Wording(max_tokens=5))
    assert SAYS.startswith("".join(found[:-1])) and found[-1] == str(CUT)
    assert sent == {"temperature": 0, "max_tokens": 5}
    found, sent = asked(Wording(temperature=2.0, top_p=0.9, seed=7, max_tokens=40))
    assert sent == {"temperature": 2.0, "top_p": 0.9, "seed": 7, "max_tokens": 40}
    assert asked(Wording(temperature=2.0, top_p=0.9, seed=7, max_tokens=40))[0] == found
    others = [asked(Wording(temperature=2.0, seed=n, max_tokens=40))[0] for n in range(3)]
    assert others != [found] * 3
    assert asked(Wording(max_tokens=10**6))[1]["max_tokens"] == 512


def test_the_endpoint_stops_when_the_reader_leaves(loop: Loop, endpoint: Endpoint) -> None:
    endpoint.faults.append("babble")

    async def leave() -> None:
        reading = loop.writer(endpoint.spec).write(ASKED)
        await anext(reading)
        assert not endpoint.left.is_set()
        await reading.aclose()

    loop.run(leave())
    assert endpoint.left.wait(5)


def test_a_check_tells_key_model_and_absence(loop: Loop, endpoint: Endpoint) -> None:
    endpoint.key = "right"
    assert loop.run(loop.writer(endpoint.spec, key="right").check()).startswith(
        "openai:tiny@127.0.0.1"
    )
    with pytest.raises(ConfigurationError, match="set PROMPTLY_OPENAI_API_KEY"):
        loop.run(loop.writer(endpoint.spec).check())
    other = loop.writer(f"openai:{endpoint.address}/v1#other", key="right")
    with pytest.raises(ConfigurationError, match="serves no model 'other': it has tiny"):
        loop.run(other.check())
    with pytest.raises(ModelUnavailable, match="cannot be reached"):
        loop.run(loop.writer("openai:http://127.0.0.1:9/v1#m").check())


class Store:
    def __init__(self, passages: Sequence[Passage]) -> None:
        self._passages = passages

    async def retrieve(self, *_: object, **__: object) -> SearchResult:
        return SearchResult(tuple(self._passages), True)


def answering(
    loop: Loop,
    endpoint: Endpoint,
    embedder: OnnxEmbedder,
    passages: Sequence[Passage],
    breaker: Breaker,
) -> Answerer:
    cited = Cited(loop.writer(endpoint.spec, timeout_s=1), Prompt(), embedder)
    generator = WithFallback(cited, Extractive(embedder), breaker)
    return Answerer(Store(passages), generator, "release")  # type: ignore[arg-type]


def asked(loop: Loop, answerer: Answerer) -> tuple[str, Answer]:
    async def events() -> list[object]:
        return [event async for event in answerer.stream("When is the shop open?")]

    found = loop.run(events())
    assert isinstance(found[-1], Done)
    return "".join(one.text for one in found if isinstance(one, Delta)), found[-1].answer


@pytest.fixture
def passages(new_passage: NewPassage) -> list[Passage]:
    return [new_passage(HOURS, title="Hours"), new_passage(RETURNS, title="Returns")]


def test_a_models_answer_has_verified_quotes(
    loop: Loop, endpoint: Endpoint, embedder: OnnxEmbedder, passages: list[Passage]
) -> None:
    text, answer = asked(loop, answering(loop, endpoint, embedder, passages, Breaker()))
    assert text == answer.answer
    assert answer.fallback is None
    assert not answer.unsupported
    assert [one.quote for one in answer.citations] == [
        "It is closed on public holidays.",
        "You can return a tent within 30 days of the purchase.",
    ]
    assert answer.answer == (
        "The shop is closed on public holidays. [1] A tent can be returned within 30 days. [2]"
    )


@pytest.mark.parametrize("fault", [400, 500, "hang", "break"])
def test_the_documents_own_sentences_stand_in(
    loop: Loop,
    endpoint: Endpoint,
    embedder: OnnxEmbedder,
    passages: list[Passage],
    fault: int | str,
) -> None:
    endpoint.faults.extend([fault] * 3)
    text, answer = asked(loop, answering(loop, endpoint, embedder, passages, Breaker()))
    assert text == answer.answer
    assert answer.answer.startswith("The shop is open from Monday to Friday, from nine")
    assert answer.citations
    assert answer.fallback is not None
    assert answer.fallback.endswith("These are the documents' own sentences.")


def test_what_was_shown_before_the_model_broke_off_stands(
    loop: Loop, endpoint: Endpoint, embedder: OnnxEmbedder, passages: list[Passage]
) -> None:
    """One whole sentence had come; the other is the documents' own, numbered on."""
    endpoint.faults.append("drop")
    text, answer = asked(loop, answering(loop, endpoint, embedder, passages, Breaker()))
    assert text == answer.answer
    assert answer.answer.startswith(
        "The shop is closed on public holidays. [1] The shop is open from Monday to Friday, from"
    )
    assert [one.n for one in answer.citations] == list(range(1, len(answer.citations) + 1))
    for one in answer.citations:
        assert f"[{one.n}]" in answer.answer
        assert any(one.quote in passage.content for passage in passages)
    assert answer.fallback is not None
    assert answer.fallback.startswith("The language model broke off.")


def test_the_breaker_spares_an_endpoint_that_is_away(
    loop: Loop, endpoint: Endpoint, embedder: OnnxEmbedder, passages: list[Passage]
) -> None:
    now = [0.0]
    breaker = Breaker(clock=lambda: now[0], open_s=30)
    answerer = answering(loop, endpoint, embedder, passages, breaker)
    endpoint.faults.extend([404] * (FAILURES + 1))
    for _ in range(FAILURES):
        assert "does not know" in str(asked(loop, answerer)[1].fallback)
    assert "has not been answering" in str(asked(loop, answerer)[1].fallback)
    assert len(endpoint.asked) == FAILURES
    now[0] = 31.0  # one is let through, and fails
    assert "does not know" in str(asked(loop, answerer)[1].fallback)
    assert "has not been answering" in str(asked(loop, answerer)[1].fallback)
    now[0] = 62.0  # and one who does not
    assert asked(loop, answerer)[1].fallback is None
    assert asked(loop, answerer)[1].fallback is None
    assert len(endpoint.asked) == FAILURES + 3


def test_only_one_probes() -> None:
    now = [0.0]
    breaker = Breaker(failures=1, open_s=10, clock=lambda: now[0])
    breaker.failed()
    assert not breaker.allows()
    now[0] = 11
    assert [breaker.allows(), breaker.allows()] == [True, False]
    breaker.undecided()
    assert breaker.allows()
    breaker.succeeded()
    assert [breaker.allows(), breaker.allows()] == [True, True]


def test_a_request_that_is_refused_opens_nothing(
    loop: Loop, endpoint: Endpoint, embedder: OnnxEmbedder, passages: list[Passage]
) -> None:
    """Else a question that is too long for the model would shut everybody else out."""
    answerer = answering(loop, endpoint, embedder, passages, Breaker())
    endpoint.faults.extend([400] * (FAILURES + 1))
    for _ in range(FAILURES + 1):
        assert asked(loop, answerer)[1].fallback
    assert asked(loop, answerer)[1].fallback is None


def test_a_reader_who_leaves_stops_the_whole_way(
    loop: Loop, endpoint: Endpoint, embedder: OnnxEmbedder, passages: list[Passage]
) -> None:
    endpoint.faults.append("babble")
    answerer = answering(loop, endpoint, embedder, passages, Breaker())

    async def leave() -> None:
        async def read() -> None:
            async for _ in answerer.stream("When is the shop open?"):
                pass

        reading = asyncio.create_task(read())
        while not endpoint.asked:  # noqa: ASYNC110 - set by another thread
            await asyncio.sleep(0.01)
        reading.cancel()
        await asyncio.wait([reading], timeout=5)
        assert reading.cancelled()

    loop.run(leave())
    assert endpoint.left.wait(5)


def test_drafts_of_one_quote_are_not_told_twice() -> None:
    from model_pipeline.domain import Claim
    from rag_service.generate.fallback import ENDS_EARLY, _continuing

    said = [Claim(1, 0, "It is closed on public holidays.")]
    rest = [Draft("It is closed. [1]", (Claim(1, 0, "closed on public holidays"),))]
    assert _continuing(said, rest, "Away.") == [Draft("", fallback=f"Away. {ENDS_EARLY}")]
