"""The simulator's figures for V3 beside every published one, and the layouts it finds; docs/simulating.md has them.

    python benchmarks/simulated_v3.py                 about 10 s of one core

Nothing is run on a GPU. Rows marked "calibrated" are what a chunk's times were made from.
"""

from collections.abc import Iterator

from corpusmill.training.model.config import preset
from corpusmill.training.simulate import published
from corpusmill.training.simulate.actions import Kind
from corpusmill.training.simulate.campaign import length_of_run, price
from corpusmill.training.simulate.hardware import GPUS, H800
from corpusmill.training.simulate.layout import NAMED, V3_REPORT, Layout, layout_values
from corpusmill.training.simulate.search import fewest_gpus, search
from corpusmill.training.simulate.step import Workload, simulate

V3 = preset("v3-671b")


def against_the_report() -> Iterator[tuple[str, float, float, str]]:
    """(what, published, simulated, remark)."""
    work, parts = Workload(V3), published.PARTS
    step = simulate(work, V3_REPORT, H800)
    run = price(step, work, H800, length_of_run(published.TOKENS, work, 3072, 469 * 10**9))
    kinds = step.by_kind
    yield "step, s", parts.step, step.seconds, ""
    yield "  forward", parts.forward, kinds[Kind.FORWARD], "calibrated"
    yield "  backward", parts.backward, kinds[Kind.BACKWARD] + kinds[Kind.INPUT], "calibrated"
    yield "  weights", parts.weight, kinds[Kind.WEIGHT], "calibrated"
    yield "  pairs", parts.pairs, kinds[Kind.PAIR], "calibrated"
    yield "  bubble", parts.bubble, step.bubble_seconds, ""
    yield "  optimiser", parts.optimizer, step.optimizer_seconds, ""
    yield "tokens/s a GPU", published.TOKENS_A_SECOND, step.tokens_a_second, ""
    yield "MFU, causal, %", 100 * published.MFU, 100 * step.mfu(V3, 4096, H800), ""
    yield "GPU-hours", published.GPU_HOURS, run.gpu_hours, ""
    yield "GPU-hours a trillion", published.GPU_HOURS_A_TRILLION, run.gpu_hours_a_trillion, ""
    hours = 0.0
    for name, length, batch in (("v3-report-32k", 32_768, 1920), ("v3-report-128k", 131_072, 480)):
        longer = Workload(V3, length, batch)
        at = simulate(longer, NAMED[name], H800)
        hours += price(at, longer, H800, length_of_run(1000 * longer.step_tokens, longer)).gpu_hours
    yield "GPU-hours, extensions", published.EXTENSION_GPU_HOURS, hours, "layout not published"


def main() -> None:
    print(f"{'V3 on 2,048 H800':<24}{'published':>14}{'simulated':>14}{'off':>9}")
    for what, known, simulated, remark in against_the_report():
        print(f"{what:<24}{known:>14,.2f}{simulated:>14,.2f}{simulated / known - 1:>+9.1%}  {remark}")
    print("\nothers, tokens/s a GPU; nothing calibrated")
    for row in published.ELSEWHERE:
        layout = Layout(**layout_values(row.layout))
        speed = simulate(Workload(V3, 4096, row.batch_sequences), layout, GPUS[row.gpu]).tokens_a_second
        off = speed / row.tokens_a_second - 1
        print(
            f"{row.who:<16} {layout.gpus:>5} {row.gpu}: {row.tokens_a_second:,.0f}, "
            f"{speed:,.0f}, {off:+.1%}; {row.unknown}"
        )
    print("\nthe fastest layout that fits, batches of 15,360 x 4,096")
    for kind in ("h800", "h200", "b200"):
        for gpus in (64, 256, 2048):
            work, given = Workload(V3), {"gpus": gpus}
            result = search(work, GPUS[kind], given, most=1)
            if not result.fitting:
                print(f"{gpus:>5} {kind}: none; {fewest_gpus(work, GPUS[kind], given)} GPUs would do")
                continue
            step = result.fitting[0]
            run = price(step, work, GPUS[kind], length_of_run(published.TOKENS, work))
            print(
                f"{gpus:>5} {kind}: {step.layout.text}: {step.seconds:.2f} s, "
                f"{step.tokens_a_second:,.0f} tokens/s/GPU, "
                f"MFU {step.mfu(V3, 4096, GPUS[kind]):.1%}, {step.memory_bytes / 1e9:.1f} GB, "
                f"${run.dollars_a_million:.3f} a million tokens, {run.seconds / 86400:,.0f} days"
            )


if __name__ == "__main__":
    main()
