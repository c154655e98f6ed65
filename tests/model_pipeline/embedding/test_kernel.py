"""The kernel for single texts, against the graphs before and after quantisation."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from model_pipeline.embedding import kernel as kernels
from model_pipeline.embedding import weights
from model_pipeline.embedding.kernel import FLAGS, SOURCE, Kernel, Unfit, open_kernel
from model_pipeline.embedding.onnx_embedder import (
    MAX_TOKENS,
    OnnxEmbedder,
    open_onnx_embedder,
)
from tests.models import build_fp32

CONFIG = json.loads((weights.model_folder() / "config.json").read_text(encoding="utf-8"))
PROSE = (Path(__file__).parents[3] / "docs" / "operating.md").read_text(encoding="utf-8")
UNICODE = "naïve café 東京 🎉 Здравствуй мир, ما هو؟ it's 3.14 e\u0301 \u202e right to left \0 ß"
TOKENIZER = Tokenizer.from_file(str(weights.model_folder() / "tokenizer.json"))
TOKENIZER.no_truncation()


def ids_of(text: str) -> list[int]:
    return TOKENIZER.encode(text, add_special_tokens=False).ids


# Texts of every length in tokens.
TOKENS = ids_of(PROSE)
IDS = [[101], *([101, *TOKENS[17 * n : 18 * n], 102] for n in range(MAX_TOKENS - 1))]


@pytest.fixture(scope="module")
def graph(embedder_cache: Path) -> Path:
    return next(embedder_cache.glob("*.onnx"))


@pytest.fixture(scope="module")
def quantised(graph: Path) -> OnnxEmbedder:
    """The same graph, without the kernel."""
    tokenizer = weights.model_folder() / "tokenizer.json"
    return OnnxEmbedder(graph, tokenizer, name="int8", threads=1)


@pytest.fixture(scope="module")
def kernel(graph: Path, quantised: OnnxEmbedder) -> Kernel:
    try:
        return opened(graph, quantised)
    except Unfit as why:
        pytest.skip(f"this machine cannot have the kernel: {why}")


def opened(graph: Path, quantised: OnnxEmbedder, config: dict[str, object] = CONFIG) -> Kernel:
    return open_kernel(graph, config, max_tokens=MAX_TOKENS, by_graph=quantised._embed_one)


@pytest.fixture
def copied(graph: Path, kernel: Kernel, tmp_path: Path) -> Path:
    """The graph with its kernel, in a folder of its own."""
    shutil.copytree(graph.parent, tmp_path / "cache")
    return tmp_path / "cache" / graph.name


def test_a_machine_that_can_has_it(embedder: OnnxEmbedder, kernel: Kernel) -> None:
    assert embedder.by == "questions by the kernel"
    assert np.array_equal(embedder.embed(["a question"])[0], embedder.embed(["a question"])[0])


def test_every_length_is_near_both_graphs(
    kernel: Kernel, quantised: OnnxEmbedder, tmp_path: Path
) -> None:
    tokenizer = weights.model_folder() / "tokenizer.json"
    build_fp32(tmp_path / "fp32.onnx")
    full = OnnxEmbedder(tmp_path / "fp32.onnx", tokenizer, name="fp32", threads=2)
    words = UNICODE.split()
    texts = [" ".join(words[start : start + n]) for n in (1, 3, 16) for start in range(12)]
    every = [*IDS, *([101, *ids_of(text), 102] for text in texts)]
    ours = np.concatenate([kernel.encode(ids) for ids in every])
    assert sorted(map(len, IDS)) == list(range(1, MAX_TOKENS + 1))
    assert np.allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-6)
    some = [*range(40), *range(40, MAX_TOKENS, 8), *range(MAX_TOKENS - 1, len(every))]
    ours = ours[some]
    graphs = np.concatenate([quantised._embed_one(every[index]) for index in some])
    exact = np.concatenate([full._embed_one(every[index]) for index in some])
    # A value that falls to another step of the next layer's moves what follows: so do those of the
    # graph, between two processors. Neither is nearer to full precision.
    assert (ours * graphs).sum(axis=1).mean() > 0.998
    assert (ours * graphs).sum(axis=1).min() > 0.98
    assert (ours * exact).sum(axis=1).mean() > 0.985
    assert (ours * exact).sum(axis=1).mean() > (graphs * exact).sum(axis=1).mean() - 0.0005


def test_a_text_has_one_vector_whoever_asks_and_beside_whom(kernel: Kernel) -> None:
    rows = IDS[::16]
    expected = [kernel.encode(ids) for ids in rows]
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(kernel.encode, rows * 16))
    assert all(np.array_equal(a, b) for a, b in zip(expected * 16, found, strict=True))
    assert len(kernel._free) <= 16


def test_a_fork_may_use_it(kernel: Kernel) -> None:
    expected = kernel.encode(IDS[20])
    child = os.fork()
    if not child:
        os._exit(0 if np.array_equal(kernel.encode(IDS[20]), expected) else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_what_the_kernel_cannot_hold_is_refused(kernel: Kernel) -> None:
    for ids in ([], [101] * (MAX_TOKENS + 1), [30522], [-1]):
        with pytest.raises(AssertionError):
            kernel.encode(ids)


def cpu_without_vnni(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = graph.with_name("cpuinfo")
    info.write_text("flags : fpu fma avx512f avx512bw avx512dq avx512vl\n")
    monkeypatch.setattr(kernels, "CPU_INFO", info)


def another_system(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")


def no_compiler(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(graph.parent))


def failing_compiler(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cc = graph.with_name("cc")
    cc.write_text("#!/bin/sh\necho no such target >&2\nexit 1\n")
    cc.chmod(0o755)
    monkeypatch.setenv("PATH", str(graph.parent), prepend=os.pathsep)


def compiler_of_rubbish(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose library cannot be loaded, as in a folder where nothing may be executed."""
    cc = graph.with_name("cc")
    cc.write_text('#!/bin/sh\nfor one; do test "$last" = -o && echo x > "$one"; last=$one; done\n')
    cc.chmod(0o755)
    monkeypatch.setenv("PATH", str(graph.parent), prepend=os.pathsep)


