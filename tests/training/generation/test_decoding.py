"""Decoding from latents gives what the training's own forward pass gives, in any company, with drafts or without."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.errors import UserError
from corpusmill.training.generation.decoder import Decoder, full_logits
from corpusmill.training.generation.generate import Text, Wanted, generate, stream
from corpusmill.training.generation.sampling import Sampling, choose
from corpusmill.training.model.config import ModelConfig
from corpusmill.training.model.transformer import Transformer
from tests.training.foreign_models import VARIANTS, foreign_config, trained_like


def prompts_of(config: ModelConfig, lengths: tuple[int, ...]) -> list[list[int]]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(config.vocab_size, (length,), generator=generator).tolist() for length in lengths]


@pytest.fixture(scope="module")
def model() -> Transformer:
    """Wide logits, so that what is likeliest does not hang on rounding."""
    made = trained_like(foreign_config())
    made.head.weight.data *= 40
    return made


@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_from_latents_equal_the_full_forward_pass(variant: str) -> None:
    model = trained_like(foreign_config(variant))
    (ids,) = prompts_of(model.config, (50,))
    tokens = torch.tensor([ids])
    wanted = full_logits(model, tokens)
    for stretches in ([1] * 50, [30, *[1] * 20], [7, 2, 2, 1, 38]):
        decoder = Decoder(model, 64)
        cache, got, start = decoder.cache(1), [], 0
        for width in stretches:
            got.append(decoder.logits(decoder.extend(cache, tokens[:, start : start + width])))
            start += width
            cache.lengths = [start]
        assert (torch.cat(got, 1) - wanted).abs().max() <= 1e-5 * wanted.abs().max()


def test_the_cache_has_the_latent_and_the_rope_key_and_nothing_else(model: Transformer) -> None:
    config = model.config
    for drafts in (False, True):
        cache = Decoder(model, 100).cache(3, drafts)
        layers = config.n_layers + drafts
        assert cache.numbers.nbytes == 3 * 100 * layers * (config.kv_lora_rank + config.qk_rope_head_dim) * 4
        stored = [value for value in vars(cache).values() if isinstance(value, torch.Tensor)]
        assert len(stored) == 1, "one tensor is all that is kept"


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_a_text_is_the_same_alone_in_a_batch_and_drafted(model: Transformer, temperature: float) -> None:
    prompts = prompts_of(model.config, (5, 17, 1, 30))
    how = Sampling(temperature, 0.9, seed=7)
    together = generate(model, prompts, Wanted(24, how))
    drafted = generate(model, prompts, Wanted(24, how, drafts=True))
    for number, (text, prompt) in enumerate(zip(together, prompts, strict=True)):
        (alone,) = [Text(prompt, str(number))]
        for _ in stream(model, [alone], Wanted(24, how)):
            pass
        assert text.ids == alone.ids == drafted[number].ids and len(text.ids) == 24 and text.ended == "length"
    assert all(text.drafted == 0 for text in together) and all(text.drafted > 0 for text in drafted)


def test_log_probabilities_of_chosen_tokens_are_those_of_the_training_forward(model: Transformer) -> None:
    prompts = prompts_of(model.config, (9, 3))
    for text in generate(model, prompts, Wanted(16, Sampling(1.0, seed=2), drafts=True)):
        ids = torch.tensor([[*text.prompt, *text.ids]])
        rows = full_logits(model, ids).log_softmax(-1)[0, len(text.prompt) - 1 : -1]
        wanted = rows.gather(1, torch.tensor(text.ids)[:, None])[:, 0]
        assert (torch.tensor(text.log_probabilities) - wanted).abs().max() < 1e-4


def test_right_guesses_win_two_tokens_a_pass() -> None:
    """A model whose MTP module is always right: head and modules see nothing but the last token's embedding."""
    config = foreign_config(vocab_size=64, dim=64)
    counting = trained_like(config)
    with torch.no_grad():
        for name, parameter in counting.named_parameters():
            if name.endswith(("wo.weight", "w2.weight", "w2")):
                parameter.zero_()  # layers add nothing
            elif parameter.dim() == 1:
                parameter.fill_(1.0)
        counting.embed.weight.copy_(torch.eye(64))
        counting.head.weight.copy_(torch.eye(64).roll(1, 0))  # after token t comes t + 1
        # The module takes the embedding of the token ahead, and leaves the hidden state out.
        counting.mtp[0].projection.weight.copy_(torch.cat([torch.zeros(64, 64), torch.eye(64)], 1))
    (text,) = generate(counting, [[3]], Wanted(20, drafts=True))
    assert text.ids == list(range(4, 24))
    assert text.accepted == text.drafted and 9 <= text.drafted <= 10, "two tokens a pass"


