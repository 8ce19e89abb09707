"""What a file is by where it lies: the layouts that people keep sets of photographs in.

The names of folders decide, in any case, with spaces, hyphens and underscores alike:

    mvtec      train/good, test/good, test/<defect>, ground_truth/<defect>/<stem>.<ext> or <stem>_mask.<ext>
    good-bad   good, and bad or bad/<defect>, or folders named by their defects; masks under ground_truth likewise
    test       the test folder of such a set alone, to judge a detector on
    masks      images and masks, or each mask beside its image: what has a mask that is not empty is defective
    flat       images anywhere, none below a folder of a known name: all are taken as normal, unless some of the names,
               of folders or of files, speak of defects

For good, bad, train, test, ground_truth and images stand the words below. `images` and `masks` may come at any depth,
`data` before them. Folders inside these places are searched too; the first one below test, bad and ground_truth names
the defect. What names of folders may mean in two ways is refused with what was seen.
"""

import itertools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from jaxad._check import InputError
from jaxad.datasets.tree import Tree, name_below

GOOD, BAD = "good", "bad"
Layout = Literal["mvtec", "good-bad", "test", "masks", "labels", "flat"]
Split = Literal["train", "test", "validation"]

GOOD_NAMES = frozenset(
    {GOOD, "normal", "ok", "okay", "io", "i.o.", "pass", "passed", "accepted", "defect_free", "no_defect", "no_defects"}
    | {"non_defective", "nondefective", "without_defects", "healthy", "正常", "良品", "合格"}
    | {"gut", "gutteile", "bon", "bons", "bonnes", "bueno", "buenos", "buenas", "buono", "buoni", "buone"}
)
BAD_NAMES = frozenset(
    {BAD, "abnormal", "ng", "nok", "ko", "nio", "n.i.o.", "not_ok", "not_good", "fail", "failed", "reject", "rejected"}
    | {"defect", "defects", "defective", "defected", "anomaly", "anomalies", "anomalous", "faulty"}
    | {"异常", "不良", "不良品", "缺陷", "不合格"}
    | {"schlecht", "schlechtteile", "ausschuss", "defekt", "mauvais"}
    | {"malo", "malos", "malas", "defectuoso", "difettoso"}
)
SPLITS: Mapping[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing", "test_public", "test_private", "test_private_mixed"), "test"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
}
_IMAGES = frozenset({"images", "image", "imgs", "img"})
_MASKS = frozenset({"masks", "mask", "ground_truth", "ground_truths", "groundtruth", "gt"})
_DATA = frozenset({"data", "dataset"})
_DEFECT_WORDS = frozenset(
    {"bad", "abnormal", "ng", "nok", "ko", "nio", "fail", "failed", "failure", "reject", "rejected", "scrap", "defect"}
    | {"defective", "anomaly", "anomalie", "anomalous", "fault", "faulty", "flaw", "flawed", "scratch", "scratched"}
    | {"crack", "cracked", "dent", "dented", "broken", "break", "damage", "damaged", "hole", "contamination", "stain"}
    | {"contaminated", "stained", "rust", "corrosion", "missing", "bent", "chipped", "torn", "burr", "blemish"}
    | {"inclusion", "pitted", "crazing", "misplaced", "misaligned", "deformed", "def", "worn"}
    | {"positive", "negative", "pos", "neg"}
)


class Place(NamedTuple):
    """What a file is by the folders above it."""

    is_mask: bool
    split: Split | None
    kind: str
    """The folder that says what its images show; "" where there is none."""
    below: tuple[str, ...]
    """The folders below that one."""
    stem: str

    @property
    def says(self) -> Literal["good", "bad", "other", ""]:
        """What `kind` says."""
        if not self.kind:
            return ""
        return "good" if says_good(self.kind) else "bad" if word_of(self.kind) in BAD_NAMES else "other"

    @property
    def defect(self) -> str:
        """The name of what its images show: "good", "bad", or what the folder of the defect is called."""
        if self.says == "good":
            return GOOD
        if self.says == "other":
            return self.kind
        specific = self.below and word_of(self.below[0]) not in GOOD_NAMES | BAD_NAMES
        return self.below[0] if specific else self.kind if self.split else BAD


