"""Sphinx: MyST pages, the furo theme, no network (no intersphinx, no remote assets)."""

from importlib.metadata import version as installed_version

project = "portalsec"
author = "The portalsec contributors"
project_copyright = "The portalsec contributors, Apache-2.0"
release = version = installed_version("portalsec")

extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"portalsec {release}"
html_copy_source = False
html_show_sphinx = False
