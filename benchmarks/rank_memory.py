"""Bytes that real ranks take on CPUs, beside what `training/model/memory.py` says of them.

    python benchmarks/rank_memory.py --preset laptop --ranks 1 2 4

A process a rank, joined by gloo, trains a step and holds a second forward pass; the C library is asked how many
bytes are in use (`mallinfo2`: every tensor of torch's on a CPU is from there), before the model is built and then. So
all that a rank takes is counted and nothing has to be listed, but for what libraries keep once they have run (36 MB of
laptop's 440): another model has been built, trained a step and dropped before. Needs glibc 2.33.
About 10 s a line for `laptop`; the exit status is 1 if a line is more than 5 % off.
"""

import argparse
import ctypes
import gc
import json
import sys
from dataclasses import asdict, dataclass

from corpusmill.training.model.config import preset
from corpusmill.training.model.memory import FLOAT32, Memory, MemoryLayout, memory

BAR = 0.05


class _Mallinfo2(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"
        )
    ]  # fmt: skip


def bytes_in_use() -> int:
    """Of all that this process has from malloc: in its arenas, and mapped by themselves."""
    gc.collect()
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = _Mallinfo2
    info = mallinfo2()
    return int(info.uordblks + info.hblkhd)


@dataclass(frozen=True)
class Case:
    """One line."""

    preset: str
    length: int
    micro_batch: int
    precision: str
    recompute: bool = False


def rank_bytes(preset_name: str, length: int, micro_batch: int, precision: str, recompute: bool) -> dict[str, int]:
    """On one of the ranks that torchrun's environment names: bytes after a step, and with a forward pass held."""
    import torch

    from corpusmill.training.model.loss import losses
    from corpusmill.training.model.transformer import build_model, initialise
    from corpusmill.training.parallel.ranks import join_ranks
    from corpusmill.training.parallel.zero1 import Zero1

    torch.set_num_threads(1)
    with join_ranks() as ranks:
        config = preset(preset_name)
        tokens = torch.randint(0, config.vocab_size, (micro_batch, length))
        valid = torch.ones_like(tokens, dtype=torch.bool)
        moments = "bfloat16" if precision == "bfloat16" else "float32"
        counts = micro_batch * (length - 1), micro_batch, 0.3, 1e-4

        def stepped() -> Zero1:
            model = build_model(config, recompute=recompute)
            initialise(model, 0)
            weights = Zero1(model, ranks, precision=precision, moments=moments)
            losses(model, tokens, valid).total(*counts).backward()
            weights.reduce_gradients()
            weights.step(1e-3)
            return weights

        stepped()  # what libraries keep for themselves is there from now on
        before = bytes_in_use()
        weights = stepped()
        state = bytes_in_use() - before
        loss = losses(weights.model, tokens, valid).total(*counts)
        taken = bytes_in_use() - before
        assert loss.requires_grad
        return {"state": state, "taken": taken}


def said(case: Case, ranks: int) -> Memory:
    """What the model of memory says."""
    types = FLOAT32 if case.precision == "float32" else {}
    layout = MemoryLayout(
        ranks=ranks,
        zero=1,
        sequence_length=case.length,
        micro_batch=case.micro_batch,
        average=None,
        recompute=case.recompute,
        fused_norms=False,
        **types,
    )
    return memory(preset(case.preset), layout)


def main() -> int:
    sys.path.insert(0, str(__import__("pathlib").Path(__file__).parents[1]))
    from tests.training.two_processes import run_ranks

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="laptop")
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--micro-batch", type=int, default=2)
    parser.add_argument("--precision", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    worst = 0.0
    for precision in arguments.precision:
        for recompute in (False, True):
            case = Case(arguments.preset, arguments.length, arguments.micro_batch, precision, recompute)
            for ranks in arguments.ranks:
                taken = run_ranks(ranks, "benchmarks.rank_memory:rank_bytes", *asdict(case).values(), timeout=300)
                largest = max(of_rank["taken"] for of_rank in taken)
                actual = said(case, ranks)
                expected = actual.state + sum(actual.activations.values())
                off = expected / largest - 1
                worst = max(worst, abs(off))
                line = {**asdict(case), "ranks": ranks, "taken": largest, "said": expected, "off": off}
                words = f"{case.preset} {precision} {'again' if recompute else 'kept':<5} {ranks} ranks"
                print(json.dumps(line) if arguments.json else f"{words}: {largest / 1e6:8.1f} MB taken, "
                      f"{expected / 1e6:8.1f} MB said, {off:+.1%}", flush=True)  # fmt: skip
    return int(worst > BAR)


if __name__ == "__main__":
    sys.exit(main())
