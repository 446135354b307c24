"""Read arrays over HTTP with GDAL: ``read_gdal.py URL PATH [PATH…]``; prints JSON, shape, dtype and base64 of each array.

GDAL sees rasters: an array of one dimension has one row, of three dimensions one band per index, and booleans are bytes.
"""

import base64
import json
import sys

import rasterio


def read(url, path):
    """Return what GDAL finds in an array, as JSON."""
    with rasterio.open(f'ZARR:"/vsicurl/{url}":/{path}') as raster:
        cells = raster.read()
    little = cells.astype(cells.dtype.newbyteorder("<"))
    return {"shape": cells.shape, "dtype": little.dtype.str, "bytes": base64.b64encode(little.tobytes()).decode()}


url, *paths = sys.argv[1:]
sys.stdout.write(json.dumps({"arrays": {path: read(url, path) for path in paths}, "gdal": rasterio.__gdal_version__}))
