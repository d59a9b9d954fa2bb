"""The floor under every policy: nothing sexual about minors is asked for or kept.

A text fails if it names a minor and, anywhere in it, something sexual. The check uses word lists and no
model. It stops too much rather than too little: a sculptor's nude cherub fails too. A text with only a minor,
or only sexual content between adults, passes, and so do sex education and the prevention of abuse. The word
lists, the innocent phrases ("same-sex parents", "a Game Boy") and the words for ages are in languages/, one
file per language.

The check sees through case, accents, width, entities, hidden characters, look-alikes of other scripts,
digits for letters, masked letters (s*x), spaced letters (s e x), parted words (nu-de), repeated letters
(nuuude), and joined words.

    scan.py     the search         fold.py       typography and look-alikes
    ages.py     ages below 18      bodies.py     replies of models, before they are written anywhere
    terms.py    the word lists     languages.py  which languages the floor covers
"""

from overt.policies.floor.bodies import Stop, stopped
from overt.policies.floor.languages import uncovered
from overt.policies.floor.scan import askable, floor_reason, names_minor, names_sexual

__all__ = ["Stop", "askable", "floor_reason", "names_minor", "names_sexual", "stopped", "uncovered"]
