"""A path as a comment of the file's own language, the line that stands before each file of a repository."""

LINE = {
    "#": "cmake dockerfile elixir graphql julia makefile nix perl powershell python r ruby shell tcl toml yaml asm",
    "//": "c cpp csharp cuda dart fsharp go groovy java javascript json kotlin php protobuf rust scala scss solidity "
    "swift typescript verilog zig",
    "--": "haskell lua sql vhdl",
    "%": "erlang latex matlab",
    ";": "lisp scheme",
    "!": "fortran",
    "..": "restructuredtext",
}
BLOCK = {
    ("<!--", "-->"): "html markdown vue xml xslt",
    ("/*", "*/"): "css",
    ("(*", "*)"): "ocaml",
}
_MARKS = {language: (mark, "") for mark, languages in LINE.items() for language in languages.split()} | {
    language: marks for marks, languages in BLOCK.items() for language in languages.split()
}


def path_comment(path: str, language: str) -> str:
    """One line with its line break: `# src/a.py`. JSON has no comments, and gets JSON5's.

    Control characters of the path are spelled out, and what would end a comment is taken apart.
    """
    opens, closes = _MARKS.get(language, ("#", ""))
    shown = "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in path)
    if closes:
        shown = shown.replace(closes, " ".join(closes))
        return f"{opens} {shown} {closes}\n"
    return f"{opens} {shown}\n"
