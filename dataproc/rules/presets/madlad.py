"""MADLAD-400's rules on questionable sentences, all that take no language model, and the two that Dolma 3 uses."""

from corpusmill.dataproc.rules.preset import WITHOUT_MARKS, Preset, prose_expression, prose_rules

_MADLAD = "Kudugunta et al. 2023 (MADLAD-400), section 2.3"
_DOLMA = "allenai/datamap-rs madlad400_rule_filter, rules 2 and 5, as Dolma 3 was filtered"

PRESETS = (
    Preset(
        "madlad",
        "Five sentences at least, and at most a fifth of them questionable by MADLAD-400's rules 2 to 5 (list case,"
        " lengths, technical characters, cursed patterns). Without rule 1, the language of each sentence.",
        prose_rules(
            "madlad",
            _MADLAD,
            ("sentences", "madlad_sentence_count", 5.0, None),
            ("questionable", "madlad_questionable_fraction", None, 0.2),
            not_languages=WITHOUT_MARKS,
        ),
    ),
    Preset(
        "madlad-dolma3",
        "Five sentences at least, and less than a fifth of them of list case or cursed (MADLAD-400's rules 2 and 5).",
        (
            *prose_rules(
                "madlad-dolma3",
                _DOLMA,
                ("sentences", "madlad_sentence_count", 5.0, None),
                not_languages=WITHOUT_MARKS,
            ),
            prose_expression("madlad-dolma3", "questionable", "madlad_list_case_or_cursed_fraction < 0.2", _DOLMA),
        ),
    ),
)
