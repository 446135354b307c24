"""Run zarrflask on datasets of ours: ``run_zarrflask.py FOLDER PORT``; FOLDER has its source, port 0 is any. Prints its URL when it listens.

zarrflask imports its datasets from a module ``data``. Here that module is one with the datasets of ``served_arrays``.
"""

import os
import sys
import types

import served_arrays
from werkzeug.serving import make_server

folder, port = sys.argv[1:]
data = types.ModuleType("data")
data.dsets = {}
data.initialise = lambda: data.dsets.update(served_arrays.initialise())
sys.modules["data"] = data
sys.path.insert(0, folder)
os.chdir(folder)  # its templates are found from here

import app  # noqa: E402  # zarrflask's module, which imports ``data``

server = make_server("127.0.0.1", int(port), app.app, threaded=True)
sys.stdout.write(f"http://127.0.0.1:{server.port}/\n")
sys.stdout.flush()
server.serve_forever()