def place_of(path: Path) -> Place:
    """Where a path below the root lies."""
    is_mask, seen_images, split = False, False, None
    folders: list[str] = []
    for name in path.parts[:-1]:
        word = word_of(name)
        if word in _MASKS and not (is_mask or seen_images):
            is_mask = True
        elif word in _IMAGES and not (is_mask or seen_images):
            seen_images = True
        elif folders or not (word in _DATA or (word in SPLITS and split is None)):
            folders.append(name)
        elif word in SPLITS:
            split = SPLITS[word]
    kind, *below = folders or [""]
    return Place(is_mask, split, kind, tuple(below), path.stem)


def choose_layout(root: Path, tree: Tree, places: Mapping[Path, Place], *, paired: bool, judging: bool) -> Layout:
    """The layout that these places of images make up.

    Args:
        root: the folder.
        tree: what lies below it.
        places: the places of its images, masks among them.
        paired: whether images have masks beside them.
        judging: whether the images are to be judged; else there must be normal ones to learn from.

    Raises:
        InputError: several sets, folders of known names without the normal images of any layout, folders named by
            defects in those of good images, or names that say that some of the images are defective and do not say
            which are good.
    """
    images = {path: place for path, place in places.items() if not place.is_mask}
    _need_good_alone(root, images)
    says = {(place.split, place.says) for place in images.values()}
    if ("train", GOOD) in says:
        return "mvtec"
    if (None, GOOD) in says:
        return "good-bad"
    if not any(word in {GOOD, BAD} for _, word in says) and (
        paired or (len(images) < len(places) and ("test", "other") not in says)
    ):
        if images:
            _need_one_set(root, tree, above=_IMAGES | _MASKS)
            return "masks"
        raise InputError(f"folder {str(root)!r} must hold images, got {len(places)} masks; put images into 'images'")
    if judging:
        if any(split == "test" for split, _ in says) or is_test(root):
            return "test"
        _need_one_set(root, tree)
        return "test" if (None, BAD) in says else "flat"
    _need_normal(root, tree)
    _need_one_set(root, tree)
    _need_no_defects(root, tree)
    return "flat"


def says_defect(name: str) -> bool:
    """Whether a name speaks of defects, be it of one or of their absence.

    >>> says_defect("big scratches"), says_defect("camera 2")
    (True, False)
    """
    return word_of(name) in BAD_NAMES or any(map(_is_defect_word, _words_in(name)))


def names_defect(stem: str) -> bool:
    """Whether a file is by its name, without the extension, an image of a defect.

    >>> [names_defect(stem) for stem in ("cast_def_12", "not-ok 3", "no_defect_1", "ok_1", "5a0bad11")]
    [True, True, False, False, False]
    """
    if _HEXADECIMAL.fullmatch(stem) and not _COUNTED.fullmatch(stem):
        return False
    words = _words_in(stem)
    pairs = {f"{first}_{second}" for first, second in itertools.pairwise(words)}
    return bool(pairs & BAD_NAMES) or (not pairs & GOOD_NAMES and any(map(_is_defect_word, words)))


def is_test(root: Path) -> bool:
    """Whether a folder is by its name the test folder of a set."""
    return SPLITS.get(word_of(root.resolve().name)) == "test"


def says_good(name: str) -> bool:
    """Whether a name is one of those that stand for good."""
    return word_of(name) in GOOD_NAMES


def word_of(name: str) -> str:
    """A name in small letters, with one underscore for spaces, hyphens and underscores."""
    return re.sub(r"[\s_-]+", "_", name.casefold())


_SPOKEN = GOOD_NAMES | BAD_NAMES | SPLITS.keys()
# Identifiers such as 0badf00d spell words by chance; bad12 is a word with a number.
_HEXADECIMAL, _COUNTED = re.compile(r"[0-9a-fA-F-]+"), re.compile(r"[a-zA-Z]+-?\d*")


