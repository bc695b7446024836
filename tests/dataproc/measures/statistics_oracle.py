"""Every statistic of one document in plain Python, written from the definitions: slow, and shares no code with kernels.

The tests hold generated text against it, `benchmarks/filter_agreement.py` whole corpora.
"""

import functools
import itertools
import re
import statistics
import unicodedata
from collections import Counter

from corpusmill.dataproc.measures.stop_words import STOP_WORDS, list_of
from corpusmill.dataproc.text.lines import BULLETS, CURATOR_BULLETS
from corpusmill.dataproc.text.marks import CLOSERS
from corpusmill.dataproc.text.unicode_tables import ALONE, TERMINAL, UNSPACED, load_tables


@functools.lru_cache(maxsize=1 << 16)
def has(character: str, flag: int) -> bool:
    return bool(load_tables().classes[ord(character)] & flag)


@functools.lru_cache(maxsize=1 << 16)
def kind_of(character: str) -> str:
    return unicodedata.category(character)[0]


def lower_case(word: str) -> str:
    """Each character by itself: İ is i."""
    return "".join(character.lower()[0] for character in word)


def split_words(text: str) -> list[str]:
    words, alone = [], False
    inside = False
    for character in text:
        kind = kind_of(character)
        if kind not in "LMN":
            inside = False
        elif not inside or has(character, ALONE) or (alone and kind != "M"):
            words.append(character)
            inside, alone = True, has(character, ALONE)
        else:
            words[-1] += character
    return words


def split_tokens(text: str) -> list[str]:
    """Words, and runs of the same ASCII mark; other marks by themselves."""
    marks = re.compile(r"([!-/:-@\[-`{-~])\1*|.", re.DOTALL)
    tokens, words, place = [], split_words(text), 0
    for word in [*words, ""]:
        begin = text.index(word, place) if word else len(text)
        between = (match.group() for match in marks.finditer(text[place:begin]))
        tokens += [mark for mark in between if kind_of(mark[0]) in "PS"]
        tokens += [word] if word else []
        place = begin + len(word)
    return tokens


def split_lines(text: str) -> list[str]:
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
        return [line.removesuffix("\r") for line in lines]
    return [*(line.removesuffix("\r") for line in lines[:-1]), lines[-1]]


def split_paragraphs(text: str) -> list[str]:
    paragraphs: list[list[str]] = [[]]
    for line in text.split("\n"):
        if line.strip():
            paragraphs[-1].append(line.strip())
        else:
            paragraphs.append([])
    return ["\n".join(paragraph) for paragraph in paragraphs if paragraph]


@functools.cache
def sentence_ends() -> re.Pattern[str]:
    terminal = "".join(re.escape(c) for c in map(chr, range(0x20000)) if has(c, TERMINAL))
    return re.compile(f"(?:[{terminal}][{re.escape(CLOSERS)}]*)+")


def count_sentences(text: str) -> int:
    ends = 0
    for match in sentence_ends().finditer(text):
        wide = any(has(c, TERMINAL) and ord(c) >= 128 for c in match.group())
        following = text[match.end() : match.end() + 1]
        ends += wide or not following or following.isspace()
    return ends


def copies(units: list[str]) -> dict[str, int]:
    counter = Counter(units)
    repeated = [unit for unit in units if counter[unit] > 1]
    met: set[str] = set()
    later = [unit for unit in units if unit in met or met.add(unit)]
    return {
        "all": len(repeated),
        "all characters": sum(map(len, repeated)),
        "later": len(later),
        "later characters": sum(map(len, later)),
    }


def top(words: list[str], n: int) -> tuple[int, int]:
    """Characters of the top n-gram as DCLM counts them, and as datatrove does."""
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    if not grams:
        return 0, 0
    common = Counter(grams).most_common()
    most = common[0][1]
    longest = max(len("".join(gram)) for gram, count in common if count == most)
    return (most * longest if most > 1 else 0), most * len(" ".join(common[0][0]))


def covered(words: list[str], n: int) -> int:
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    counter = Counter(grams)
    inside = {i + k for i, gram in enumerate(grams) if counter[gram] > 1 for k in range(n)}
    return sum(len(words[i]) for i in inside)


