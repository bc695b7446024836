"""Plans of mixtures and draws of documents: laws, hand-reckoned plans, and what is refused."""

import re
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.mixture.draws import EVERYTHING, copies_of, draw_threshold, group_rows
from corpusmill.dataproc.mixture.planning import Group, Planned, plan_mixture
from corpusmill.dataproc.mixture.settings import Mixture, check_names
from corpusmill.dataproc.randomness import random_keys

WEB = [Group(("web", "en"), 60, 6000), Group(("web", "zh"), 20, 2000), Group(("code", "und"), 10, 1000)]


def plan(groups: list[Group], **asked: Any) -> dict[str, Planned]:
    return {group_plan.name: group_plan for group_plan in plan_mixture(groups, Mixture(**asked))}


def targets(groups: list[Group], **asked: Any) -> dict[str, int]:
    return {name: group_plan.target for name, group_plan in plan(groups, **asked).items()}


BOTH: Any = ("source", "language")


def test_without_wishes_everything_is_there_once() -> None:
    for group_plan in plan(WEB, by=BOTH).values():
        assert (group_plan.copies, group_plan.drawn, group_plan.epochs) == (1, 0, 1.0)


def test_weights_are_shares_of_a_node_and_a_star_is_all_the_others() -> None:
    asked: Any = {
        "by": BOTH,
        "total": 4000,
        "weights": {"source": {"web": 3, "code": 1}, "language": {"zh": 0.2, "*": 0.3}},
    }
    assert targets(WEB, **asked) == {"code/und": 1000, "web/en": 1800, "web/zh": 1200}
    more = [*WEB, Group(("web", "fr"), 1, 2000)]
    assert targets(more, **asked) == {"code/und": 1000, "web/en": 1350, "web/fr": 450, "web/zh": 1200}


def test_temperature_evens_natural_shares_out() -> None:
    groups = [Group(("a",), 1, 900), Group(("b",), 1, 100)]
    assert targets(groups, total=400) == {"a": 360, "b": 40}
    assert targets(groups, total=400, temperature=2) == {"a": 300, "b": 100}
    assert targets(groups, total=400, temperature=1e9) == {"a": 200, "b": 199}


def test_a_group_that_gets_more_than_it_has_is_repeated_whole_and_in_part() -> None:
    group_plan = plan([Group(("a",), 4, 400)], total=1000)["a"]
    assert (group_plan.copies, group_plan.drawn, group_plan.epochs) == (2, 200, 2.5)


@pytest.mark.parametrize(
    ("limits", "name", "limit"),
    [
        ({"repeats": 2}, "'code/und'", 2000),
        ({"group_repeats": {"code/und": 2.5}}, "'code/und'", 2500),
        ({"caps": {"code": 1500}}, "'code'", 1500),
        ({"caps": {"code/und": 1500}}, "'code/und'", 1500),
    ],
)
def test_a_target_above_a_limit_is_refused_with_the_shortfall_and_the_total_that_holds(
    limits: dict[str, Any], name: str, limit: int
) -> None:
    asked: Any = {"by": BOTH, "weights": {"source": {"web": 1, "code": 1}}, "repeats": 8, **limits}
    with pytest.raises(UserError) as error:
        plan(WEB, total=6000, **asked)
    assert f"ask for 3,000 of {name}" in str(error.value) or f"ask for 3,000 of {name[:-5]}" in str(error.value)
    assert f"{3000 - limit:,} short" in str(error.value)
    assert f"a total of {2 * limit:,} at most" in str(error.value)
    assert sum(targets(WEB, total=2 * limit, **asked).values()) == 2 * limit
    with pytest.raises(UserError):
        plan(WEB, total=2 * limit + 2, **asked)


