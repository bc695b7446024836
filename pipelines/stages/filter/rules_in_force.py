"""The rules that a finished filter applied, from its manifest: thresholds as they were set, the user's own included.

A manifest contains them in full, so they can be applied again even if presets have changed since.
"""

from collections.abc import Mapping
from typing import Any

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.language.families import with_members
from corpusmill.dataproc.rules import Rule, resolve_rules, rule_from_dict

LANGUAGE_RULE = "language"
"""The name under which a filter rejects documents of languages that were not asked for."""


def rules_in_force(manifest: Mapping[str, Any]) -> tuple[Rule, ...]:
    """The rules of a filter's manifest. Raises UserError where it is no filter, or its rules cannot be loaded."""
    if manifest.get("stage") != "filter":
        raise UserError("not the folder of a filter")
    written = manifest["facts"].get("rules_in_force")
    if written is not None:
        return tuple(rule_from_dict(rule) for rule in written)
    settings = manifest["settings"]
    return resolve_rules(settings["rules"], settings.get("thresholds"), settings.get("custom_rules") or ())


def language_rule(settings: Mapping[str, Any]) -> Rule | None:
    """What a filter's setting `languages` asks of a document, as a rule; None where it is not set."""
    languages = settings.get("languages")
    if not languages:
        return None
    names = list(with_members(str(language) for language in languages))
    scripts = " or ".join(f"startswith(language, {name + '_'!r})" for name in names)
    return Rule(
        LANGUAGE_RULE,
        expression=f"kind == 'code' or language in {names!r} or {scripts}",
        source="the setting languages",
    )
