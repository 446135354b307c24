"""File formats that are no Zarr, told by how their files begin: what a file is, and how it becomes a slice all the same. Pure.

::

    43 44 46 01              CDF.        NetCDF-3         89 48 44 46 0d 0a 1a 0a    .HDF....    NetCDF-4, HDF5
    47 52 49 42              GRIB        GRIB             49 49 2a 00                II*.        TIFF

An HDF5 file may have something else in front, whose length is 512 bytes or twice, four times as
many, and so on.
"""

from __future__ import annotations

from dataclasses import dataclass

BEGINNING = 8192 + 8
"""Bytes of a file that are enough to tell what it is."""
_BLOCK = 512
"""An HDF5 file begins here, or at twice, four times … as many bytes, if it does not begin at once."""
_HDF5 = b"\x89HDF\r\n\x1a\n"
_TAR = (257, b"ustar")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFormat:
    """A format of files."""

    name: str
    """What such a file is called, with its article."""
    packages: str = ""
    """Python packages that read it, as ``pip install`` takes them; empty if there is no remedy with
    some."""
    opener: str = ""
    """The ``slice_source`` that makes a slice of such a file, without anything else."""
    remedy: str = ""
    """What can be done otherwise, in sentences."""


_NETCDF = {"packages": "xarray netCDF4", "opener": "xarray:open_dataset"}
_GRIB = (
    "A file of a single time needs a function of yours that gives it the time dimension, named by the setting slice_source "
    '(MODULE:FUNCTION): return xarray.open_dataset(path).drop_vars("valid_time").expand_dims("time").'
)
_IMAGE = (
    "An image does not say its time, so it needs a function of yours, named by the setting slice_source (MODULE:FUNCTION), that "
    'returns such as rioxarray.open_rasterio(path).expand_dims(time=[…]).to_dataset(name="…") (pip install rioxarray).'
)
_UNPACK = "Unpack it, and append what is in it."
NETCDF_4 = FileFormat(name="a NetCDF-4 file (HDF5)", **_NETCDF)
NETCDF_3 = FileFormat(name="a NetCDF-3 file", **_NETCDF)
GRIB = FileFormat(name="a GRIB file", packages="xarray cfgrib", opener="xarray:open_dataset", remedy=_GRIB)
TIFF = FileFormat(name="a TIFF image", remedy=_IMAGE)
JPEG_2000 = FileFormat(name="a JPEG 2000 image", remedy=_IMAGE)
ZIP = FileFormat(name="a ZIP archive")
_CONVERT = "Convert it to Zarr or NetCDF first."
_STARTS = (
    (b"CDF\x01", NETCDF_3),
    (b"CDF\x02", NETCDF_3),
    (b"CDF\x05", NETCDF_3),
    (b"GRIB", GRIB),
    (b"II*\0", TIFF),
    (b"MM\0*", TIFF),
    (b"II+\0", TIFF),
    (b"MM\0+", TIFF),
    (b"\0\0\0\x0cjP  \r\n\x87\n", JPEG_2000),
    (b"\xff\x4f\xff\x51", JPEG_2000),
    (b"PK\x03\x04", ZIP),
    (b"\x0e\x03\x13\x01", FileFormat(name="an HDF4 file", remedy=_CONVERT)),
    (b"BUFR", FileFormat(name="a BUFR file", remedy=_CONVERT)),
    (b"SIMPLE  =", FileFormat(name="a FITS file", remedy=_CONVERT)),
    (b"PAR1", FileFormat(name="a Parquet table", remedy=_CONVERT)),
    (
        b"\x93NUMPY",
        FileFormat(name="a NumPy array", remedy="In Python, a slice may be a mapping of names to (dims, array)."),
    ),
    (b"\x1f\x8b", FileFormat(name="a file compressed by gzip", remedy=_UNPACK)),
    (b"BZh", FileFormat(name="a file compressed by bzip2", remedy=_UNPACK)),
    (b"\xfd7zXZ\0", FileFormat(name="a file compressed by xz", remedy=_UNPACK)),
    (b"\x28\xb5\x2f\xfd", FileFormat(name="a file compressed by zstd", remedy=_UNPACK)),
)
"""How files begin, and what they are."""


def format_of(beginning: bytes) -> FileFormat | None:
    """Return the format of a file that begins so; None if it is none that is known here.

    Args:
        beginning: Its first ``BEGINNING`` bytes, or all that it has.
    """
    for start, found in _STARTS:
        if beginning.startswith(start):
            return found
    place = 0
    while place < len(beginning):
        if beginning.startswith(_HDF5, place):
            return NETCDF_4
        place = 2 * place or _BLOCK
    if beginning.startswith(_TAR[1], _TAR[0]):
        return FileFormat(name="a tar archive", remedy=_UNPACK)
    return None
