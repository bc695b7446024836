"""What class, id, role and the like say of an element: known words, found by one automaton in one pass.

Templates of all kinds name their parts alike, in English: `comment-list`, `PostBody`, `sidebar_2`. Words are looked for
as parts of names (`commentlist`), and, where "_" stands in the pattern, at a word's edge, which is any byte but a
letter, or the place where a capital follows a small letter. The automaton is Aho and Corasick's (1975) over 27 symbols;
a step is one look-up. A match sets its category's bit; further bits of the same 64 say which elements enclose a text.
"""

import numpy as np

_WORDS: dict[str, str] = {
    "COMMENT": "comment disqus _respond replies _reply discussion talkback",
    "NAV": "_nav navi navbar menu breadcrumb pager pagination paging _toc_ skip_link",
    "SIDEBAR": "sidebar side_bar _aside _rail _side_ complementary widget sidecol column_right right_column",
    "FOOTER": "footer _foot_ bottom contentinfo colophon",
    "HEADER": "header masthead banner topbar _top_ _head_ branding logo",
    "SHARE": "share sharing social facebook twitter pinterest whatsapp addthis addtoany _follow",
    "RELATED": "related recommend recirc read_more readmore _more_ trending popular outbrain taboola also_"
    " similar latest _next_ previous _prev_ most_read explore upnext up_next",
    "AD": "_ad_ _ads_ advert sponsor promo _dfp adslot commercial _adsense partner affiliate",
    "ARTICLE": "article _story",
    "CONTENT": "content _text_ _body",
    "POST": "_post entry _blog",
    "MAIN": "_main",
    "AUTHOR": "author byline writer _bio contributor",
    "DATE": "date _time publish _meta _info",
    "TAGS": "_tag_ _tags categor topic keyword hashtag",
    "CAPTION": "caption figure credit image _photo _media gallery video _img",
    "NEWSLETTER": "newsletter subscri signup sign_up paywall _cta donat membership",
    "COOKIE": "cookie consent gdpr modal popup pop_up overlay lightbox notice alert",
    "UNSEEN": "hidden sr_only screen_reader _d_none invisible tooltip noprint no_print visually offscreen",
    "LOGIN": "login log_in sign_in account register search _form _user",
    "TEASER": "teaser _card _item _list grid carousel slider slideshow tile",
    "TITLE": "title headline heading",
    "LEGAL": "copyright legal disclaimer licen privacy terms",
    "PRODUCT": "product price _cart shop review rating",
    "FORUM": "forum thread message answer question",
    "CODE": "_code highlight syntax language_",
    "LEAD": "_lead intro summary excerpt abstract standfirst _dek_ _deck description",
    "QUOTE": "quote callout _fact inset",
    "BODY": "articlebody storybody article_body story_body postcontent post_content entrycontent entry_content"
    " post_body postbody articlecontent article_content"
    " articletext article_text story_content entry_body rich_text _prose_"
    " field_name_body mw_content body_copy bodycopy wysiwyg markdown",
    "NOTES": "footnote reference citation bibliograph infobox navbox edit_section editsection hatnote",
    "LINE_NUMBERS": "_gutter_ lineno line_number linenumber blob_num",
    "RENDERED": "_katex_html_ _math_jax_ _math_jax_preview _math_jax_display _math_jax_svg",
    "STYLE_HIDDEN": "display_none_ visibility_hidden_",
}
CATEGORIES = tuple(_WORDS)
BIT = {name: 1 << number for number, name in enumerate(CATEGORIES)}
LINE_NUMBERS, RENDERED, STYLE_HIDDEN = BIT["LINE_NUMBERS"], BIT["RENDERED"], BIT["STYLE_HIDDEN"]

_ENCLOSING = (
    "article main nav aside footer header form figure table list blockquote pre button figcaption details section li p"
    " heading address dl label"
).split()
ENCLOSING = {name: 1 << (len(CATEGORIES) + number) for number, name in enumerate(_ENCLOSING)}
"""Bits of elements that enclose a text."""
_LAST = len(CATEGORIES) + len(_ENCLOSING)
GONE_BIT, HIDDEN_BIT, FOREIGN_BIT, ARIA_BIT, MATH_BIT = (1 << (_LAST + place) for place in range(5))
"""Content of no reader; hidden by a style or an attribute; inside svg or math; aria-hidden; inside math."""
MASK_BITS = _LAST + 5
assert MASK_BITS < 63
PRE_BIT = ENCLOSING["pre"]

SYMBOLS = 27
SYMBOL = np.zeros(256, np.int64)
SYMBOL[97:123] = np.arange(1, 27)
SYMBOL[65:91] = np.arange(1, 27)


def _symbols(word: str) -> list[int]:
    return [0 if character == "_" else ord(character) - 96 for character in word]


def _automaton() -> tuple[np.ndarray, np.ndarray]:
    """(next state int16 of shape (states, SYMBOLS), bits int64 of shape (states,))."""
    children: list[dict[int, int]] = [{}]
    bits = [0]
    for name, words in _WORDS.items():
        for word in words.split():
            state = 0
            for symbol in _symbols(word):
                if symbol not in children[state]:
                    children[state][symbol] = len(children)
                    children.append({})
                    bits.append(0)
                state = children[state][symbol]
            bits[state] |= BIT[name]
    steps = np.zeros((len(children), SYMBOLS), np.int16)
    fallback = [0] * len(children)
    queue = []
    for symbol, child in children[0].items():
        steps[0, symbol] = child
        queue.append(child)
    for state in queue:
        bits[state] |= bits[fallback[state]]
        steps[state] = steps[fallback[state]]
        for symbol, child in children[state].items():
            fallback[child] = int(steps[fallback[state], symbol])
            steps[state, symbol] = child
            queue.append(child)
    return steps, np.array(bits, np.int64)


STEPS, STATE_BITS = _automaton()
