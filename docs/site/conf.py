"""Sphinx's settings; build.py puts the pages beside this file's copies and calls Sphinx."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import helo

project, author, copyright = "helo", "the helo contributors", "the helo contributors, MIT licence"
version = release = helo.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "docstrings", "formulas"]

exclude_patterns = ["files"]  # what can be downloaded
nb_execution_mode = "off"  # build.py has run them
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
myst_heading_anchors = 3
html_math_renderer = "mathml"
highlight_language = "none"  # an equation is no Python

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True, "ignore-module-all": True}
python_maximum_signature_line_length = 100
napoleon_numpy_docstring = False
napoleon_use_ivar = True
toc_object_entries = False

nitpicky = True
#: what the reference names and cannot lead to, since nothing is fetched and these have no page here
nitpick_ignore_regex = [
    # names of Python's own and of other libraries, as signatures and docstrings write them
    ("py:.*", r"(torch|numpy|np|nn|pandas|pd|plotly|go|ipywidgets|widgets|matplotlib|IPython|anywidget|papermill)\b.*"),
    ("py:.*", r"(pathlib|collections|typing|contextlib|zipfile|socket|t|jupyter_client|jupyter_server)\..*"),
    ("py:.*", r"dict\[str|HTTPError"),
    ("py:.*", r"Tensor|Figure|Axes|HTML|DataFrame|Series|Path|optional|P"),
    # type variables, and base classes of one file
    ("py:.*", r"helo\..*\.(Array|Model|Option|R|Result|_\w+)"),
]

html_theme = "pydata_sphinx_theme"
html_title = "helo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system is
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navigation_with_keys": False,
    "show_nav_level": 1,
    "navigation_depth": 3,
    "header_links_before_dropdown": 6,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "pygments_light_style": "default",
    "pygments_dark_style": "monokai",
}
