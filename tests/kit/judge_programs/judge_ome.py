"""Write OME-Zarr images with ome-zarr, or compare two of them: ``judge_ome.py write FOLDER VERSION | compare FOLDER``."""

import sys

import numpy as np
import zarr
from ome_zarr.format import FormatV04, FormatV05
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader
from ome_zarr.scale import Methods
from ome_zarr.writer import write_image, write_labels

FORMATS = {"0.4": FormatV04, "0.5": FormatV05}


def main(order, folder, version="0.5"):
    """Write what is to be appended, or say whether the levels are equal."""
    if order == "write":
        image = np.random.default_rng(1).integers(0, 999, (3, 13, 18)).astype("u2")
        for name, part in {"target": image[:2], "slice": image[2:], "whole": image}.items():
            group = zarr.open_group(f"{folder}/{name}.zarr", mode="w", zarr_format=2 if version == "0.4" else 3)
            options = {"axes": "tyx", "fmt": FORMATS[version]()}
            factors = [{"y": 2, "x": 2}, {"y": 4, "x": 4}]
            write_image(part, group, scale_factors=factors, method=Methods.LOCAL_MEAN, **options)
            write_labels((part > 500).astype("u1"), group, "bright", scale_factors=factors, **options)
        return
    found, whole = (list(Reader(parse_url(f"{folder}/{name}.zarr"))()) for name in ("target", "whole"))
    assert len(found) == len(whole) > 1
    for a, b in zip(found, whole, strict=True):
        assert len(a.data) == len(b.data)
        for mine, theirs in zip(a.data, b.data, strict=True):
            np.testing.assert_array_equal(np.asarray(mine), np.asarray(theirs))
    sys.stdout.write("identical")


main(*sys.argv[1:])
