"""The conformance kit: does a plugin keep the contract?

    import pytest
    from ganzoo.testing import cases

    @pytest.mark.parametrize("case", cases("my_plugin"), ids=str)
    def test_conformance(case):
        case()

The same checks from the command line: `ganzoo plugin check my_plugin`.
"""

from ganzoo.testing.checks import CHECKS, Case, Check, Skip, Wrong
from ganzoo.testing.collection import cases

__all__ = ["CHECKS", "Case", "Check", "Skip", "Wrong", "cases"]
