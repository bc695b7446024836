"""Converts RoPE's base and YaRN's stretch to and from Hugging Face's `config.json`.

There they are stated in two places. transformers 5 writes `rope_parameters`; older versions, DeepSeek's release
and inference engines have `rope_theta` and `rope_scaling` (null for plain RoPE). Both are written. Where a file has
both, `rope_scaling` wins, as in transformers.

Hugging Face sharpens attention in two ways: `mscale_all_dim` scales the softmax, as `ModelConfig.softmax_scale` does,
and an attention factor scales cosine and sine, which would touch the part of a head that carries position alone. The
latter is 1 when `mscale` equals `mscale_all_dim`, as in DeepSeek's release; anything else is refused.
"""

from collections.abc import Mapping
from math import log
from typing import Any

from corpusmill.dataproc.errors import UserError
from corpusmill.training.model.config import ModelConfig

PLAIN = "default"
YARN = "yarn"


def rope_fields(config: ModelConfig) -> dict[str, Any]:
    """The fields of `config.json` that describe positions."""
    if config.rope_factor == 1:
        stated: dict[str, Any] = {"rope_type": PLAIN, "rope_theta": config.rope_theta}
        return {"rope_parameters": stated, "rope_theta": config.rope_theta, "rope_scaling": None}
    stated = {
        "rope_type": YARN,
        "type": YARN,
        "rope_theta": config.rope_theta,
        "factor": config.rope_factor,
        "original_max_position_embeddings": config.original_seq_len,
        "beta_fast": config.beta_fast,
        "beta_slow": config.beta_slow,
        "mscale": config.mscale,
        "mscale_all_dim": config.mscale,
    }
    if not config.mscale:
        # There, two zeros count as absent, which implies an attention factor.
        stated["attention_factor"] = 1.0
    return {
        "rope_parameters": stated,
        "rope_theta": config.rope_theta,
        "rope_scaling": stated,
        "max_position_embeddings": round(config.original_seq_len * config.rope_factor),
    }


def read_rope(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The fields of `ModelConfig` that describe positions. Raises UserError for an unknown kind of scaling."""
    stated = values.get("rope_scaling") or values.get("rope_parameters") or {}
    if not isinstance(stated, Mapping):
        raise UserError(f"the field 'rope_parameters' is {stated!r}", where, "it must be an object")
    base = {"rope_theta": _number({"rope_theta": values.get("rope_theta"), **stated}, "rope_theta", 10_000.0, where)}
    kind = stated.get("rope_type", stated.get("type", PLAIN))
    if kind == PLAIN:
        return base
    if kind != YARN:
        raise UserError(f"positions are scaled by '{kind}'; this model has plain RoPE and YaRN", where)
    factor = _number(stated, "factor", None, where)
    mscale = _number(stated, "mscale", 0.0, where)
    sharper = _number(stated, "mscale_all_dim", 0.0, where)
    implied = _sharpness(factor, mscale) / _sharpness(factor, sharper) if mscale and sharper else _sharpness(factor, 1)
    if _number(stated, "attention_factor", implied, where) != 1 or not stated.get("truncate", True):
        raise UserError(
            "YaRN has an attention factor or an untruncated ramp", where, "this model has what DeepSeek's release has"
        )
    return {
        **base,
        "rope_factor": factor,
        "original_seq_len": int(_number(stated, "original_max_position_embeddings", None, where)),
        "beta_fast": _number(stated, "beta_fast", 32.0, where),
        "beta_slow": _number(stated, "beta_slow", 1.0, where),
        "mscale": sharper,
    }


def _sharpness(factor: float, mscale: float) -> float:
    return 0.1 * mscale * log(factor) + 1.0 if factor > 1 else 1.0


def _number(stated: Mapping[str, Any], name: str, default: float | None, where: str) -> float:
    value = stated.get(name)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise UserError(f"the field '{name}' is {value!r}", where, "it must be a number")
    return float(value)
