"""Settings of what makes two documents similar, shared by de-duplication and its index."""

from typing import Literal

from pydantic import Field

from corpusmill.pipelines.engine.stage import StageSettings


class SignatureSettings(StageSettings):
    """How documents are signed and compared."""

    method: tuple[Literal["exact", "minhash"], ...] = Field(
        default=("exact", "minhash"), description="what to look for", min_length=1
    )
    normalise: tuple[Literal["case", "space", "punctuation"], ...] = Field(
        default=(), description="what exact duplicates may differ in"
    )
    threshold: float = Field(default=0.8, description="minimum Jaccard similarity of near duplicates", gt=0, lt=1)
    recall: float = Field(
        default=0.995, description="share of pairs at the threshold that must become candidates", gt=0, lt=1
    )
    permutations: int = Field(default=128, description="slots of a MinHash signature", ge=16, le=1024)
    shingle: Literal["word", "character"] = Field(default="word", description="what shingles are n-grams of")
    ngram: int = Field(default=5, description="words or characters of a shingle", ge=1, le=64)
