"""Rules over what lists of URLs say, for documents of all kinds; the lists are the user's own (`url_lists`)."""

from corpusmill.dataproc.rules.preset import Preset
from corpusmill.dataproc.rules.rule import Rule

REFINEDWEB = "Penedo et al. 2023 (RefinedWeb), section 3.1 and appendix G.1; datatrove URLFilter"

PRESETS = (
    Preset(
        "url",
        "Rejects documents by their URL: listed domains, hosts and addresses, a listed word or substring, or two"
        " different soft words. A kind of list that is not given rejects nothing.",
        tuple(
            Rule(f"url/{name}", column, maximum=maximum, source=REFINEDWEB)
            for name, column, maximum in (
                ("domain", "url_domain_count", 0.0),
                ("subdomain", "url_subdomain_count", 0.0),
                ("exact", "url_exact_count", 0.0),
                ("word", "url_word_count", 0.0),
                ("substring", "url_substring_count", 0.0),
                ("soft-words", "url_soft_word_count", 1.0),
            )
        ),
    ),
)