def test_scaling_keeps_the_weights_and_redistributing_keeps_the_total() -> None:
    asked: Any = {"by": BOTH, "weights": {"source": {"web": 1, "code": 1}}, "repeats": 2, "total": 6000}
    assert targets(WEB, short="scale", **asked) == {"code/und": 2000, "web/en": 1500, "web/zh": 500}
    assert targets(WEB, short="redistribute", **asked) == {"code/und": 2000, "web/en": 3000, "web/zh": 1000}
    planned = plan(WEB, short="redistribute", **asked)
    assert {name: group_plan.asked for name, group_plan in planned.items()} == {
        "code/und": 3000,
        "web/en": 2250,
        "web/zh": 750,
    }
    capped = targets(WEB, short="redistribute", caps={"web/en": 1000, "web": 1800}, **asked | {"total": 3800})
    assert capped == {"code/und": 2000, "web/en": 1000, "web/zh": 800}
    with pytest.raises(UserError, match="all groups together may give 3,800, and the total is 3,801: 1 short"):
        plan(WEB, short="redistribute", caps={"web": 1800}, **asked | {"total": 3801})


def test_a_weight_of_nothing_drops_a_group_and_the_default_total_is_what_is_left() -> None:
    planned = plan(WEB, by=BOTH, weights={"source": {"web": 1, "code": 0}})
    assert {name: group_plan.target for name, group_plan in planned.items()} == {
        "code/und": 0,
        "web/en": 6000,
        "web/zh": 2000,
    }


@pytest.mark.parametrize(
    ("asked", "match"),
    [
        ({"weights": {"source": {"wib": 1, "*": 1}}}, "no document has the source 'wib'.*code, web"),
        ({"weights": {"source": {"web": 1}}}, "the source 'code' has no weight.*as \\*"),
        ({"weights": {"language": {"en": 1}}}, "groups are not formed by language.*add language to by"),
        ({"weights": {"source": {"web": -1}}}, "the weight of 'web' is -1"),
        ({"weights": {"source": {"web": 0}}}, "all weights are 0"),
        ({"caps": {"web/en": 1}}, "unknown group 'web/en'"),
        ({"by": BOTH, "group_repeats": {"web": 1}}, "unknown group 'web'"),
        ({"temperature": 0}, "is not a valid temperature"),
        ({"repeats": 0}, "copies of a document at most"),
        ({"by": ("domain",)}, "groups by domain"),
        ({"by": ("source", "source")}, "groups by source, source"),
    ],
)
def test_a_mistake_is_told_with_the_names_that_there_are(asked: dict[str, Any], match: str) -> None:
    with pytest.raises(UserError, match=match):
        plan(WEB, **asked)


NAMES = st.tuples(st.sampled_from("ab"), st.sampled_from(["en", "zh", "und"]))
GROUPS = st.lists(st.builds(Group, NAMES, st.integers(1, 9), st.integers(0, 10**6)), min_size=1, max_size=12)
SHARES = st.dictionaries(st.just("*"), st.integers(1, 9), min_size=1)


@settings(max_examples=150, deadline=None)
@given(
    GROUPS,
    st.permutations(range(12)),
    st.floats(0.3, 5),
    st.integers(0, 10**7),
    st.sampled_from(["scale", "redistribute"]),
)
def test_a_plan_does_not_depend_on_the_order_of_the_parts_and_keeps_its_limits(
    groups: list[Group], order: list[int], temperature: float, total: int, short: Any
) -> None:
    asked = Mixture(by=BOTH, temperature=temperature, total=total, repeats=3, short=short)
    available = sum(group.size for group in groups)
    if short == "redistribute" and total > 3 * available:
        with pytest.raises(UserError, match="short"):
            plan_mixture(groups, asked)
        return
    planned = plan_mixture(groups, asked)
    assert planned == plan_mixture([groups[place] for place in order if place < len(groups)], asked)
    assert sum(group_plan.group.size for group_plan in planned) == available
    assert sum(group_plan.weight for group_plan in planned) == (1 if available else 0)
    for group_plan in planned:
        assert group_plan.target <= group_plan.limit <= 3 * group_plan.group.size
        assert group_plan.target == group_plan.copies * group_plan.group.size + group_plan.drawn
    given_out = sum(group_plan.target for group_plan in planned)
    if short == "redistribute":
        assert total - len(planned) < given_out <= total
    elif given_out:
        scale = Fraction(given_out) / sum(group_plan.weight for group_plan in planned)
        assert all(abs(group_plan.target - group_plan.weight * scale) <= len(planned) for group_plan in planned)


