"""Pictures of datasets and plans, as text and as HTML: timelines, chunk grids, images, pages.

Pure: values in, text or HTML out. This package does not know Zarr. May import: ``errors``.
Start with ``look`` (what a medium can show: columns, symbols, colours). ``timeline`` draws existing
and missing labels (``scale`` places the marks above it), ``chunk_grid`` what happens to chunks,
``table`` rows in columns, ``image`` a field of numbers. ``page`` builds HTML from sections
(``style`` is its CSS). ``plan_words`` describes a plan in words. ``append_pages`` builds the pages
of a plan and of a report. An append loads none of these modules; only output for display does.
"""
