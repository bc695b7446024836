"""The balance of groups of documents: what each group's counts are scaled by, so that small languages get their share.

Counts are kept by group (`rows.py`), and scales are applied when a vocabulary is learned (`weighing.py`), so
another balance needs no text. They come from each group's size p (bytes, or pretokens) and a weight of the user's, w:

    share wanted      q = w * p^(1/T), divided by the sum over all groups
    scale of counts   q / p, where p is divided by the sum over all groups, too

At T = 1 without weights all scales are 1, and counts stay as they were counted. At T = 2 sizes count by their square
roots; as T goes to infinity, all groups become equal. The sum of all sizes stays what it was, so `min_frequency` still
means what it meant.
"""

from collections.abc import Mapping
from math import isfinite

from corpusmill.dataproc.errors import UserError

BITS = 20
ONE = 1 << BITS
MOST_SCALE = 1 << 40
"""A scale of 2^20, as the rarest group can get in 2^20 times its text: more is cut to it."""


def group_scales(
    sizes: Mapping[str, int], weights: Mapping[str, float] | None = None, temperature: float = 1.0
) -> dict[str, int]:
    """The scale of each group's counts, in units of 2^-20.

    Args:
        sizes: of each group, in bytes or pretokens.
        weights: of groups; 1 where there is none. 0 leaves a group out.
        temperature: T above; more than 0.

    Raises UserError for weights that are not numbers from 0 on, that name no group, or that leave nothing.
    """
    weights = dict(weights or {})
    unknown = sorted(set(weights) - set(sizes))
    if unknown:
        raise UserError(f"unknown group '{unknown[0]}'", where="weights", hint=f"there are {', '.join(sizes)}")
    for name, weight in weights.items():
        if not (isfinite(weight) and weight >= 0):
            raise UserError(f"{weight} is not a valid weight", where=f"weights: {name}", hint="use 0 or more")
    if not (isfinite(temperature) and temperature > 0):
        raise UserError(f"{temperature} is not a valid temperature", where="temperature", hint="use a number above 0")
    named = sorted(name for name, size in sizes.items() if size > 0)
    total = sum(sizes[name] for name in named)
    wanted = {name: weights.get(name, 1.0) * (sizes[name] / total) ** (1 / temperature) for name in named}
    sum_wanted = sum(wanted.values())
    if named and not sum_wanted > 0:
        raise UserError(
            "with these weights no text is left", where="weights", hint="give at least one group a weight above 0"
        )
    if len({weights.get(name, 1.0) for name in named}) <= 1 and temperature == 1:
        return dict.fromkeys(sizes, ONE)
    scales = dict.fromkeys(sizes, ONE)
    for name in named:
        scales[name] = min(MOST_SCALE, round(wanted[name] / sum_wanted / (sizes[name] / total) * ONE))
    return scales
