"""List marks blanked in place, and items that are found whatever script they are in, however they are numbered."""

import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.contamination.index import build_index
from corpusmill.dataproc.contamination.items import EvaluationSet
from corpusmill.dataproc.contamination.list_marks import without_list_marks
from corpusmill.dataproc.contamination.matching import find_ngrams, overlaps
from corpusmill.dataproc.kernels.buffers import text_buffers


def blanked(text: str) -> str:
    offsets, data = without_list_marks(*text_buffers(pa.array(["1. before", text], pa.large_string()).slice(1)))
    assert offsets.tolist() == [0, len(text.encode())]
    return data.tobytes().decode()


@pytest.mark.parametrize(
    "mark",
    [
        "1. ", "12) ", "3: ", "a. ", "B) ", "iv) ", "II. ", "(a) ", "(12) ", "[3] ", "(iv) ", "① ", "⑵", "Ⓐ ", "❶ ",
        "㈠", "Q: ", "A: ", "Q1: ", "Q12. ", "Question 3: ", "Answer: ", "STEP 1: ", "Problem: ", "一、", "十二、",
        "问：", "问题1：", "答：", "1、", "2）", "A．", "- 1. ", "* (a) ", "> 1. ",
    ],
)  # fmt: skip
@pytest.mark.parametrize("before", ["", "some words here\n", "\t  "])
def test_marks_are_blanked(mark: str, before: str) -> None:
    left = blanked(f"{before}{mark}the rest").removeprefix(before)
    assert not any(character.isalnum() for character in left.removesuffix("the rest"))
    assert left.endswith("the rest")


@pytest.mark.parametrize(
    "text",
    [
        "in 1998. The",
        "3.14 is",
        "v1. x",
        "f(x) = 2",
        "It is. So",
        "1,000 men",
        "1/2. of",
        "2024: x",
        "一个人",
        "is: a b",
    ],
)
def test_what_is_no_mark_stays(text: str) -> None:
    assert blanked(f"word {text} end") == f"word {text} end"


def test_numbers_of_lines_go_where_they_count_upwards() -> None:
    assert blanked("9 one\n10 two\n\n11| three\n12: four\n") == "  one\n   two\n\n  | three\n  : four\n"
    assert blanked("9 one\n11 two\nx\n12 three") == "9 one\n11 two\nx\n12 three"


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("aQi1 2.():]①一、问：\nx|é漢"), max_size=150))
def test_whole_characters_are_blanked_and_nothing_else_changes(text: str) -> None:
    made = blanked(text)
    assert len(made.encode()) == len(text.encode())
    kept = [(a, b) for a, b in zip(made.encode(), text.encode(), strict=True) if a != 0x20]
    assert all(a == b for a, b in kept)


ITEMS = {
    "en": ["How many clips did Natalia sell", "to her friends in April", "and then half as many in May", "altogether"],
    "zh": ["娜塔莉亚在四月向朋友们", "出售了四十八个发夹", "五月份她卖出一半", "她一共卖了多少个"],
    "th": ["นาตาเลียขายกิ๊บให้เพื่อน", "ของเธอในเดือนเมษายน", "แล้วเธอขายครึ่งหนึ่ง", "ในเดือนพฤษภาคม"],
    "lo": ["ນາຕາເລຍຂາຍກິບໃຫ້ໝູ່", "ຂອງນາງໃນເດືອນເມສາ", "ແລ້ວນາງຂາຍເຄິ່ງໜຶ່ງ", "ໃນເດືອນພຶດສະພາ"],
    "km": ["ណាតាលីបានលក់ដង្កៀប", "ទៅមិត្តភក្តិរបស់នាង", "ហើយនាងបានលក់ពាក់កណ្តាល", "នៅក្នុងខែឧសភា"],
    "my": ["နာတာလီယာသည်သူငယ်ချင်း", "များအားဧပြီလတွင်ရောင်း", "ခဲ့ပြီးမေလတွင်တစ်ဝက်", "ရောင်းခဲ့သည်"],
    "bo": ["ཁོ་མོས་རང་གི་གྲོགས་པོ་ལ", "ཟླ་བ་བཞི་པའི་ནང་བཙོངས", "དེ་ནས་ཟླ་བ་ལྔ་པར་ཕྱེད་ཀ", "ཁྱོན་བསྡོམས་ག་ཚོད"],
    "vi": ["Natalia đã bán bao nhiêu chiếc kẹp", "cho bạn bè của cô vào tháng tư", "rồi bán một nửa", "vào tháng năm"],
    "ko": [
        "나탈리아는 친구 마흔여덟 명에게",
        "사월에 머리핀을 팔았고 그 다음 오월에는",
        "그 절반을 더",
        "팔았습니다 모두 몇 개",
    ],
    "hi": ["नतालिया ने अप्रैल में अपने दोस्तों को", "कितनी क़्लिप बेचीं और फिर", "मई में आधी बेचीं", "कुल मिलाकर"],
}


@pytest.mark.parametrize("language", ITEMS)
def test_an_item_is_found_in_any_script_however_its_lines_are_marked_or_composed(language: str) -> None:
    lines = ITEMS[language]
    index = build_index([EvaluationSet("s", pa.array(["i"]), pa.array(["\n".join(lines)], pa.large_string()))])
    for marks in (["1. ", "2. ", "3. ", "4. "], ["(a) ", "(b) ", "(c) ", "(d) "], ["①", "②", "③", "④"], ["- "] * 4,
                  ["7 ", "8 ", "9 ", "10 "], ["Q: ", "", "A: ", ""], [""] * 4):  # fmt: skip
        quoted = "\n".join(mark + line for mark, line in zip(marks, lines, strict=True))
        for form in ("NFC", "NFD"):
            text = f"x y, é.\n{unicodedata.normalize(form, quoted)}\nend"
            batch = pa.array(["nothing", text], pa.large_string())
            actual = overlaps(batch, find_ngrams(batch, index), index)
            assert actual.rows.tolist() == [1], (marks, form)
            assert actual.shares[0] == 1
            place = text.encode()[actual.starts[0] : actual.stops[0]].decode()
            assert place == text[actual.start_characters[0] : actual.stop_characters[0]]
            assert unicodedata.normalize("NFC", place).endswith(unicodedata.normalize("NFC", lines[-1]))
