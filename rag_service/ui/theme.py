"""Colours, in Streamlit's words. `style.css` takes the rest from them through `currentColor`."""

from __future__ import annotations

_SHAPE = {"baseRadius": "0.6rem", "showWidgetBorder": "true"}

LIGHT = {
    "primaryColor": "#3b4cc0",
    "backgroundColor": "#ffffff",
    "secondaryBackgroundColor": "#f4f5f9",
    "textColor": "#1c2030",
    "borderColor": "#dcdfe9",
    **_SHAPE,
}
DARK = {
    "primaryColor": "#6c7cf0",
    "backgroundColor": "#11141c",
    "secondaryBackgroundColor": "#1a1f2b",
    "textColor": "#e7eaf3",
    "borderColor": "#313849",
    **_SHAPE,
}
