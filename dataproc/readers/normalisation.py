"""Normalisation that is asked for, beyond what every reader does: mojibake repair and a Unicode normal form.

Text stays as it is unless a setting says otherwise, so both are off by default and stand in the manifest with how many
documents they changed. They are done in this order, on text whose NUL, CR LF and byte order marks are gone:

- `mojibake` undoes text that was decoded by the wrong charset ("cafÃ©" to "café") by `ftfy.fix_encoding`, which acts
  where the result is less odd by its tables, and does nothing else that ftfy can do (quotes, HTML entities and widths
  stay).
- `form` NFC composes characters ("e" + U+0301 to "é"), by Arrow's utf8proc, whose Unicode version may be older than
  Python's. NFKC is left out: it would rewrite formulas, and width and ligatures that a text may be about.

A document whose `meta` holds `file_starts` (byte offsets into its text) is left as it is.

Cost: text in ASCII is passed over at memory speed; NFC takes some 80 MB/s of Chinese, ftfy some 17 MB/s of it.
"""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.documents import SCHEMA
from corpusmill.dataproc.errors import require_extra


@dataclass(frozen=True, kw_only=True)
class Normalisation:
    """What to do to each text. `form` is "" or "NFC"."""

    form: str = ""
    mojibake: bool = False

    def check(self) -> None:
        """Raises UserError where the library that this needs is missing."""
        if self.mojibake:
            try:
                import ftfy  # noqa: F401
            except ImportError as error:
                raise require_extra("ftfy", "mojibake") from error

    def apply(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, dict[str, int]]:
        """The documents with their texts normalised, and how many each step changed."""
        text, changed = batch.column("text"), {}
        concerned = pc.invert(pc.string_is_ascii(text))
        fixed = pc.match_substring(batch.column("meta"), '"file_starts"').fill_null(False)
        concerned = pc.and_(concerned, pc.invert(fixed))
        for name, step in (("mojibake", self.mojibake and _repair), (self.form, self.form and self._compose)):
            if step:
                before = text.filter(concerned)
                after = step(before)
                changed[name] = int(pc.sum(pc.not_equal(before, after)).as_py() or 0)
                text = pc.replace_with_mask(text, concerned, after) if changed[name] else text
        if not any(changed.values()):
            return batch, changed
        return batch.set_column(batch.schema.get_field_index("text"), SCHEMA.field("text"), text), changed

    def _compose(self, text: pa.Array) -> pa.Array:
        return pc.utf8_normalize(text, form=self.form)


def _repair(text: pa.Array) -> pa.Array:
    import ftfy

    return pa.array([ftfy.fix_encoding(word) for word in text.to_pylist()], pa.large_string())
