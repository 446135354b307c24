"""Pictures of datasets and plans, as text and as HTML: timelines, chunk grids, images, pages.

Pure: values in, text or HTML out; nothing of Zarr. May import: ``errors``.
Begin with ``look`` (what a medium can show: columns, symbols, colours). ``timeline`` draws which
labels are there (``scale`` finds the marks above it), ``chunk_grid`` what happens to chunks,
``table`` rows in columns, ``image`` a field of numbers. ``page`` builds HTML from sections
(``style`` is its CSS). ``plan_words`` says what a plan does, ``append_pages`` are the pages of a
plan and of a report. Nothing here is loaded by an append, only by what shows something.
"""
