"""What the entrances (Python, command line) offer, each from beginning to end.

May import: everything below.
Begin with ``append`` (one call, slice by slice), then ``append_slice`` (one slice), ``plan_slice``
(decide about it) and ``run_plan`` (a plan as a transaction; what its caller wants to know).
``phases`` tells how far a run is, ``slice_feed`` opens slices, ``look_ahead`` looks at all of them
before the first is written, ``target_turn`` holds the target, ``target`` opens and guards it;
``upkeep`` recovers, unlocks and vacuums, ``check`` says whether a target is sound. ``foresee`` says
what a dry run reports. ``describe`` is ``info``: ``variable_info`` and ``label_gaps`` are parts of
it, ``stored_sizes`` and ``thumbnails`` are read on request, ``info_words`` says it in words,
``info_page`` as HTML.
"""
