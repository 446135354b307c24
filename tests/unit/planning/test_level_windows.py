"""Which arrays follow from the finest level, by which windows and methods, and which chains they form."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import zapz
from zapz.cf.aggregation import steps_of
from zapz.cf.encoding import encoding_of
from zapz.config.layers import make
from zapz.format import documents as doors
from zapz.format import jsontext
from zapz.format.metadata import Dataset
from zapz.planning.derivation import Derivation, common_factor
from zapz.planning.level_chains import Chain, chains_of
from zapz.planning.level_windows import LevelSources, level_sources


@given(st.lists(st.integers(1, 400), min_size=1, max_size=3), st.integers(1, 40), st.sampled_from(["ceil", "floor"]))
def test_law_a_factor_explains_the_lengths(lengths: list[int], factor: int, edge: str) -> None:
    coarse = [-(-n // factor) if edge == "ceil" else n // factor for n in lengths]
    if min(coarse) == 0:
        return
    found = common_factor(list(zip(lengths, coarse, strict=True)), (2, 1), edge)
    assert found is not None
    assert [-(-n // found) if edge == "ceil" else n // found for n in lengths] == coarse
    assert common_factor(list(zip(lengths, coarse, strict=True)), (factor, 1), edge) == factor


@pytest.mark.parametrize(
    ("lengths", "expected", "edge", "found"),
    [
        ([(13, 7), (18, 9)], (2, 1), "ceil", 2),
        ([(13, 7), (18, 9)], (2, 1), "floor", None),
        ([(13, 6), (18, 9)], (2, 1), "floor", 2),
        ([(9, 2)], (4, 2), "ceil", 6),
        ([(5, 1), (100, 25)], (4, 2), "floor", 4),
        ([(13, 7), (18, 8)], (2, 1), "ceil", None),
    ],
)
def test_factors(lengths: list[tuple[int, int]], expected: tuple[int, int], edge: str, found: int | None) -> None:
    assert common_factor(lengths, expected, edge) == found


def hierarchy(shapes: list[tuple[int, ...]], attributes: dict[str, Any], **variables: dict[str, Any]) -> Dataset:
    """Return a hierarchy of groups 0, 1, … with variables of these shapes below a time axis of 2 steps."""
    documents = {
        "zarr.json": jsontext.dumps({"zarr_format": 3, "node_type": "group", "attributes": attributes}).encode()
    }
    for number, shape in enumerate(shapes):
        for name, more in (variables or {"v": {}}).items():
            sizes = (2, *shape) if more.get("grid", True) else (2,)
            meta = {
                "zarr_format": 3,
                "node_type": "array",
                "shape": sizes,
                "data_type": more.get("data_type", "float32"),
                "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, *shape][: len(sizes)]}},
                "chunk_key_encoding": {"name": "default"},
                "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
                "fill_value": 0,
                "dimension_names": ["time", "y", "x"][: len(sizes)],
                "attributes": more.get("attributes", {}),
            }
            documents[f"{number}/{name}/zarr.json"] = jsontext.dumps(meta).encode()
    return doors.read(documents)


def layout(levels: int, method: str | None = "average") -> dict[str, Any]:
    named = {} if method is None else {"resampling_method": method}
    return {"multiscales": {"layout": [{"asset": str(n)} for n in range(levels)], **named}}


def sources(dataset: Dataset, **levels: Any) -> LevelSources:
    return level_sources(dataset, dataset.pyramids[0], make({"levels": levels}), "c.zarr")


def test_windows_and_what_is_repeated() -> None:
    dataset = hierarchy([(13, 18), (7, 9), (4, 5)], layout(3), v={}, quality={"grid": False})
    found = sources(dataset)
    assert found.repeated == {"1/quality": "0/quality", "2/quality": "0/quality"}
    assert {path: (each.source, each.method, each.chain) for path, each in found.windows.items()} == {
        "1/v": ("0/v", "mean", ((1, 2, 2),)),
        "2/v": ("0/v", "mean", ((1, 2, 2), (1, 2, 2))),
    }


def test_the_largest_level_is_the_finest() -> None:
    found = sources(hierarchy([(3, 4), (6, 8), (12, 16)], layout(3)))
    assert {path: (each.source, each.factors) for path, each in found.windows.items()} == {
        "1/v": ("2/v", (1, 2, 2)),
        "0/v": ("2/v", (1, 4, 4)),
    }


@pytest.mark.parametrize(
    ("method", "named", "found"),
    [
        ({}, "average", "mean"),
        ({}, "mode", "mode"),
        ({"*": "auto"}, "med", "median"),
        ({"w": "max", "*": "min"}, None, "min"),
        ({"v": "max", "*": "min"}, None, "max"),
        ({"*": "mean"}, "average", "mean"),
        ({"*": "max"}, "bilinear", "max"),
    ],
)
def test_methods(method: dict[str, str], named: str | None, found: str) -> None:
    dataset = hierarchy([(8, 8), (4, 4)], layout(2, named))
    assert sources(dataset, method=method).windows["1/v"].method == found


@pytest.mark.parametrize(
    ("shapes", "named", "method", "words"),
    [
        ([(8, 8), (4, 4)], None, {}, "the method is not known"),
        ([(8, 8), (4, 4)], "bilinear", {}, "'bilinear'"),
        ([(8, 8), (4, 4)], "mean", {"v": "max"}, "not that of the target's levels"),
        ([(13, 18), (7, 8)], "mean", {}, "13 became 7, 18 became 8"),
        ([(12, 12), (6, 6), (5, 5)], "mean", {}, "no integer factor"),
    ],
)
def test_what_cannot_be_derived(
    shapes: list[tuple[int, ...]], named: str | None, method: dict[str, str], words: str
) -> None:
    with pytest.raises(zapz.ZapzError, match=words):
        sources(hierarchy(shapes, layout(len(shapes), named)), method=method)


def derivation(*reductions: int, method: Any = "mean") -> Derivation:
    encoding = encoding_of(hierarchy([(2, 2)], {}).arrays["0/v"].dtype, {}, None)
    return Derivation(source="0", reductions=tuple((1, f, f) for f in reductions), method=method, encoding=encoding)


@pytest.mark.parametrize(
    ("levels", "method", "chains"),
    [
        ({"1": [2], "2": [4], "3": [8]}, "mean", [[("1", 2), ("2", 2), ("3", 2)]]),
        ({"1": [2], "2": [2, 2], "3": [2, 2, 3]}, "mean", [[("1", 2), ("2", 2), ("3", 3)]]),
        ({"2": [2, 2], "3": [2, 2, 3]}, "median", [[("", 2), ("2", 2), ("3", 3)]]),
        ({"1": [2], "2": [4]}, "median", [[("1", 2)], [("2", 4)]]),
        ({"1": [3], "2": [6]}, "mean", [[("1", 3)], [("2", 6)]]),
        ({"1": [2], "2": [6]}, "mean", [[("1", 2), ("2", 3)]]),
        ({"1": [2], "2": [5]}, "first", [[("1", 2)], [("2", 5)]]),
    ],
)
def test_chains(levels: dict[str, list[int]], method: str, chains: list[list[tuple[str, int]]]) -> None:
    """Sums are handed on only if they are grouped as in each level alone: 6 is 2 times 3, not 3 times 2."""
    found = chains_of({path: derivation(*each, method=method) for path, each in levels.items()})
    assert [[(path, ratio[1]) for path, ratio in chain.stages] for chain in found] == chains
    for chain in found:
        assert isinstance(chain, Chain)
        if not chain.rounded:
            steps = tuple(step for _, ratio in chain.stages for step in steps_of(ratio))
            assert steps == steps_of(chain.factors)
