"""Prints what the image needs before the code comes: pip's requirements, read from pyproject.toml.

Only the standard library and pip are there yet.
"""

import sys
from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    from pip._vendor import tomli as tomllib

content = tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
project = content["project"]
wanted = [*project["dependencies"], *project["optional-dependencies"]["benchmark"]]
# So that the code can be installed without a network afterwards.
wanted += [*content["build-system"]["requires"], "editables"]
sys.stdout.write("\n".join(wanted) + "\n")
