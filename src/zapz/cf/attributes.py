"""Names of attributes to which the CF conventions give a meaning, grouped by that meaning. Pure.

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

*stored*: defines what stored numbers mean; *in stored*: has a value in terms of stored numbers;
*names*: names other variables. ``dtype`` comes from xarray: the data type of the numbers in memory.
"""

from __future__ import annotations

SAY_WHAT_IS_STORED = frozenset(
    ("_FillValue", "missing_value", "scale_factor", "add_offset", "units", "calendar", "_Unsigned", "dtype")
)
"""Attributes that define what stored numbers mean."""
UNITS = frozenset(("units",))
"""Those of ``SAY_WHAT_IS_STORED`` that may be configured as attributes: they change no value."""
IN_STORED_UNITS = ("missing_value", "valid_min", "valid_max", "valid_range", "actual_range")
"""Attributes in terms of stored numbers. They become wrong when stored numbers change."""
MARKING = frozenset(("_FillValue", "missing_value", "_Unsigned"))
"""Attributes that define which stored numbers mean missing."""
PACKING = frozenset(("scale_factor", "add_offset"))
"""Attributes that define how numbers are packed."""
WITH_BOUNDS = ("bounds", "climatology")
"""Attributes that name the bounds of a coordinate."""
NAMES_NEEDED = ("coordinates", "grid_mapping", *WITH_BOUNDS, "ancillary_variables", "cell_measures", "formula_terms")
"""Attributes that name other variables, which readers need to interpret this one."""
NAMES_ENCODED = ("grid_mapping", *WITH_BOUNDS, "geometry", "cell_measures", "formula_terms", "coordinates")
"""Attributes that name other variables, and that xarray keeps in ``encoding``."""
NAMES_FIXED = (
    "coordinates",
    "grid_mapping",
    *WITH_BOUNDS,
    "cell_measures",
    "formula_terms",
    "geometry",
    "node_coordinates",
)
"""Attributes that name variables for the location of data. They are equal at every step, and hold
no data."""
CONTAINS = frozenset(("grid_mapping_name", "crs_wkt", "spatial_ref", "geometry_type"))
"""Attributes of variables that exist only for their attributes: a grid mapping (CF section 5.6), a
container of geometries (7.5)."""
READ_WHEN_CONVERTING = ("units", *WITH_BOUNDS)
"""Attributes that define how values are converted. They can be configured, but not computed from
the values."""
