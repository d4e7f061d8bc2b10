"""The templates of paths and hosts, in one syntax for all frameworks: ``/rooms/{room}/{file:path}``.

Only a parameter that is marked with ``:path`` may have a value with a slash in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

PARAMETER = re.compile(r"\{(\w+)(:path)?\}")
BRACES = re.compile(r"\{(?P<name>\w+)(?::(?P<type>\w+)[^{}]*)?\}")
"""A parameter of Starlette, Litestar and Falcon, such as ``{room:int}``."""
ANGLES = re.compile(r"<(?:(?P<type>\w+)(?:\([^()]*\))?:)?(?P<name>\w+)>")
"""A parameter of Django and Werkzeug, such as ``<int:room>``."""
BLACKSHEEPS = re.compile(r"[{<](?:(?P<type>\w+):)?(?P<name>\w+)[}>]")
NAMED_GROUP = re.compile(r"\(\?P<(\w+)>((?:[^()\\]|\\.|\([^()]*\))*)\)")
OPTIONAL_SLASH = re.compile(r"/\?$")
IN_A_REGEX_ONLY = re.compile(r"[\\^$.|?*+()\[\]]")
ANY_PATH = "{path:path}"
ONE_SEGMENT = (None, "str", "string", "default", "int", "float", "decimal", "uuid", "slug", "dt", "date", "datetime")
"""The types of parameters whose values have no slash. Frameworks let users define others, which may."""


def parameters(template: str) -> list[str]:
    """Return the names of the parameters."""
    return [name for name, _ in PARAMETER.findall(template)]


def fill(template: str, values: Mapping[str, str]) -> str:
    """Return the template with its values, percent-encoded. All values must be given.

    Raises:
        ValueError: a value has a slash, and its parameter takes one segment of the path.
    """

    def value(found: re.Match[str]) -> str:
        name, takes_slashes = found[1], found[2]
        if "/" in values[name] and not takes_slashes:
            raise ValueError(f"{values[name]!r} has a slash, but {name} in {template} is one segment of the path")
        return quote(values[name], safe="/")

    return PARAMETER.sub(value, template)


def of_braces(text: str) -> str:
    """Return the template of Starlette, Litestar and Falcon."""
    return BRACES.sub(_parameter, text)


def of_angles(text: str) -> str:
    """Return the template of Werkzeug and of Django's ``path()``."""
    return ANGLES.sub(_parameter, text)


def of_regex(text: str) -> str:
    """Return the template of Django's ``re_path()``."""
    text = NAMED_GROUP.sub(_of_group, text.lstrip("^"))
    text = OPTIONAL_SLASH.sub("/", text.removesuffix("$"))
    return ANY_PATH if IN_A_REGEX_ONLY.search(text) else text


def of_blacksheep(text: str) -> str:
    """Return the template of BlackSheep, which also has ``:room``, and ``*`` for the rest of a path."""
    text = re.sub(r"(?<=/):(\w+)", r"{\1}", BLACKSHEEPS.sub(_parameter, text))
    return text.replace("*", "{tail:path}")


def _parameter(found: re.Match[str]) -> str:
    return f"{{{found['name']}{'' if found['type'] in ONE_SEGMENT else ':path'}}}"


def _of_group(found: re.Match[str]) -> str:
    return f"{{{found[1]}{':path' if re.fullmatch(found[2], 'a/b') else ''}}}"
