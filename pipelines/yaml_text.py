"""YAML as we read and write it: plain values that come back as they were.

A key that stands twice in a mapping is an error that names both lines: YAML 1.2 (section 3.2.1.1) asks for unique keys,
and PyYAML keeps the last of several in silence, so that a setting that was written first would be lost. A key that a
merge (`<<`) brings may be written again; that is what merges are for.
"""

import re
from typing import Any

import yaml

from corpusmill.dataproc.errors import UserError

MERGE = "tag:yaml.org,2002:merge"
_OTHER_BREAKS = re.compile("[\x85\u2028\u2029]")
"""Line breaks that PyYAML writes as such where Unicode may stand, and its reader then folds into a space."""


def dump_yaml(value: Any, *, sort_keys: bool = False, width: int = 80) -> str:
    """A YAML text of plain values, in block style and in its own script, from which `load_yaml` gives the same values.

    Args:
        width: where long lines are broken, in characters.
    """
    return yaml.dump(value, Dumper=_Dumper, sort_keys=sort_keys, allow_unicode=True, width=width)


def load_yaml(data: str | bytes, where: str) -> Any:
    """The plain values of a YAML (or JSON) text.

    Args:
        where: the file or setting that errors name.

    Raises:
        UserError: it is not YAML, has a key twice, a value that YAML does not have, or is nested too deeply.
    """
    try:
        loader = yaml.SafeLoader(data)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _check_keys(loader, node, where)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except (yaml.YAMLError, UnicodeError) as error:
        raise UserError(f"not YAML ({' '.join(str(error).split())})", where=where) from error
    except RecursionError as error:
        raise UserError("not YAML that can be read (nested too deeply)", where=where) from error
    except (ValueError, TypeError) as error:  # such as a date that there is none of, or a list as a key
        raise UserError(f"a value that YAML does not have ({error})", where=where) from error


def _check_keys(loader: yaml.SafeLoader, root: yaml.Node, where: str) -> None:
    left, seen = [root], set[int]()
    while left:
        node = left.pop()
        if id(node) in seen:  # an alias
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            left += node.value
        elif isinstance(node, yaml.MappingNode):
            lines: dict[Any, int] = {}
            for key, value in node.value:
                left += [key, value]
                if isinstance(key, yaml.ScalarNode):
                    name = key.value if key.tag == MERGE else loader.construct_object(key)
                    line = key.start_mark.line + 1
                    if name in lines:
                        what = f"the key '{key.value}' stands twice, on lines {lines[name]} and {line}"
                        raise UserError(what, where=where, hint="keep one of them")
                    lines[name] = line


class _Dumper(yaml.SafeDumper):
    """PyYAML's, but for line breaks that it would lose; in double quotes it escapes them."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = '"' if _OTHER_BREAKS.search(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
