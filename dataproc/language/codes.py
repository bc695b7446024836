"""One code for each language, whatever the model or the input calls it.

Our codes are those of ISO 639-1 where there is one, else of ISO 639-3: `en`, `zh`, `yue`. A script (ISO 15924) stands
behind an underscore where it is not the one that the language is usually written in: `zh_Hant`, `sr_Latn`, `hi_Latn`.
`zxx` is text in no language (ISO 639-2), and what is undetermined (`und`, `mis`, `mul`) has no code.

Labels of models come in three ways:

    lid.176      en, zh, arz              codes of Wikipedias: nearly ours
    GlotLID      eng_Latn, cmn_Hani       ISO 639-3 and a script
    OpenLID      eng_Latn, zho_Hans       the same; varieties of a macrolanguage have codes of their own, as in FLORES

A variety that stands for its macrolanguage takes the short code of that (`cmn` is zh, `arb` ar, `pes` fa, `zsm` ms,
`als_Latn` sq), and other varieties keep theirs (`yue`, `arz`, `prs`). Bokmål is `no`, since models give it both names.
`als` without a script stays as it is: lid.176 means Alemannic by it, ISO 639-3 Tosk Albanian.
"""

import re

_TWO_LETTERS = """
aa:aar ab:abk ae:ave af:afr ak:aka am:amh an:arg ar:ara,arb as:asm av:ava ay:aym,ayr az:aze,azj ba:bak be:bel bg:bul
bi:bis bm:bam bn:ben bo:bod,tib br:bre bs:bos ca:cat ce:che ch:cha co:cos cr:cre cs:ces,cze cu:chu cv:chv cy:cym,wel
da:dan de:deu,ger dv:div dz:dzo ee:ewe el:ell,gre en:eng eo:epo es:spa et:est,ekk eu:eus,baq fa:fas,per,pes ff:ful
fi:fin fj:fij fo:fao fr:fra,fre fy:fry ga:gle gd:gla gl:glg gn:grn,gug gu:guj gv:glv ha:hau he:heb,iw hi:hin ho:hmo
hr:hrv ht:hat hu:hun hy:hye,arm hz:her ia:ina id:ind,in ie:ile ig:ibo ii:iii ik:ipk io:ido is:isl,ice it:ita iu:iku
ja:jpn jv:jav,jw ka:kat,geo kg:kon ki:kik kj:kua kk:kaz kl:kal km:khm kn:kan ko:kor kr:kau ks:kas ku:kur,kmr kv:kom
kw:cor ky:kir la:lat lb:ltz lg:lug li:lim ln:lin lo:lao lt:lit lu:lub lv:lav,lvs mg:mlg,plt mh:mah mi:mri,mao
mk:mkd,mac ml:mal mn:mon,khk mr:mar ms:msa,may,zsm mt:mlt my:mya,bur na:nau nd:nde ne:nep,npi ng:ndo nl:nld,dut nn:nno
no:nor,nob,nb nr:nbl nv:nav ny:nya oc:oci oj:oji om:orm,gaz or:ori,ory os:oss pa:pan pi:pli pl:pol ps:pus,pbt pt:por
qu:que rm:roh rn:run ro:ron,rum,mo ru:rus rw:kin sa:san sc:srd sd:snd se:sme sg:sag sh:hbs si:sin sk:slk,slo sl:slv
sm:smo sn:sna so:som sq:sqi,alb sr:srp ss:ssw st:sot su:sun sv:swe sw:swa,swh ta:tam te:tel tg:tgk th:tha ti:tir tk:tuk
tl:tgl,fil tn:tsn to:ton tr:tur ts:tso tt:tat tw:twi ty:tah ug:uig uk:ukr ur:urd uz:uzb,uzn ve:ven vi:vie vo:vol wa:wln
wo:wol xh:xho yi:yid,ydd,ji yo:yor za:zha zh:zho,chi,cmn zu:zul
"""
_SHORT = {
    other: code for code, others in (entry.split(":") for entry in _TWO_LETTERS.split()) for other in others.split(",")
}
"""ISO 639-1 by ISO 639-3, by the bibliographic codes of ISO 639-2, and by codes that were withdrawn."""

_USUAL_SCRIPT = {
    language: script
    for script, languages in {
        "Arab": "ar fa ur ps sd ug ks arz ary ars acm acq aeb ajp apc prs pnb skr ckb sdh azb mzn glk lrc",
        "Armn": "hy hyw",
        "Beng": "as bn bpy",
        "Cyrl": "ru uk be bg mk sr kk ky tg mn tt ba cv ce os ab av kv udm sah tyv bxr xal mhr mrj myv mdf krc lez rue",
        "Deva": "hi mr ne sa mai bho awa mag hne gom dty new",
        "Ethi": "am ti tig",
        "Geor": "ka xmf",
        "Grek": "el grc pnt",
        "Gujr": "gu",
        "Guru": "pa",
        "Hang": "ko",
        "Hans": "zh wuu hak gan hsn cjy",
        "Hant": "yue nan lzh",
        "Hebr": "he yi hbo lad",
        "Jpan": "ja",
        "Khmr": "km",
        "Knda": "kn tcy",
        "Laoo": "lo",
        "Mlym": "ml",
        "Mymr": "my shn mnw ksw",
        "Olck": "sat",
        "Orya": "or",
        "Sinh": "si",
        "Syrc": "syr aii arc",
        "Taml": "ta",
        "Telu": "te",
        "Thaa": "dv",
        "Thai": "th",
        "Tibt": "bo dz",
        "Tfng": "zgh tzm",
    }.items()
    for language in languages.split()
}
_SAME_SCRIPT = {("zh", "Hani"), ("yue", "Hani"), ("wuu", "Hani"), ("lzh", "Hani"), ("ja", "Hira"), ("ko", "Kore")}
"""Scripts that say no more than the language does; Han characters of either kind are `Hani`."""

_NONE = frozenset(("und", "mis", "mul", "unk", "un"))

_LABEL = re.compile(r"([A-Za-z]{2,3})(?:[_-]([A-Za-z]{4}))?(?![A-Za-z0-9])")


def language_code(label: str) -> str | None:
    """Our code for a label such as `en`, `eng`, `eng_Latn`, `zh-Hant` or `pt-BR`; None where it says "undetermined".

    A region behind the language is left out. What looks like no code at all is given back as it is: a model of the
    user's own may have labels of any kind.
    """
    match = _LABEL.match(label)
    if not match:
        return label
    language, script = match[1].lower(), (match[2] or "").capitalize()
    if language in _NONE:
        return None
    if (language, script) == ("als", "Latn"):
        language = "sq"
    language = _SHORT.get(language, language)
    if language == "zxx" or not script or (language, script) in _SAME_SCRIPT:
        return language
    return language if script == _USUAL_SCRIPT.get(language, "Latn") else f"{language}_{script}"


def without_script(code: str) -> str:
    """The language of a code, without its script: `zh` for `zh_Hant`."""
    return code.split("_", 1)[0]
