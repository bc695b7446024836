"""Detection says what is certain, and nothing else."""

import pytest

from corpusmill.dataproc.readers.charsets.decoders import decode
from corpusmill.dataproc.readers.charsets.detection import detect_encoding

TEXTS = {
    "windows-1251": ("cp1251", "Мельница мелет медленно, и мука выходит такой тонкой, на какую мельник надеялся"),
    "koi8-r": ("koi8-r", "Мельница мелет медленно, и мука выходит такой тонкой, на какую мельник надеялся"),
    "koi8-u": ("koi8-u", "Млин меле повільно, і борошно, що з нього виходить, таке тонке, як сподівався мірошник її"),
    "shift_jis": ("cp932", "粉をひく水車は静かに回る、そして夜が明けるまで水の音がきこえてくるのであった"),
    "euc-jp": ("euc_jp", "粉をひく水車は静かに回る、そして夜が明けるまで水の音がきこえてくるのであった"),
    "iso-2022-jp": ("iso2022_jp", "粉をひく水車は静かに回る"),
    "gb18030": ("gb18030", "磨坊慢慢地磨，出来的面粉像磨坊主所希望的那样细，这是一个很长的故事"),
    "big5": ("big5hkscs", "磨坊慢慢地磨，出來的麵粉像磨坊主所希望的那樣細，這是一個很長的故事"),
    "euc-kr": ("cp949", "방앗간은 천천히 갈고, 거기서 나오는 가루는 방앗간 주인이 바랐던 만큼 곱다"),
    "utf-16le": ("utf-16-le", "<html>The mill grinds slowly</html>"),
    "utf-16be": ("utf-16-be", "<html>The mill grinds slowly</html>"),
}


@pytest.mark.parametrize("encoding", TEXTS)
def test_enough_text_is_certain(encoding: str) -> None:
    codec, text = TEXTS[encoding]
    data = text.encode(codec)
    actual = detect_encoding(data)
    assert actual is not None
    assert decode(data, actual) == text


@pytest.mark.parametrize(
    ("codec", "text"),
    [
        ("cp1250", "Młyn miele pow, a mąka " * 5),  # uchardet: Big5
        ("cp1255", "הטחנה טוחנת " * 5),  # uchardet: windows-1251
        ("cp1252", "café"),
        ("mac-roman", "Die Mühle mahlt für den Müller"),
    ],
)
def test_little_text_is_not(codec: str, text: str) -> None:
    assert detect_encoding(text.encode(codec)) is None


@pytest.mark.parametrize("text", ["", "plain", "Größe", "水車", "�"])
def test_utf8_is_certain(text: str) -> None:
    assert detect_encoding(text.encode()) == "utf-8"


def test_noise_is_nothing() -> None:
    assert detect_encoding(bytes(range(1, 256)) * 9) is None
