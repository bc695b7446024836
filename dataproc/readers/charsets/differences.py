"""What the indexes of the Encoding Standard hold and Python's codecs do not, or hold otherwise.

Python's `big5hkscs` is HKSCS of 2004, without ETEN's additions and HKSCS of 2008; its `euc_jp` lacks NEC's and IBM's
rows, which `cp932` has at the same places of JIS X 0208; its `gb18030` is of 2000. All else is the same, which was held
against the indexes of the standard sequence by sequence (https://encoding.spec.whatwg.org, indexes of 2018 to 2026).
"""

_BIG5_RUNS = {
    0x877A: "㡵𡵓𣚞𦀡㻬",
    0x87A1: "𥣞㫵竼龗𤅡𨤍𣇪𠪊𣉞䌊蒄龖鐯䤰蘓墖靊鈘秐稲晠権袝瑌篅枂稬剏遆㓦珄"
    "𥶹瓆鿇垳䤯呌䄱𣚎堘穲𧭥讏䚮𦺈䆁𥶙箮𢒼鿈𢓁𢓉𢓌鿉蔄𣖻䂴鿊䓡𪷿拁灮鿋",
    0x8FCB: "覦覩",
    0x92AF: "兙兛兝兞",
    0x9CBC: "尐秣",
    0xA3C0: "␀␁␂␃␄␅␆␇␈␉␊␋␌␍␎␏␐␑␒␓␔␕␖␗␘␙␚␛␜␝␞␟␡€",
    0xC6DE: "〃仝",
    0xFDB7: "沜渝",
}
_BIG5_SINGLE = """
8e69箸 8e6f簆 8e7e糎 8eab緒 8eb4縝 8ecd者 8ed0耨 8f57菁 8f69蒨 8f6e萏 8ffe起 906d都 907a銹 90dc靜
90f1響 91bf鼖 9244蔃 92c8鍮 92d1瑹 9447浧 94ca禛 95d9邗 9644靝 96ed瀞 96fc嬨 9b76爁 9b78矗 9b7b纇
9bc6駖 9bde釔 9bec惞 9bf6澶 9c42輶 9c53侻 9c62營 9c68鄄 9c6b鷰 9c77菏 9cd0婧 9d57輋 9d5a筑 9dc4拐
9ea9恢 9eef痹 9efd汊 9f60鬮 9f66鼗 9fcb僭 9fd8弌 a063蠏 a077拎 a0d5瑨 a0df煢 a0e4牐 c6cf廴 c6d3无
c6d5癶 c6d7隶 fa5f倩 fa66偽 fabd包 fac5卄 fad5卿 fb48嘅 fbb8婷 fbf3幵 fbf9廐 fc4f彘 fc6c悤 fcb9撐
fce2晴 fcf1杞 fdbb港 fdf1煮 fe52猪 fe6f瑜 feaa瓩 fedd砉 a145‧ a14e﹑ a1c2¯ a1e3～ a1f2⊕ a1f3⊙
a241∕ a242﹨ a244￥ a246￠ a247￡
"""
_GB18030 = """
80€ a3a0\u3000 a6d9︐ a6da︒ a6db︑ a6dc︓ a6dd︔ a6de︕ a6df︖ a6ec︗ a6ed︘ a6f3︙ a8bcḿ 8135f437\ue7c7
fe59龴 fe61龵 fe66龶 fe67龷 fe6d龸 fe7e龹 fe90龺 fea0龻
"""


def _pairs(words: str) -> dict[bytes, str]:
    return {bytes.fromhex(word[:-1]): word[-1] for word in words.strip("\n").replace("\n", " ").split(" ")}


BIG5 = _pairs(_BIG5_SINGLE) | {
    (first + number).to_bytes(2, "big"): character
    for first, run in _BIG5_RUNS.items()
    for number, character in enumerate(run)
}
GB18030 = _pairs(_GB18030)
EUC_JP = {bytes.fromhex("8fa2b7"): "～"}
