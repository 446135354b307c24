"""Reference sets (kerchunk): bytes of other files that serve as the chunks of a slice. Read only.

May import: what ``storage`` may.
Begin with ``sets`` (the entries of a set), then ``backend`` (reads their bytes), ``open`` (from a
URI to a set) and ``locations`` (which files may be read).
"""
