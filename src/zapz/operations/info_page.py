"""The page of a target, for notebooks and for ``zapz info --html``."""

from __future__ import annotations

from zapz.operations import info_words
from zapz.operations.info_fields import InfoFields
from zapz.operations.thumbnails import Thumbnail
from zapz.pictures.chunk_grid import grid_svg, html_legend
from zapz.pictures.image import img, limits
from zapz.pictures.page import Markup, Section, document, element, escaped, fragment, html_table, join, listed
from zapz.pictures.timeline import timeline_legend, timeline_svg


def info_page(info: InfoFields) -> Markup:
    """Return the description of a target as HTML for a notebook."""
    facts, text = info_words.facts(info), []
    sections = _labels(info)
    text += [f"{path}: {ends}, {words}" for path, ends, words in info_words.label_lines(info)]
    aside = ", ".join(f"{name} {length:,}" for name, length in sorted(info.dims.items()))
    if total := info_words.total(info):
        aside += f" · {total}"
    variables = html_table(info_words.HEAD, info_words.rows(info), "zapz-plain zapz-stored")
    sections.append(Section(title="Variables", body=variables, aside=aside))
    if info.pyramids:
        number = sum(len(pyramid.levels) for pyramid in info.pyramids)
        sections.append(Section(title="Levels", body=listed(info_words.level_lines(info)), aside=f"{number}"))
    if info.thumbnails:
        images = element("div", join(map(_figure, info.thumbnails)), "zapz-images")
        title = "Last step" if any(each.step is not None for each in info.thumbnails) else "Values"
        sections.append(Section(title=title, body=images, aside=_label(info) if title == "Last step" else ""))
    coming = info_words.next_append(info)
    if coming:
        rows = [(paths, words, grid_svg(grid, f"chunks of {paths}: {words}")) for paths, words, grid in coming]
        head = ("variable", "chunks of a slice that is stored like the target", f"{info.append_dim} →")
        kinds = {kind for _, _, grid in coming for kind, _ in grid.runs}
        body = join([html_legend(kinds), html_table(head, rows), listed(info_words.whole_labels(info))])
        sections.append(Section(title="Next append", body=body, aside=f"at step {info.length:,}"))
    if info.notes:
        sections.append(Section(title="Notes", body=listed(info.notes), aside=f"{len(info.notes)}"))
    trouble = info_words.trouble(info)
    if trouble:
        warning = join(element("div", line, "zapz-warning") for line in trouble)
        sections.insert(0, Section(title="Lock and journal", body=warning))
    return fragment("zarr", info.uri, facts, sections, "\n".join([f"{info.uri}: {', '.join(facts)}", *text, *trouble]))


def info_document(info: InfoFields) -> Markup:
    """Return the description of a target as a complete page."""
    return document(info.uri, info_page(info))


def _labels(info: InfoFields) -> list[Section]:
    found = []
    for path, ends, words in info_words.label_lines(info):
        steps = info.steps.get(path)
        parts: list[Markup] = [element("p", words)]
        if steps is not None and steps.ranges:
            parts.append(timeline_svg(info_words.stretches(steps), f"{path}: {words}"))
            parts.append(timeline_legend(info_words.stretches(steps)))
            if gone := info_words.missing(steps):
                parts.append(element("p", f"missing: {gone}"))
        found.append(Section(title=path, body=join(parts), aside=ends))
    return found


def _label(info: InfoFields) -> str:
    """Return the last label; empty if groups have different ones."""
    ends = {last.removesuffix("T00:00:00") for _, last in info.labels.values()}
    return ends.pop() if len(ends) == 1 else ""


def _figure(picture: Thumbnail) -> Markup:
    """Return a picture with a caption: the values of its colours, and the fraction missing."""
    found = limits(picture.cells)
    nothing = "all cells are missing" if picture.missing == 1 else "no finite values"
    values = nothing if found is None else f"{found[0]:.4g} (dark) to {found[1]:.4g} (bright)"
    gone = f", {picture.missing:.0%} missing" if found is not None and picture.missing else ""
    part = "" if picture.whole else ", only the middle"
    part += "" if picture.step is not None else ", independent of the append dimension"
    rows, columns = picture.dims
    caption = join(
        [
            element("b", picture.path or "/"),
            escaped(
                f" {values}{gone}. Rows: {rows} ({picture.shape[0]:,}, first on top), columns: {columns} ({picture.shape[1]:,}){part}."
            ),
        ]
    )
    name = f"{picture.path or '/'}, {'all cells' if picture.step is None else 'last step'}: {values}{gone}"
    return element(
        "figure", join([img(picture.cells, name, picture.shape[1] / picture.shape[0]), element("figcaption", caption)])
    )
