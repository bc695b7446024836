"""The presets are the layouts that their models have, and a layout gives each special token its id."""

import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.tokenizer.special import LAYOUTS, ROLES, SpecialLayout, layout_named


def test_deepseek_v3_is_the_official_layout() -> None:
    special = layout_named("deepseek-v3").tokens(128_000)
    assert (special.bos, special.eos, special.pad) == (0, 1, 2)
    assert (special.fim_hole, special.fim_begin, special.fim_end) == (128_800, 128_801, 128_802)
    assert special.ids["<｜place▁holder▁no▁0｜>"] == 128_000 and special.ids["<｜place▁holder▁no▁799｜>"] == 128_799
    assert special.ids["<｜User｜>"] == 128_803 and special.ids["<｜Assistant｜>"] == 128_804
    assert special.ids["<|EOT|>"] == 128_805
    assert special.ids["<｜tool▁calls▁begin｜>"] == 128_806 and special.ids["<｜tool▁outputs▁end｜>"] == 128_811
    assert special.ids["<｜tool▁sep｜>"] == 128_814
    assert (len(special.tokens), special.vocab_size, special.model_rows) == (818, 128_815, 129_280)
    assert sum(token.special for token in special.tokens) == 804
    hidden = {token.text for token in special.tokens if token.special}
    assert {"<|EOT|>", "<｜▁pad▁｜>"} <= hidden and not {"<｜User｜>", "<｜fim▁hole｜>", "<｜tool▁sep｜>"} & hidden


def test_compact_counts_special_tokens() -> None:
    layout = layout_named("compact")
    special = layout.tokens(layout.model_size(8192))
    assert special.vocab_size == special.model_rows == 8192
    assert [token.id for token in special.tokens] == [0, 1, 2, *range(8177, 8192)]
    assert special.fim_hole == 8177


def test_gpt2_has_one_token_that_ends_and_pads() -> None:
    layout = layout_named("gpt2")
    special = layout.tokens(layout.model_size(50_257))
    assert (special.ids, special.vocab_size, special.model_rows) == ({"<|endoftext|>": 50_256}, 50_257, 50_304)
    assert special.bos == special.eos == special.pad == 50_256


def test_llama3_has_256_behind_its_vocabulary() -> None:
    special = layout_named("llama3").tokens(128_000)
    assert (special.vocab_size, special.model_rows, len(special.tokens)) == (128_256, 128_256, 256)
    assert (special.bos, special.eos, special.pad) == (128_000, 128_001, 128_004)
    assert (special.ids["<|eot_id|>"], special.ids["<|python_tag|>"]) == (128_009, 128_010)
    assert special.ids["<|reserved_special_token_247|>"] == 128_255


def test_qwen_has_the_ids_of_its_models() -> None:
    special = layout_named("qwen2.5").tokens(151_643)
    assert (special.eos, special.pad, special.ids["<|im_start|>"], special.ids["<|im_end|>"]) == (
        *(151_643, 151_643, 151_644, 151_645),
    )
    assert (special.fim_begin, special.fim_end, special.fim_hole) == (151_659, 151_660, 151_661)
    assert special.ids["<|file_sep|>"] == 151_664 == special.vocab_size - 1
    assert [token.text for token in special.tokens if not token.special][:2] == ["<tool_call>", "</tool_call>"]


@pytest.mark.parametrize("name", LAYOUTS)
def test_ids_are_unique_and_in_range(name: str) -> None:
    special = layout_named(name).tokens(1000)
    assert len(special.ids) == len(special.tokens) == len({token.id for token in special.tokens})
    assert max(token.id for token in special.tokens) == special.vocab_size - 1
    assert special.model_rows >= special.vocab_size
    assert set(special.roles) <= set(ROLES)


def test_a_role_that_no_token_has_is_named() -> None:
    special = SpecialLayout("small", last=("<end>",), roles={"eos": "<end>"}).tokens(256)
    assert special.eos == 256
    for role in ("bos", "pad", "fim_begin", "fim_hole", "fim_end"):
        with pytest.raises(UserError, match=f"no special token for the role '{role}'"):
            getattr(special, role)


def test_mistakes() -> None:
    assert layout_named("compact").model_size(274) == 259
    for name, size, least in (("compact", 273, "274"), ("deepseek-v3", 258, "259"), ("chatml", 261, "262")):
        with pytest.raises(UserError, match=least):
            layout_named(name).model_size(size)
    with pytest.raises(UserError, match=r"chatml, compact, deepseek-v3, gpt2, llama3, qwen2\.5"):
        layout_named("other")
