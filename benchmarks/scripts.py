"""How many near copies and evaluation items are found, by script: text is made, and copies are planted in it.

    python benchmarks/scripts.py [--documents 200]

For each script a lexicon of 2,000 words is drawn from its letters, of as many as its words have; a document is 24
sentences of 8 words, with spaces between words or, where the script has none, between sentences.

    near copies   half of one sentence of the document is drawn anew: `candidate_pairs` over bands for a threshold of
                  0.8, verified on signatures, as `corpusmill dedup` does by default
    nfd           the copy is in NFD as well
    items         four lines of 6 words are planted between two documents, as they are, on one line, in NFD, and with a
                  number or another list mark before each line: `find_ngrams` with n-grams of 13 words
    false         documents that share nothing, which were taken for copies, or in which an item was found
"""

import argparse
import random
import unicodedata
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.contamination.index import build_index
from corpusmill.dataproc.contamination.items import EvaluationSet
from corpusmill.dataproc.contamination.matching import find_ngrams
from corpusmill.dataproc.dedup.banding import choose_bands, estimate_floor
from corpusmill.dataproc.dedup.bands import band_keys, key_rows
from corpusmill.dataproc.dedup.candidates import candidate_pairs
from corpusmill.dataproc.dedup.minhash import signatures, similarity

SCRIPTS: dict[str, tuple[tuple[str, ...], tuple[int, int], str]] = {
    "Latin": (("aeiouéüñ", "bcdfghklmnprstvz"), (2, 7), " "),
    "Vietnamese": (("aeiouạấềộữ", "bcdghklmnpstvx"), (2, 5), " "),
    "Cyrillic": (("аеиоуй", "бвгджзклмнпрст"), (2, 7), " "),
    "Arabic": (("اوي", "بتثجحخدرزسشصضطعفقكلمن"), (3, 6), " "),
    "Devanagari": (("कखगघचजटडतदनपबमयरलवसह", ("", "ा", "ि", "ी", "ु", "े", "ो", "ं", "़")), (2, 4), " "),
    "Hangul": (("가나다라마바사아자차카타파하", "각난닭랑말밥산악점"), (2, 4), " "),
    "Han": (("".join(map(chr, range(0x4E00, 0x5400))),), (1, 3), ""),
    "kana": (("あいうえおかがきくけこさしすせそただちつてとなにの",), (2, 4), ""),
    "Thai": (("กขคงจชดตถทนบปพมยรลวสห", ("", "ะ", "า", "ิ", "ี", "ุ", "ี่", "ั", "้")), (2, 5), ""),
    "Lao": (("ກຂຄງຈຊດຕຖທນບປພມຢຣລວສຫ", ("", "ະ", "າ", "ິ", "ີ", "ຸ", "ີ່")), (2, 5), ""),
    "Khmer": (("កខគងចជដតថទនបពមយរលវស", ("", "ា", "ិ", "ី", "ុ", "េ", "ោ", "ំ")), (2, 5), ""),
    "Burmese": (("ကခဂငစဆညတထဒနပဖဗမယရလဝသ", ("", "ာ", "ိ", "ီ", "ု", "ေ", "့", "း", "်")), (2, 5), ""),
    "Tibetan": (("ཀཁགངཅཆཇཉཏཐདནཔཕབམཙཚཛཞཟ", ("", "ི", "ུ", "ེ", "ོ", "་", "་")), (2, 5), ""),
    "Javanese": (("ꦏꦒꦔꦕꦗꦚꦠꦢꦤꦥꦧꦩꦪꦫꦭꦮꦱꦲ", ("", "ꦶ", "ꦸ", "ꦺ", "ꦴ", "ꦁ")), (2, 4), ""),
    "Balinese": (("ᬓᬕᬗᬘᬚᬜᬢᬤᬦᬧᬩᬫᬬᬭᬮᬯᬲᬳ", ("", "ᬶ", "ᬸ", "ᬾ", "ᬵ")), (2, 4), ""),
    "Tai Le": (("ᥐᥑᥒᥓᥔᥕᥖᥗᥘᥙᥚᥛᥜᥝᥞᥟ", "ᥣᥤᥥᥦᥧᥨᥩᥪ"), (2, 5), ""),
    "New Tai Lue": (("ᦀᦁᦂᦃᦄᦅᦆᦇᦈᦉᦊᦋᦌᦍᦎᦏ", "ᦰᦱᦲᦳᦴ"), (2, 5), ""),
    "Tai Tham": (("ᨠᨡᨢᨣᨤᨥᨦᨧᨨᨩᨪᨫᨬᨭᨮᨯ", ("", "ᩣ", "ᩥ", "ᩩ", "ᩮ")), (2, 5), ""),
    "Yi": (("".join(map(chr, range(0xA000, 0xA300))),), (1, 3), ""),
}
"""(letters that take turns, letters of a word from and to, what stands between words)."""


