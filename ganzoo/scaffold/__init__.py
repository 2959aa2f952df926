"""Writes new plugins, whole packages that work, with an example of each kind; and new projects."""

from ganzoo.scaffold.names import check_kinds, check_name, package_of
from ganzoo.scaffold.package import new_plugin
from ganzoo.scaffold.project import new_project

__all__ = ["check_kinds", "check_name", "new_plugin", "new_project", "package_of"]
