import pytest

from dataproc.errors import UserError
from tokenizer.special import LAYOUTS, layout_named


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


@pytest.mark.parametrize("name", LAYOUTS)
def test_ids_are_unique_and_in_range(name: str) -> None:
    special = layout_named(name).tokens(1000)
    assert len(special.ids) == len(special.tokens) == len({token.id for token in special.tokens})
    assert max(token.id for token in special.tokens) == special.vocab_size - 1
    assert special.model_rows >= special.vocab_size


def test_mistakes() -> None:
    assert layout_named("compact").model_size(274) == 259
    for name, size, least in (("compact", 273, "274"), ("deepseek-v3", 258, "259")):
        with pytest.raises(UserError, match=least):
            layout_named(name).model_size(size)
    with pytest.raises(UserError, match="compact, deepseek-v3"):
        layout_named("other")
