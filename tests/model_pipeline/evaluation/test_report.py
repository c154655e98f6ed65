import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser

from model_pipeline.evaluation import charts, comparison_report, report, weights, wording
from model_pipeline.evaluation.bootstrap import Interval
from model_pipeline.evaluation.comparison import compare
from model_pipeline.evaluation.examples import Example, Prediction, TestSet
from model_pipeline.evaluation.scorecard import Scorecard
from model_pipeline.evaluation.scorecard_file import from_json, to_json
from tests.model_pipeline.evaluation.cards import answers, make_card, make_set

HOSTILE = (
    "</article></style><script>document.title='owned'</script>"
    "<img src=http://example.org/x.png onerror=\"document.title='owned'\"> | *a* `b`"
    "\n\u202ereversed \x1b[31m\x00 \ud800 [link](http://example.org)"
)


def hostile_card() -> Scorecard:
    """Everything that another may have written is hostile."""
    examples = tuple(
        Example(
            f"{HOSTILE}{number}", HOSTILE, (f"{HOSTILE} {number}",), tags={HOSTILE: str(number)}
        )
        for number in range(3)
    )
    test_set = TestSet(HOSTILE, examples)
    given = [
        Prediction(f"{HOSTILE}0", f"{HOSTILE} 0"),
        Prediction(f"{HOSTILE}1", error=HOSTILE),
        Prediction(f"{HOSTILE}2", HOSTILE[:90]),
    ]
    card = make_card(given, test_set=test_set, release_id=HOSTILE)
    return replace(card, params={HOSTILE: HOSTILE}, made_at=HOSTILE)


def pages() -> dict[str, str]:
    card, hostile = make_card(bias=4.0), hostile_card()
    better = make_card(kept=0.9, seed=5)
    shipped = weights.read()
    return {
        "scorecard": report.html(card),
        "hostile": report.html(hostile),
        "comparison": comparison_report.html(compare(card, better, shipped, draws=100)),
        "hostile comparison": comparison_report.html(compare(hostile, hostile, shipped, draws=20)),
    }


def test_a_page_has_failures_figures_slices_and_examples() -> None:
    given = answers(make_set(), kept=0.7, seed=0)
    given[4] = Prediction("q004", error="The model does not answer.")
    card = make_card(given)
    page = report.html(card)
    assert "1 of 24 examples failed" in page and "The model does not answer." in page
    assert wording.number("rouge_1_recall", card.figures["rouge_1_recall"].value) in page
    for slice in card.slices:
        assert f">{slice.value}<" in page and f"by {slice.by}" in page
    assert page.index("failed") < page.index("Figures")
    assert "Worst examples" in page and "Best examples" in page
    assert card.test_set_hash[:12] in page and "words|v1" in page


def test_a_page_is_the_same_bytes_from_the_card_and_from_its_file() -> None:
    card = make_card(bias=4.0)
    again = from_json(to_json(card).encode())
    assert report.html(card) == report.html(again)
    assert report.markdown(card) == report.markdown(again)


@pytest.mark.parametrize("page", pages().values(), ids=list(pages()))
def test_a_page_asks_nobody_and_runs_nothing(page: str) -> None:
    tags = re.findall(r"<(\w+)((?:\s[^<>]*)?)>", page)
    assert not {name for name, _ in tags} & {"script", "img", "link", "iframe", "object", "base"}
    for _, attributes in tags:
        names = re.findall(r'\s([\w-]+)="', attributes)
        assert not {"src", "href", "style"} & set(names)
        assert not [name for name in names if name.startswith("on")]
    assert "default-src 'none'" in page and "unsafe" not in page
    assert "\x1b" not in page and "\u202e" not in page and "\x00" not in page


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_pages_in_a_browser(chromium: Browser, tmp_path: Path, scheme: str, width: int) -> None:
    """No request, no complaint of the policy, nothing cut off, and the style is let in."""
    for name, text in pages().items():
        path = tmp_path / f"{name}.html"
        path.write_text(text, encoding="utf-8")
        page = chromium.new_page(
            color_scheme=scheme,  # type: ignore[arg-type]
            viewport={"width": width, "height": 900},
        )
        asked: list[str] = []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.on("console", lambda message, asked=asked: asked.append(message.text))
        page.on("pageerror", lambda error, asked=asked: asked.append(str(error)))
        page.goto(path.as_uri())
        assert asked == [path.as_uri()]
        assert "owned" not in page.title().split(":")[0]
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        background = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert background == ("rgb(244, 245, 249)" if scheme == "light" else "rgb(17, 20, 28)")
        page.close()


