"""Check that a slice's labels continue those of the target. Pure: values in, no reading."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from zapz.config.settings import Config
from zapz.errors import LabelError
from zapz.planning.labels import Labels, Line


def check_labels(labels: Labels, config: Config, where: str) -> None:
    """Check that the slice's labels continue the target's.

    Raises:
        LabelError: A label is missing, or the labels do not continue in order from the target's
            last label, or are not a step apart.
        ConfigError: ``append_step`` is not a valid step for these labels.
    """
    place, new = f"{where}, {labels.path}", labels.new
    if None in new.values:
        found = f"no value at index {new.values.index(None)}"
        raise LabelError("a label is missing", where=place, found=found, hint="Give every step of the slice a label.")
    check_order(labels, config, where)
    if config.append_step is not None:
        from zapz.planning import label_steps  # imported here: most appends set no step

        label_steps.check_steps(labels, config.append_step, place)
    if len(set(new.values)) != labels.distinct:
        raise _become_equal(place)


def notes_of(several: Sequence[Labels], config: Config) -> list[str]:
    """Return notes about labels out of order, or about missing steps before the slice.

    Out of order is possible only if ``label_order`` is "any".
    """
    if config.label_order == "any":
        return [note for labels in several if (note := _disorder(labels))]
    jumping = [labels for labels in several if labels.jumps]
    if not jumping:
        return []
    from zapz.planning.gaps import gap_note  # imported here: most slices follow without a gap

    return list(dict.fromkeys(note for labels in jumping if (note := gap_note(labels))))


def _disorder(labels: Labels) -> str:
    """Return a note if a slice's labels do not continue the target's; "" if they do."""
    line, new = [*labels.old.known, *labels.new.values], labels.new
    if new.kind == "others" or labels.old.kind != new.kind or None in line:
        return ""
    if any(_first_break(line, order) is None for order in ("increasing", "decreasing")):
        return ""
    after = f" after {_last_text(labels.old)}" if labels.old.known else ""
    return f"{labels.path}: {new.text(0)} is appended{after}: the labels are not in order (label_order: any)"


def check_order(labels: Labels, config: Config, where: str) -> None:
    """Check that labels, none of them missing, continue in order from the target's last label.

    Raises:
        LabelError: They do not.
    """
    place, new, old = f"{where}, {labels.path}", labels.new, labels.old
    order = config.label_order or _order(old, new, config)
    if order == "any":
        return
    if new.kind == "others":
        raise LabelError(
            "labels have no order",
            where=place,
            found=str(new.stored.dtype),
            hint="Use {label_order} to append without checking the order.",
            remedies={"label_order": "any"},
        )
    if (i := _first_break(labels.line, order)) is not None:
        _check_twins(labels, place)
        raise _out_of_order(labels, i, order, place)


def _order(old: Line, new: Line, config: Config) -> str:
    if config.append_step is None:
        return _direction(old)
    from zapz.planning import label_steps  # imported here: most appends set no step

    return "increasing" if label_steps.rises(config.append_step, new) else "decreasing"


def _direction(old: Line) -> str:
    """Return the order of the target's labels, from its first label and its last two."""
    known = old.known
    if old.kind == "others" or all(b > a for a, b in pairwise(known)):
        return "increasing"
    if all(b < a for a, b in pairwise(known)):
        return "decreasing"
    texts = [old.text(i) for i, value in enumerate(old.values) if value is not None]
    raise LabelError(
        "the target's labels are not in order",
        where="target",
        expected="increasing or decreasing labels",
        found=f"{texts[0]} first, and {' and '.join(texts[1:])} last",
        hint="Use {label_order} to append without checking the order.",
        remedies={"label_order": "any"},
    )


def follows(labels: Labels, config: Config) -> bool:
    """Return whether a slice's first label comes after the last label that it would follow."""
    order = config.label_order or _order(labels.old, labels.new, config)
    return (
        order == "any" or labels.new.kind == "others" or not labels.old.known or _first_break(labels.line, order) != 0
    )


def _first_break(line: Sequence[Any], order: str) -> int | None:
    """Return the index of the first label that the next one does not follow, or None."""
    pairs = enumerate(pairwise(line))
    return next((i for i, (a, b) in pairs if not (b > a if order == "increasing" else b < a)), None)


def _check_twins(labels: Labels, where: str) -> None:
    """Refuse duplicate labels: they are not in order whatever the order is."""
    new, seen = labels.new, dict[Any, int]()
    for i, value in enumerate(new.values):
        first = seen.setdefault(value, i)
        if first == i:
            continue
        if len(set(new.values)) != labels.distinct:
            raise _become_equal(where)
        raise LabelError(
            "two steps of the slice have the same label",
            where=where,
            expected="each label once",
            found=f"{new.text(i)} at index {first} and at index {i}",
            hint="Remove one of the two steps from the slice.",
        )


def _become_equal(where: str) -> LabelError:
    hint = "Create the target with finer units of its labels."
    return LabelError("two labels become equal in the target's units", where=where, hint=hint)


def _out_of_order(labels: Labels, i: int, order: str, where: str) -> LabelError:
    """Return the error for a label that the next one does not follow."""
    new, before_slice = labels.new, len(labels.line) > len(labels.new.values)
    at_seam = before_slice and i == 0
    before = _last_text(labels.old) if at_seam else new.text(i - before_slice)
    return LabelError(
        "the slice does not follow the target" if at_seam else f"labels of the slice are not {order}",
        where=where,
        expected=f"a label {'after' if order == 'increasing' else 'before'} {before}",
        found=new.text(i + 1 - before_slice),
        hint=f"{'Append slices in the order of their labels' if at_seam else 'Sort the slice'}, "
        "or use {label_order} to append it anyway: the target's labels will not be in order.",
        remedies={"label_order": "any"},
    )


def _last_text(line: Line) -> str:
    last = max(i for i, v in enumerate(line.values) if v is not None)
    return line.text(last)
