"""What is the number of a telephone, and what is another number."""

import pytest

from corpusmill.dataproc.rewriting.pii.phones import COUNTRY_CODES, find_phone
from corpusmill.dataproc.rewriting.pii.window import Window


def matches(text: str) -> list[str]:
    data = text.encode()
    numbers, reached = [], 0
    for at in range(len(data)):
        if at >= reached and data[at : at + 1].isdigit() and not data[max(at - 1, 0) : at].isalnum():
            span = find_phone(Window(data, at))
            if span and span[0] >= reached:
                numbers.append(data[span[0] : span[1]].decode())
                reached = span[1]
    return numbers


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("+49 30 1234567", ["+49 30 1234567"]),
        ("ring +49 (0)30 / 123 45-67.", ["+49 (0)30 / 123 45-67"]),
        ("(+351) 912 345 678", ["(+351) 912 345 678"]),
        ("+15552345678", ["+15552345678"]),
        ("(555) 234-5678, or 555.234.5678", ["(555) 234-5678", "555.234.5678"]),
        ("1-800-234-5678", ["1-800-234-5678"]),
        ("Tel.: 030 1234567", ["030 1234567"]),
        ("Fax (030) 123 45 67", ["(030) 123 45 67"]),
        ("call 0800 138 1016 or 0800 138 1018", ["0800 138 1016", "0800 138 1018"]),
        ("电话：13812345679", ["13812345679"]),
        ("Телефон 8 495 123-45-67", ["8 495 123-45-67"]),
        ("phone 234 555 7788 today", ["234 555 7788"]),
    ],
)
def test_numbers_are_found_whole(text, numbers):
    assert matches(text) == numbers


@pytest.mark.parametrize(
    "text",
    [
        "2024-11-24", "call 2024-11-24", "tel 24.11.2024", "ISBN 978-3-16-148410-0", "tel 9783161484100",
        "3.14159265358",
        "phone 3.14159265", "version 555.234.56789", "+2147483647", "x +4294967295", "1e+10000000000",
        "a+15552345678",
        "555 234 5678", "123-456-7890", "555-123-4567", "555-0123-456", "id=555-234-5678", "2020-555-234-5678",
        "(202) 555-0123", "+1 202 555 0123", "hotel 1234567", "call 123456", "tel 1111111", "1000 2000 3000",
        "+1 234",
        "phone 12345678901234567890", "tel: 10:20:30", "+999 123 456 789", "+49 30 12", "recalled 1234567",
    ],
)  # fmt: skip
def test_other_numbers_are_left(text):
    assert matches(text) == []


def test_an_exchange_or_an_area_that_begins_with_0_or_1_is_none():
    assert matches("555-123-4567") == matches("155-234-5678") == matches("555-034-5678") == []
    assert matches("255-234-5678") == ["255-234-5678"]


def test_country_codes_are_prefix_free():
    codes = COUNTRY_CODES.split()
    assert len(codes) == len(set(codes))
    assert not [(one, other) for one in codes for other in codes if one != other and other.startswith(one)]
