"""Files made to hang, burst or mislead: refused with the reason, or read within the limits."""

from __future__ import annotations

import contextlib
import io
import os
import random
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
import zipfile
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from model_pipeline.documents.discover import discover
from model_pipeline.documents.found import Failed, FieldNames, Found, ReadLimits, from_bytes
from model_pipeline.documents.parse import parse
from model_pipeline.documents.read import read
from model_pipeline.documents.worker import Worker, worker
from model_pipeline.domain import Document
from model_pipeline.errors import UnreadableDocument

LIMITS = ReadLimits()
SOON = ReadLimits(seconds=0.7)
# A csv.Sniffer that sees this goes over it again and again.
SLOW_CSV = b'"\n' * 10_000


def upload(name: str, content: bytes) -> Found:
    found = from_bytes(name, content)
    assert isinstance(found, Found), found
    return found


def one(name: str, content: bytes, limits: ReadLimits = LIMITS) -> Document:
    (document,) = read(upload(name, content), FieldNames(), limits=limits)
    assert isinstance(document, Document)
    return document


def reason(name: str, content: bytes, limits: ReadLimits = LIMITS) -> str:
    with pytest.raises(UnreadableDocument) as caught:
        one(name, content, limits)
    assert name in caught.value.message
    return caught.value.message


def pdf(pages: int) -> bytes:
    """Pages of one line each."""
    kids = " ".join(f"{number} 0 R" for number in range(5, 5 + pages))
    text = b"BT /F1 12 Tf (Hello) Tj ET"
    page = b"<</Type/Page/Parent 2 0 R/Contents 4 0 R/Resources<</Font<</F1 3 0 R>>>>>>"
    objects: Sequence[bytes] = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count %d/Kids[%b]>>" % (pages, kids.encode()),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        b"<</Length %d>>stream\n%b\nendstream" % (len(text), text),
        *[page] * pages,
    ]
    out, places = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj%b endobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    trailer = b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF"
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n%b" % (len(objects) + 1, table)
    return bytes(out) + trailer % (len(objects) + 1, start)


def test_a_pdf_of_ten_thousand_pages_ends_at_the_time_limit() -> None:
    assert one("a.pdf", pdf(2)).content == "Hello\n\nHello"
    began = time.monotonic()
    assert "takes longer than 0.7 s" in reason("a.pdf", pdf(10_000), SOON)
    assert time.monotonic() - began < 10


def test_a_parser_that_hangs_is_stopped_and_the_next_file_is_read() -> None:
    assert "takes longer than 0.7 s" in reason("a.csv", SLOW_CSV, SOON)
    assert one("b.csv", b"a,b\n1,2\n").content == "a: 1 | b: 2"


def test_a_parser_that_wants_too_much_memory_is_refused_and_the_next_file_is_read() -> None:
    small = ReadLimits(memory_bytes=150_000_000)
    assert "150,000,000 bytes of memory" in reason("a.md", b"- a\n\n" * 2_000_000, small)
    assert one("b.html", b"<p>read", small).content == "read"


def test_files_share_a_process_and_a_broken_one_is_replaced() -> None:
    own = Worker()

    def process() -> int:
        own.parse(upload("a.html", b"<p>a"), b"<p>a", LIMITS)
        assert own._process
        return own._process.pid

    try:
        first = process()
        assert process() == first
        os.kill(first, signal.SIGKILL)
        time.sleep(0.1)
        assert process() != first
    finally:
        own.close()


def test_the_process_ends_with_the_one_that_uses_it() -> None:
    one("a.html", b"<p>a")
    process = worker._process
    assert process
    worker.close()
    assert process.poll() is not None
    assert one("b.html", b"<p>b").content == "b"


