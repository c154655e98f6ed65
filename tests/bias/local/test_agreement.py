"""How far the shipped judge agrees with people, on ratings that it did not learn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bias.local.examples import probes, rated
from bias.local.judge import LocalJudge
from bias.local.training import nearest
from bias.verdicts import Verdict
