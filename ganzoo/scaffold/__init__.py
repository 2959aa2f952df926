"""Writes new plugins: whole packages that work, with an example of each kind."""

from ganzoo.scaffold.names import check_kinds, check_name, package_of
from ganzoo.scaffold.package import new_plugin

__all__ = ["check_kinds", "check_name", "new_plugin", "package_of"]
