"""Print constraints that pin every declared dependency (run-time and test) to its lower bound."""

import re
import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["project"]
declared = project["dependencies"] + project["optional-dependencies"]["test"]
for requirement in declared:
    match = re.fullmatch(r"([a-zA-Z0-9_.-]+)>=([0-9.]+)", requirement)
    if match:
        print(f"{match[1]}=={match[2]}")  # noqa: T201 - the output is the file
