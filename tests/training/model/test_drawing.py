import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from corpusmill.training.model import drawing
from corpusmill.training.model.drawing import draw_normal


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.floats(0, 1), st.floats(0, 1), st.sampled_from([16, 32, 160]))
@example(33, 0.5, 1.0, 32)
@example(15, 0.0, 1.0, 16)
def test_any_part_is_what_one_long_draw_has_there(length: int, at: float, to: float, chunk: int):
    first, last = sorted((int(at * length), int(to * length)))
    generator = torch.Generator()
    generator.manual_seed(5)
    whole = torch.empty(length).normal_(0.0, 0.1, generator=generator)
    part, before = torch.empty(last - first), drawing._CHUNK
    generator.manual_seed(5)
    try:
        drawing._CHUNK = chunk
        draw_normal(part, generator, 0.1, first, length)
    finally:
        drawing._CHUNK = before
    assert torch.equal(part, whole[first:last])
