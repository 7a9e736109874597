"""Clean MediaWiki markup to plain prose: no templates, tables, references, links or headings."""

from __future__ import annotations

import html
import re

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
#: Elements that go with their content, and single tags.
_DROPPED = "ref|gallery|math|timeline|score|syntaxhighlight|source|imagemap|code|pre|table|chem|hiero|poem"
_ELEMENT = re.compile(rf"<({_DROPPED})\b[^<>]*?(?<!/)>.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
_EMPTY_ELEMENT = re.compile(rf"<({_DROPPED})\b[^<>]*/>", re.IGNORECASE)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_TEMPLATE = re.compile(r"\{\{([^{}]*)\}\}")
_TABLE = re.compile(r"\{\|(?:(?!\{\|).)*?\|\}", re.DOTALL)
_LINK = re.compile(r"\[\[([^\[\]]*)\]\]")
_DROPPED_LINK = re.compile(r"\s*(?:file|image|category|media|[a-z]{2,3}(?:-[a-z-]+)?)\s*:", re.IGNORECASE)
_EXTERNAL = re.compile(r"\[(?:https?:|ftp:)?//[^\s\]]+\s*([^\]]*)\]")
_QUOTES = re.compile(r"'{2,5}")
_SWITCH = re.compile(r"__[A-Z]+__|\[\[|\]\]")  # page switches, and links that were never closed
_EMPTY_BRACKETS = re.compile(r"\s*\((?:[\s,;:/–-]|or|and)*\)")
_LEADING_JUNK = re.compile(r"\((?:\s+|\s*[,;:]\s*)")
_BEFORE_STOP = re.compile(r"\s+([,.;:)])(?=\s|$)")
_SPACES = re.compile(r"[^\S\n]+")

#: Shorter lines are captions and crumbs of templates.
SHORTEST = 60

#: Lines that are no prose: headings, lists, indents, table rows, rules.
_NO_PROSE = tuple("=*#:;|!{}[<-")

#: Templates that stand for a piece of the sentence: which argument it is.
_TEXT_ARGUMENT = {
    "lang": 1,
    "nowrap": 0,
    "quote": 0,
    "cquote": 0,
    "blockquote": 0,
    "transl": -1,
    "abbr": 0,
    "okina": -1,
}
_LITERAL = {
    "ndash": "–",
    "mdash": "—",
    "spaced ndash": " – ",
    "snd": " – ",
    "nbsp": " ",
    "'": "'",
    "·": " · ",
}


def prose(markup: str) -> list[str]:
    """Paragraphs of running text; the article ends where its references and links begin."""
    text = _COMMENT.sub("", markup)
    text = _EMPTY_ELEMENT.sub("", text)
    text = _ELEMENT.sub("", text)
    text = _until_stable(_TEMPLATE, _template, text)
    text = _until_stable(_TABLE, lambda match: "", text)
    text = _until_stable(_LINK, _link, text)
    text = _EXTERNAL.sub(r"\1", text)
    text = _SWITCH.sub("", _QUOTES.sub("", _TAG.sub(" ", text)))
    text = html.unescape(text)
    return [line for line in map(_tidy, text.split("\n")) if _is_prose(line)]


def _until_stable(pattern: re.Pattern[str], replace: object, text: str) -> str:
    """Apply a substitution from the innermost brackets outwards."""
    count = 1
    while count:
        text, count = pattern.subn(replace, text)  # type: ignore[call-overload]
    return text


def _template(match: re.Match[str]) -> str:
    name, *arguments = match[1].split("|")
    name = name.strip().lower()
    if name in _LITERAL:
        return _LITERAL[name]
    plain = [argument.strip() for argument in arguments if "=" not in argument]
    if name in {"convert", "cvt"} and len(plain) >= 2:
        return f"{plain[0]} {plain[1]}"
    if name.startswith("lang-") and plain:
        return plain[0]
    position = _TEXT_ARGUMENT.get(name)
    return plain[position] if position is not None and len(plain) > position else ""


def _link(match: re.Match[str]) -> str:
    target, _, label = match[1].partition("|")
    if target.startswith(":"):
        target = target[1:]
    elif _DROPPED_LINK.match(target):
        return ""
    return label.split("|")[-1] if label else target


def _tidy(line: str) -> str:
    line = _EMPTY_BRACKETS.sub("", line)
    line = _LEADING_JUNK.sub("(", line)
    return _BEFORE_STOP.sub(r"\1", _SPACES.sub(" ", line)).strip()


def _is_prose(line: str) -> bool:
    return len(line) >= SHORTEST and not line.startswith(_NO_PROSE) and line.rstrip("\"')”’»")[-1:] in ".!?:;"


__all__ = ["prose"]