def _words_in(name: str) -> list[str]:
    return [word for word in re.split(r"[\W_\d]+", name.casefold()) if word]


def _is_defect_word(word: str) -> bool:
    if len(word) <= 4:  # of abbreviations there is no plural: kos1 is a part's number, and no several of KO
        return word in _DEFECT_WORDS
    return any(form in _DEFECT_WORDS for form in (word, word.removesuffix("s"), word.removesuffix("es")))


def _unfollowed(root: Path, tree: Tree) -> str:
    return f"; links to folders are not followed: {name_below(root, tree.links)}" if tree.links else ""


def _need_normal(root: Path, tree: Tree) -> None:
    known = _SPOKEN | _MASKS
    strays = [folder for folder in tree.folders if folder.parent == root and word_of(folder.name) in known]
    if strays:
        raise InputError(
            f"folder {str(root)!r} has {name_below(root, strays)} and no folder of normal images to go with it; put "
            f"those into 'good' beside 'bad', or into 'train/good' beside 'test'{_unfollowed(root, tree)}"
        )


def _need_one_set(root: Path, tree: Tree, *, above: frozenset[str] = frozenset()) -> None:
    """Refuse folders of sets; below folders of one of the words `above`, names are those of parts of one set."""
    known = _SPOKEN | above
    found = {folder: [word_of(name) for name in folder.relative_to(root).parts] for folder in tree.folders}
    sets = dict.fromkeys(
        folder.parent
        for folder, words in found.items()
        if len(words) > 1 and words[-1] in _SPOKEN and not known & set(words[:-1])
    )
    if sets:
        raise InputError(
            f"folder {str(root)!r} must hold one set, and these lie further down: {name_below(root, sets)}; name one "
            "of them"
        )


def _need_good_alone(root: Path, images: Mapping[Path, Place]) -> None:
    """Refuse images of defects, by the name of their folder, among good ones."""
    below = [
        path.parent for path, place in images.items() if place.says == "good" and any(map(names_defect, place.below))
    ]
    if below:
        raise InputError(
            f"folder {str(root)!r} has images that may show defects below folders of good ones: "
            f"{name_below(root, dict.fromkeys(below))}; put these folders beside those, or list what each image is by "
            "--labels"
        )


def _need_no_defects(root: Path, tree: Tree) -> None:
    """Images of a folder that may show defects are never taken as normal."""
    beside_root = root.resolve().parent
    if is_test(root) and (beside_root / "train").is_dir():
        raise InputError(
            f"folder {str(root)!r} holds images to test on, for 'train' lies beside it, and none in 'good'; name "
            f"{str(beside_root)!r}"
        )
    holders = _folders_of(root, tree.images)
    spoken = [folder for folder in holders if says_defect(folder.name)]
    numbers = [folder for folder in holders if folder.parent == root and folder.name in {"0", "1"}]
    strange = spoken or (numbers if len(numbers) > 1 else [])
    if strange:
        raise InputError(
            f"folder {str(root)!r} has images in {name_below(root, holders)}, of which {name_below(root, strange)} may "
            "hold defects, and none in 'good': call the folder of normal images 'good', name it alone, or list what "
            "each image is by --labels"
        )
    named = [path for path in tree.images if names_defect(path.stem)]
    if 0 < len(named) < len(tree.images):
        raise InputError(
            f"folder {str(root)!r} has images that may hold defects by their names: {name_below(root, named)} "
            f"({len(named)} of {len(tree.images)}), and none in 'good': put normal ones into 'good' and these into "
            "'bad', or list what each image is by --labels"
        )


def _folders_of(root: Path, images: Iterable[Path]) -> list[Path]:
    """The folders below the root that hold images, or folders with images."""
    found = dict.fromkeys(above for path in images for above in path.parents if above != root and root in above.parents)
    return sorted(found)
