"""What a page declares: the cases of the HTML standard's algorithm, each with what a browser makes of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.dataproc.readers.charsets.prescan import PRESCAN_BYTES, declared_encoding

DECLARED = {
    b"<meta charset=euc-jp>": "euc-jp",
    b"<META CHARSET='Shift_JIS' />": "shift_jis",
    b'<meta\n charset = "koi8-r"\n>': "koi8-r",
    b"<meta charset='tis-620'>": "windows-874",
    b"<meta charset=latin1>": "windows-1252",
    b"<meta/charset=big5>": "big5",
    b"<meta x charset=big5 charset=koi8-r>": "big5",  # the first of a name
    b"<meta http-equiv=Content-Type content='text/html; charset=iso-8859-2'>": "iso-8859-2",
    b"<meta content='charset=koi8-r' http-equiv=CONTENT-TYPE>": "koi8-r",
    b"<meta http-equiv=content-type content='a charset b; charset = &quot;x; charset=koi8-r'>": None,
    b"<meta http-equiv=content-type content='charset charset=koi8-r;x'>": "koi8-r",
    b"<meta http-equiv=content-type content='charset=\"koi8-r\"'>": "koi8-r",
    b"<meta http-equiv=content-type content='charset=\"koi8-r'>": None,
    b"<meta content='text/html; charset=koi8-r'>": None,
    b"<meta name=x http-equiv=refresh content='charset=koi8-r'>": None,
    b"<meta charset=utf-16>": "utf-8",
    b"<meta charset=utf-16be>": "utf-8",
    b"<meta charset=ucs-2>": "utf-8",
    b"<meta http-equiv=content-type content='text/html; charset=unicode'>": "utf-8",
    b"<meta charset=x-user-defined>": "windows-1252",
    b"<meta charset=hz-gb-2312>": "replacement",
    b"<meta charset=bogus><meta charset=koi8-r>": "koi8-r",
    b"<!-- <meta charset=big5> --><meta charset=koi8-r>": "koi8-r",
    b"<!--><meta charset=koi8-r>": "koi8-r",
    b"<!-- <meta charset=big5>": None,
    b"<p title='<meta charset=big5>'><meta charset=koi8-r>": "koi8-r",
    b"<p title='<meta charset=big5>": None,
    b"</p x='<meta charset=big5>'>": None,
    b"<!DOCTYPE <meta charset=big5><meta charset=koi8-r>": "koi8-r",
    b"<?php <meta charset=big5> ?><meta charset=koi8-r>": "koi8-r",
    b"<metadata charset=big5>": None,
    b"<meta charset=big5": None,
    b"<meta charset='big5>": None,
    b"< meta charset=big5>": None,
    b'<?xml version="1.0" encoding="iso-8859-2"?>': "iso-8859-2",
    b"<?xml version='1.0' encoding = 'utf-16'?>": "utf-8",
    b' <?xml version="1.0" encoding="iso-8859-2"?>': None,
    b'<?xml version="1.0" encoding="iso-8859-2"?><meta charset=koi8-r>': "koi8-r",
    "<?xml ".encode("utf-16-le"): "utf-16le",
    "<?xml ".encode("utf-16-be"): "utf-16be",
    b"": None,
}


@pytest.mark.parametrize("data", DECLARED)
def test_what_a_page_declares(data: bytes) -> None:
    assert declared_encoding(data) == DECLARED[data]


def test_a_meta_behind_the_first_bytes_counts_in_the_head_where_nothing_else_does() -> None:
    long, meta = b"<html><head><!--" + b"x" * PRESCAN_BYTES + b"-->", b"<meta charset=koi8-r>"
    assert declared_encoding(long + meta) == "koi8-r"
    assert declared_encoding(b"<?xml version='1.0' encoding='big5'?>" + long + meta) == "big5"
    assert declared_encoding(long + b"<script>'<meta charset=big5>'</script>" + meta) == "koi8-r"
    assert declared_encoding(long + b"<script>'<meta charset=big5>'") is None
    assert declared_encoding(long + b"</head>" + meta) is None
    assert declared_encoding(long + b"<body>" + meta) is None


@given(st.lists(st.sampled_from(list(DECLARED)), max_size=4), st.binary(max_size=20))
def test_any_bytes_are_looked_through(parts: list[bytes], noise: bytes) -> None:
    declared_encoding(noise.join(parts))


def test_a_page_of_open_tags_takes_no_time() -> None:
    for piece in (b"<script>", b"<a b='", b"<!--", b"<meta ", b"<p "):
        declared_encoding(piece * 100_000)
