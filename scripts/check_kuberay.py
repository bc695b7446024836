"""Checks a RayJob against the schema of KubeRay's own definition, which is not kept here:

    python scripts/check_kuberay.py ray.io_rayjobs.yaml examples/kuberay.yaml

(`helm-chart/kuberay-operator/crds/` of ray-project/kuberay has the first.) Said are fields that the schema does not
have, fields that it requires, and values of another type or outside of an enumeration: what `kubectl apply
--validate=strict` would refuse. The schema is OpenAPI 3 as Kubernetes uses it, of which this knows what such a
definition uses.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "object": (dict,), "array": (list,)
}  # fmt: skip


def problems_of(value: Any, schema: Mapping[str, Any], place: str = "") -> Iterator[str]:
    """What is wrong with a value, a line each."""
    if schema.get("x-kubernetes-int-or-string"):
        if isinstance(value, bool) or not isinstance(value, int | str):
            yield f"{place}: {value!r} is no number and no string"
        return
    kind = schema.get("type")
    if kind and (not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        yield f"{place}: {value!r} is not of type {kind}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{place}: {value!r} is none of {schema['enum']}"
    if isinstance(value, dict):
        yield from _problems_of_fields(value, schema, place)
    if isinstance(value, list) and "items" in schema:
        for number, item in enumerate(value):
            yield from problems_of(item, schema["items"], f"{place}[{number}]")


def _problems_of_fields(value: Mapping[str, Any], schema: Mapping[str, Any], place: str) -> Iterator[str]:
    known, others = schema.get("properties", {}), schema.get("additionalProperties")
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{place}.{name}: missing"
    for name, inner in value.items():
        if name in known:
            yield from problems_of(inner, known[name], f"{place}.{name}")
        elif isinstance(others, dict):
            yield from problems_of(inner, others, f"{place}.{name}")
        elif (known or others is False) and not schema.get("x-kubernetes-preserve-unknown-fields"):
            yield f"{place}.{name}: no such field"


def schema_of(definition: Mapping[str, Any], version: str) -> dict[str, Any]:
    """The schema of a version of a kind, as its CustomResourceDefinition has it."""
    versions = {entry["name"]: entry["schema"]["openAPIV3Schema"] for entry in definition["spec"]["versions"]}
    return dict(versions[version])


def main() -> None:
    """The command line."""
    definition, job = (yaml.safe_load(Path(name).read_text()) for name in sys.argv[1:3])
    if job["kind"] != definition["spec"]["names"]["kind"]:
        sys.exit(f"{job['kind']} is not a {definition['spec']['names']['kind']}")
    group, _, version = job["apiVersion"].partition("/")
    if group != definition["spec"]["group"]:
        sys.exit(f"{group} is not {definition['spec']['group']}")
    problems = list(problems_of(job, schema_of(definition, version)))
    print("\n".join(problems) or f"{sys.argv[2]}: nothing wrong")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
