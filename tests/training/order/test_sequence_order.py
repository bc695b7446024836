import json
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.randomness import random_key, uniforms
from corpusmill.dataproc.sequences.shards import ShardEntry
from corpusmill.training.order.layout import Layout
from corpusmill.training.order.permutation import permute, permute_each
from corpusmill.training.order.plan import Phase, Plan, group_shares
from corpusmill.training.order.quotas import PERIOD_LIMIT, assign_turns, quotas
from corpusmill.training.order.sequence_order import SequenceOrder

LENGTH = 16


def slow_groups(shards: list[tuple[str, int]]) -> dict[str, list[int]]:
    """The rows of each group, counted one by one."""
    actual: dict[str, list[int]] = {}
    row = 0
    for group, rows in shards:
        for _ in range(rows):
            actual.setdefault(group, []).append(row)
            row += 1
    return actual


def entries_of(shards: list[tuple[str, int]]) -> list[ShardEntry]:
    return [ShardEntry(f"shard-{n:05d}.arrow", rows, group, 0, "", 0) for n, (group, rows) in enumerate(shards)]


# Permutation


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 3000), st.integers(0, 2**64 - 1))
def test_a_permutation_is_a_bijection(size, key):
    actual = permute(np.arange(size), size, key)
    assert np.array_equal(np.sort(actual), np.arange(size))


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 2**62), st.integers(0, 2**64 - 1), st.integers(0, 2**31))
def test_a_permutation_of_many_stays_in_range_without_repeats(size, key, start):
    positions = np.unique(np.minimum(np.arange(start, start + 200), size - 1))
    actual = permute(positions, size, key)
    assert actual.min() >= 0 and actual.max() < size and len(np.unique(actual)) == len(positions)


def test_a_permutation_shuffles_well():
    size = 1000
    orders = np.stack([permute(np.arange(size), size, key) for key in range(200)])
    # Each place holds each tenth of the values about equally often, and neighbours are not kept together.
    tenths = np.stack([np.bincount(orders[:, place] * 10 // size, minlength=10) for place in (0, 1, 499, 999)])
    assert ((tenths - 20) ** 2 / 20).sum(1).max() < 35
    assert (np.abs(np.diff(orders, axis=1)) == 1).mean() < 0.005
    assert len({tuple(order[:4]) for order in orders}) == 200


def test_small_permutations_reach_every_order():
    assert len({tuple(permute(np.arange(3), 3, key).tolist()) for key in range(300)}) == 6


def slow_permutation(position: int, size: int, key: int) -> int:
    """The Feistel network in plain Python, one position at a time."""
    left_size = 1
    while left_size * left_size < size:
        left_size += 1
    right_size = -(-size // left_size)

    def draw(half: int, turn: int, below: int) -> int:
        return int(uniforms(np.array([half ^ key], np.uint64), turn)[0] * below)

    while True:
        left, right = divmod(position, right_size)
        for turn in range(8):
            if turn % 2:
                left = (left + draw(right, turn, left_size)) % left_size
            else:
                right = (right + draw(left, turn, right_size)) % right_size
        position = left * right_size + right
        if position < size:
            return position


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(0, 2**64 - 1)), min_size=1, max_size=4))
def test_permutations_side_by_side_equal_each_alone_in_plain_python(cases):
    sizes, keys = np.array([size for size, _ in cases]), np.array([key for _, key in cases], np.uint64)
    positions = sizes // 3
    actual = permute_each(positions, sizes, keys)
    assert actual.tolist() == [
        slow_permutation(int(p), size, key) for p, (size, key) in zip(positions, cases, strict=True)
    ]


# Quotas

WEIGHTS = st.lists(st.integers(0, 400), min_size=1, max_size=12).filter(any)


@settings(max_examples=200, deadline=None)
@given(WEIGHTS)
def test_every_prefix_holds_each_share_within_the_bound_of_the_chairman_assignment(weights):
    numerators, period = np.array(weights), sum(weights)
    group, rank = assign_turns(numerators, period)
    turns = np.arange(1, period + 1)
    bound = 1 - 1 / max(2, 2 * sum(map(bool, weights)) - 2)
    for number, weight in enumerate(weights):
        had = np.cumsum(group == number)
        assert np.abs(had * period - turns * weight).max() <= bound * period + 1e-9
        assert rank[group == number].tolist() == list(range(weight))


def slow_turns(weights: list[int]) -> list[int]:
    """Tijdeman's rule with exact fractions."""
    whole, k = sum(weights), max(2, sum(map(bool, weights)))
    shares = [Fraction(weight, whole) for weight in weights]
    had, turns = [0] * len(weights), []
    for turn in range(1, whole + 1):
        owed = {i: share * turn - had[i] for i, share in enumerate(shares) if share}
        allowed = [i for i in owed if owed[i] >= Fraction(1, 2 * k - 2)] or list(owed)
        turns.append(min(allowed, key=lambda i: ((1 - Fraction(1, 2 * k - 2) - owed[i]) / shares[i], i)))
        had[turns[-1]] += 1
    return turns


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(any))
def test_the_kernel_gives_turns_as_the_rule_does_in_fractions(weights):
    assert assign_turns(np.array(weights), sum(weights))[0].tolist() == slow_turns(weights)


