"""Clicks on citations and cards, and the scroll to a marked quote: the page's only JavaScript.

The HTML that Streamlit shows is static; one listener for the page reports what was clicked. It
reads nothing but our own `data-open`, and the server checks what it names.
"""

from __future__ import annotations

import re

import streamlit as st

_OPENED = re.compile(r"(\d{1,6}):([cp]):(\d{1,6})")

_LISTEN = """
export default function ({ setTriggerValue }) {
  const onClick = (event) => {
    const target = event.target.closest?.("[data-open]");
    if (target) setTriggerValue("opened", target.getAttribute("data-open"));
  };
  document.addEventListener("click", onClick);
  return () => document.removeEventListener("click", onClick);
}
"""
_SCROLL = """
export default function () {
  let tries = 0;
  const timer = setInterval(() => {
    const quote = document.getElementById("p-quote");
    if (quote) {
      quote.scrollIntoView({ block: "center" });
      quote.focus({ preventScroll: true });
    }
    if (quote || ++tries > 40) clearInterval(timer);
  }, 50);
  return () => clearInterval(timer);
}
"""


# Streamlit registers these by name with its running server; nothing is mounted at import.
_listener = st.components.v2.component("promptly_clicks", js=_LISTEN)
_scroller = st.components.v2.component("promptly_scroll", js=_SCROLL)


def listen() -> tuple[int, str, int] | None:
    """What was clicked since the last run: turn, kind (c citation, p passage), its number."""
    result = _listener(key="clicks", on_opened_change=lambda: None)
    match = _OPENED.fullmatch(str(result.opened or ""))
    return (int(match[1]), match[2], int(match[3])) if match else None


def scroll_to_quote(key: str) -> None:
    _scroller(key=key)
