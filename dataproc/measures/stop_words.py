"""The commonest function words of languages: they tell prose in a language from lists, names and other languages.

Gopher keeps a document that holds at least two of eight English words. The tools carry that list to other languages or
switch the rule off; here each language has its own words, written down by us from knowledge of the language and checked
on translated documents. English has exactly Gopher's eight.

A stop word is one word as `dataproc.text.words` cuts them, in lower case (for Turkish, too: İ and I are both i).
Chinese and Japanese words are single characters there, so their lists are of characters: particles and copulas, which
occur inside longer words as well. Thai, Lao, Khmer, Burmese and Tibetan have no list: a word there is a whole phrase.

A document is compared with the list of its language: a code of ISO 639-1, 639-2 or 639-3, or a tag that begins with
one (`zh_Hant`, `pt-BR`, `eng_Latn`), in any case. **A document without a language counts as English**, as in all
tools. **A language without a list has no stop words to count**: its counts are -1, not 0, so that "none found" and
"not looked for" stay apart, and rules on stop words should name the languages that they are for (`LANGUAGES`).
"""

import functools

import pyarrow as pa
import pyarrow.compute as pc

_LISTS = {
    "en": "the be to of and that have with",
    "af": "die en van in is het nie wat te vir met op ek",
    "ar": "في من على إلى أن هذا التي عن مع هذه الذي كان أو ما لا هو هي كل",
    "az": "və bu bir ilə üçün də da olan kimi isə hər daha",
    "be": "і ў не на што з да як гэта для за ад у або",
    "bg": "и на в да се за от е не с че по като са или",
    "bn": "এবং না এই ও করে থেকে করা একটি জন্য যে তার এর কি করতে সাথে",
    "bs": "i u je da na se za su ne od sa kao ili koji",
    "ca": "de la i que el en a les per un és amb una no els",
    "cs": "a v se na je že s z do o to i jako pro nebo",
    "da": "og i at det er en til af på den for med som ikke",
    "de": "der die das und ist in zu den nicht von ein mit für auf eine im",
    "el": "και το να η του της την με για ο στο που από είναι τα σε",
    "eo": "la kaj de en estas al por ne kun ĝi kiu aŭ",
    "es": "de la que el en y a los se del las un por con no una para",
    "et": "ja on ei et see oli kui ka ning mis oma või",
    "eu": "eta da du ez bat ere dira dute bere edo",
    "fa": "و در به از که این را با است برای آن یک یا می",
    "fi": "ja on ei se että oli ovat kun tai mutta joka hän myös jos",
    "fr": "le la les de des et à un une en du que qui dans est pour",
    "gl": "de a o que e do da en un para con non unha os",
    "gu": "અને છે એક આ માટે કે તે પર ના માં",
    "he": "של את על לא הוא זה עם היא כל או אם גם כי יש אני",
    "hi": "के में है की से को और का ने पर यह हैं कि एक भी",
    "hr": "i u je da na se za su ne od s kao ili koji",
    "hu": "a az és hogy nem is egy ez meg de csak van volt vagy",
    "id": "yang dan di untuk dengan ini dari dalam pada tidak adalah itu ke atau",
    "is": "og að í á er sem en við til um ekki það með",
    "it": "di e il la che in un è per una non con del sono le",
    "ja": "の に は を た が で て と し も な",
    "kn": "ಮತ್ತು ಈ ಒಂದು ಎಂದು ಆ ಇದು ಅಥವಾ",
    "ko": "이 그 수 것 및 더 할 또는 있는 있습니다 합니다 하는 위해 대한 다른 모든 때 "
    "많은 같은 없이 위한 통해 경우 하나의 됩니다",
    "lt": "ir į yra kad su iš tai kaip bet ar jo už",
    "lv": "un ir ar no uz ka par kas bija vai tas lai",
    "mk": "и на во да се за од е не со што како или",
    "ml": "ഒരു ഈ എന്ന ആണ് ഇത് അത് എന്ന് നിന്ന് ഉള്ള മറ്റ് അല്ലെങ്കിൽ വേണ്ടി കൂടുതൽ മാത്രം",
    "mr": "आणि आहे या व हे की एक ते तर किंवा",
    "ms": "yang dan di untuk dengan ini dari dalam pada tidak adalah itu ke atau oleh",
    "nb": "og i det er på som en til av for med at ikke den et",
    "ne": "र को मा छ यो पनि का लागि हो भने गर्न एक तथा वा गर्नुहोस्",
    "nl": "de het een van en in is dat op te met voor zijn niet",
    "nn": "og i det er på som ein til av for med at ikkje den",
    "pa": "ਦੇ ਦੀ ਦਾ ਹੈ ਵਿੱਚ ਅਤੇ ਨੂੰ ਇੱਕ ਤੇ ਨੇ",
    "pl": "i w na z do się nie to że jest o jak od po dla przez lub",
    "pt": "de a o que e do da em um para com não uma os as no",
    "ro": "și şi de în la a cu pe că care din nu este o un să sau",
    "ru": "и в не на что с по как к это для из от или о",
    "sk": "a v sa na je že s z do o to aj ako pre alebo",
    "sl": "in je v na da se za ki so z ne pa od ali",
    "sq": "dhe të e në i një për me që nga ka se",
    "sr": "и у је да на се за са не од као или који i u je da na se za sa ne od kao ili",
    "sv": "och i att det som en på är av för med den till inte ett",
    "sw": "ya na wa kwa ni katika la za cha kuwa hii au",
    "ta": "ஒரு இது அது என்று இந்த அந்த ஆகும் உள்ள என என்ற அல்லது மற்றும் நீங்கள் மேலும் கொண்டு இருந்து அனைத்து",
    "te": "ఒక ఈ మరియు ఆ కోసం అని ఉంది లేదా ఇది",
    "tl": "ang ng sa na at mga ay ito para hindi",
    "tr": "ve bir bu için ile de da olarak daha çok gibi olan veya ne en her",
    "uk": "і в не на що з до як та це для за від або у й",
    "ur": "کے میں کی ہے اور سے کا کو اس کہ ہیں نے پر یہ",
    "vi": "và của là có các được cho trong không một với những để này hoặc",
    "zh": "的 一 是 在 不 了 有 和 人 这 這 为 為 之 以 而 其 我 也 中 可",
}

