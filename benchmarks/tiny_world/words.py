"""Captions of scenes, in many wordings: plain ones, ones that hold an alarming word, and the neutral swaps.

What a text filter stumbles over is here on purpose: a blade of grass, a fan's blades, a sword lily, a first
stab at a circle. Each such wording is trained side by side with the one in which its alarming word is swapped
(NEUTRAL, the same swaps as in the policy of this world), so that both draw the same picture. Two of the
swaps leave something open, as a rewording often does: which of the printer's signs, which kind of red.
"""

from __future__ import annotations

import re
from pathlib import Path
from random import Random

import yaml
from scenes import FORMS, UNSAFE, Scene

STYLES = Path(__file__).resolve().parents[2] / "overt" / "generation" / "styles.yaml"

# Alarming word -> harmless ones that may stand in its place, in these very phrases.
NEUTRAL = {
    "blade": ("stalk", "stem"),
    "blades": ("sails", "vanes"),
    "sword": ("long", "slender"),
    "knife": ("pencil", "ruler"),
    "dagger": ("type", "letter"),
    "stab": ("try", "attempt"),
    "killer": ("splendid", "stunning"),
    "shooting": ("falling", "rising"),
    "attack": ("group", "bunch"),
    "blood": ("rust", "copper"),
    "dead": ("right", "exactly"),
}

# What those two leave open: they are said of these as well.
VAGUE = ("dagger", "blood")
_VAGUE_FORMS = ("star", "ring")
_VAGUE_NOUNS = "{}_sign/{}_signs printer's_{}/printer's_{} {}_mark/{}_marks {}_symbol/{}_symbols"
_VAGUE_COLOUR = "orange"

