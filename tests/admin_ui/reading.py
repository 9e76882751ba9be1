"""Reads a page the way a browser would: elements, attributes and text."""

from __future__ import annotations

from html.parser import HTMLParser

_ADDRESSES = ("href", "src", "action", "formaction", "data", "xlink:href")


class Reading(HTMLParser):
    """Every start tag with its attributes, and all text, of one page."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data

    def field(self, name: str) -> str:
        """The value of the first input of that name."""
        return next(a["value"] for tag, a in self.tags if tag == "input" and a.get("name") == name)

    def active(self) -> list[tuple[str, dict[str, str]]]:
        """What could run: scripts, frames, plugins, handlers, script addresses, inline style."""
        return [
            (tag, attributes)
            for tag, attributes in self.tags
            if (tag == "script" and not attributes.get("src", "").startswith("/static/"))
            or tag in {"iframe", "object", "embed", "base", "style", "foreignobject", "math"}
            or any(name.startswith("on") or name in {"style", "srcdoc"} for name in attributes)
            or any(attributes.get(name, "").startswith("javascript:") for name in _ADDRESSES)
        ]
