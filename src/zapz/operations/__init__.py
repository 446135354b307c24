"""What the entrances (Python, command line) offer, each from beginning to end.

May import: everything below.
Begin with ``append`` (one call: hold the lock, recover, slice by slice), then ``plan_slice`` (decide about one slice) and ``run_plan``
(a plan as a transaction). ``target`` opens and guards a target, ``describe`` is ``info``.
"""
