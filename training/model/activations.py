"""What a forward pass leaves in memory for the backward pass, in closed form over the dimensions.

The method is that of Korthikanti et al. (2022, "Reducing Activation Recomputation in Large Transformer Models", section
4): go through the operations of a layer in order, and add up each tensor that autograd keeps. A tensor that several
operations read is kept once. A test holds the forms against all that is alive after a real forward pass, byte for byte,
in FP32 and in BF16, with and without recomputation.

Two columns: `plain` keeps everything; `selective` is V3's recomputation (section 3.2.3, `training/model/recompute.py`):
outputs of all RMSNorms, of MLA's up-projections and of SwiGLU are made again from their inputs. Attention itself is not
run twice, and the rows sent to experts are kept, because sending them again would be communication.

In FP8 (`training/fp8/`) what linear layers and SwiGLU keep is a byte a number and a scale for each 128, and attention's
output has 12 bits more for the layer after it. Experts' rows lie in places that are multiples of 128, of which half an
interval an expert is taken to be empty.

Not counted: attention masks of documents, what an operation needs only while it runs (`workspace` gives the largest of
that), gradients passing through the backward pass, and the allocator's gaps.

Legend, for a token: D stream, H heads, E experts, K chosen, I inner width of a network; an element has a bytes.
"""

from dataclasses import dataclass
from functools import lru_cache

from corpusmill.training.model.dimensions import ModelConfig
from corpusmill.training.model.shares import ModelShare, whole

FLOAT, INT64, INT32 = 4, 8, 4
TILE = 128
CPU_LOGIT_ROWS = 128
"""`training/model/loss.py`'s chunk on a CPU."""


@dataclass(frozen=True)
class Kept:
    """Bytes held between forward and backward: of everything, and with selective recomputation."""

    plain: int
    selective: int

    def __add__(self, other: "Kept") -> "Kept":
        return Kept(self.plain + other.plain, self.selective + other.selective)

    def __mul__(self, times: int) -> "Kept":
        return Kept(self.plain * times, self.selective * times)

    def bytes(self, recompute: bool) -> int:
        """The column asked for."""
        return self.selective if recompute else self.plain


NOTHING = Kept(0, 0)


