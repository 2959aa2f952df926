"""Names and values as MLflow admits them."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

BARRED = r"[^\w\-. :]"
"""A character that no part of a name may have."""

LONGEST_NAME = 250
LONGEST_VALUE = 6000
"""Characters; MLflow's limits for names and for values of params, and below that of tags."""


def admitted(names: Iterable[str]) -> dict[str, str]:
    """MLflow's name of each name, all different.

    What MLflow does not admit becomes `_`, and is left out at the end of a part between slashes:
    `discriminator/D(G(z))` is `discriminator/D_G_z`. Names that would be the same, or too long, end
    with a hash.
    """
    plain = {name: _plain(name) for name in names}
    count = Counter(plain.values())
    return {
        name: short if count[short] == 1 and len(short) <= LONGEST_NAME else _hashed(name, short)
        for name, short in plain.items()
    }


def _plain(name: str) -> str:
    parts = [re.sub(f"{BARRED}+", "_", re.sub(f"{BARRED}+$", "", part)) for part in name.split("/")]
    # Parts such as `..` would lead elsewhere where names are paths.
    return "/".join(part for part in parts if part.strip(".")) or "_"


def _hashed(name: str, short: str) -> str:
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{short[: LONGEST_NAME - 9].rstrip('/')}-{digest}"


def flat(table: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Dotted keys and texts of plain data: `("optimizer.generator.lr", "0.0002")`.

    Lists of tables are numbered from 0, other lists written as JSON; long texts are cut, and what
    is None is left out.
    """
    if isinstance(table, Mapping):
        for key, value in table.items():
            yield from flat(value, f"{place}.{key}" if place else str(key))
    elif isinstance(table, list | tuple) and any(isinstance(each, Mapping) for each in table):
        yield from flat({str(number): each for number, each in enumerate(table)}, place)
    elif table is not None:
        text = table if isinstance(table, str) else json.dumps(table)
        yield place, text[:LONGEST_VALUE]
