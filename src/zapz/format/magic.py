"""Recognise files that are not Zarr by their first bytes, and suggest how to append them. Pure.

::

    43 44 46 01   CDF.   NetCDF-3     89 48 44 46 0d 0a 1a 0a   .HDF....   NetCDF-4, HDF5
    47 52 49 42   GRIB   GRIB         49 49 2a 00               II*.       TIFF

An HDF5 file may begin with other data, of 512, 1024, 2048, … bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

BEGINNING = 8192 + 8
"""Number of leading bytes that are enough to recognise a file."""
_BLOCK = 512
"""If an HDF5 file does not begin at byte 0, it begins at this byte, or at twice, four times, …
it."""
_HDF5 = b"\x89HDF\r\n\x1a\n"
_TAR = (257, b"ustar")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFormat:
    """A file format."""

    name: str
    """Name of such a file, with its article."""
    packages: str = ""
    """Python packages that read it, as arguments of ``pip install``; empty if there are none."""
    opener: str = ""
    """The ``slice_source`` that opens such a file, without further settings."""
    remedy: str = ""
    """Other ways to append such a file, as sentences."""


_NETCDF = {"packages": "xarray netCDF4", "opener": "xarray:open_dataset"}
_GRIB = (
    "If the file holds a single time, write a function that adds the time dimension, and name it in the setting slice_source "
    '(MODULE:FUNCTION): return xarray.open_dataset(path).drop_vars("valid_time").expand_dims("time").'
)
_IMAGE = (
    "An image does not state its time. Write a function that adds it, and name it in the setting slice_source (MODULE:FUNCTION): "
    'return rioxarray.open_rasterio(path).expand_dims(time=[…]).to_dataset(name="…") (pip install rioxarray).'
)
_UNPACK = "Unpack it, and append its contents."
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
        FileFormat(name="a NumPy array", remedy="In Python, pass a mapping of names to (dims, array) as the slice."),
    ),
    (b"\x1f\x8b", FileFormat(name="a file compressed by gzip", remedy=_UNPACK)),
    (b"BZh", FileFormat(name="a file compressed by bzip2", remedy=_UNPACK)),
    (b"\xfd7zXZ\0", FileFormat(name="a file compressed by xz", remedy=_UNPACK)),
    (b"\x28\xb5\x2f\xfd", FileFormat(name="a file compressed by zstd", remedy=_UNPACK)),
)
"""First bytes of files, and the formats they indicate."""


def format_of(beginning: bytes) -> FileFormat | None:
    """Return the format of a file with these first bytes; None if it is not known.

    Args:
        beginning: The first ``BEGINNING`` bytes of the file, or all of a shorter one.
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
