"""Local storage, with ``os`` only: exclusive creation, atomic replacement, fsync, locks.

May import: what ``storage`` may.
Begin with ``files`` (reading) and ``store`` (writing), then ``staging`` (replacing files),
``durability`` (surviving a power failure) and ``lock``: ``flock`` where the system has it, else
``lease_lock`` with ``turn`` and ``succession``. ``rights`` keeps modes and access control lists.
"""
