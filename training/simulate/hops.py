"""Bytes that tokens move to their experts and back, by hop, and the seconds that takes.

As DeepSeek's kernels do it (section 3.2.2): a token crosses the network once for each other node that one of its
experts is on, to the GPU of the same number there, and NVLink carries it to each expert's GPU in that node. Both hops
run at once, so the slower counts. Dispatch is FP8 with a scale each 128 values, or BF16; results return in BF16. A
backward pass moves as much again.

How many nodes a token reaches follows from the router's limit (M of G groups): with V3's 8 groups on 8 nodes, 4 of
them, one of which is its own half of the time, so 3.5 others. Experts are taken to be equally loaded, which the
routers' biases see to.
"""

from dataclasses import dataclass
from math import comb

from corpusmill.training.model.dimensions import ModelConfig
from corpusmill.training.simulate.hardware import Gpu

LATENCY = 50e-6
"""Seconds that one exchange takes whatever its size; a round figure for two hops and a kernel's start."""
TILE, SCALE, BF16 = 128, 4, 2


@dataclass(frozen=True)
class Exchange:
    """What one token moves on one rank, in one direction of one expert layer: dispatch and combine."""

    network_bytes: float
    nvlink_bytes: float

    def seconds(self, tokens: int, gpu: Gpu) -> float:
        """Of so many tokens: the slower hop; dispatch and combine each start once."""
        if not self.network_bytes and not self.nvlink_bytes:
            return 0.0
        slower = max(self.network_bytes / gpu.network, self.nvlink_bytes / gpu.nvlink)
        return tokens * slower + 2 * LATENCY


def exchange(config: ModelConfig, expert_ranks: int, gpu: Gpu, fp8: bool) -> Exchange:
    """What a token moves when experts are spread over so many neighbouring ranks."""
    sent = config.dim + SCALE * -(-config.dim // TILE) if fp8 else BF16 * config.dim
    both_ways = sent + BF16 * config.dim
    nodes = max(1, expert_ranks // gpu.node_gpus)
    a_node = min(expert_ranks, gpu.node_gpus)
    copies = config.n_activated_experts * (1 - 1 / a_node)  # those that leave the GPU where they enter the node
    return Exchange(
        network_bytes=both_ways * nodes_reached(config, nodes) * (1 - 1 / nodes),
        nvlink_bytes=both_ways * copies if expert_ranks > 1 else 0.0,
    )


def nodes_reached(config: ModelConfig, nodes: int) -> float:
    """Nodes, of those that experts are spread over, that a token's experts are on: the expectation under even loads.

    Each of the M groups that a token is limited to gives it K / M experts. Experts lie in order: a node holds whole
    groups, or a group is spread over several nodes.
    """
    groups, limited = config.n_expert_groups, config.n_limited_groups
    if nodes <= groups:
        groups_a_node = groups / nodes
        whole = int(groups_a_node)
        return nodes * (1 - comb(groups - whole, limited) / comb(groups, limited)) if limited <= groups else nodes
    experts, chosen = config.n_routed_experts // groups, config.n_activated_experts // limited
    there = max(1, config.n_routed_experts // nodes)
    return nodes * limited / groups * (1 - comb(experts - there, chosen) / comb(experts, chosen))
