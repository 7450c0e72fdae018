"""What was meant by text that is no CEL: the slips of people who think in another language. A hint, never a verdict.

The library says where it stopped reading; that is told first, by `expressions`, which asks here what may help.
"""

from __future__ import annotations

import re

_LITERAL = re.compile(r"""\"(?:\\.|[^"\\\n])*(?:"|$)|'(?:\\.|[^'\\\n])*(?:'|$)""", re.MULTILINE)
"""Text in quotes; also where the last of them is missing."""
_WORDS = {"and": "&&", "or": "||", "not": "!", "is": "==", "True": "true", "False": "false", "None": "null"}
_OPERATORS = {
    r"(?<![=!<>])=(?![=<>!])|===|<>|=>|=<|=!": "compare by ==, !=, <, <=, > or >=",
    r"(?<!&)&(?!&)": "write && for &",
    r"(?<!\|)\|(?!\|)": "write || for |",
}
_FIELD_OF = re.compile(r"of type '(\w+)' cannot be the operand of a select|'_\[_\]' applied to '\((string|int|bool),")
_NAME = re.compile(r"[A-Za-z_][\w.]*$")
_ASKED = re.compile(r"\(\s*([A-Za-z_][\w.]*)\.")


def of_syntax(source: str) -> tuple[str, ...]:
    """What to write instead of words and operators that CEL has not."""
    bare = _LITERAL.sub("''", source)
    words = (f"write {right} for {word}" for word, right in _WORDS.items() if _has(bare, word))
    operators = (hint for wrong, hint in _OPERATORS.items() if re.search(wrong, bare))
    return (*words, *operators)


def of_name(name: str) -> str | None:
    """The same for a name that nothing has."""
    return f"write {_WORDS[name]} for {name}" if name in _WORDS else None


def of_field(message: str, source: str, where: str) -> str | None:
    """A field of what has none. `where`: line and column of the dot or bracket; of that of `has`, where it stands."""
    found = _FIELD_OF.search(message)
    if found is None:
        return None
    line, column = map(int, where.split(":"))
    text = source.split("\n")[line - 1]
    asked = _ASKED.match(text, column - 1)
    before = _NAME.search(text[: column - 1])
    name = asked[1] if asked else before[0] if before else "this"
    if name == "cause":
        return "cause is the reason itself, a string"
    return f"{name} is of type {found[1] or found[2]}, and has no fields"


def _has(bare: str, word: str) -> bool:
    return re.search(rf"(?<![\w.]){word}\b", bare) is not None