STOP_WORDS: dict[str, tuple[str, ...]] = {code: tuple(words.split()) for code, words in _LISTS.items()}
"""Words by ISO 639-1 code, at most 32 each."""

LANGUAGES = frozenset(STOP_WORDS)
"""Codes of the languages that have a list."""

_OTHER_CODES = {
    "en": "eng", "af": "afr", "ar": "ara arb arz apc acm aeb", "az": "aze azj", "be": "bel", "bg": "bul",
    "bn": "ben", "bs": "bos", "ca": "cat", "cs": "ces cze", "da": "dan", "de": "deu ger", "el": "ell gre",
    "eo": "epo", "es": "spa", "et": "est ekk", "eu": "eus baq", "fa": "fas per pes prs", "fi": "fin",
    "fr": "fra fre", "gl": "glg", "gu": "guj", "he": "heb iw", "hi": "hin", "hr": "hrv", "hu": "hun",
    "id": "ind in", "is": "isl ice", "it": "ita", "ja": "jpn", "kn": "kan", "ko": "kor", "lt": "lit",
    "lv": "lav lvs", "mk": "mkd mac", "ml": "mal", "mr": "mar", "ms": "msa may zsm zlm", "nb": "nob no nor",
    "ne": "nep npi", "nl": "nld dut", "nn": "nno", "pa": "pan", "pl": "pol", "pt": "por", "ro": "ron rum mo",
    "ru": "rus", "sk": "slk slo", "sl": "slv", "sq": "sqi alb als", "sr": "srp sh hbs", "sv": "swe",
    "sw": "swa swh", "ta": "tam", "te": "tel", "tl": "tgl fil", "tr": "tur", "uk": "ukr", "ur": "urd",
    "vi": "vie", "zh": "zho chi cmn lzh yue wuu",
}  # fmt: skip
_CODES = {other: code for code, others in _OTHER_CODES.items() for other in (code, *others.split())}

DEFAULT_LANGUAGE = "en"
"""The list for a document without a language."""


@functools.lru_cache(maxsize=4096)
def list_of(language: str | None) -> str | None:
    """The code under which a language's list stands in `STOP_WORDS`, None where it has none.

    >>> list_of("zh_Hant"), list_of("eng"), list_of("PT-br"), list_of(None), list_of("tha")
    ('zh', 'en', 'pt', 'en', None)
    """
    if not language:
        return DEFAULT_LANGUAGE
    return _CODES.get(language.replace("_", "-").split("-", 1)[0].lower())


def lists_of(languages: pa.Array) -> pa.Array:
    """`list_of` each of N languages (strings or nulls): a string array of shape (N,), null where there is no list."""
    encoded = pc.dictionary_encode(languages.cast(pa.string()), null_encoding="encode")
    codes = pa.array([list_of(language) for language in encoded.dictionary.to_pylist()], pa.string())
    return codes.take(encoded.indices)