@settings(max_examples=50, deadline=None)
@given(WEIGHTS, st.integers(0, 10**7))
def test_a_schedule_repeats_and_counts_what_it_gave(weights, start):
    schedule = quotas([Fraction(weight, sum(weights)) for weight in weights])
    groups, had = schedule.at(np.arange(start, start + 50))
    before, after = schedule.counts(start), schedule.counts(start + 50)
    assert np.array_equal(after - before, np.bincount(groups, minlength=len(weights)))
    for number in set(groups.tolist()):
        assert had[groups == number].tolist() == list(range(before[number], after[number]))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(1e-9, 1e3), min_size=2, max_size=12))
def test_shares_without_a_small_denominator_are_met_to_a_65536th(weights):
    names = {f"group {number}": 10 for number in range(len(weights))}
    shares = list(group_shares(dict(zip(names, weights, strict=True)), names).values())
    assert sum(shares) == 1
    schedule = quotas(shares)
    assert schedule.period <= PERIOD_LIMIT
    off = [abs(share - Fraction(int(n), schedule.period)) for share, n in zip(shares, schedule.numerators, strict=True)]
    assert max(off) < Fraction(1, PERIOD_LIMIT)
    turns = np.arange(1, schedule.period + 1)
    for number, turns_of_it in enumerate(schedule.numerators):
        had = np.cumsum(schedule.group == number)
        assert np.abs(had - turns * (turns_of_it / schedule.period)).max() < 1


def test_weights_are_the_decimals_that_were_written():
    shares = group_shares({"a": 0.1, "b": 0.2, "c": 0.7}, {"a": 5, "b": 5, "c": 5})
    assert list(shares.values()) == [Fraction(1, 10), Fraction(1, 5), Fraction(7, 10)]
    assert quotas(list(shares.values())).numerators.tolist() == [1, 2, 7]


# Mixtures

BUCKETS = {"web:0-4096": 30, "web:4097-": 10, "code": 40, "books": 20}


def test_a_name_before_the_colon_is_shared_among_its_buckets_by_their_sequences():
    assert list(group_shares({"web": 1, "code": 3}, BUCKETS).values()) == [
        Fraction(3, 16),
        Fraction(1, 16),
        Fraction(3, 4),
        0,
    ]
    assert group_shares({"web:4097-": 0.5, "code": 0.5}, BUCKETS)["web:0-4096"] == 0
    assert list(group_shares({}, BUCKETS).values()) == [Fraction(rows, 100) for rows in BUCKETS.values()]


@pytest.mark.parametrize(
    ("mixture", "message"),
    [
        ({"wiki": 1}, "unknown group 'wiki'; the groups are books, code, web:0-4096, web:4097-"),
        ({"web": 1, "web:4097-": 1}, "both weigh the group 'web:4097-'"),
        ({"code": 0}, "all weights are 0"),
        ({"code": -1}, "weight of 'code'"),
        ({"code": float("nan")}, "weight of 'code'"),
        ({"code": "much"}, "weight of 'code'"),
    ],
)
def test_a_mixture_that_does_not_fit_is_named_in_a_line(mixture, message):
    with pytest.raises(UserError, match=message) as caught:
        Plan((Phase(mixture),)).check(BUCKETS, LENGTH, 10)
    assert "\n" not in str(caught.value)


def test_an_ungrouped_set_has_no_mixture():
    with pytest.raises(UserError, match="pack them with --group-by"):
        Plan((Phase({"web": 1}),)).check({"": 100}, LENGTH, 10)


