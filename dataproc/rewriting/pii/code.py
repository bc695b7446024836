"""Code that looks like an address of mail, though its last part is a top-level domain, too.

With all top-level domains, among them `.name`, `.data`, `.map` and `.zip`, much of code looks like a mailbox:

    this@Outer.name, super@Base.id     Kotlin's qualified `this` and `super`
    pbmc@meta.data, x@slot.id$y        slots of R's objects
    w@x.data, self.q@k.cat(v)          Python's product of matrices, with an attribute, a call or an index behind
    row-@item.id, text@Model.Name      Razor's and Ruby's values inside text
    @scope/pkg@next.dev, icon@2x.zip   packages, versions and densities of images
    $user@host.com, %s@host.com        what is filled in later

A name and a host that are identifiers, and a last part that is a common attribute, are code where something else says
so, too; by itself none of them is.
"""

import re

COUNTRIES = "as at by do fm id in io is it me my pl ps py re rs sh so st"
GENERIC = """
app author bot box call case cat contact data date dot email events fit free group host int link map mm mv name new next
now open page pay play properties property report rest review reviews run save search select services show site space
store style tab target to top total trade video watch win work works zip
"""
_COUNTRIES, _GENERIC = frozenset(COUNTRIES.split()), frozenset(GENERIC.split())
"""Last parts that are attributes, methods and file endings as well."""

_OBJECTS = frozenset(("self", "cls", "this", "Model", "model", "item"))
_SLOTS = frozenset(("meta", "raw", "scale", "var", "cell", "sample", "row", "col"))
_PACKAGE = re.compile(r"@[A-Za-z0-9._-]{1,64}/\Z")
_VERSION = re.compile(r"v[0-9]{1,4}\Z|[1-9]x\Z")


def is_code(before: str, name: str, labels: list[str], following: str) -> bool:
    """Whether what is written like an address is code.

    Args:
        before: what stands before the name, on its line.
        name: before the @.
        labels: the parts of the domain as they are written.
        following: some characters behind the domain.
    """
    host, last = labels[0], labels[-1].lower()
    if name == "this" or (name == "super" and host[0].isupper()):
        return True
    if before.endswith("$") or (before.endswith("%") and name in ("s", "d")) or _PACKAGE.search(before):
        return True
    if _VERSION.match(host) or (host.isdigit() and len(labels) > 2 and labels[1].isdigit()):
        return True
    if last not in _COUNTRIES and last not in _GENERIC:
        return False
    if len(labels) == 2 and last == "data" and host in _SLOTS:
        return True
    if name[-1] in "-_+" or following.startswith("$") or _is_object(name, host):
        return True
    if last in _COUNTRIES or not name.isidentifier() or not host.isidentifier():
        return False
    return len(name) == 1 or _is_titled(labels[-1]) or _is_called(following)


def _is_object(name: str, host: str) -> bool:
    return len(host) == 1 or host in _OBJECTS or name == "self" or name.startswith("self.")


def _is_titled(label: str) -> bool:
    return not label.islower() and not label.isupper()


def _is_called(following: str) -> bool:
    """Whether a call, an index or a longer name is behind; not prose in brackets, nor an emphasis that ends."""
    inside = following[1:2]
    return (
        following[:1] in ("(", "[", "_") and inside.isascii() and inside not in ("", " ", "_") and inside.isprintable()
    )
