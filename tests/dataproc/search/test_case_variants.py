"""Characters that a search without case takes for one: the same as those that fold alike."""

from hypothesis import given
from hypothesis import strategies as st

from corpusmill.dataproc.search.case_variants import folded, variants


@given(st.characters(exclude_categories=["Cs"]), st.characters(exclude_categories=["Cs"]))
def test_a_variant_is_what_folds_alike(one: str, other: str) -> None:
    assert (other.encode() in variants(one)) == (folded(one) == folded(other))
    assert one.encode() in variants(one)


def test_all_variants_of_a_letter_are_known() -> None:
    assert set(variants("K")) == {b"k", b"K", "\u212a".encode()}
    assert variants("日") == ("日".encode(),)
    assert "İ".encode() in variants("İ")  # its lower case is two characters: it stands for itself
