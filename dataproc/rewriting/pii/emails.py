"""Addresses of electronic mail: a name, an @, and a domain whose last part is a top-level domain.

Code is full of what looks like one (`q@k.transpose`, `checkout@v4.1`, `@app.on_event`, `libc.so`), so the last part
must be one of the countries' domains or of the generic ones listed here, in one case, and no call or index may follow.
If the last part is not one, the parts before it are tried, for "a@b.org.Next sentence". Letters with accents may stand
in names and domains; other scripts end them, since Chinese puts no blank before a mailbox.

Left alone: domains that belong to nobody (RFC 2606: example.com, .test, .invalid and the like), which documentation
and our own replacements use, and git@, hg@ and svn@, which are names of services in addresses of repositories.
"""

import re

from corpusmill.dataproc.rewriting.pii.window import Span, Window

_NAME_BACKWARDS = re.compile(rb"(?:[A-Za-z0-9._%+'-]|[\x80-\xbf][\xc3-\xc5]){1,65}")
_DOMAIN = re.compile(
    rb"(?:[A-Za-z0-9-]|[\xc3-\xc5][\x80-\xbf]){1,63}(?:\.(?:[A-Za-z0-9-]|[\xc3-\xc5][\x80-\xbf]){1,63}){1,8}"
)
_LONGEST_NAME = 64
_NOT_LAST = (b".", b"'", b"%")
"""What no name ends with: a quote before an @ closes a string ('root'@host.com). The scan looks for other ends only."""
_SERVICES = (b"git", b"hg", b"svn")
_RESERVED = (b"example.com", b"example.net", b"example.org")
_RESERVED_LAST = (b"example", b"test", b"invalid", b"localhost")

COUNTRIES = """
ac ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bm bn bo br bs bt bv bw by bz ca cc cd cf
cg ch ci ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz ec ee eg er es et eu fi fj fk fm fo fr ga gd ge gf gg gh
gi gl gm gn gp gq gr gs gt gu gw gy hk hm hn hr ht hu id ie il im in io iq ir is it je jm jo jp ke kg kh ki km kn kp kr
kw ky kz la lb lc li lk lr ls lt lu lv ly ma mc md me mg mh mk ml mm mn mo mp mq mr ms mt mu mv mw mx my mz na nc ne nf
ng ni nl no np nr nu nz om pa pe pf pg ph pk pl pm pn pr ps pt pw py qa re ro rs ru rw sa sb sc sd se sg sh si sj sk sl
sm sn so sr ss st su sv sx sy sz tc td tf tg th tj tk tl tm tn to tr tt tv tw tz ua ug uk us uy uz va vc ve vg vi vn vu
wf ws ye yt za zm zw
"""
GENERIC = """
com org net edu gov mil int arpa info biz name pro aero coop museum asia cat jobs mobi post tel travel xxx
academy agency app art bank berlin bio blog cafe capital care center chat church city cloud club codes community company
consulting dance design dev digital doctor earth education email energy engineer engineering events expert family farm
finance fit foundation fun fund fyi games global gmbh group guide guru health help host hosting house icu inc institute
international koeln law legal life link live london ltd ltda media moe money music network news ngo nyc one ong online
page paris partners photo photography photos press rocks run sale school science scot services shop site social software
solutions space store studio support systems team tech technology tips today tools top tours training university vegas
video vip wales watch website wien wiki win work works world wtf xyz zone
"""
_LAST_PARTS = frozenset((COUNTRIES + GENERIC).encode().split())


def find_email(window: Window) -> Span | None:
    """The address around the @ at `window.at`, or None."""
    before = window.data[: window.at]
    backwards = _NAME_BACKWARDS.match(before[::-1])
    behind = _DOMAIN.match(window.data, window.at + 1)
    if not backwards or not behind:
        return None
    name = backwards.group()[::-1].lstrip(b".%+'-")
    start = window.at - len(name)
    if not name or len(name) > _LONGEST_NAME or name.endswith(_NOT_LAST) or name in _SERVICES:
        return None
    if before[start - 1 : start] == b"@":
        return None
    parts = behind.group().split(b".")
    while len(parts) > 1 and not _is_last_part(parts[-1]):
        parts.pop()
    domain = b".".join(parts)
    end = window.at + 1 + len(domain)
    following = window.data[end : end + 1]
    if len(parts) < 2 or any(part.startswith(b"-") or part.endswith(b"-") for part in parts):
        return None
    if following in (b"(", b"[", b"@", b"_") or _is_reserved(domain.lower(), parts[-1].lower()):
        return None
    return start, end


def _is_last_part(part: bytes) -> bool:
    return (part.islower() or part.isupper()) and part.lower() in _LAST_PARTS


def _is_reserved(domain: bytes, last: bytes) -> bool:
    return last in _RESERVED_LAST or any(domain == known or domain.endswith(b"." + known) for known in _RESERVED)
