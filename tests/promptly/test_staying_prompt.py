"""What may hold the event loop up is kept short, in the process that serves."""

from __future__ import annotations

import subprocess
import sys

LOADED = """
import gc, sys
from promptly.server import SWITCH_S, stay_prompt

loaded = [{"n": [n]} for n in range(50_000)]
assert len(gc.get_objects()) > 100_000
stay_prompt()
assert len(gc.get_objects()) < 1_000, "a full collection would walk what was loaded"
assert abs(sys.getswitchinterval() - SWITCH_S) < 1e-6

class Later:
    pass

later = Later()
later.itself = later
del later
assert gc.collect() >= 1, "what comes later is still collected"
"""


def test_what_is_loaded_is_not_collected_again() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
