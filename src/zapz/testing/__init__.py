"""For those who embed zapz: an object service in memory, faults at any request or file operation, and time that only passes when told.

``ObjectService`` behaves as S3 does (creation if absent, replacement on a tag), keeps a log, and
lets any request be refused, lose its answer, or be the last one of a process; ``failing_files``
does that to a folder. ``simulated_time`` lets a lease run out in no time::

    from zapz import testing

    service = testing.ObjectService()
    with testing.simulated_time():
        zapz.append(service.store("bucket/cube"), "day1.zarr")
        with service.failing(5, "died"), contextlib.suppress(testing.Died):
            zapz.append(service.store("bucket/cube"), "day2.zarr")
        zapz.recover(service.store("bucket/cube"))

None of it is used by zapz itself. It is public: what is here stays, and is only added to.
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
