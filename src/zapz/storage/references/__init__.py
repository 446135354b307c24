"""Reference sets (kerchunk): bytes of other files that stand for the chunks of a slice. Read only.

May import: what ``storage`` may.
Begin with ``sets`` (what a set says), then ``backend`` (how its bytes are read), ``open`` (from a
URI to a set) and ``locations`` (which places may be read).
"""