def no_place(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(graph.parent / "kernel")
    (graph.parent / "kernel").write_text("in the way")


def a_place_of_others(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (graph.parent / "kernel").chmod(0o777)


def a_wrong_source(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It compiles and runs: only its vectors tell."""
    text = SOURCE.read_text(encoding="utf-8").replace("0.5f", "0.4f")
    (graph.with_name("kernel.c")).write_text(text, encoding="utf-8")
    monkeypatch.setattr(kernels, "SOURCE", graph.with_name("kernel.c"))


def a_graph_that_is_none(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph.with_name(f"{graph.stem}-kernel.bin").unlink()
    monkeypatch.setattr(kernels, "_parts", lambda *_: iter([np.zeros(10, dtype=np.uint8)]))


@pytest.mark.parametrize(
    ("spoil", "because"),
    [
        (cpu_without_vnni, "the processor lacks avx512_vnni"),
        (another_system, "it is for Linux on x86-64"),
        (no_compiler, "there is no C compiler, cc"),
        (failing_compiler, "no such target"),
        (compiler_of_rubbish, "the library cannot be loaded"),
        (no_place, "it cannot be made"),
        (a_place_of_others, "others may write"),
        (a_wrong_source, "its vectors are not the graph's"),
        (a_graph_that_is_none, "the model's file has 10 bytes"),
    ],
)
def test_without_it_onnx_runtime_embeds(
    copied: Path,
    quantised: OnnxEmbedder,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Path, pytest.MonkeyPatch], None],
    because: str,
) -> None:
    spoil(copied, monkeypatch)
    embedder = open_onnx_embedder(cache_dir=copied.parent, threads=1)
    assert embedder.by.startswith("questions by ONNX Runtime: ")
    assert because in embedder.by
    assert np.array_equal(embedder.embed(["a question"]), quantised.embed(["a question"]))


def test_sizes_that_do_not_fit_its_tiles_are_refused(copied: Path, quantised: OnnxEmbedder) -> None:
    with pytest.raises(Unfit, match="columns are taken by the block"):
        opened(copied, quantised, {**CONFIG, "hidden_size": 100})


def test_what_is_damaged_is_made_anew(copied: Path, quantised: OnnxEmbedder) -> None:
    library = next((copied.parent / "kernel").glob("*.so"))
    model = copied.with_name(f"{copied.stem}-kernel.bin")
    sums = {path: path.stat().st_size for path in (library, model)}
    for path in sums:
        path.write_bytes(path.read_bytes()[:4096])
    opened(copied, quantised).encode(IDS[7])
    assert {path: path.stat().st_size for path in sums} == sums
    assert not list(copied.parent.rglob(".making-*"))
    assert stat.S_IMODE((copied.parent / "kernel").stat().st_mode) == 0o700


def test_what_is_there_needs_no_writing(copied: Path, quantised: OnnxEmbedder) -> None:
    before = {path: path.stat().st_mtime_ns for path in copied.parent.rglob("*")}
    opened(copied, quantised)
    assert {path: path.stat().st_mtime_ns for path in copied.parent.rglob("*")} == before


def test_it_reads_and_writes_nothing_beside(graph: Path, kernel: Kernel, tmp_path: Path) -> None:
    """Under the sanitizers for addresses and undefined behaviour, texts of every length."""
    main = tmp_path / "main.c"
    main.write_text(MAIN)
    sizes = [f"-D{name}={size}" for name, size in kernel._sizes.items()]
    flags = [flag.replace("-O2", "-O1") for flag in FLAGS if flag not in ("-shared", "-fPIC")]
    made = subprocess.run(
        [
            *("cc", *flags, *sizes, "-g", "-fsanitize=address,undefined"),
            *("-fno-sanitize-recover=all", "-o", str(tmp_path / "main"), str(main), str(SOURCE)),
            "-lm",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"the compiler has no sanitizers: {made.stderr[:200]}")
    rows = IDS[:20] + IDS[20::16] + IDS[-1:]
    lines = "".join(f"{len(ids)} {' '.join(map(str, ids))}\n" for ids in rows)
    done = subprocess.run(
        [tmp_path / "main", graph.with_name(f"{graph.stem}-kernel.bin")],
        input=lines,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"},
    )
    assert done.returncode == 0, done.stderr[:2000]
    found = np.array(done.stdout.split(), dtype=np.float32)
    expected = np.array([kernel.encode(ids)[0, 0] for ids in rows])
    assert np.allclose(found, expected, atol=2e-2)


# Each part in memory of its own, so that what is read behind it is found.
MAIN = r"""
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
extern const int64_t model_size, workspace_size;
void encode(const void *, void *, const int32_t *, int, float *);
int main(int count, char **names) {
    FILE *file = fopen(names[count - 1], "rb");
    char *model = aligned_alloc(64, model_size);
    if (!file || fread(model, 1, model_size, file) != (size_t)model_size) return 3;
    for (int tokens; scanf("%d", &tokens) == 1;) {
        int32_t *ids = malloc(tokens * sizeof *ids);
        float *vector = malloc(HIDDEN * sizeof *vector);
        char *workspace = aligned_alloc(64, (workspace_size + 63) / 64 * 64);
        for (int i = 0; i < tokens; i++)
            if (scanf("%d", ids + i) != 1) return 4;
        encode(model, workspace, ids, tokens, vector);
        printf("%.6f\n", vector[0]);
        free(workspace), free(vector), free(ids);
    }
    fclose(file), free(model);
}
"""
