"""Append NetCDF files to a cube with xarray, in a loop: select variables, convert units, pack.

    python xarray_loop.py CUBE FOLDER

Run it again at any time: days that are in the cube already are compared and skipped.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import xarray as xr

import zapz

ENCODING = {"sst": {"dtype": "int16", "scale_factor": 0.01, "add_offset": 280.0, "_FillValue": -32768}}


def days(folder: Path) -> Iterator[xr.Dataset]:
    """Yield one dataset per file, in order; each is closed when the next one is requested."""
    for path in sorted(folder.glob("*.nc")):
        with xr.open_dataset(path) as dataset:
            kelvin = (dataset["sst"] + 273.15).assign_attrs(dataset["sst"].attrs, units="K")
            yield dataset[["sst"]].assign(sst=kelvin.round(2))


def main(cube: str, folder: str) -> None:
    """Append all days of a folder."""
    report = zapz.append(cube, days(Path(folder)), encoding=ENCODING)
    print(f"{report.appended} days appended, {report.already} already there; the last one is {report.last}")


if __name__ == "__main__":
    main(*sys.argv[1:])