def copied(words: list[str], n: int) -> tuple[int, int, int, int]:
    """Repeated n-grams, every copy: characters and number; and those of all n-grams."""
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    counter = Counter(grams)
    repeated = [gram for gram in grams if counter[gram] > 1]

    def size(some: list[tuple[str, ...]]) -> int:
        return sum(len(word) for gram in some for word in gram)

    return size(repeated), len(repeated), size(grams), len(grams)


def greedy(words: list[str], n: int) -> int:
    met: set[tuple[str, ...]] = set()
    characters = index = 0
    while index < len(words) - n + 1:
        gram = tuple(words[index : index + n])
        if gram in met:
            characters += len("".join(gram))
            index += n
        else:
            met.add(gram)
            index += 1
    return characters


def median(lengths: list[int]) -> float:
    return statistics.median(min(length, 255) for length in lengths) if lengths else 0


def oracle(text: str, language: str | None = None) -> dict[str, float]:
    """Every statistic of a text, by name."""

    def share(part: float, whole: float) -> float:
        return part / whole if whole else 0.0

    kinds = Counter(map(kind_of, text))
    words, tokens, stretches = split_words(text), split_tokens(text), text.split()
    lines, paragraphs = split_lines(text), split_paragraphs(text)
    raw_lines = text.split("\n")
    raw_text_lines = [line for line in raw_lines if line.strip()]
    text_lines = [line.strip() for line in raw_text_lines]
    lower = [lower_case(word) for word in words]
    code = list_of(language)
    stop_words = [word for word in lower if word in STOP_WORDS[code]] if code else []
    spaced = [word for word in words if not any(has(c, UNSPACED) for c in word)]
    in_words = sum(map(len, words))
    unspaced = sum(has(c, UNSPACED) for word in words for c in word)
    alone = sum(has(c, ALONE) for word in words for c in word)
    estimated = len(spaced) + (10 * alone + 8) // 17 + (2 * (unspaced - alone) + 4) // 9
    dots = sum(len(run) // 3 for run in re.findall(r"\.+", text))
    ellipses = text.count("…") + dots
    alphabetic = sum(any(kind_of(c) == "L" for c in word) for word in words)
    capitals = sum(kind_of(c) == "L" and c.lower()[0] != c for c in text)
    spared = sum(map(text.count, "\n?!,."))
    other = len(text) - kinds["L"] - kinds["N"]
    urls = re.findall(r"https?://\S*", text)
    line_copies, paragraph_copies = copies(text_lines), copies(paragraphs)

    def begin(bullets: str) -> int:
        return sum(line[0] in bullets for line in text_lines)

    expected = {
        "byte_count": len(text.encode()),
        "character_count": len(text),
        "word_count": len(words),
        "estimated_word_count": estimated,
        "distinct_word_count": len(set(words)),
        "token_count": len(tokens),
        "stretch_count": len(stretches),
        "line_count": len(lines),
        "text_line_count": len(text_lines),
        "long_line_count": sum(len(line) >= 200 for line in raw_lines),
        "paragraph_count": len(paragraphs),
        "sentence_count": count_sentences(text),
        "longest_word": max(map(len, words), default=0),
        "longest_stretch": max(map(len, stretches), default=0),
        "longest_line": max(map(len, lines), default=0),
        "mean_word_length": share(sum(map(len, spaced)), len(spaced)),
        "median_word_length": median([len(word) for word in spaced]),
        "mean_stretch_length": share(sum(map(len, stretches)), len(stretches)),
        "median_stretch_length": median([len(stretch) for stretch in stretches]),
        "unspaced_fraction": share(unspaced, unspaced + len(spaced)),
        "distinct_word_fraction": share(len(set(words)), len(words)),
        "hash_word_ratio": share(text.count("#"), estimated),
        "hash_word_ratio_datatrove": share(text.count("#"), len(tokens)),
        "ellipsis_word_ratio": share(ellipses, estimated),
        "ellipsis_word_ratio_datatrove": share(ellipses, len(tokens)),
        "newline_word_ratio": share(text.count("\n"), estimated),
        "newline_word_ratio_datatrove": share(text.count("\n"), len(tokens)),
        "symbol_stretch_ratio_dclm": share(ellipses + text.count("#") + text.count(". . ."), len(stretches)),
        "symbol_stretch_fraction_dolma": share(sum("#" in s or "…" in s for s in stretches), len(stretches)),
        "symbol_stretch_fraction_curator": share(
            sum(s in ("#", "…", "...", "[...]", "(...)", "[…]") for s in stretches), len(stretches)
        ),
        "alphabetic_stretch_fraction": share(
            sum(any(kind_of(c) == "L" for c in stretch) for stretch in stretches), len(stretches)
        ),
        "alphabetic_word_fraction_datatrove": share(alphabetic, len(tokens)),
        "stop_word_count": len(stop_words) if code else -1,
        "distinct_stop_word_count": len(set(stop_words)) if code else -1,
        "lorem_ipsum_count": sum(pair == ("lorem", "ipsum") for pair in itertools.pairwise(lower)),
        "url_count": len(urls),
        "curly_bracket_count": text.count("{"),
        "xml_header_count": int("<?xml version=" in text[:100]),
        "mean_line_length": share(sum(map(len, lines)), len(lines)),
        "bullet_line_fraction": share(begin(BULLETS), len(text_lines)),
        "bullet_line_fraction_datatrove": share(begin("-•"), len(lines)),
        "bullet_line_fraction_dolma": share(begin("-*"), len(lines)),
        "bullet_line_fraction_dclm": share(begin("-*•●"), len(text_lines)),
        "bullet_line_fraction_curator": share(begin(CURATOR_BULLETS), len(text_lines)),
        "ellipsis_line_fraction": share(sum(line.endswith(("...", "…")) for line in text_lines), len(text_lines)),
        "ellipsis_line_fraction_datatrove": share(sum(line.endswith(("...", "…")) for line in text_lines), len(lines)),
        "terminal_line_fraction": share(sum(has(line[-1], TERMINAL) for line in text_lines), len(text_lines)),
        "terminal_line_fraction_fineweb": share(
            sum(has(line[-1], TERMINAL) for line in raw_text_lines), len(text_lines)
        ),
        "short_line_fraction": share(sum(len(line) <= 30 for line in text_lines), len(text_lines)),
        "short_line_fraction_fineweb": share(sum(len(line) <= 30 for line in raw_text_lines), len(text_lines)),
        "alphabetic_fraction": share(kinds["L"], len(text)),
        "alphanumeric_fraction": share(kinds["L"] + kinds["N"], len(text)),
        "non_alphanumeric_fraction": share(other, len(text)),
        "non_alphanumeric_fraction_curator": share(other - spared, len(text)),
        "uppercase_fraction": share(capitals, len(text)),
        "uppercase_letter_fraction": share(capitals, kinds["L"]),
        "number_fraction": share(kinds["N"], len(text)),
        "white_space_fraction": share(sum(c.isspace() for c in text), len(text)),
        "punctuation_fraction": share(kinds["P"] + kinds["S"], len(text)),
        "bracket_fraction": share(sum(map(text.count, "()[]{}⟨⟩")), len(text)),
        "url_fraction": share(sum(map(len, urls)), len(text)),
        "special_fraction_data_juicer": share(
            kinds["N"] + kinds["P"] + kinds["S"] + sum(c.isspace() for c in text), len(text)
        ),
        "duplicate_line_character_fraction_fineweb": share(
            line_copies["later characters"], len(text.replace("\n", ""))
        ),
    }
    for unit, units, repeats in (("line", text_lines, line_copies), ("paragraph", paragraphs, paragraph_copies)):
        expected[f"duplicate_{unit}_fraction_dclm"] = share(repeats["all"], len(units))
        expected[f"duplicate_{unit}_fraction_datatrove"] = share(repeats["later"], len(units))
        name = f"duplicate_{unit}_character_fraction"
        expected[f"{name}_dclm"] = share(repeats["all characters"], sum(map(len, units)))
        expected[f"{name}_datatrove"] = share(repeats["later characters"], len(text))
    for n in (2, 3, 4):
        dclm, datatrove = top(words, n)[0], top(tokens, n)[1]
        expected[f"top_{n}gram_character_fraction_dclm"] = share(dclm, in_words)
        expected[f"top_{n}gram_character_fraction_datatrove"] = share(datatrove, len(text))
    for n in range(5, 11):
        characters, number, all_characters, all_number = copied(words, n)
        expected[f"duplicate_{n}gram_character_fraction_dclm"] = share(covered(words, n), in_words)
        expected[f"duplicate_{n}gram_character_fraction_datatrove"] = share(greedy(tokens, n), len(text))
        expected[f"duplicate_{n}gram_character_fraction_dolma"] = share(characters, all_characters)
        if n == 10:
            expected["repeated_10gram_fraction_data_juicer"] = share(number, all_number)
    return expected
