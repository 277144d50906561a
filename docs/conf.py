"""Sphinx' settings. `make docs` builds the pages; warnings are errors, and every reference must be found."""

import builtins
import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "extensions")]

from inventories import reachable_inventories  # noqa: E402

from keras_genmod.core.version import __version__  # noqa: E402

project = "keras_genmod"
author = "The authors of keras_genmod"
copyright = author
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "reference",
]
exclude_patterns = ["_build"]
nitpicky = True

# Pages
myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3

# Docstrings
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 90
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Call arguments", "params_style")]
toc_object_entries_show_parents = "hide"

# Other projects: links where their inventories can be reached, plain text elsewhere.
intersphinx_mapping = reachable_inventories(HERE / "_build" / "inventories")
intersphinx_disabled_reftypes = ["std:*"]
nitpick_ignore_regex = [
    ("py:.*", rf"({'|'.join(dir(builtins))})"),
    ("py:.*", r"(collections|contextlib|os|pathlib|types|typing)\..*"),
    ("py:.*", r"Figure|matplotlib\..*"),
    ("py:.*", r"(keras|np|numpy|tensorflow|tensorflow_probability|tf)\..*"),
]

html_theme = "furo"
html_title = f"keras_genmod {release}"
html_show_copyright = False
