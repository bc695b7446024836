"""Which group's turn it is: a schedule in which every prefix holds each group's share to within one sequence.

This is the chairman assignment problem (Tijdeman 1980): k states of given weights choose a chairman every year, so
that at any time each state has had its share of chairmen as nearly as can be. Among the states that are not too far
ahead, the one takes its turn whose deadline comes first; then |share n - count| <= 1 - 1/(2k - 2) after every n, which
is the best bound there is. Drawing groups at random would be off by about sqrt(n) instead.

Shares are whole numbers of a common denominator D, so the schedule repeats after D turns, when every count is exact.
One period is tabulated; any turn, however late, is then a division and two reads. A common denominator above 65,536 is
brought down to that by largest remainder, which moves a share by less than 1/65,536; the order's description gives
these shares. One that comes out as 0 has no turn.

Cost: k D steps of about 1 nanosecond once (12 groups: 0.6 ms), 4 D bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

import numpy as np

from corpusmill.dataproc.kernels.compiling import kernel

PERIOD_LIMIT = 1 << 16


@dataclass(frozen=True)
class Quotas:
    """One period of a schedule over G groups. Turn n is turn n % D of it."""

    numerators: np.ndarray
    """[G] int64, turns of each group in a period: shares are these over D, their sum."""
    group: np.ndarray
    """[D] uint16: whose turn it is."""
    rank: np.ndarray
    """[D] uint16: which of its own turns in the period it is, from 0."""

    @property
    def period(self) -> int:
        """D."""
        return len(self.group)

    def at(self, turns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(whose turn it is, how many it has had before), both int64 [N], for turns int64 [N] counted from 0."""
        period, turn = np.divmod(turns, self.period)
        groups = self.group[turn].astype(np.int64)
        return groups, period * self.numerators[groups] + self.rank[turn]

    def counts(self, turns: int) -> np.ndarray:
        """How many of the first so many turns each group has: int64 [G]."""
        period, turn = divmod(turns, self.period)
        return period * self.numerators + np.bincount(self.group[:turn], minlength=len(self.numerators))


def quotas(shares: Sequence[Fraction]) -> Quotas:
    """The schedule of shares that sum to 1, at most 65,536 of them."""
    numerators = numerators_of(shares)
    group, rank = assign_turns(numerators, int(numerators.sum()))
    return Quotas(numerators, group, rank)


def numerators_of(shares: Sequence[Fraction]) -> np.ndarray:
    """Shares as int64 over their sum: exact where the common denominator allows it, else by largest remainder."""
    common = lcm(*(share.denominator for share in shares))
    if common <= PERIOD_LIMIT:
        return np.array([int(share * common) for share in shares], np.int64)
    scaled = [share * PERIOD_LIMIT for share in shares]
    whole = np.array([int(value) for value in scaled], np.int64)
    by_remainder = sorted(range(len(shares)), key=lambda place: (int(scaled[place]) - scaled[place], place))
    whole[by_remainder[: PERIOD_LIMIT - int(whole.sum())]] += 1
    return whole


@kernel
def assign_turns(numerators: np.ndarray, period: int) -> tuple[np.ndarray, np.ndarray]:
    """Tijdeman's assignment of turns 0 … D-1: (group, rank of the turn among its group's), both uint16 [D].

    Args:
        numerators: int64 [G], turns of each group, their sum D.
        period: D.
    """
    members = np.flatnonzero(numerators)
    slack = max(2 * len(members) - 2, 1)
    had = np.zeros(len(members), np.int64)
    group = np.empty(period, np.uint16)
    rank = np.empty(period, np.uint16)
    for turn in range(period):
        chosen, chosen_room, chosen_speed = 0, np.int64(0), np.int64(0)
        for member in range(len(members)):
            speed = numerators[members[member]]
            # Owed, room and the bounds 1/slack and 1 - 1/slack are all in units of 1/(slack D).
            owed = slack * (speed * (turn + 1) - period * had[member])
            if owed < period:
                continue
            room = period * (slack - 1) - owed
            if chosen_speed == 0 or room * chosen_speed < chosen_room * speed:
                chosen, chosen_room, chosen_speed = member, room, speed
        group[turn] = members[chosen]
        rank[turn] = had[chosen]
        had[chosen] += 1
    return group, rank