def test_the_process_ends_where_its_user_is_killed_while_it_hangs() -> None:
    code = (
        "from model_pipeline.documents.found import ReadLimits, from_bytes\n"
        "from model_pipeline.documents.worker import worker\n"
        "limits, slow = ReadLimits(seconds=1.5), b'\\x22\\n' * 10_000\n"
        "worker._running(); print(worker._process.pid, flush=True)\n"
        "worker.parse(from_bytes('a.csv', slow), slow, limits)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as user:
        assert user.stdout
        process = int(user.stdout.readline())
        time.sleep(0.5)
        user.kill()
    deadline = time.monotonic() + 20
    while _runs(process):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _runs(process: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False


def docx_with(text: str, *, doctype: str = "") -> dict[str, bytes]:
    """The parts of the smallest DOCX file."""
    office = "http://schemas.openxmlformats.org"
    word = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{office}/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/'
        'vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/word/document.xml" ContentType="{word}"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{office}/package/2006/relationships"><Relationship '
        f'Id="r1" Type="{office}/officeDocument/2006/relationships/officeDocument" '
        'Target="word/document.xml"/></Relationships>',
        "word/document.xml": f"<?xml version='1.0'?>{doctype}<w:document "
        f'xmlns:w="{office}/wordprocessingml/2006/main"><w:body><w:p><w:r><w:t>{text}</w:t>'
        "</w:r></w:p></w:body></w:document>",
    }
    return {name: part.encode() for name, part in parts.items()}


def packed(parts: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return out.getvalue()


def test_a_zip_bomb_is_refused_by_what_it_says() -> None:
    bomb = packed(docx_with("text") | {"word/a.xml": b"0" * 6_000_000})
    small = ReadLimits(file_bytes=1_000_000)
    assert "over the limit of 4,000,000" in reason("a.docx", bomb, small)


def test_a_zip_bomb_that_lies_is_refused_too_and_never_goes_off() -> None:
    parts = docx_with("text")
    parts["word/document.xml"] += b" " * (50_000_000 - len(parts["word/document.xml"]))
    size = (50_000_000).to_bytes(4, "little")
    bomb = packed(parts).replace(size, (1_000).to_bytes(4, "little"))
    small = ReadLimits(file_bytes=1_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(UnreadableDocument, match="damaged"):
            parse(upload("a.docx", bomb), bomb, small)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_a_zip_packed_otherwise_is_refused() -> None:
    assert "in a way" in reason("b.docx", packed(docx_with("text"), zipfile.ZIP_BZIP2))


def test_entities_of_xml_are_not_expanded(tmp_path: Path) -> None:
    assert one("a.docx", packed(docx_with("seen"))).content == "seen"
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret")
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    for declared, used in (
        (f'<!ENTITY l0 "ha">{laughs}', "&l9;"),
        (f'<!ENTITY f SYSTEM "{secret.as_uri()}">', "&f;"),
    ):
        file = packed(docx_with(f"seen {used}", doctype=f"<!DOCTYPE d [{declared}]>"))
        try:
            assert one("a.docx", file).content.strip() == "seen"
        except UnreadableDocument as error:
            assert "a.docx" in error.message


def test_scripts_of_html_are_never_text() -> None:
    page = b"<body onload='bad()'><script>bad()</script><p>A <img src=x onerror=bad()>b &lt;script>"
    assert one("a.html", page).content == "A b <script>"


@pytest.mark.parametrize("charset", ["punycode", "idna", "unicode_escape", "utf-7", "zlib", "none"])
def test_a_page_is_not_decoded_by_what_is_no_charset(charset: str) -> None:
    page = f"<meta charset={charset}><p>Gr\\u0041 +ADw- a-b".encode()
    assert one("a.html", page).content == "Gr\\u0041 +ADw- a-b"


def test_wrong_encodings_are_read_or_refused() -> None:
    text = "Größe und Übermaß sind für Käufer in Österreich häufig das Wichtigste. " * 5
    assert one("a.txt", text.encode("utf-16")).content == text
    assert one("a.txt", text.encode("cp1252")).content == text
    assert one("a.txt", b"\xef\xbb\xbfbroken \xff\xfe utf-8").content == "broken \ufffd\ufffd utf-8"
    assert "not text" in reason("a.txt", random.Random(1).randbytes(50_000))


def test_includes_stop_before_they_burst(tmp_path: Path) -> None:
    (tmp_path / "long.py").write_text("x" * 100_000)
    (tmp_path / "a.md").write_text("{* long.py *}\n" * 500)
    (found,) = discover([str(tmp_path / "a.md")], limits=LIMITS)
    assert isinstance(found, Found)
    (document,) = read(found, FieldNames(), limits=ReadLimits(file_bytes=1_000_000))
    assert isinstance(document, Document)
    assert document.content.count("```py") == 10
    assert document.content.count("{* long.py *}") == 490


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("../../etc/passwd.md", "passwd.md"),
        ("C:\\Windows\\..\\a.md", "a.md"),
        ("a\0.md", "a<U+0000>.md"),
        ("a\u202efdp.md", "a<U+202E>fdp.md"),
        ("line\nbreak\x1b[2J.md", "line<U+000A>break<U+001B>[2J.md"),
        ("half\ud800.md", "half<U+D800>.md"),
    ],
)
def test_an_uploads_name_is_only_a_name_and_all_of_it_is_seen(name: str, source: str) -> None:
    document = one(name, b"text")
    assert (document.source, document.title) == (source, source)


@pytest.mark.parametrize("name", ["..", "../..", "a/..", "a.md\u202e", "\0"])
def test_an_uploads_name_that_names_nothing_is_refused(name: str) -> None:
    failed = from_bytes(name, b"text")
    assert isinstance(failed, Failed)
    assert (failed.source + failed.reason).isprintable()


def test_an_id_in_a_row_is_all_seen() -> None:
    row = b'{"id": "../a\\u202e\\u0000\\ud800", "title": "b\\u202e", "text": "c\\u202e\\u200b"}'
    document = one("a.jsonl", row)
    assert document.source == "../a<U+202E><U+0000><U+D800>"
    assert (document.title, document.content) == ("b\u202e", "c\u202e\u200b")


def test_a_file_whose_name_is_no_utf8_is_read(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff\xe2\x80\xae.md"
    Path(os.fsdecode(path)).write_text("text")
    (found,) = discover([str(tmp_path)], limits=LIMITS)
    assert isinstance(found, Found)
    assert found.name == "<U+DCFF><U+202E>.md"
    (document,) = read(found, FieldNames(), limits=LIMITS)
    assert isinstance(document, Document)
    assert document.content == "text"


def test_no_character_of_a_text_is_lost() -> None:
    text = "pay \u202e001\u202c now, pass\u200bword, שלום \u2067a\u2069\ufeff.\n"
    for name in ("a.txt", "a.md"):
        assert one(name, text.encode()).content == text


def test_a_download_that_drips_ends_at_the_time_limit() -> None:
    class Drip(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                for _ in range(100):
                    self.wfile.write(b"a")
                    time.sleep(0.05)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Drip) as server:
        threading.Thread(target=server.serve_forever).start()
        url = f"http://127.0.0.1:{server.server_port}/a.md"
        (failed,) = discover([url], limits=SOON)
        server.shutdown()
    assert isinstance(failed, Failed)
    assert failed.reason == f"{url} takes longer than 0.7 s."


def test_rows_come_as_fast_as_they_are_taken() -> None:
    rows = b"".join(b'{"id": "%d", "text": "%s"}\n' % (n, b"word " * 100) for n in range(1000))
    taken = 0
    for document in read(upload("a.jsonl", rows), FieldNames(), limits=SOON):
        assert isinstance(document, Document)
        taken += 1
        if taken % 400 == 0:
            time.sleep(0.8)  # no time of the reader's own
    assert taken == 1000


def test_rows_that_burst_the_memory_are_refused() -> None:
    content = b"[" + b"{}," * 3_000_000 + b"{}]"
    limits = ReadLimits(memory_bytes=200_000_000)
    assert "memory" in reason("a.json", content, limits)


def test_of_rows_that_cannot_be_read_no_more_than_a_thousand_are_told() -> None:
    found = upload("a.jsonl", b'{"text": "fine"}\n' + b"{}\n" * 1_000_000)
    taken = []
    with pytest.raises(UnreadableDocument, match="over 1,000 rows that cannot be read"):
        for item in read(found, FieldNames(), limits=LIMITS):
            taken.append(item)
    assert isinstance(taken[0], Document)
    assert len(taken) == 1002
