"""Tokens a second when a model writes: from the latent cache, with drafts, without a cache, and by transformers.

    python benchmarks/generation.py /tmp/quickstart/model --output /tmp/generation --tokens 128 --batches 1 8

Greedy, in FP32, on one thread, from prompts of `--prompt` random tokens; nothing stops a text. Each way makes
the same number of tokens from the same prompts; best of `--repeats`. Seconds are processor time, so that a busy machine
does not count; with one thread that is what an idle one takes. Ways:

    cache          `training/generation/`
    drafted        the same with the first MTP module's drafts, and the share of them that was right
    no cache       the training's forward pass over the whole text again for each token (batch 1 only)
    transformers   `generate` with its own cache on the folder that `model export` writes, where transformers is there

Also prints the bytes that the cache keeps of a token, beside (d_c + R) x layers x 4, and what transformers keeps.
Checks on the way that drafted texts equal the plain ones, and says by how many tokens transformers' texts do.
"""

import argparse
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import torch

from corpusmill.pipelines import kernels
from corpusmill.training.generation.decoder import Decoder, full_logits
from corpusmill.training.generation.generate import Text, Wanted, generate
from corpusmill.training.generation.weights import open_trained
from corpusmill.training.huggingface.folder import export_run
from corpusmill.training.model.transformer import Transformer


def best_seconds(work: Callable[[], object], repeats: int) -> tuple[float, object]:
    """Shortest processor time of some repeats, after one for warmth, and the last result."""
    result, best = work(), float("inf")
    for _ in range(repeats):
        start = time.process_time()
        result = work()
        best = min(best, time.process_time() - start)
    return best, result


@torch.no_grad()
def without_cache(model: Transformer, prompt: list[int], tokens: int) -> list[int]:
    """Greedy tokens by whole forward passes."""
    ids = list(prompt)
    for _ in range(tokens):
        ids.append(int(full_logits(model, torch.tensor([ids]))[0, -1].argmax()))
    return ids[len(prompt) :]


def transformers_way(
    folder: Path, prompts: list[list[int]], tokens: int
) -> tuple[Callable[[], list[list[int]]], object]:
    """What generates with transformers, and its model."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    inputs = torch.tensor(prompts)

    def work() -> list[list[int]]:
        with torch.no_grad():
            made = model.generate(
                inputs, attention_mask=torch.ones_like(inputs), max_new_tokens=tokens, do_sample=False, use_cache=True
            )
        return made[:, inputs.shape[1] :].tolist()

    return work, model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="folder of a finished run")
    parser.add_argument("--output", required=True, help="folder for the export and generation.json")
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--prompt", type=int, default=32)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    kernels.configure()
    torch.set_num_threads(1)
    output = Path(arguments.output)
    trained = open_trained(arguments.run)
    model, config = trained.model, trained.config
    drawn = torch.Generator().manual_seed(0)
    used = trained.shards.get("vocab_size", config.vocab_size)
    lines = []

    def note(way: str, batch: int, seconds: float, **more: object) -> None:
        line = {"way": way, "batch": batch, "tokens_per_second": round(batch * arguments.tokens / seconds, 1), **more}
        lines.append(line)
        print(json.dumps(line), flush=True)

    export = output / "export"
    shutil.rmtree(export, ignore_errors=True)
    output.mkdir(parents=True, exist_ok=True)
    export_run(arguments.run, export)
    for batch in arguments.batches:
        prompts = torch.randint(8, used, (batch, arguments.prompt), generator=drawn).tolist()

        def ours(drafts: bool, prompts: list[list[int]] = prompts) -> list[Text]:
            return generate(model, prompts, Wanted(arguments.tokens, allowed=None, drafts=drafts))

        seconds, plain = best_seconds(lambda ours=ours: ours(False), arguments.repeats)
        note("cache", batch, seconds)
        if config.mtp_depth:
            seconds, drafted = best_seconds(lambda ours=ours: ours(True), arguments.repeats)
            assert [text.ids for text in drafted] == [text.ids for text in plain], "drafts changed a text"
            share = sum(text.accepted for text in drafted) / sum(text.drafted for text in drafted)
            note("drafted", batch, seconds, accepted=round(share, 3))
        if batch == 1:
            seconds, whole = best_seconds(lambda prompts=prompts: without_cache(model, prompts[0], arguments.tokens), 1)
            note("no cache", batch, seconds, same=whole == plain[0].ids)
        try:
            work, foreign = transformers_way(export, prompts, arguments.tokens)
        except ImportError:
            continue
        seconds, made = best_seconds(work, arguments.repeats)
        same = sum(a == b for text, ids in zip(plain, made, strict=True) for a, b in zip(text.ids, ids, strict=True))
        note("transformers", batch, seconds, same_tokens=f"{same} of {batch * arguments.tokens}")
        if batch == arguments.batches[0]:
            with torch.no_grad():
                kept = foreign(torch.tensor(prompts), use_cache=True).past_key_values
            theirs = sum(layer.keys.nbytes + layer.values.nbytes for layer in kept.layers) / batch / arguments.prompt
            cache = Decoder(model, 64).cache(1)
            print(
                json.dumps(
                    {
                        "cache_bytes_a_token": cache.numbers.nbytes / 64,
                        "wanted": (config.kv_lora_rank + config.qk_rope_head_dim) * config.n_layers * 4,
                        "transformers_bytes_a_token": theirs,
                    }
                )
            )
    (output / "generation.json").write_text(json.dumps(lines, indent=1) + "\n")


if __name__ == "__main__":
    main()