class Writer:
    """Writes sentences in a script."""

    def __init__(self, name: str, seed: int = 0) -> None:
        letters, (least, most), self.joint = SCRIPTS[name]
        self.draw = random.Random(f"{name}{seed}")
        self.words = ["".join(self.letter(letters) for _ in range(self.draw.randint(least, most))) for _ in range(2000)]

    def letter(self, groups: tuple[Sequence[str], ...]) -> str:
        """One of each group."""
        return "".join(self.draw.choice(group) for group in groups)

    def sentence(self, words: int = 8) -> str:
        return self.joint.join(self.draw.choice(self.words) for _ in range(words))

    def document(self) -> list[str]:
        return [self.sentence() for _ in range(24)]

    def near(self, sentences: list[str]) -> list[str]:
        """Another half of a sentence for one of them."""
        changed = list(sentences)
        at = self.draw.randrange(len(changed))
        half = changed[at][: len(changed[at]) // 2]
        changed[at] = half + self.joint + self.sentence(4)
        return changed


def pairs_found(texts: list[str]) -> set[tuple[int, int]]:
    """What de-duplication takes for near copies at its defaults."""
    banding = choose_bands(0.8, 128)
    signed = signatures(pa.array(texts, pa.large_string()))
    keys = band_keys(signed, banding.bands, banding.rows)
    a, b = (side.astype(np.int64) for side in candidate_pairs(*key_rows(keys, np.arange(len(texts), dtype=np.uint64))))
    alike = similarity(signed, signed, a, b) >= estimate_floor(0.8, 128)
    return set(zip(a[alike].tolist(), b[alike].tolist(), strict=True))


def near_copies(name: str, documents: int, nfd: bool) -> tuple[float, int]:
    """(recall, false pairs) of a document and its near copy."""
    writer = Writer(name)
    originals = [writer.document() for _ in range(documents)]
    copies = ["\n".join(writer.near(text)) for text in originals]
    if nfd:
        copies = [unicodedata.normalize("NFD", text) for text in copies]
    spans = pairs_found([unicodedata.normalize("NFC", "\n".join(text)) for text in originals] + copies)
    right = {(row, row + documents) for row in range(documents)}
    return len(spans & right) / documents, len(spans - right)


def items_found(name: str, documents: int) -> dict[str, float]:
    """Share of items found, by how they stand in the documents, and how many were found where there are none."""
    writer = Writer(name)
    items = [[writer.sentence(6) for _ in range(4)] for _ in range(documents)]
    texts = pa.array(["\n".join(item) for item in items], pa.large_string())
    index = build_index([EvaluationSet("made", pa.array(map(str, range(documents))), texts)])
    around = [("\n".join(writer.document()), "\n".join(writer.document())) for _ in range(documents)]
    ways = {
        "as they are": ["\n".join(item) for item in items],
        "on one line": [" ".join("\n".join(item).split()) for item in items],
        "NFD": [unicodedata.normalize("NFD", "\n".join(item)) for item in items],
        "numbered": ["\n".join(f"{line}. {text}" for line, text in enumerate(item, 1)) for item in items],
        "(a)": ["\n".join(f"({mark}) {text}" for mark, text in zip("abcd", item, strict=True)) for item in items],
        "①": ["\n".join(f"{mark}{text}" for mark, text in zip("①②③④", item, strict=True)) for item in items],
        "false": ["" for _ in items],
    }
    shares = {}
    for way, written in ways.items():
        batch = pa.array([f"{a}\n{w}\n{b}" for w, (a, b) in zip(written, around, strict=True)], pa.large_string())
        shares[way] = len(np.unique(find_ngrams(batch, index).rows)) / documents
    return shares


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=200)
    given = parser.parse_args()
    ways = ("as they are", "on one line", "NFD", "numbered", "(a)", "①", "false")
    print("| script | near copies | in NFD | " + " | ".join(f"items {way}" for way in ways) + " |")
    print("|---|" + "---:|" * (2 + len(ways)))
    for name in SCRIPTS:
        copies = [near_copies(name, given.documents, nfd) for nfd in (False, True)]
        assert not any(wrong for _, wrong in copies), name
        items = items_found(name, given.documents)
        figures = [*(share for share, _ in copies), *(items[way] for way in ways)]
        print(f"| {name} | " + " | ".join(f"{figure:.1%}" for figure in figures) + " |")


if __name__ == "__main__":
    main()
