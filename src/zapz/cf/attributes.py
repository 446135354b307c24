"""Names of attributes to which the CF conventions give a meaning, by what that is. Pure.

======================  ========  ==========  ========  =========
attribute               stored    in stored   names     CF section
======================  ========  ==========  ========  =========
_FillValue              x                               2.5.1
missing_value           x         x                     2.5.1
_Unsigned               x                               (netCDF users' guide)
scale_factor            x                               8.1
add_offset              x                               8.1
units, calendar         x                               3.1, 4.4
valid_min, valid_max              x                     2.5.1
valid_range                       x                     2.5.1
actual_range                      x                     2.5.1
coordinates                                   x         5
grid_mapping                                  x         5.6
bounds, climatology                           x         7.1, 7.4
ancillary_variables                           x         3.4
cell_measures                                 x         7.2
formula_terms                                 x         4.3.3
geometry                                      x         7.5
======================  ========  ==========  ========  =========

*stored*: says what the numbers that are stored mean; *in stored*: is in terms of these numbers;
*names*: names other variables. ``dtype`` is xarray's: the data type that the numbers had in memory.
"""

from __future__ import annotations

SAY_WHAT_IS_STORED = frozenset(
    ("_FillValue", "missing_value", "scale_factor", "add_offset", "units", "calendar", "_Unsigned", "dtype")
)
"""Say what stored numbers mean."""
UNITS = frozenset(("units",))
"""Of those, what may be configured as an attribute: it changes no value."""
IN_STORED_UNITS = ("missing_value", "valid_min", "valid_max", "valid_range", "actual_range")
"""In terms of stored numbers: wrong once these change."""
MARKING = frozenset(("_FillValue", "missing_value", "_Unsigned"))
"""Say which stored numbers stand for missing cells."""
PACKING = frozenset(("scale_factor", "add_offset"))
"""Say how numbers are packed."""
WITH_BOUNDS = ("bounds", "climatology")
"""Name the bounds of a coordinate."""
NAMES_NEEDED = ("coordinates", "grid_mapping", *WITH_BOUNDS, "ancillary_variables", "cell_measures", "formula_terms")
"""Name other variables without which this one is not understood."""
NAMES_ENCODED = ("grid_mapping", *WITH_BOUNDS, "geometry", "cell_measures", "formula_terms", "coordinates")
"""Name other variables, and are kept by xarray among the encodings."""
NAMES_FIXED = (
    "coordinates",
    "grid_mapping",
    *WITH_BOUNDS,
    "cell_measures",
    "formula_terms",
    "geometry",
    "node_coordinates",
)
"""Name what says where the data are, which is the same at every step: no data."""
CONTAINS = frozenset(("grid_mapping_name", "crs_wkt", "spatial_ref", "geometry_type"))
"""Say that a variable is there for its attributes: a grid mapping (CF section 5.6), a container of
geometries (7.5)."""
READ_WHEN_CONVERTING = ("units", *WITH_BOUNDS)
"""Decide how values are converted: may be configured, but not computed from the values."""
