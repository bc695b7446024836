"""How much of each source, language and kind goes into a corpus: weights and limits to copies of each group.

A *group* is all documents that have the same source, language and kind, as far as these are named in `by`, in that
order: a tree, sources first and the languages of each below it, or the other way round. From the top, each node's
amount is divided among its children:

- by the weights of that level, where there are any: a weight is a share of the node, relative to those of its other
  children. `*` is the weight of all that are not named, together. So `source_weights` are exact shares of the whole
  when sources come first, and `language_weights` shares within each source that has these languages.
- else by natural size, raised to 1 / temperature: 1 keeps the natural shares, a larger one evens them out (Conneau et
  al. 2020, arXiv 1911.02116, who write the exponent, 0.3, as alpha), as when tokenizers are trained.

Amounts are bytes or tokens, of `total` in all. A group that gets more than it has is repeated: every document as often
as fits whole, and some one more time, drawn by their ids (`dataproc.mixture.draws`). So an amount is met to within one
document and never passed, and draws are nested: what a smaller target takes, a larger one takes, too.

Limits are `repeats`, how often a document may be in the result at most (Muennighoff et al. 2023, arXiv 2305.16264, find
that up to 4 epochs are nearly as good as new text), and `caps`, the most of a group or of a whole node. A target above
a limit is short. What happens then is the user's choice: `refuse` (an error that names the largest total that holds),
`scale` (all less, weights hold), `redistribute` (the others of the node take over by their weights, the total holds).

When to use this, and when not: training draws from *groups of token shards* by exact quotas, repeats and re-weights
them at any time in the order, and copies nothing (docs/architecture.md, "Order of training"; pack with `--group-by`).
That is the better way for our own trainer. This here makes a dataset: for somebody else's trainer, for a tokenizer's
corpus, to publish, or to bring a huge source down before it is packed. Copies are rows with ids of their own, so
de-duplicate before mixing: after it, `dedup` would take every copy out again.

Cost: nothing that depends on documents; the plan takes 10 to 30 ms a thousand groups. Arithmetic is exact (fractions of
the numbers as written), so that no order of the parts, and no machine, changes a plan.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from typing import Any

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.mixture.settings import OTHERS, Key, Mixture, check_names


@dataclass(frozen=True)
class Group:
    """Documents that share what the tree is by: how many there are, and their bytes or tokens."""

    key: Key
    documents: int
    size: int


@dataclass(frozen=True)
class Planned:
    """A group's part of the result.

    Attributes:
        group: what there is.
        weight: share of the result that the weights ask for.
        asked: bytes or tokens that the weights and the total ask for.
        target: those that it gets.
        limit: the most it could get.
        copies: how often each of its documents is in the result.
        drawn: bytes or tokens of the documents that get one more copy.
    """

    group: Group
    weight: Fraction
    asked: int
    target: int
    limit: int
    copies: int
    drawn: int

    @property
    def name(self) -> str:
        return "/".join(self.group.key)

    @property
    def epochs(self) -> float:
        """How often the group is seen, on average over its text."""
        return self.target / self.group.size if self.group.size else 0.0

    def to_values(self) -> dict[str, Any]:
        """Plain JSON values for a manifest."""
        return {
            "group": self.name,
            "documents": self.group.documents,
            "available": self.group.size,
            "weight": float(self.weight),
            "asked": self.asked,
            "target": self.target,
            "epochs": self.epochs,
            "copies": self.copies,
            "drawn": self.drawn,
        }


@dataclass(eq=False)
class _Node:
    """A node of the tree; leaves have a group."""

    key: Key
    children: "list[_Node]"
    group: Group | None
    size: int
    cap: int | None
    share: Fraction = Fraction(0)
    """Of its parent."""
    limit: int = 0

    @property
    def name(self) -> str:
        return "/".join(self.key)

    def leaves(self) -> "list[_Node]":
        return [leaf for child in self.children for leaf in child.leaves()] if self.children else [self]


def plan_mixture(groups: Sequence[Group], asked: Mixture) -> list[Planned]:
    """What becomes of each group, by name. Groups may come in any order, and several times (by part): they add up.

    Raises UserError for a weight, cap or limit that names nothing there is, a name without a weight where others have
    one, and with `refuse` for a target that a limit makes unreachable.
    """
    root = _tree(_added_up(groups), asked)
    check_names([leaf.key for leaf in root.leaves() if leaf.key], asked)
    _share_out(root, asked)
    _limit(root)
    weights = _weights(root)
    wanted = {leaf.key: leaf for leaf in root.leaves() if weights[leaf.key]}
    total = asked.total if asked.total is not None else sum(leaf.size for leaf in wanted.values())
    by_weights, tightest = _divided(root, Fraction(total))
    amounts = by_weights
    if tightest is not None:
        node, ratio = tightest
        if asked.short == "refuse":
            raise _refusal(node, amounts[node.key], total, ratio)
        if asked.short == "scale":
            amounts, _ = _divided(root, total * ratio)
        elif total > root.limit:
            raise _too_little(total, root.limit)
        else:
            amounts = _filled(root, Fraction(total))
    planned = []
    for leaf in root.leaves():
        if leaf.group is None:
            continue
        target = int(amounts[leaf.key])
        copies, drawn = divmod(target, leaf.size) if leaf.size else (0, 0)
        planned.append(
            Planned(leaf.group, weights[leaf.key], int(by_weights[leaf.key]), target, leaf.limit, copies, drawn)
        )
    return planned


def _added_up(groups: Sequence[Group]) -> list[Group]:
    """One of each key, in the order of the keys."""
    totals: dict[Key, list[int]] = {}
    for group in groups:
        total = totals.setdefault(group.key, [0, 0])
        total[0] += group.documents
        total[1] += group.size
    return [Group(key, *totals[key]) for key in sorted(totals)]


def _tree(groups: Sequence[Group], asked: Mixture) -> _Node:
    def node(key: Key, below: Sequence[Group]) -> _Node:
        depth, name = len(key), "/".join(key)
        size, cap = sum(group.size for group in below), asked.caps.get(name) if key else None
        if depth == len(asked.by):
            made = _Node(key, [], below[0], size, cap)
            most = int(Fraction(str(asked.group_repeats.get(name, asked.repeats))) * size)
        else:
            parted = groupby(below, key=lambda group: group.key[depth])  # groups are sorted by their keys
            children = [node((*key, part), list(inside)) for part, inside in parted]
            made = _Node(key, children, None, size, cap)
            return _Node(key, children, None, size, cap)
        made.limit = most if cap is None else min(most, cap)
        return made

    return node((), groups)


def _share_out(node: _Node, asked: Mixture) -> None:
    """Sets the children's shares of each node, from the top."""
    if not node.children:
        return
    weights = asked.weights.get(asked.by[len(node.key)]) or {}
    natural = {child.key: _softened(child.size, asked.temperature) for child in node.children}
    others = [child for child in node.children if child.key[-1] not in weights]
    of_others = sum((natural[child.key] for child in others), Fraction(0))
    for child in node.children:
        if not weights:
            child.share = natural[child.key]
        elif child.key[-1] in weights:
            child.share = Fraction(str(weights[child.key[-1]]))
        else:
            child.share = Fraction(str(weights[OTHERS])) * (natural[child.key] / of_others if of_others else 0)
        _share_out(child, asked)
    whole = sum((child.share for child in node.children), Fraction(0))
    for child in node.children:
        child.share = child.share / whole if whole else Fraction(0)