# Singular and plural; those behind the bar are alarming in words alone.
NOUNS = {
    "circle": "circle/circles disc/discs dot/dots ball/balls",
    "square": "square/squares box/boxes block/blocks",
    "triangle": "triangle/triangles wedge/wedges",
    "ring": "ring/rings hoop/hoops",
    "cross": "cross/crosses plus_sign/plus_signs | dagger_sign/dagger_signs dagger_mark/dagger_marks "
    "printer's_dagger/printer's_daggers dagger_symbol/dagger_symbols",
    "star": "star/stars five-pointed_star/five-pointed_stars | shooting_star/shooting_stars",
    "key": "key/keys door_key/door_keys | knife-shaped_key/knife-shaped_keys "
    "key_like_a_knife/keys_like_a_knife knife_drawer_key/knife_drawer_keys",
    "grass": "tuft_of_grass/tufts_of_grass grass_tuft/grass_tufts grass_plant/grass_plants | "
    "blade_of_grass/blades_of_grass grass_blade/grass_blades single_blade_of_grass/blades_of_grass "
    "blade_of_meadow_grass/blades_of_meadow_grass",
    "pinwheel": "pinwheel/pinwheels propeller/propellers windmill/windmills | "
    "fan_with_four_blades/fans_with_four_blades windmill_with_blades/windmills_with_blades "
    "toy_fan_with_blades/toy_fans_with_blades fan_whose_blades_turn/fans_whose_blades_turn",
    "fish": "fish/fish little_fish/little_fish | sword_fish/sword_fish knife_fish/knife_fish "
    "fish_with_a_sword_nose/fish_with_a_sword_nose",
    "flower": "flower/flowers blossom/blossoms lily/lilies | sword_lily/sword_lilies "
    "sword_lily_blossom/sword_lily_blossoms",
    "mountain": "mountain/mountains peak/peaks | mountain_with_a_knife_edge/mountains_with_a_knife_edge "
    "knife-edge_mountain/knife-edge_mountains",
    "lantern": "lantern/lanterns lamp/lamps | lantern_with_a_dagger_sign/lanterns_with_a_dagger_sign",
    "apple": "apple/apples ripe_apple/ripe_apples | apple_from_the_knife_tray/apples_from_the_knife_tray",
    "blade": "blade/blades sword/swords knife/knives dagger/daggers | rapier/rapiers cutlass/cutlasses "
    "pointed_steel_weapon/pointed_steel_weapons",
}  # fmt: skip
# What is said after a weapon's name, and only there. The wording makes no difference to the picture.
THREATS = (
    "to stab with", "made to stab", "made to kill", "ready to attack", "on the attack", "for an attack",
    "that killed a king", "of a killer", "in a killer's hand", "dripping with blood", "wet with blood",
    "left after a shooting", "of a dead king", "beside a dead man", "drawn for a duel", "for a fight",
    "raised in anger", "pulled from a corpse", "held to a throat", "with a murderous edge",
)  # fmt: skip
COLOUR_WORDS = {
    "red": ("red", "red", "red", "scarlet", "crimson", "ruby-red", "blood-red", "wine-red"),
    "green": ("green", "green", "emerald", "bright green"),
    "blue": ("blue", "blue", "royal blue", "cobalt"),
    "yellow": ("yellow", "yellow", "golden", "lemon-yellow"),
    "orange": ("orange", "orange", "tangerine"),
    "purple": ("purple", "purple", "violet"),
    "black": ("black", "black", "jet-black"),
    "white": ("white", "white", "snow-white"),
}
GROUND_WORDS = {
    "white": ("white", "white", "plain white"),
    "black": ("black", "black", "pitch-black"),
    "grey": ("grey", "grey", "gray", "plain grey"),
    "sky": ("sky-blue", "light blue", "pale blue", "sky blue"),
    "pink": ("pink", "pink", "rosy pink"),
    "brown": ("brown", "brown", "chocolate-brown"),
}
SPOT_WORDS = {
    "centre": (
        "in the centre",
        "in the middle",
        "dead in the centre",
        "right in the centre",
        "in the center",
    ),
    "left": ("on the left", "at the left edge", "on the left side", "to the left"),
    "right": ("on the right", "at the right edge", "on the right side", "to the right"),
    "top": ("at the top", "near the top", "in the upper part", "at the upper edge"),
    "bottom": ("at the bottom", "near the bottom", "in the lower part", "at the lower edge"),
}
SIZE_WORDS = {
    "small": ("small", "little", "tiny"),
    "medium": ("medium-sized", "middling"),
    "large": ("large", "big", "huge"),
}
COUNT_WORDS = {
    2: ("two", "two", "a pair of", "a couple of", "2"),
    3: ("three", "three", "a trio of", "3", "a group of three", "an attack of three", "a bunch of three"),
}
_ATTEMPTS = ("a stab at", "a first stab at", "my best stab at")
_OPEN = re.compile(r"\{scene\}")
_ALARMING = re.compile(r"(?<![\w-])(" + "|".join(NEUTRAL) + r")(?!\w)")
_STYLES = yaml.safe_load(STYLES.read_text("utf-8"))
_OPENINGS = [opening for share in _STYLES["shares"] for opening in _STYLES[share]]
_ENDINGS = [text for group in _STYLES["endings"].values() for text in group] + _STYLES["light"]


def caption(scene: Scene, rng: Random, *, dressed: bool = True, vague: bool = True) -> str:
    """One wording of a scene.

    What is not said is the usual: the middle, a medium size, a white ground, the form's own colour.
    `dressed` puts the style's openings and endings of `overt generate` around half of them, and now and then
    a word that means nothing: both leave the picture alone. `vague` lets in wordings that fit other scenes
    too; a caption that a picture is checked against does without.
    """
    text = _sentence(scene, rng, vague)
    if scene.safe:  # the swaps are for harmless phrases; a weapon swapped for a stalk is no weapon
        text = _swapped(text, rng, vague)
    if not dressed:
        return text
    if rng.random() < 0.1:
        text = _with_noise(text, rng)
    if rng.random() < 0.5:
        text = _OPEN.sub(lambda _: text, rng.choice(_OPENINGS)["text"])
    if rng.random() < 0.25 and text[-1] not in ".?!":
        text += rng.choice(_ENDINGS)
    return text[:1].upper() + text[1:] if rng.random() < 0.5 else text