def test_a_plan_that_cannot_be_is_refused():
    with pytest.raises(UserError, match="only the last phase may leave"):
        Plan((Phase(), Phase(tokens=10)))
    with pytest.raises(UserError, match="phase 2 is shorter than a sequence"):
        Plan((Phase(tokens=100), Phase(tokens=3), Phase())).borders(LENGTH)
    with pytest.raises(UserError, match="tokens and sequences"):
        Phase(tokens=1, sequences=1)
    with pytest.raises(UserError, match="is 0"):
        Phase(tokens=0)
    with pytest.raises(UserError, match="field of a phase 'token'"):
        Plan.of({}, [{"token": 3}])
    with pytest.raises(UserError, match="end after 6 sequences, and the run is of 7"):
        Plan((Phase(sequences=6),)).check({"": 100}, LENGTH, 7)
    assert Plan.of({}, []) is None


def test_borders_are_rounded_to_sequences_and_do_not_drift():
    plan = Plan(tuple(Phase(tokens=23) for _ in range(50)))
    assert plan.borders(LENGTH) == [int(23 * number / LENGTH + 0.5) for number in range(1, 51)]


# Layout


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 4)), max_size=9))
def test_places_in_a_group_lead_to_its_rows(shards):
    expected, layout = slow_groups(shards), Layout.of_entries(entries_of(shards))
    assert layout.sizes == {group: len(rows) for group, rows in expected.items()}
    assert list(layout.names) == list(expected)
    for number, rows in enumerate(expected.values()):
        places = np.arange(len(rows))
        assert layout.at(np.full(len(rows), number), places).tolist() == rows
    if expected:
        again = Layout.from_values(layout.to_values())
        assert again.to_values() == layout.to_values()
        assert (layout.group[1:] != layout.group[:-1]).all()


# The order

GROUPS = st.lists(st.tuples(st.sampled_from(["a", "b", "c:0-9", "c:10-"]), st.integers(0, 12)), min_size=1, max_size=9)


@st.composite
def orders(draw) -> SequenceOrder:
    """Small grouped sets, groups in several stretches, under plans of several phases."""
    entries = entries_of(draw(GROUPS.filter(lambda shards: any(rows for _, rows in shards))))
    names = list(Layout.of_entries(entries).names)
    phases = []
    for number in range(last := draw(st.integers(1, 4))):
        weights = draw(st.lists(st.integers(0, 9), min_size=len(names), max_size=len(names)))
        mixture = dict(zip(names, [weight / 10 for weight in weights], strict=True)) if any(weights) else {}
        endless = number == last - 1 and draw(st.booleans())
        phases.append(Phase(mixture, None if endless else draw(st.integers(LENGTH, 60 * LENGTH))))
    return SequenceOrder.of_entries(entries, LENGTH, draw(st.integers(0, 5)), Plan(tuple(phases)))


@settings(max_examples=100, deadline=None)
@given(orders())
def test_no_sequence_of_a_group_comes_again_before_all_of_them_came_across_phases(order):
    layout = order.layout
    group_of = [layout.names[group] for group in np.repeat(layout.group, layout.rows)]
    seen: dict[str, list[int]] = {group: [] for group in layout.names}
    for row in order.rows(0, order.sequences or 300).tolist():
        seen[group_of[row]].append(row)
    for group, rows in seen.items():
        size = layout.sizes[group]
        for start in range(0, len(rows), size):
            assert len(set(rows[start : start + size])) == len(rows[start : start + size])


@settings(max_examples=100, deadline=None)
@given(orders())
def test_quotas_hold_within_one_sequence_in_every_prefix_of_every_phase(order):
    groups, _ = order.streams(np.arange(order.sequences or 300))
    starts = [0, *order.plan.borders(LENGTH)]
    sizes = order.layout.sizes
    for phase, start in zip(order.plan.phases, starts, strict=False):
        end = starts[starts.index(start) + 1] if not phase.endless else len(groups)
        for number, share in enumerate(group_shares(phase.mixture, sizes).values()):
            had = np.cumsum(groups[start:end] == number)
            assert np.abs(had - np.arange(1, end - start + 1) * float(share)).max() < 1


@settings(max_examples=60, deadline=None)
@given(orders(), st.data())
def test_any_stretch_equals_its_positions_one_by_one(order, data):
    last = (order.sequences or 500) - 1
    start = data.draw(st.integers(0, last))
    count = data.draw(st.integers(0, min(40, last + 1 - start)))
    alone = [order.rows(position, 1)[0] for position in range(start, start + count)]
    assert order.rows(start, count).tolist() == alone
    assert order.at(np.arange(start, start + count)[::-1]).tolist() == alone[::-1]


@settings(max_examples=60, deadline=None)
@given(orders())
def test_an_order_is_the_same_after_a_journey_through_json(order):
    text = order.to_json()
    again = SequenceOrder.from_json(text)
    assert again.to_json() == text and again.fingerprint == order.fingerprint
    assert again.rows(0, again.sequences or 60).tolist() == order.rows(0, order.sequences or 60).tolist()