def _limit(node: _Node) -> int:
    """Sets the limits of nodes that are not leaves: their caps, and what those children can give that have a share."""
    if node.children:
        most = sum(limit for limit, child in [(_limit(child), child) for child in node.children] if child.share)
        node.limit = most if node.cap is None else min(most, node.cap)
    return node.limit


def _softened(size: int, temperature: float) -> Fraction:
    return Fraction(size) if temperature == 1 else Fraction(size ** (1 / temperature))


def _weights(root: _Node) -> dict[Key, Fraction]:
    """The share of the whole that each leaf is to have."""
    weights: dict[Key, Fraction] = {}

    def walk(node: _Node, share: Fraction) -> None:
        if not node.children:
            weights[node.key] = share
        for child in node.children:
            walk(child, share * child.share)

    walk(root, Fraction(1))
    return weights


def _divided(root: _Node, total: Fraction) -> tuple[dict[Key, Fraction], tuple[_Node, Fraction] | None]:
    """Amounts of all nodes by the weights alone; the node whose limit is the least part of its amount, and the part."""
    amounts: dict[Key, Fraction] = {}
    tightest: tuple[_Node, Fraction] | None = None

    def walk(node: _Node, amount: Fraction) -> None:
        nonlocal tightest
        amounts[node.key] = amount
        if amount > node.limit and (tightest is None or node.limit / amount < tightest[1]):
            tightest = node, node.limit / amount
        for child in node.children:
            walk(child, amount * child.share)

    walk(root, total)
    return amounts, tightest


def _filled(root: _Node, total: Fraction) -> dict[Key, Fraction]:
    """Amounts in which a child that is full leaves the rest to its siblings, by their shares."""
    amounts: dict[Key, Fraction] = {}

    def walk(node: _Node, amount: Fraction) -> None:
        amounts[node.key] = amount
        open_children = [child for child in node.children if child.share]
        given: dict[Key, Fraction] = {child.key: Fraction(0) for child in node.children}
        left = amount
        while open_children:
            shares = sum((child.share for child in open_children), Fraction(0))
            full = [child for child in open_children if left * child.share >= child.limit * shares]
            if not full:
                for child in open_children:
                    given[child.key] = left * child.share / shares
                break
            for child in full:
                given[child.key] = Fraction(child.limit)
            left -= sum(child.limit for child in full)
            open_children = [child for child in open_children if child not in full]
        for child in node.children:
            walk(child, given[child.key])

    walk(root, total)
    return amounts


def _refusal(node: _Node, amount: Fraction, total: int, ratio: Fraction) -> UserError:
    name = f"'{node.name}'" if node.key else "all groups together"
    what = (
        f"the weights ask for {int(amount):,} of {name}, which has {node.size:,} and may give {node.limit:,}: "
        f"{int(amount) - node.limit:,} short"
    )
    hint = f"give a total of {int(total * ratio):,} at most, other weights or limits, or --short scale or redistribute"
    return UserError(what, where="mixture", hint=hint)


def _too_little(total: int, limit: int) -> UserError:
    what = f"all groups together may give {limit:,}, and the total is {total:,}: {total - limit:,} short"
    return UserError(what, where="mixture", hint="lower the total, or raise the limits")
