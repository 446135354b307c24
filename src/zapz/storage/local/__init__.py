"""Local storage, on ``os`` alone: exclusive creation, atomic replacement, fsync, locks.

May import: what ``storage`` may.
Begin with ``store`` (reading and writing), then ``staging`` (what replaces a file), ``durability`` (what survives a power failure) and
``lock``: ``flock`` where the system has it, else ``lease_lock`` with ``turn``. ``rights`` keeps modes and access lists.
"""