def test_without_a_plan_each_epoch_is_one_shuffle_of_everything():
    order = SequenceOrder.of_entries(entries_of([("a", 20), ("b", 3), ("a", 17)]), LENGTH, 7)
    for epoch in range(3):
        expected = permute(np.arange(40), 40, random_key(7, "order", f"epoch {epoch}"))
        assert order.rows(40 * epoch, 40).tolist() == expected.tolist()
    ungrouped = SequenceOrder.of_entries(entries_of([("", 40)]), LENGTH, 7, Plan((Phase(tokens=64), Phase())))
    assert ungrouped.rows(0, 100).tolist() == order.rows(0, 100).tolist()


def test_a_plan_that_ends_says_so():
    order = SequenceOrder.of_entries(entries_of([("a", 4)]), LENGTH, 0, Plan((Phase(sequences=6),)))
    assert order.sequences == 6 and len(order.rows(0, 6)) == 6
    with pytest.raises(UserError, match="ends after 6 sequences, and number 7"):
        order.rows(5, 2)


def test_a_description_adds_up_and_names_the_groups_left_out():
    entries = entries_of([("web", 10), ("code", 40), ("books", 5)])
    plan = Plan((Phase({"web": 0.75, "code": 0.25}, tokens=20 * LENGTH), Phase({"web": 0.5, "code": 0.5})))
    order = SequenceOrder.of_entries(entries, LENGTH, 0, plan)
    first, second = order.describe(50)[:3], order.describe(50)[3:]
    assert [(use.group, use.share, use.sequences, use.unseen) for use in first] == [
        ("web", 0.75, 15, 0),
        ("code", 0.25, 5, 35),
        ("books", 0, 0, 5),
    ]
    assert (first[0].epochs_begun, first[0].repeated, first[0].tokens) == (2, 5, 15 * LENGTH)
    assert [(use.phase, use.sequences, use.epochs_begun, use.repeated) for use in second] == [
        (2, 15, 3, 20),
        (2, 15, 1, 0),
        (2, 0, 0, 0),
    ]
    assert [use.sequences for use in order.describe()[3:]] == [None, None, None]
    assert len(order.describe(20)) == 3


def test_fingerprints_tell_seed_plan_rows_and_length_apart():
    entries, plan = entries_of([("a", 4), ("b", 4)]), Plan((Phase({"a": 1}),))
    expected_rows = [
        SequenceOrder.of_entries(entries, LENGTH, 0, plan),
        SequenceOrder.of_entries(entries, LENGTH, 1, plan),
        SequenceOrder.of_entries(entries, LENGTH + 1, 0, plan),
        SequenceOrder.of_entries(entries, LENGTH, 0, Plan((Phase({"a": 0.5}),))),
        SequenceOrder.of_entries(entries, LENGTH, 0),
        SequenceOrder.of_entries(entries_of([("a", 4), ("b", 5)]), LENGTH, 0, plan),
    ]
    assert len({order.fingerprint for order in expected_rows}) == len(expected_rows)


def test_a_damaged_order_is_the_users_to_mend():
    text = SequenceOrder.of_entries(entries_of([("a", 4)]), LENGTH).to_json()
    for damaged in ("{", "[]", text.replace('"seed": 0', '"seed": 1'), json.dumps({"version": 2})):
        with pytest.raises(UserError, match="not the order of a training run"):
            SequenceOrder.from_json(damaged)


def test_billions_of_sequences_in_many_phases_cost_no_more():
    shards = [(f"group {number}", 3_600_000_000 // 12) for number in range(12)]
    tokens = (10 * 10**12, 43 * 10**11, 5 * 10**11)
    weights = [{f"group {n}": (n * turn % 7) + 0.1 for n in range(12)} for turn in (1, 2, 3)]
    plan = Plan(tuple(Phase(mixture, token) for mixture, token in zip(weights, tokens, strict=True)))
    order = SequenceOrder.of_entries(entries_of(shards), 4096, 0, plan)
    assert order.sequences == round(14.8e12 / 4096)
    actual = order.rows(1_000_000_000, 5000)
    assert len(np.unique(actual)) == 5000 and actual.max() < 3_600_000_000
    assert order.rows(order.sequences - 10, 10).min() >= 0


def test_an_order_needs_no_torch():
    code = "import sys, training.order.sequence_order; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    code = "import sys, training.order.plan; assert not {'numba', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
