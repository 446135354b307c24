"""HTML of folded sections: no script, no external resource, all text escaped.

A notebook that is not trusted shows no style: then the plain text at the beginning is seen, and the
rest is hidden (as xarray does it).
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class Markup(str):
    """HTML that is complete and safe: it is inserted unchanged. All other text is escaped."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of a page that can be folded."""

    title: str
    """Its heading."""
    body: Markup
    """What is in it."""
    aside: str = ""
    """What stands behind the heading, and is seen when it is folded."""
    is_open: bool = True
    """Whether it is unfolded at first."""


def escaped(text: object) -> Markup:
    """Return a value as HTML text that is well-formed XML too; HTML is returned unchanged."""
    if isinstance(text, Markup):
        return text
    plain = "".join(each if each.isprintable() or each in "\n\t" else "\ufffd" for each in str(text))
    return Markup(html.escape(plain, quote=True))


def join(parts: Iterable[object], between: str = "") -> Markup:
    """Return parts one after another, each escaped."""
    return Markup(between.join(map(escaped, parts)))


def element(name: str, content: object, kind: str = "") -> Markup:
    """Return an element with this content; ``kind`` is its class."""
    attribute = f' class="{escaped(kind)}"' if kind else ""
    return Markup(f"<{name}{attribute}>{escaped(content)}</{name}>")


def listed(items: Iterable[object]) -> Markup:
    """Return a list; nothing if there is no item."""
    found = join(element("li", item) for item in items)
    return element("ul", found) if found else found


def html_table(head: Sequence[object], rows: Sequence[Sequence[object]], kind: str = "") -> Markup:
    """Return a table; columns without any cell are left out. ``kind`` is its class."""
    kept = [i for i in range(len(head)) if any(row[i] for row in rows)]
    if not kept:
        return Markup("")
    names = join(element("th", head[i]) for i in kept)
    lines = join(element("tr", join(element("td", row[i]) for i in kept)) for row in rows)
    return element("table", join([element("thead", element("tr", names)), element("tbody", lines)]), kind)


def fragment(what: str, name: str, facts: Sequence[str], sections: Sequence[Section], text: str) -> Markup:
    """Return HTML for a notebook.

    Args:
        what: What kind of thing it shows.
        name: Its name.
        facts: What is worth knowing first, in a few words each.
        sections: The rest.
        text: All of it in plain text, for viewers that show no style.
    """
    from zapz.pictures.style import CSS

    head = join(
        [
            element("span", what, "zapz-what"),
            element("span", name, "zapz-name"),
            element("div", " · ".join(facts), "zapz-facts"),
        ]
    )
    folded = join(map(_folded, sections))
    return Markup(
        f"<div><style>{CSS}</style>{element('pre', text, 'zapz-text')}"
        f'<div class="zapz" style="display:none">{element("header", head)}{folded}</div></div>'
    )


def _folded(section: Section) -> Markup:
    state = ' open="open"' if section.is_open else ""
    aside = element("span", section.aside, "zapz-aside") if section.aside else ""
    body = element("div", section.body, "zapz-body")
    return Markup(f"<details{state}><summary>{escaped(section.title)}{aside}</summary>{body}</details>")


def document(title: str, body: Markup) -> Markup:
    """Return a whole page, which needs no other file."""
    from zapz.pictures.style import PAGE

    return Markup(
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        f"<title>{escaped(title)}</title><style>{PAGE}</style></head><body>{body}</body></html>\n"
    )
