"""Names of classes: any spelling of an expression to one name, and the order of the labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from research.data import EMOTIONS, SPLITS, Decoded, Split
from research.errors import InvalidInput, suggest

CONTEMPT = "contempt"
ORDER = (*EMOTIONS, CONTEMPT)
# Every spelling that sets in use have, in lower case; JAFFE's two letters are in its own file.
SPELLINGS = {
    "angry": ("angry", "anger", "ang"),
    "disgust": ("disgust", "disgusted", "dis"),
    "fear": ("fear", "fearful", "afraid", "fea"),
    "happy": ("happy", "happiness", "hap"),
    "sad": ("sad", "sadness"),
    "surprise": ("surprise", "surprised", "sur"),
    "neutral": ("neutral", "neutrality", "neu"),
    CONTEMPT: (CONTEMPT, "contemptuous", "con"),
}
_KNOWN = {spelling: name for name, spellings in SPELLINGS.items() for spelling in spellings}


class Names:
    """Spellings to names of classes, with a user's own ``aliases`` before the known ones."""

    def __init__(self, aliases: Mapping[str, str] | None, where: str) -> None:
        self.where = where
        self._own: dict[str, str] = {}
        for spelling, name in (aliases or {}).items():
            before = self._own.setdefault(_plain(spelling), _plain(name))
            if before != _plain(name):
                raise InvalidInput(
                    f"data.params.aliases: '{_plain(spelling)}' is both '{before}' and "
                    f"'{_plain(name)}'; a spelling stands for one class"
                )

    def of(self, spelling: str) -> str:
        """A spelling to its class: the user's, else the known one, else itself in lower case."""
        plain = _plain(spelling)
        return self._own.get(plain, _KNOWN.get(plain, plain))

    def is_own(self, spelling: str) -> bool:
        """Whether the user said himself what a spelling stands for."""
        return _plain(spelling) in self._own

    def distinct(self, spellings: Iterable[str]) -> dict[str, str]:
        """Spellings to classes; two spellings of one class are refused unless the user said so."""
        first: dict[str, str] = {}
        found = {}
        for spelling in spellings:
            name = found[spelling] = self.of(spelling)
            other = first.setdefault(name, spelling)
            if other != spelling and not (self.is_own(other) and self.is_own(spelling)):
                raise InvalidInput(
                    f"{self.where}: '{other}' and '{spelling}' both mean the class '{name}'; keep "
                    "one, or say what each is: --set 'data.params.aliases="
                    f"{{{_plain(other)}: {name}, {_plain(spelling)}: {name}}}'"
                )
        return found


def ordered(names: Iterable[str]) -> tuple[str, ...]:
    """Classes in FER2013's order, contempt last, where they are expressions; else sorted."""
    found = set(names)
    return tuple(n for n in ORDER if n in found) if found <= set(ORDER) else tuple(sorted(found))


def kept_classes(decoded: Decoded, only: Sequence[str] | None, where: str) -> Decoded:
    """What a source reads without the images of other classes than ``only``.

    Labels follow the set's order of classes; probabilities of the classes sum to 1 again. Raises
    `InvalidInput` for a class that the set has not, or that is given twice.
    """
    if only is None:
        return decoded
    spelled = Names(None, where)
    wanted: dict[str, str] = {}
    problems = []
    for spelling in only:
        own = _plain(spelling)
        name = own if own in decoded.classes else spelled.of(spelling)
        if name not in decoded.classes:
            near = suggest(name, decoded.classes)
            problems.append(f"data.params.only: {where} has no class '{name}'{near}")
        elif name in wanted:
            both = f"'{wanted[name]}' and '{spelling}' are both '{name}'"
            again = f"'{name}' stands twice" if wanted[name] == spelling else both
            problems.append(f"data.params.only: {again}; name each class once")
        wanted.setdefault(name, spelling)
    if problems:
        raise InvalidInput(*problems)
    labels = [label for label, name in enumerate(decoded.classes) if name in wanted]
    splits: dict[str, Split | None] = {name: getattr(decoded, name) for name in SPLITS}
    kept = {name: None if one is None else _of_labels(one, labels) for name, one in splits.items()}
    for name, one in kept.items():
        if one is not None and not len(one):
            text = f"data.params.only: no image of these classes is in the {name} split of {where}"
            raise InvalidInput(text)
    kept, persons = _present(kept, decoded.persons)
    classes = tuple(decoded.classes[label] for label in labels)
    return replace(decoded, **kept, classes=classes, persons=persons)  # type: ignore[arg-type]


def _present(
    splits: dict[str, Split | None], persons: tuple[str, ...]
) -> tuple[dict[str, Split | None], tuple[str, ...]]:
    """Splits whose groups are numbered anew, and the persons who are on some image."""
    groups = [one.groups for one in splits.values() if one is not None and one.groups is not None]
    if not groups:
        return splits, persons
    there = np.unique(np.concatenate(groups))
    renumbered = {
        name: one
        if one is None or one.groups is None
        else replace(one, groups=np.searchsorted(there, one.groups))
        for name, one in splits.items()
    }
    return renumbered, tuple(persons[place] for place in there) if persons else ()


def _of_labels(split: Split, labels: Sequence[int]) -> Split:
    """A split's images of the old ``labels``, which become 0, 1, 2 and so on."""
    kept = split.take(np.flatnonzero(np.isin(split.labels, labels)))
    new, soft = np.searchsorted(labels, kept.labels), None
    if kept.soft_labels is not None:
        soft = kept.soft_labels[:, labels]
        other = np.flatnonzero(soft.sum(axis=1) == 0)  # who votes for none of them
        soft[other, new[other]] = 1
        soft = soft / soft.sum(axis=1, keepdims=True)
    return replace(kept, labels=new, soft_labels=soft)


def label_of(name: str, classes: Sequence[str], where: str) -> int:
    """A class's label; raises `InvalidInput` for one that is not among ``classes``."""
    if name not in classes:
        raise InvalidInput(f"{where}: class '{name}' is none of {', '.join(classes)}")
    return classes.index(name)


def _plain(name: str) -> str:
    return " ".join(str(name).strip().lower().split())
