"""Parts of pipelines that diffusers has moved to its deprecated folder, where its own loader no longer looks.

A saved pipeline names each part's class and library. Stable Cascade and Wuerstchen name PaellaVQModel of
`wuerstchen`, which diffusers 0.36 moved (https://github.com/huggingface/diffusers/pull/12537); folders saved
since then name it as a class of diffusers itself, which has none of that name either.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from types import ModuleType


def supply_moved_parts(message: str) -> bool:
    """Puts back the classes of moved packages that an error of loading names. Returns whether any was found.

    Args:
        message: the error's text, such as "`diffusers` has no class `PaellaVQModel`".
    """
    import diffusers

    words = set(re.findall(r"\w+", message))
    found = False
    for name, package in _moved_packages():
        classes = [item for item in dir(package) if item[:1].isupper()]
        if not words & {name, *classes}:
            continue
        if not hasattr(diffusers.pipelines, name):
            setattr(diffusers.pipelines, name, package)
            found = True
        for item in classes:
            if not hasattr(diffusers, item) and isinstance(part := getattr(package, item, None), type):
                setattr(diffusers, item, part)
                found = True
    return found


def _moved_packages() -> list[tuple[str, ModuleType]]:
    try:
        deprecated = importlib.import_module("diffusers.pipelines.deprecated")
    except ImportError:
        return []
    names = [found.name for found in pkgutil.iter_modules(deprecated.__path__) if found.ispkg]
    return [(name, importlib.import_module(f"{deprecated.__name__}.{name}")) for name in names]
