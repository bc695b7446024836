"""How a document becomes a line for a classifier (`lines.py`): settings that a plan can import without kernels."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LineSettings:
    """How a text is made a line; a model is used with the settings that it was trained with.

    Attributes:
        lowercase: letters to lower case, by Unicode's simple mapping.
        split_unspaced: each character of a script without spaces is a token.
        characters: so many at a text's beginning are looked at; 0 is all.
    """

    lowercase: bool = False
    split_unspaced: bool = False
    characters: int = 0

    def to_dict(self) -> dict[str, bool | int]:
        return {
            "lowercase": self.lowercase,
            "split_unspaced": self.split_unspaced,
            "characters": self.characters,
        }
