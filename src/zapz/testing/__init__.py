"""Test tools for programs that embed zapz: an object service in memory, faults, simulated time.

``ObjectService`` behaves like S3 (creation if absent, replacement by tag) and keeps a log. Any
request can be refused, lose its answer, or be the last one of a process. ``failing_files`` does the
same to a folder. ``simulated_time`` lets a lease run out without waiting::

    from zapz import testing

    service = testing.ObjectService()
    with testing.simulated_time():
        zapz.append(service.store("bucket/cube"), "day1.zarr")
        with service.failing(5, "died"), contextlib.suppress(testing.Died):
            zapz.append(service.store("bucket/cube"), "day2.zarr")
        zapz.recover(service.store("bucket/cube"))

zapz itself uses none of it. It is public: existing names stay, and new ones may be added.
"""

from zapz.testing.faults import FAULTS, Died, Fault
from zapz.testing.files import CHANGES, LOOKS, SYNCS, Act, failing_files, file_operations, watched_files
from zapz.testing.objects import MUTATIONS, AnswerError, ObjectService, Request
from zapz.testing.times import TIMED, Clock, simulated_time

__all__ = [
    "CHANGES",
    "FAULTS",
    "LOOKS",
    "MUTATIONS",
    "SYNCS",
    "TIMED",
    "Act",
    "AnswerError",
    "Clock",
    "Died",
    "Fault",
    "ObjectService",
    "Request",
    "failing_files",
    "file_operations",
    "simulated_time",
    "watched_files",
]
