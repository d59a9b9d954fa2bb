"""What does not load with the releases of diffusers and transformers that overt is tested with. It is put
right here alone, and each part goes when a release does without it.

Moved: a saved pipeline names each part's class and library. Stable Cascade and Wuerstchen name PaellaVQModel
of `wuerstchen`, which diffusers 0.36 moved to its deprecated folder, where its own loader no longer looks
(https://github.com/huggingface/diffusers/pull/12537); folders saved since then name it as a class of
diffusers itself, which has none of that name either. Safe Stable Diffusion names its checker of
`stable_diffusion_safe`, a package that does not hand it out. PRX names T5GemmaEncoder as one of transformers,
which has it in a submodule only.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
from pathlib import Path
from types import ModuleType


def supply_moved_parts(message: str) -> bool:
    """Puts back the classes that an error of loading names. Returns whether any was found.

    Args:
        message: the error's text, such as "`diffusers` has no class `PaellaVQModel`".
    """
    words = set(re.findall(r"\w+", message))
    return any([_of_moved_packages(words), _of_transformers(words)])


def _of_moved_packages(words: set[str]) -> bool:
    import diffusers

    found = False
    for name, package in _moved_packages():
        _import_hidden(package, words)
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


def _import_hidden(package: ModuleType, words: set[str]) -> None:
    """Puts classes into a package that only its modules have."""
    for file in Path(next(iter(package.__path__))).glob("*.py"):
        defined = set(re.findall(r"^class (\w+)", file.read_text("utf-8"), re.MULTILINE)) & words
        for item in defined - set(dir(package)):
            module = importlib.import_module(f"{package.__name__}.{file.stem}")
            setattr(package, item, getattr(module, item))


def _of_transformers(words: set[str]) -> bool:
    """Classes of transformers that only the pipeline's own module imports."""
    import transformers

    found = False
    modules = [module for name, module in sys.modules.items() if name.startswith("diffusers.pipelines.")]
    for word in words:
        if not word[:1].isupper() or hasattr(transformers, word):
            continue
        parts = (vars(module).get(word) for module in modules)
        part = next(
            (p for p in parts if isinstance(p, type) and p.__module__.startswith("transformers.")), None
        )
        if part is not None:
            setattr(transformers, word, part)
            found = True
    return found
