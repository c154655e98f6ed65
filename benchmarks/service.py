"""The service as a process: time to the first answer, memory, and what HTTP adds to a search."""

from __future__ import annotations

import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil

from model_pipeline.embedding.onnx_embedder import OnnxEmbedder

QUESTION = "When are default parameter values evaluated?"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def measure(home: Path, embedder: OnnxEmbedder, report: Callable[[str, str], None]) -> None:
    """Runs `promptly up` on the demo documents under `home`."""
    api = free_port()
    environment = {
        **os.environ,
        "PROMPTLY_HOME": str(home / "service"),
        "PROMPTLY_API_PORT": str(api),
        "PROMPTLY_UI_PORT": str(free_port()),
    }
    prepare = [sys.executable, "-m", "promptly", "ingest", "demo:python", "-c", "python"]
    subprocess.run(prepare, env=environment, check=True, stdout=subprocess.DEVNULL)
    started = time.perf_counter()
    up = [sys.executable, "-m", "promptly", "up"]
    process = subprocess.Popen(up, env=environment, stdout=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{api}", trust_env=False) as client:
            while True:
                try:
                    answer = client.post("/v1/answers", json={"question": QUESTION}, timeout=30)
                    break
                except httpx.TransportError:
                    time.sleep(0.05)
            assert not answer.raise_for_status().json()["declined"]
            elapsed = time.perf_counter() - started
            report("from `promptly up` to the first answer, s", f"{elapsed:.1f}")
            _overhead(api, report)
            for _ in range(50):
                client.post("/v1/answers", json={"question": QUESTION}, timeout=30)
            report("memory of the API process, MB", f"{_memory(process.pid):.0f}")
    finally:
        process.terminate()
        process.wait()


def _overhead(port: int, report: Callable[[str, str], None]) -> None:
    """The whole request against what the service says its search took, of the same request. Over
    one connection by the standard library's client, which adds little of its own."""
    client = http.client.HTTPConnection("127.0.0.1", port)
    body = json.dumps({"query": QUESTION, "k": 10}).encode()
    whole, added = [], []
    for _ in range(300):
        started = time.perf_counter()
        client.request("POST", "/v1/search", body, {"Content-Type": "application/json"})
        reply = client.getresponse().read()
        elapsed = (time.perf_counter() - started) * 1000
        whole.append(elapsed)
        added.append(elapsed - json.loads(reply)["timings_ms"]["total"])
    report(
        "search over HTTP, p50 ms",
        f"{statistics.median(whole):.2f}, of which HTTP adds {statistics.median(added):.2f}",
    )


def _memory(parent: int) -> float:
    for child in psutil.Process(parent).children(recursive=True):
        if child.cmdline()[-1:] == ["api"]:
            return float(child.memory_info().rss) / 1e6
    raise AssertionError("no API process")