def one_run(keys: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(keys, kind="stable")
    return keys[order], np.cumsum(sizes[order])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 1000), st.integers(0, 3)), max_size=60),
    st.lists(st.integers(0, 40_000), min_size=2, max_size=2),
    st.booleans(),
)
def test_draws_meet_their_target_to_within_one_document_and_are_nested(
    rows: list[tuple[int, int, int]], wanted: list[int], near: bool
) -> None:
    keys = np.array([row[0] & 0xFFFF if near else row[0] for row in rows], np.uint64)  # all in one range, or spread
    _, first = np.unique(keys, return_index=True)
    keys, sizes, part = keys[first], *(np.array([row[column] for row in rows], np.int64)[first] for column in (1, 2))

    def runs() -> list[tuple[np.ndarray, np.ndarray]]:
        return [one_run(keys[part == number], sizes[part == number]) for number in range(4)]

    drawn = []
    for target in sorted(wanted):
        threshold, documents, size = draw_threshold(runs, target)
        taken = np.ones(len(keys), bool) if threshold == EVERYTHING else keys < np.uint64(threshold)
        assert (taken.sum(), sizes[taken].sum()) == (documents, size)
        assert size <= target
        rest = np.argsort(keys)[documents:]
        assert not len(rest) or size + sizes[rest[0]] > target, "the next document would have fitted"
        drawn.append(taken)
    assert not (drawn[0] & ~drawn[1]).any()


def test_equal_keys_are_drawn_together_or_not_at_all() -> None:
    keys, sizes = np.array([5, 5, 5, 9], np.uint64), np.array([10, 10, 10, 10], np.int64)
    assert draw_threshold(lambda: [one_run(keys, sizes)], 25) == (5, 0, 0)
    assert draw_threshold(lambda: [one_run(keys, sizes)], 35) == (9, 3, 30)
    assert draw_threshold(lambda: [one_run(keys, sizes)], 40) == (EVERYTHING, 4, 40)
    assert draw_threshold(list, 0) == (EVERYTHING, 0, 0)


def test_a_document_has_the_copies_of_its_group_and_one_more_when_it_is_drawn() -> None:
    keys = random_keys(1, "mixture", pa.array(["x", "y", "z", "z"]))
    group = np.array([0, 1, 2, 0])
    copies = copies_of(group, keys, np.array([0, 2, 1]), [int(keys[0]) + 1, EVERYTHING, 0])
    assert copies.tolist() == [1, 3, 1, int(keys[3] <= keys[0])]


def test_documents_are_grouped_by_any_levels_and_an_unknown_language_has_a_name() -> None:
    batch = pa.record_batch(
        {"source": ["b", "a", "b", "a"], "language": ["en", None, "en", "zh"], "kind": ["web", "code", "web", "web"]}
    )
    keys, rows = group_rows(batch, ("language", "source"))
    assert keys == [("en", "b"), ("und", "a"), ("zh", "a")]
    assert rows.tolist() == [0, 1, 0, 2]
    assert group_rows(batch.slice(0, 0), ("kind",))[0] == []


def test_documents_without_a_name_are_listed_as_an_empty_one() -> None:
    asked = Mixture(by=("language",), weights={"language": {"fr": 1, "*": 1}})
    with pytest.raises(UserError, match=re.escape("known are '', en")):
        check_names([("",), ("en",)], asked)
