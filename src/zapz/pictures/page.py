"""HTML of collapsible sections: no script, no external resource, all text escaped.

An untrusted notebook applies no style. It then shows only the plain text at the beginning, and the
rest is hidden (as in xarray).
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class Markup(str):
    """Complete and safe HTML, which is inserted unchanged. All other text is escaped."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of a page that can be collapsed."""

    title: str
    """Its heading."""
    body: Markup
    """Its content."""
    aside: str = ""
    """Text after the heading, visible even while the section is collapsed."""
    is_open: bool = True
    """Whether it is expanded at first."""


def escaped(text: object) -> Markup:
    """Return a value as HTML text that is well-formed XML too; ``Markup`` is returned unchanged."""
    if isinstance(text, Markup):
        return text
    plain = "".join(each if each.isprintable() or each in "\n\t" else "\ufffd" for each in str(text))
    return Markup(html.escape(plain, quote=True))


def join(parts: Iterable[object], between: str = "") -> Markup:
    """Return parts in order, each escaped, with ``between`` between them."""
    return Markup(between.join(map(escaped, parts)))


def element(name: str, content: object, kind: str = "") -> Markup:
    """Return an element with this content; ``kind`` is its CSS class."""
    attribute = f' class="{escaped(kind)}"' if kind else ""
    return Markup(f"<{name}{attribute}>{escaped(content)}</{name}>")


def listed(items: Iterable[object]) -> Markup:
    """Return an HTML list of items; empty if there are none."""
    found = join(element("li", item) for item in items)
    return element("ul", found) if found else found


def html_table(head: Sequence[object], rows: Sequence[Sequence[object]], kind: str = "") -> Markup:
    """Return a table without columns whose cells are all empty; ``kind`` is its CSS class."""
    kept = [i for i in range(len(head)) if any(row[i] for row in rows)]
    if not kept:
        return Markup("")
    names = join(element("th", head[i]) for i in kept)
    lines = join(element("tr", join(element("td", row[i]) for i in kept)) for row in rows)
    return element("table", join([element("thead", element("tr", names)), element("tbody", lines)]), kind)


def fragment(what: str, name: str, facts: Sequence[str], sections: Sequence[Section], text: str) -> Markup:
    """Return HTML for a notebook.

    Args:
        what: Type of the object shown, such as "zarr".
        name: Name of the object.
        facts: The main facts, a few words each.
        sections: The details.
        text: The object in plain text, for viewers that apply no style.
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
    """Return a complete page that needs no other file."""
    from zapz.pictures.style import PAGE

    return Markup(
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        f"<title>{escaped(title)}</title><style>{PAGE}</style></head><body>{body}</body></html>\n"
    )
