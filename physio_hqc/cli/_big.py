"""Large letters out of blocks, to be read from across the room."""

from __future__ import annotations

from functools import lru_cache

ROWS = 5
HALF_ROWS = 3

# Five rows each, separated by spaces; # is ink.
_GLYPHS = {
    "0": "### #.# #.# #.# ###", "1": ".#. ##. .#. .#. ###", "2": "### ..# ### #.. ###",
    "3": "### ..# .## ..# ###", "4": "#.# #.# ### ..# ..#", "5": "### #.. ### ..# ###",
    "6": "### #.. ### #.# ###", "7": "### ..# ..# ..# ..#", "8": "### #.# ### #.# ###",
    "9": "### #.# ### ..# ###", "A": "### #.# ### #.# #.#", "B": "##. #.# ##. #.# ##.",
    "C": "### #.. #.. #.. ###", "D": "##. #.# #.# #.# ##.", "E": "### #.. ##. #.. ###",
    "F": "### #.. ##. #.. #..", "G": "#### #... #.## #..# ####", "H": "#.# #.# ### #.# #.#",
    "I": "# # # # #", "J": "..# ..# ..# #.# ###", "K": "#..# #.#. ##.. #.#. #..#",
    "L": "#.. #.. #.. #.. ###", "M": "#...# ##.## #.#.# #...# #...#",
    "N": "#..# ##.# #.## #..# #..#", "O": "#### #..# #..# #..# ####", "P": "### #.# ### #.. #..",
    "Q": "#### #..# #..# #.## ####", "R": "### #.# ##. #.# #.#", "S": "### #.. ### ..# ###",
    "T": "### .#. .#. .#. .#.", "U": "#.# #.# #.# #.# ###", "V": "#.# #.# #.# #.# .#.",
    "W": "#...# #...# #.#.# ##.## #...#", "X": "#.# #.# .#. #.# #.#",
    "Y": "#.# #.# ### .#. .#.", "Z": "### ..# .#. #.. ###", " ": ".. .. .. .. ..",
    ":": ". # . # .", ".": ". . . . #", ",": ". . . # #", "-": ".. .. ## .. ..",
    "+": "... .#. ### .#. ...", "/": "..# ..# .#. #.. #..", "!": "# # # . #",
    "?": "### ..# .## ... .#.", "%": "#.# ..# .#. #.. #.#", "(": ".# #. #. #. .#",
    ")": "#. .# .# .# #.", "_": "... ... ... ... ###", "'": "# # . . .",
}  # fmt: skip
_HALVES = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}


def can_show(text: str) -> bool:
    """Whether every character has a large form."""
    return all(character in _GLYPHS for character in text.upper())


@lru_cache(maxsize=256)
def large(text: str) -> tuple[str, ...]:
    """Five rows, every dot two columns wide; as wide as high to the eye.

    Examples
    --------
    >>> print(large("1")[0] + "|")
      ██  |
    """
    return tuple("".join("██" if dot else "  " for dot in row) for row in _dots(text))


@lru_cache(maxsize=256)
def medium(text: str) -> tuple[str, ...]:
    """Three rows, every dot half a row high and one column wide.

    Examples
    --------
    >>> print(medium("L")[2])
    ▀▀▀
    """
    dots = [*_dots(text), [False] * len(_dots(text)[0])]
    pairs = zip(dots[0::2], dots[1::2], strict=True)
    return tuple(
        "".join(_HALVES[above, below] for above, below in zip(*pair, strict=True)) for pair in pairs
    )


def mixed(text: str, width: int, rows: int) -> tuple[str, ...]:
    """The largest letters that fit into so many columns and rows; empty where none do.

    With five rows the first words are large and, where that is too wide, the last ones medium.
    """
    if not can_show(text):
        return ()
    if rows < ROWS:
        fits = rows >= HALF_ROWS and len(medium(text)[0]) <= width
        return medium(text) if fits else ()
    words = text.split()
    for n in range(len(words), 0, -1):
        first = large(" ".join(words[:n]))
        rest = medium(" ".join(words[n:])) if n < len(words) else ("",) * HALF_ROWS
        if len(first[0]) + 4 + len(rest[0]) <= width:
            # The small words stand on the ground line of the large ones.
            beside = ("", "", *rest)
            return tuple(f"{a}    {b}" for a, b in zip(first, beside, strict=True))
    return ()


def _dots(text: str) -> list[list[bool]]:
    """Five rows of dots, one dot between letters."""
    glyphs = [_GLYPHS.get(character, _GLYPHS["?"]).split() for character in text.upper()]
    rows = (".".join(glyph[row] for glyph in glyphs) for row in range(ROWS))
    return [[dot == "#" for dot in row] for row in rows]
