"""Every format, and every kind of broken file: a document, or one clear sentence."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path

import docx
import pytest

from model_pipeline.documents.discover import discover, discover_at
from model_pipeline.documents.found import Failed, FieldNames, Found, ReadLimits, from_bytes
from model_pipeline.documents.read import read
from model_pipeline.domain import Document
from model_pipeline.errors import UnreadableDocument

LIMITS = ReadLimits()


def rows(name: str, data: bytes, /, **fields: str) -> list[Document | Failed]:
    found = from_bytes(name, data)
    assert isinstance(found, Found), found
    return list(read(found, FieldNames(**fields), limits=LIMITS))


def one(name: str, content: bytes) -> Document:
    (document,) = rows(name, content)
    assert isinstance(document, Document)
    return document


def reason(name: str, content: bytes) -> str:
    with pytest.raises(UnreadableDocument) as caught:
        rows(name, content)
    assert name in caught.value.message
    assert "\n" not in caught.value.message
    return caught.value.message


def paths(document: Document) -> dict[str, tuple[str, ...]]:
    return {
        document.content[block.start : block.end].strip(): block.heading_path
        for block in document.blocks
    }


def test_markdown_keeps_its_source_and_its_headings() -> None:
    document = one("a.md", b"---\ntitle: Shop\ntags: [a, b]\n---\n# Hours { #hours }\n\nMonday.\n")
    assert document.title == "Shop"
    assert document.metadata == {"format": "markdown", "tags": ["a", "b"]}
    assert document.content == "# Hours { #hours }\n\nMonday.\n"
    assert paths(document)["Monday."] == ("Hours",)


def test_mkdocs_includes_are_expanded_within_reach(tmp_path: Path) -> None:
    source = tmp_path / "docs_src" / "app.py"
    source.parent.mkdir()
    source.write_text("one\ntwo\nthree\nfour\n")
    page = tmp_path / "docs" / "en" / "page.md"
    page.parent.mkdir(parents=True)
    page.write_text(
        "# Page\n\n{* ../../docs_src/app.py ln[2:3,4] hl[1] *}\n\n{* /etc/hostname *}\n"
        "{* ../../../../../../../../etc/hostname *}\n"
    )
    (found,) = discover([str(tmp_path / "docs")], limits=LIMITS)
    assert isinstance(found, Found)
    (document,) = read(found, FieldNames(), limits=LIMITS)
    assert isinstance(document, Document)
    assert "```py\ntwo\nthree\nfour\n```" in document.content
    assert document.content.count("etc/hostname *}") == 2


def test_html_is_what_a_reader_sees() -> None:
    document = one(
        "a.html",
        b"<html><head><title>T</title><script>bad()</script></head><body><nav>Menu</nav><main>"
        b"<h1>Top</h1><p>Some <b>bold</b> &amp; text.<ul><li>one<li>two</ul><pre>a\n  b</pre>"
        b"<table><tr><td>x<td>y</table></main><footer>Foot</footer></body></html>",
    )
    assert document.title == "T"
    assert document.content == "Top\n\nSome bold & text.\n\n- one\n- two\n\na\n  b\n\nx | y"
    assert paths(document)["x | y"] == ("Top",)


def test_html_in_another_encoding() -> None:
    page = "<meta charset='iso-8859-1'><p>Grüße</p>".encode("iso-8859-1")
    assert one("a.html", page).content == "Grüße"


def test_docx_has_headings_lists_and_tables() -> None:
    file = docx.Document()
    file.add_heading("Guide", level=1)
    file.add_paragraph("Hello.")
    file.add_paragraph("first", style="List Bullet")
    file.add_paragraph("second", style="List Bullet")
    table = file.add_table(rows=1, cols=2)
    table.cell(0, 0).text, table.cell(0, 1).text = "a", "b"
    saved = io.BytesIO()
    file.save(saved)
    document = one("a.docx", saved.getvalue())
    assert document.content == "Guide\n\nHello.\n\n- first\n- second\n\na | b"
    assert paths(document)["a | b"] == ("Guide",)


def test_underlined_headings_of_plain_text() -> None:
    document = one("a.rst", b"Title\n*****\n\nIntro.\n\nPart\n====\n\nBody.\n")
    assert document.title == "Title"
    assert paths(document)["Body."] == ("Title", "Part")


def test_csv_says_what_its_values_are() -> None:
    assert one("a.csv", b"name,price\nTent,10\nRope,3\n").content == (
        "name: Tent | price: 10\n\nname: Rope | price: 3"
    )
    documents = rows("a.csv", b"sku,text\n1,A tent\n2,A rope\n", id="sku", content="text")
    assert [one.source for one in documents] == ["1", "2"]
    assert "no column 'body'" in _column_error()


def _column_error() -> str:
    with pytest.raises(UnreadableDocument) as caught:
        rows("a.csv", b"sku,text\n1,A tent\n", content="body")
    return caught.value.message


def test_jsonl_rows_are_documents_of_one_chunk() -> None:
    lines = [
        {"_id": "a", "title": "A", "text": " kept as it is \n", "year": 2024},
        {"_id": 7, "text": "numbered", "metadata": {"lang": "en"}},
    ]
    content = "\n".join(map(json.dumps, lines)).encode()
    first, second = rows("a.jsonl", content)
    assert isinstance(first, Document)
    assert isinstance(second, Document)
    assert (first.source, first.title, first.content) == ("a", "A", " kept as it is \n")
    assert first.metadata == {"year": 2024}
    assert second.source == "7"
    assert second.metadata == {"lang": "en"}


def test_a_broken_row_stops_no_other() -> None:
    content = b'{"id":"a","text":"x"}\n{broken\n[1]\n{"id":"b"}\n{"id":"a","text":"again"}\n'
    documents = rows("a.jsonl", content)
    assert [item.source for item in documents if isinstance(item, Document)] == ["a"]
    reasons = [item.reason for item in documents if isinstance(item, Failed)]
    assert ["line 2" in reasons[0], "no object" in reasons[1], "no text" in reasons[2]] == [
        True
    ] * 3
    assert "comes again" in reasons[3]


def test_rows_of_one_id_are_chunks_of_one_document() -> None:
    content = b'{"id":"a","text":"one"}\n{"id":"a","text":"two"}\n'
    (document,) = rows("a.jsonl", content)
    assert isinstance(document, Document)
    parts = [document.content[part.start : part.end] for part in document.pre_chunked]
    assert parts == ["one\n\n", "two"]


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.md", b"", "is empty"),
        ("a.txt", b" \n\t ", "has no text"),
        ("a.pdf", b"%PDF-1.4 cut", "damaged"),
        ("a.docx", b"PK\x03\x04 cut", "truncated"),
        ("a.txt", bytes(range(256)) * 50, "not text"),
        ("a.json", b"[" * 100_000, "not JSON"),
        ("a.json", b'{"no": "list"}', "list of objects"),
    ],
)
def test_what_cannot_be_read_says_why(name: str, content: bytes, why: str) -> None:
    assert why in reason(name, content)


def test_a_zip_bomb_is_not_opened() -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for n in range(30):
            archive.writestr(f"word/{n}.xml", b"0" * 10_000_000)
    assert "unpacks to" in reason("a.docx", bomb.getvalue())


def test_what_the_store_cannot_hold_is_replaced_one_for_one() -> None:
    text = "a" * 100 + "\0b\r\nc"
    assert one("a.txt", text.encode()).content == "a" * 100 + "\ufffdb\nc"


def test_deep_nesting_is_survived() -> None:
    one("a.html", b"<div>" * 20_000 + b"hello")
    one("a.md", b"> " * 2_000 + b"hello")


def test_every_page_of_a_hostile_collection_is_survived(shared_data: Path) -> None:
    for path in sorted((shared_data / "html5lib_tests" / "tokenizer").glob("*.test")):
        for case in json.loads(path.read_text(encoding="utf-8")).get("tests", []):
            page = case["input"].encode("utf-8", "surrogatepass")
            try:
                rows("a.html", page)
            except UnreadableDocument as error:
                assert "a.html" in error.message


def test_every_pdf_of_a_hostile_collection_is_survived(shared_data: Path) -> None:
    outcomes = {"read": 0, "refused": 0}
    for found in discover([str(shared_data / "pypdf_resources")], limits=LIMITS):
        assert isinstance(found, Found)
        try:
            list(read(found, FieldNames(), limits=LIMITS))
            outcomes["read"] += 1
        except UnreadableDocument as error:
            assert found.source in error.message
            outcomes["refused"] += 1
    assert outcomes["read"] > 40
    assert outcomes["refused"] > 5


def test_discovery_passes_over_what_is_hidden_or_outside(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for name in ("docs/b.md", "docs/a.txt", "docs/.hidden.md", "docs/image.png", "outside.md"):
        (tmp_path / name).write_text("text")
    (tmp_path / "docs" / "link.md").symlink_to(tmp_path / "outside.md")
    (tmp_path / "docs" / "loop").symlink_to(tmp_path / "docs")
    found = list(discover([str(tmp_path / "docs")], limits=LIMITS))
    assert [Path(item.source).name for item in found] == ["a.txt", "b.md"]


def test_a_missing_target_stops_no_other(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("here")
    missing, glob, found = discover(
        [str(tmp_path / "gone.md"), str(tmp_path / "*.pdf"), str(tmp_path / "a.md")], limits=LIMITS
    )
    assert isinstance(missing, Failed)
    assert "does not exist" in missing.reason
    assert isinstance(glob, Failed)
    assert "matches no file" in glob.reason
    assert isinstance(found, Found)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open every folder")
def test_a_folder_without_permission_is_told(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o000)
    (failed,) = discover([str(tmp_path)], limits=LIMITS)
    assert isinstance(failed, Failed)
    assert "cannot be opened" in failed.reason


def test_a_file_over_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "big.txt"
    path.write_text("x" * 2000)
    (found,) = discover([str(path)], limits=LIMITS)
    assert isinstance(found, Found)
    with pytest.raises(UnreadableDocument, match="larger than 1,000 bytes"):
        list(read(found, FieldNames(), limits=ReadLimits(file_bytes=1000)))


def test_the_demo_documents_are_the_language_reference() -> None:
    found = list(discover(["demo:python"], limits=LIMITS))
    assert len(found) > 70
    assert all(isinstance(item, Found) for item in found)


def test_discovery_at_a_place_finds_what_a_whole_one_finds_there(tmp_path: Path) -> None:
    docs, outside = tmp_path / "docs", tmp_path / "outside"
    for folder in ("in", "in/.hidden", "in/venv", "beside"):
        (docs / folder).mkdir(parents=True)
        (docs / folder / "x.md").write_text("x")
        (docs / folder / ".x.md").write_text("x")
    outside.mkdir()
    (outside / "x.md").write_text("x")
    (docs / "in" / "link").symlink_to(outside)
    (docs / "in" / "out.md").symlink_to(outside / "x.md")

    def at(*places: str, target: str = str(docs)) -> list[str]:
        found = discover_at(target, {docs / place for place in places})
        return sorted(Path(one.source).relative_to(docs).as_posix() for one in found)

    assert at("") == ["beside/x.md", "in/x.md"]
    assert at("in") == ["in/x.md"]
    assert at("in/x.md", "beside/x.md") == ["beside/x.md", "in/x.md"]
    passed_over = "in/.hidden in/.hidden/x.md in/venv/x.md in/link in/link/x.md in/out.md in/.x.md"
    assert at(*passed_over.split()) == []
    assert at("in", "beside/y.md", target=str(docs / "*" / "x.md")) == ["in/x.md"]
    assert at("in", "beside/x.md", target=str(docs / "in" / "x.md")) == []
