"""Labels of the append dimension: do a slice's continue the target's? Pure: the values have been read already."""

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
        LabelError: They do not rise (or fall) from the target's last label on, are not a step apart, or one is missing.
        ConfigError: ``append_step`` is not a step, or the labels have none.
    """
    place = f"{where}, {labels.path}"
    new, old = labels.new, labels.old
    if None in new.values:
        found = f"no value at index {new.values.index(None)}"
        raise LabelError("a label is missing", where=place, found=found, hint="Give every step of the slice a label.")
    order = config.label_order or _order(old, new, config)
    line = [*old.known[-1:], *new.values]
    if order != "any":
        if new.kind == "others":
            hint = 'Set label_order = "any" to append without looking at them.'
            raise LabelError("labels have no order", where=place, found=str(new.stored.dtype), hint=hint)
        _check_order(line, order, old, new, place)
    if config.append_step is not None:
        from zapz.planning import label_steps  # imported where used: most appends set no step

        label_steps.check_steps(line, config.append_step, labels, place)
    if len(set(new.values)) != labels.distinct:
        hint = "Create the target with finer units of its labels."
        raise LabelError("two labels become equal in the target's units", where=place, hint=hint)


def _order(old: Line, new: Line, config: Config) -> str:
    if config.append_step is None:
        return "decreasing" if old.falls else "increasing"
    from zapz.planning import label_steps  # imported where used: most appends set no step

    return "increasing" if label_steps.rises(config.append_step, new) else "decreasing"


def _check_order(line: Sequence[Any], order: str, old: Line, new: Line, where: str) -> None:
    follows = len(line) > len(new.values)
    for i, (a, b) in enumerate(pairwise(line)):
        if (b > a) if order == "increasing" else (b < a):
            continue
        at_seam = follows and i == 0
        before = _last_text(old) if at_seam else new.text(i - follows)
        raise LabelError(
            "the slice does not follow the target" if at_seam else f"labels of the slice are not {order}",
            where=where,
            expected=f"a label {'after' if order == 'increasing' else 'before'} {before}",
            found=new.text(i + 1 - follows),
            hint=f'{"Append slices in order" if at_seam else "Sort the slice"}, or set label_order = "any".',
        )


def _last_text(line: Line) -> str:
    last = max(i for i, v in enumerate(line.values) if v is not None)
    return line.text(last)
