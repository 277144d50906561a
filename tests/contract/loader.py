"""Answers for one export after another, as `serving.c_api_script` does for one; started by conftest.py."""

import importlib.util
import sys
from pathlib import Path

if __name__ == "__main__":
    script, numpy = sys.argv[1:]
    sys.path.append(numpy)
    spec = importlib.util.spec_from_file_location("c_api_script", script)
    c_api_script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(c_api_script)
    for line in sys.stdin:
        c_api_script.main(Path(line.rstrip("\n")))
        assert "tensorflow" not in sys.modules and "keras_genmod" not in sys.modules
        print("answered", flush=True)
