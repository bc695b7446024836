"""Personal data: masked where it stands, or documents that have some rejected.

What counts is said in `dataproc.rewriting.pii.rewriter` and the modules it names. Both presets are for all kinds of
documents.
"""

from corpusmill.dataproc.rules.preset import Preset
from corpusmill.dataproc.rules.rule import Rule

SOURCE = "Penedo et al. 2024 (FineWeb), datatrove PIIFormatter; Li et al. 2023 (StarCoder), section 4"

PRESETS = (
    Preset(
        "pii",
        "Masks addresses of mail, public IP addresses, numbers of telephones, keys and tokens; rejects nothing.",
        (),
        rewriters=("pii-mask",),
    ),
    Preset(
        "pii-reject",
        "Rejects documents with addresses of mail, public IP addresses, numbers of telephones, keys or tokens.",
        tuple(
            Rule(f"pii-reject/{name}", statistic, None, 0.0, source=SOURCE)
            for name, statistic in (
                ("emails", "pii_email_count"),
                ("ip-addresses", "pii_ip_count"),
                ("phones", "pii_phone_count"),
                ("keys", "pii_key_count"),
            )
        ),
    ),
)