def test_texts_end_at_stop_ids_each_by_itself_and_ids_without_a_token_are_never_chosen(model: Transformer) -> None:
    prompts = prompts_of(model.config, (4, 6, 8))
    free = generate(model, prompts, Wanted(20))
    stops = frozenset({free[0].ids[3], free[1].ids[11]})
    for drafts in (False, True):
        stopped = generate(model, prompts, Wanted(20, stop=stops, drafts=drafts))
        for text, whole in zip(stopped, free, strict=True):
            end = next((number for number, token in enumerate(whole.ids, 1) if token in stops), 20)
            assert text.ids == whole.ids[:end] and text.ended == ("stop" if whole.ids[end - 1] in stops else "length")
    few = generate(model, prompts, Wanted(20, Sampling(2.0), allowed=10, drafts=True))
    assert max(max(text.ids) for text in few) < 10


def test_mistakes_are_named(model: Transformer) -> None:
    with pytest.raises(UserError, match="the prompt is empty"):
        generate(model, [[]], Wanted(2))
    with pytest.raises(UserError, match="do not cover"):
        generate(model, [[model.config.vocab_size]], Wanted(2))
    with pytest.raises(UserError, match="no MTP module"):
        generate(trained_like(foreign_config(mtp_depth=0)), [[1]], Wanted(2, drafts=True))
    for wrong in ({"temperature": -1.0}, {"top_p": 0.0}, {"top_p": 1.5}):
        with pytest.raises(UserError):
            Sampling(**wrong)


def test_generation_leaves_a_model_in_the_mode_that_it_was_in(model: Transformer) -> None:
    model.train()
    generate(model, [[1, 2]], Wanted(3))
    assert model.training and all(not gate.load.any() for gate in model.modules() if hasattr(gate, "load"))
    model.eval()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.2, 3.0), st.floats(0.05, 1.0))
def test_draws_are_of_the_nucleus_and_a_function_of_key_and_position(seed: int, temperature: float, top_p: float):
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(size=(3, 30)).astype(np.float32) * 3)
    keys, places = rng.integers(0, 2**63, 3).astype(np.uint64), np.arange(3)
    how = Sampling(temperature, top_p)
    chosen = choose(logits, keys, places, how)
    for row in range(3):
        assert chosen[row] == choose(logits[row : row + 1], keys[row : row + 1], places[row : row + 1], how)[0]
        probabilities = (logits[row].double() / temperature).softmax(-1)
        above = probabilities[probabilities > probabilities[chosen[row]]].sum()
        assert above < top_p + 1e-9, "what is likelier than a token of the nucleus has less than top-p"


def test_draws_follow_the_probabilities() -> None:
    probabilities = torch.tensor([0.5, 0.3, 0.15, 0.05])
    count = 20_000
    keys = np.random.default_rng(0).integers(0, 2**63, count).astype(np.uint64)
    logits = probabilities.log().expand(count, 4)
    drawn = choose(logits, keys, np.zeros(count, np.int64), Sampling(1.0)).bincount(minlength=4) / count
    assert (drawn - probabilities).abs().max() < 0.015
    nucleus = choose(logits, keys, np.zeros(count, np.int64), Sampling(1.0, 0.7)).bincount(minlength=4) / count
    assert (nucleus - torch.tensor([0.625, 0.375, 0, 0])).abs().max() < 0.015
