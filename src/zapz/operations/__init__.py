"""The operations behind the Python API and the command line, each from beginning to end.

May import: everything below.
Begin with ``append`` (one call, slice by slice), then ``append_slice`` (one slice), ``plan_slice``
(decide about one slice) and ``run_plan`` (execute a plan as a transaction, with callbacks).
``phases`` reports progress. ``slice_feed`` opens slices. ``look_ahead`` inspects all slices before
the first is written. ``target_turn`` holds the target's lock. ``target`` opens and guards the
target. ``upkeep`` recovers, unlocks and vacuums. ``foresee`` reports what a dry run would do.
``describe`` is ``info``: ``variable_info`` and ``label_gaps`` are parts of it, ``stored_sizes`` and
``thumbnails`` are read on request, ``info_words`` formats it as text, ``info_page`` as HTML.
``check`` tests whether a target is sound.
"""
