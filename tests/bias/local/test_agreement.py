"""How far the shipped judge agrees with people, on ratings that it did not learn from."""

from __future__ import annotations