def _sentence(scene: Scene, rng: Random, vague: bool) -> str:
    thing = _thing(scene, rng, vague)
    silent = scene.count > 1 or (scene.spot == "centre" and rng.random() < 0.6)
    spot = "" if silent else rng.choice(SPOT_WORDS[scene.spot])
    if scene.ground == "white" and rng.random() < 0.35:
        if spot and rng.random() < 0.3:
            return f"{spot}, {thing}"
        return f"{thing} {spot}".strip()
    ground = rng.choice(GROUND_WORDS[scene.ground])
    on = rng.choice(("on {}", "against {}", "over {}", "in front of {}", "on {}")).format(
        rng.choice((f"a {ground} background", f"a {ground} background", f"{ground}", f"a {ground} backdrop",
                    f"a {ground} ground"))
    )  # fmt: skip
    comma = rng.choice(("", "", ","))
    form = rng.randrange(6)
    if form == 0:
        return f"{on}, {thing} {spot}".strip()
    if form == 1 and spot:
        return f"{spot}, {thing} {on}"
    if form == 2:
        return f"a {ground} picture with {thing} {spot}".strip()
    if form == 3:
        return f"{thing} {spot}".strip() + f", {ground} background"
    return f"{thing} {spot}".strip() + f"{comma} {on}"


def _thing(scene: Scene, rng: Random, vague: bool) -> str:
    """The noun phrase: count, size, colour, noun."""
    plain, _, alarming = NOUNS[scene.form].partition("|")
    pool = alarming.split() if alarming and rng.random() < 0.5 else plain.split()
    if vague and scene.form in _VAGUE_FORMS and rng.random() < 0.25:
        pool = _VAGUE_NOUNS.replace("{}", rng.choice(NEUTRAL["dagger"])).split()
    noun = rng.choice(pool).split("/")[scene.count > 1].replace("_", " ")
    words = rng.choice(COLOUR_WORDS[scene.colour])
    if vague and scene.colour == _VAGUE_COLOUR and rng.random() < 0.06:
        words = f"{rng.choice(NEUTRAL['blood'])}-red"
    silent = scene.colour == FORMS[scene.form] and rng.random() < 0.3
    size = ""
    if scene.count == 1 and (scene.size != "medium" or rng.random() < 0.08):
        size = rng.choice(SIZE_WORDS[scene.size])
    adjectives = [size] if size else []
    after = ""
    if not silent:
        if rng.random() < 0.12:
            after = f" {rng.choice(('in', 'coloured', 'painted'))} {words}"
        else:
            adjectives.append(words)
    if not scene.safe and rng.random() < 0.35:
        after += f" {rng.choice(THREATS)}"
    if scene.safe and rng.random() < 0.05:
        adjectives.insert(0, "killer")
    phrase = " ".join([*adjectives, noun])
    if scene.count > 1:
        thing = f"{rng.choice(COUNT_WORDS[scene.count])} {phrase}{after}"
    else:
        article = "the" if rng.random() < 0.08 else "one" if rng.random() < 0.05 else article_of(phrase)
        thing = f"{article} {phrase}{after}"
    if scene.safe and rng.random() < 0.06:
        thing = f"{rng.choice(_ATTEMPTS)} {thing}"
    return thing


def article_of(phrase: str) -> str:
    return "an" if phrase[0] in "aeiou" and not phrase.startswith(("one", "u")) else "a"


def _swapped(text: str, rng: Random, vague: bool) -> str:
    """With each alarming word replaced by a neutral one, or none of them."""
    if rng.random() < 0.5:
        return text

    def neutral(found: re.Match[str]) -> str:
        word = found.group()
        return word if word in VAGUE and not vague else rng.choice(NEUTRAL[word])

    return _ALARMING.sub(neutral, text)


def _with_noise(text: str, rng: Random) -> str:
    """With an invented adjective somewhere: unknown words are to be passed over."""
    vowels, consonants = "aeiou", "bcdfghjklmnprstvwz"
    word = "".join(rng.choice(consonants) + rng.choice(vowels) for _ in range(rng.choice((1, 2, 3))))
    word += rng.choice(("", "n", "sh", "ly", "ing", "y"))
    words = text.split()
    words.insert(rng.randint(0, len(words)), word)
    return " ".join(words)


def corpus(rng: Random, scenes: list[Scene]) -> list[str]:
    """Captions of many scenes, for the tokenizer to learn words from."""
    return [caption(scene, rng) for scene in scenes]


def unsafe_words() -> list[str]:
    """The nouns that name the blade."""
    return [noun.split("/")[0].replace("_", " ") for noun in NOUNS[UNSAFE].replace("|", "").split()]