def tiles(width: int) -> int:
    """A vector in FP8: its codes, and a scale for each tile."""
    return width + FLOAT * -(-width // TILE)


def packed(width: int) -> int:
    """A vector in E5M6: two numbers in three bytes, and the scales."""
    return 3 * -(-width // 2) + FLOAT * -(-width // TILE)


def both(count: int) -> Kept:
    """Bytes that recomputation doesn't save."""
    return Kept(count, count)


@dataclass(frozen=True)
class Numerics:
    """Where and in which type activations are computed."""

    element_bytes: int = 2
    """a: 2 for BF16, 4 for FP32."""
    fused_norms: bool = True
    """Whether RMSNorm is one kernel, as on GPUs; on CPUs torch composes it and keeps FP32 intermediates. It also
    decides what the cross-entropy keeps."""
    fp8: bool = False
    """Whether layers multiply in FP8; a is 2 then."""

    def read(self, width: int, again: bool = True) -> Kept:
        """What a matrix keeps of its input beside the type's own; `again`: unless recomputation makes it."""
        if not self.fp8:
            return NOTHING
        return Kept(tiles(width), 0 if again else tiles(width))

    def norm(self, width: int, stored: int | None = None, shared: bool = False, read: bool = True) -> Kept:
        """RMSNorm of a vector of this width.

        Args:
            width: what it normalises.
            stored: width of the tensor that its input is a slice of, which is what stays in memory.
            shared: whether another operation already keeps that tensor.
            read: whether what follows keeps the output, as a matrix does.
        """
        a = self.element_bytes
        as_it_is = 0 if shared else a * (stored or width)
        inverse_root, output = FLOAT, a * width if read and not self.fp8 else 0
        if self.fused_norms:
            return Kept(as_it_is + inverse_root + output, as_it_is)
        if a == FLOAT:
            return Kept(as_it_is + FLOAT * width + inverse_root + output, as_it_is)
        # In BF16 the input's FP32 copy is kept in its place, and kept by each norm that reads it.
        return Kept(2 * FLOAT * width + inverse_root + output, as_it_is)


def attention(config: ModelConfig, numerics: Numerics) -> Kept:
    """MLA with the norm before it, a token: latents, expanded queries, keys and values, and attention's output."""
    c, a = config, numerics.element_bytes
    # Without a latent for queries they read the normalised stream in a region of their own.
    kept = numerics.norm(c.dim) + numerics.read(c.dim) * (1 if c.q_lora_rank else 2)
    if c.q_lora_rank:
        kept += numerics.norm(c.q_lora_rank) + numerics.read(c.q_lora_rank)
    kept += numerics.read(c.kv_lora_rank)
    kept += numerics.norm(c.kv_lora_rank, stored=c.kv_lora_rank + c.qk_rope_head_dim)
    padded = max(c.qk_head_dim, c.v_head_dim)
    narrow = c.v_head_dim < c.qk_head_dim
    # Without padding, values stay a slice of the expanded tensor, which also holds keys.
    values = padded if narrow else c.qk_nope_head_dim + c.v_head_dim
    kept += Kept(a * c.n_heads * (2 * c.qk_head_dim + values), 0)
    output_again = a * c.n_heads * c.v_head_dim if narrow else 0  # cut to its width for W_O
    if numerics.fp8:
        output_again = packed(c.n_heads * c.v_head_dim)
    return kept + both(c.n_heads * (a * padded + FLOAT) + output_again)


def swiglu(inner: int, numerics: Numerics) -> Kept:
    """A SwiGLU network, a token, without its input: gate, up, silu(gate) and the product; recomputed, the first two.

    In FP8 the first two in either case."""
    if numerics.fp8:
        return both(2 * tiles(inner))
    return Kept(4 * numerics.element_bytes * inner, 2 * numerics.element_bytes * inner)


def dense(config: ModelConfig, numerics: Numerics) -> Kept:
    """A dense layer's network with the norm before it, a token."""
    return numerics.norm(config.dim) + numerics.read(config.dim) + swiglu(config.inter_dim, numerics)


def experts(config: ModelConfig, numerics: Numerics) -> Kept:
    """Router, dispatch, chosen and shared experts with the norm before them, a token."""
    c, a, chosen = config, numerics.element_bytes, config.n_activated_experts
    # Dispatch copies the normalised stream, so only shared experts, or a router that reads it as it is, keep it.
    kept = numerics.norm(c.dim, read=bool(c.n_shared_experts) or a == FLOAT)
    if a != FLOAT:
        kept += Kept(FLOAT * c.dim, 0)  # the router's FP32 copy
    # Scores; chosen numbers, their scores and sum; the permutation both ways; gates; the balance loss's sum and weight.
    kept += both(FLOAT * c.n_routed_experts + chosen * (INT64 + FLOAT) + FLOAT + 2 * INT64 * chosen + a * chosen)
    kept += both(2 * FLOAT)
    rows = both(a * c.dim) + expert_row(c, numerics)  # what came back, and what the expert keeps
    if c.n_shared_experts:
        kept += numerics.read(c.dim) + swiglu(c.n_shared_experts * c.moe_inter_dim, numerics)
    return kept + (rows + both(INT64 * numerics.fp8)) * chosen


def expert_row(config: ModelConfig, numerics: Numerics) -> Kept:
    """What an expert keeps of one row that it is sent."""
    sent = tiles(config.dim) if numerics.fp8 else numerics.element_bytes * config.dim
    return both(sent) + swiglu(config.moe_inter_dim, numerics)


def routing_tables(config: ModelConfig, sequences: int, numerics: Numerics, expert_ranks: int = 1) -> Kept:
    """What an expert layer keeps once, not a token: ends of the experts' rows, their loads, and in FP8 empty places.

    The last of the experts that are on this rank, one of `expert_ranks`."""
    count = config.n_routed_experts
    kept = both(INT32 * count + FLOAT * sequences * count)
    here = -(-count // expert_ranks)
    return kept + expert_row(config, numerics) * (here * TILE // 2) if numerics.fp8 else kept


def prediction(config: ModelConfig, tokens: int, numerics: Numerics) -> Kept:
    """Output head and cross-entropy over this many targets.

    The chunked operator makes gradients as it goes and keeps these instead of logits: of its input, and of the head,
    the latter on CPUs in FP32.
    """
    of_head = numerics.element_bytes if numerics.fused_norms else FLOAT
    return both(config.dim * (numerics.element_bytes * tokens + of_head * config.vocab_size))


def activations(
    config: ModelConfig, sequences: int, length: int, numerics: Numerics, share: ModelShare | None = None
) -> dict[str, Kept]:
    """Bytes by part for one micro-batch of sequences of this length, MTP included; a part that isn't there is 0.

    Of a share of the model, if one is given: as many tokens come to a rank's experts from others as it sends them.
    """
    c, tokens = config, sequences * length
    share = share or whole(config)
    ids_and_angles = INT64 * tokens + FLOAT * c.qk_rope_head_dim * length
    tables = routing_tables(c, sequences, numerics, share.expert_ranks)
    modules, heads = NOTHING, prediction(c, sequences * (length - 1), numerics)
    for depth in range(1, c.mtp_depth + 1):
        positions = sequences * (length - depth)
        joined = numerics.norm(c.dim, shared=True, read=False) * 2
        if numerics.fp8:
            joined += numerics.read(2 * c.dim, again=False)
        else:
            joined += both(2 * numerics.element_bytes * c.dim)
        layer = attention(c, numerics) + experts(c, numerics) + numerics.norm(c.dim, read=False)
        modules += (joined + layer) * positions + tables
        heads += prediction(c, positions - sequences, numerics)
    return {
        "attention": attention(c, numerics) * tokens * share.layers,
        "dense networks": dense(c, numerics) * tokens * share.dense_layers,
        "experts and routers": (experts(c, numerics) * tokens + tables) * share.moe_layers,
        "MTP modules": modules * share.head,
        "output head": (numerics.norm(c.dim, read=False) * tokens + heads) * share.head,
        "ids and RoPE table": both(ids_and_angles),
    }


def layer_inputs(config: ModelConfig, tokens: int, element_bytes: int, share: ModelShare) -> int:
    """Bytes kept by layers that are run again as a whole from their inputs, MTP's included: these, and nothing else."""
    modules = share.mtp_modules(config)
    return element_bytes * config.dim * tokens * (share.layers + modules)


def largest_layer(config: ModelConfig, tokens: int, numerics: Numerics) -> int:
    """Bytes that one layer keeps when it is run again, until its own backward pass has ended."""
    c = config
    networks = [dense(c, numerics)] * bool(c.n_dense_layers) + [experts(c, numerics)] * bool(c.n_moe_layers)
    return max((attention(c, numerics) + network).plain for network in networks) * tokens


@lru_cache(maxsize=4096)
def workspace(config: ModelConfig, sequences: int, length: int, numerics: Numerics, recompute: bool) -> int:
    """The largest tensors that are there only for a while: a chunk of logits, or one layer that is recomputed.

    On CPUs BF16 logits are made with an FP32 copy of the head.
    """
    c, tokens = config, sequences * length
    chunk = FLOAT * c.vocab_size * (logit_rows(c, tokens) if numerics.fused_norms else min(CPU_LOGIT_ROWS, tokens))
    if not numerics.fused_norms and numerics.element_bytes != FLOAT:
        chunk += FLOAT * c.vocab_size * c.dim
    networks = [dense(c, numerics)] * bool(c.n_dense_layers) + [experts(c, numerics)] * bool(c.n_moe_layers)
    layers = [attention(c, numerics) + network for network in networks]
    again = max(layer.plain - layer.selective for layer in layers) * tokens
    return max(chunk, again if recompute else 0)


def logit_rows(config: ModelConfig, tokens: int) -> int:
    """Rows of a chunk on GPUs: torch's `aspect_ratio:2`, so that a chunk is about half as large as the input."""
    wanted = -(-tokens // -(-config.vocab_size // config.dim))
    return min((1 << (wanted - 1).bit_length()) // 2, tokens) or 1
