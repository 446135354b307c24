"""Wrong calls, one a line, with what is wrong about each: never run; the type checkers must find every one of them."""

import zapz
from zapz import ZapzError, append, append_map, check, execute, info, plan, recover, vacuum
from zapz.zappend import zappend

zapz.apend("c", "s")  # a function that does not exist
append("c", "s", apend_dim="x")  # a setting that does not exist
append("c", "s", on_existing="skp")  # a choice that does not exist
append("c", "s", workers="two")  # text for a number
append("c", "s", zarr_format=4)  # a number that is no choice
append("c", "s", static="equl")  # neither a choice nor a number
append("c", "s", verify="yes")  # text for a truth value
append("c", "s", lock_wait="10s")  # a duration for seconds
append("c", "s", included_variables="chl")  # one name for a list of names
append("c", "s", logging="LOUD")  # a level that does not exist
append("c", "s", slice_size="chunks")  # neither a number nor the choice
append("c", "s", fixed_dims={"lat": "180"})  # text for a size
append("c", "s", slice_polling={"intervall": 1})  # a key that does not exist, in a table
append("c", "s", append_label={"form": "name:x"})  # the same
append("c", "s", profiling={"keys": ["speed"]})  # a choice that does not exist, in a table
append("c", "s", variables={"a": {"encoding": {"dtyp": "int16"}}})  # a key that does not exist, in an encoding
append("c", "s", variables={"a": {"encoding": {"chunks": [1, "hole"]}}})  # a length that does not exist
append("c", "s", variables={"a": {"encoding": {"calendar": "lunar"}}})  # a calendar that does not exist
append("c", "s", variables={"a": {"dtype": "int16"}})  # a key at the wrong depth
append("c", "s", encoding={"a": 5})  # a number for an encoding
append("c", "s", slice_source=5)  # nothing that can be called
append("c", "s", on_slice=lambda: None)  # a function that takes no report
append("c", "s", on_progress=lambda done: None)  # a function that takes one number
append("c", "s", cancel=True)  # nothing that can be set later
append("c", "s", 5)  # no configuration
append("c", "s", [["a.toml"]])  # a list of lists for configurations
append("c", [1, 2])  # numbers for slices
append("c", 5)  # a number for slices
append("c", {"a": 5}.values())  # the same, from elsewhere
append("c")  # no slices
append(5, "s")  # no target
append(["c"], "s")  # a list for a target
append_map("c", str, ["a"], apend_dim="x")  # a setting that does not exist
append_map("c", str, ["a"], slice_source="m:f")  # a slice source beside the function
append_map("c", len, ["a"])  # a function that makes numbers
append_map("c", 5, ["a"])  # nothing that can be called
append_map("c", str, 5)  # nothing to map over
plan("c", "s", on_slice=print)  # an argument of append alone
plan("c", [1])  # a number for a slice
execute("plan.json")  # a path for a plan
execute(plan("c", "s"), slice=5)  # no slice
recover(None)  # no target
vacuum("c", "zapz.toml", journal="outside")  # a choice that does not exist
check("c", chunk=True)  # an argument that does not exist
info("c").appended  # an attribute that another value has
append("c", "s").append  # an attribute that does not exist
append("c", "s").slices[0].outcome == "appendd"  # a word that it is never equal to
plan("c", "s").summary()["copied"]  # a key that does not exist
plan("c", "s").after.arrays["a"].attributes["units"].upper()  # an attribute that need not be text
ZapzError("x").report.appended  # a report that need not be there
zappend(["s"], target_dir="c", zarr_version=1)  # a number that is no choice
zappend(["s"], target="c")  # another name of a setting