def test_markdown_keeps_hostile_text_in_its_cell() -> None:
    text = report.markdown(hostile_card())
    assert "<script" not in text and "<img" not in text and "](http" not in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    bars = [re.sub(r"\\.", "", line).count("|") for line in tables]
    assert bars == [4] * 3 + [6] * 5 + [5] * 5  # failures, metrics, slices: none broke out


def test_markdown_says_failures_first_and_stays_short() -> None:
    text = report.markdown(make_card([]))
    lines = text.splitlines()
    assert lines[4] == "**24 failures of 24**"
    many = TestSet(
        "many", tuple(Example(str(n), "?", ("x",), tags={"topic": str(n)}) for n in range(150))
    )
    text = report.markdown(make_card([], test_set=many))
    assert "90 more slices" in text and len(text) < 12_000


def test_long_texts_are_cut_in_the_page_and_say_so() -> None:
    test_set = make_set(4)
    given = [Prediction("q000", "x" * 1_000_000)]
    page = report.html(make_card(given, test_set=test_set))
    assert "(1,000,000 characters)" in page and len(page) < 200_000


def test_a_comparison_says_what_was_not_measured() -> None:
    found = compare(make_card(), make_card(seed=2), weights.read(), draws=20)
    for text in (comparison_report.html(found), comparison_report.markdown(found)):
        assert "not measured: bleu_1, bleu_2, bleu_3, bleu_4, rouge_l_precision" in text.lower()
    assert comparison_report.as_object(found)["composite"]["reason"].startswith("not measured")


def test_bars_lie_within_their_plot_whatever_the_values() -> None:
    for value, low, high in [(0.5, 0.4, 0.6), (-3.0, -9.0, 7.0), (float("nan"),) * 3]:
        drawn = str(charts.bar(charts.SHARE, value, low, high, says="x"))
        places = [float(one) for one in re.findall(r'(?:x1|x2|cx|x)="([\d.-]+)%"', drawn)]
        assert places and all(0 <= place <= 100 for place in places)


def test_histograms_count_every_finite_value_once() -> None:
    values = np.array([0.0, 0.01, 0.5, 1.0, float("nan")])
    drawn = str(charts.histogram(values, charts.SHARE, 0.4, says="x"))
    counts = [int(one) for one in re.findall(r": (\d+)</title>", drawn)]
    assert len(counts) == charts.BINS and sum(counts) == 4
    assert (counts[0], counts[-1]) == (2, 1)
    charts.histogram(np.array([]), charts.SHARE, float("nan"), says="x")


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("rouge_l_f1", 0.12345, "0.123"),
        ("perplexity", 12.345, "12.35"),
        ("latency_p50_ms", 1234.5, "1,234 ms"),
        ("bleu_4", float("nan"), "–"),
    ],
)
def test_figures_are_rounded_as_they_are_read(name: str, value: float, shown: str) -> None:
    assert wording.number(name, value) == shown


def test_names_are_shown_as_people_write_them() -> None:
    names = "bleu_4 rouge_l_f1 rouge_1_precision ndcg_10 citation_recall length_ratio".split()
    assert [wording.label(name) for name in names] == [
        "BLEU-4",
        "ROUGE-L F1",
        "ROUGE-1 precision",
        "nDCG@10",
        "Citation recall",
        "Length ratio",
    ]
    assert wording.between("x", Interval(float("nan"), float("nan"))) == "–"
