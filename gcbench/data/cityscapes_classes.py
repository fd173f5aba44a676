"""The classes of urban scenes: Cityscapes' 19 and void, their colours and the words that name them.

Knows nothing of files: `streets` draws in these classes, `cityscapes` reads them.
"""

from collections.abc import Mapping

import numpy as np

# name, labelId in Cityscapes' files, colour, words
_TABLE: tuple[tuple[str, int, tuple[int, int, int], str], ...] = (
    ("road", 7, (128, 64, 128), "road roads roadway roadways carriageway carriageways"),
    ("sidewalk", 8, (244, 35, 232), "sidewalk sidewalks pavement pavements footpath footpaths"),
    ("building", 11, (70, 70, 70), "building buildings house houses skyscraper skyscrapers"),
    ("wall", 12, (102, 102, 156), "wall walls"),
    ("fence", 13, (190, 153, 153), "fence fences fencing"),
    ("pole", 17, (153, 153, 153), "pole poles lamppost lampposts lamp_post lamp_posts"),
    (
        "traffic light",
        19,
        (250, 170, 30),
        "traffic_light traffic_lights stoplight stoplights traffic_signal traffic_signals",
    ),
    (
        "traffic sign",
        20,
        (220, 220, 0),
        "traffic_sign traffic_signs road_sign road_signs street_sign street_signs sign signs",
    ),
    (
        "vegetation",
        21,
        (107, 142, 35),
        "vegetation vegetations tree trees plant plants bush bushes hedge hedges foliage",
    ),
    ("terrain", 22, (152, 251, 152), "terrain terrains grass lawn lawns soil"),
    ("sky", 23, (70, 130, 180), "sky skies"),
    (
        "person",
        24,
        (220, 20, 60),
        "person persons people pedestrian pedestrians man men woman women child children",
    ),
    (
        "rider",
        25,
        (255, 0, 0),
        "rider riders cyclist cyclists bicyclist bicyclists motorcyclist motorcyclists",
    ),
    ("car", 26, (0, 0, 142), "car cars automobile automobiles van vans taxi taxis"),
    ("truck", 27, (0, 0, 70), "truck trucks lorry lorries"),
    ("bus", 28, (0, 60, 100), "bus buses busses"),
    ("train", 31, (0, 80, 100), "train trains tram trams streetcar streetcars"),
    (
        "motorcycle",
        32,
        (0, 0, 230),
        "motorcycle motorcycles motorbike motorbikes moped mopeds scooter scooters",
    ),
    ("bicycle", 33, (119, 11, 32), "bicycle bicycles bike bikes"),
)

CLASSES: tuple[str, ...] = (*(name for name, *_ in _TABLE), "void")
PALETTE: tuple[tuple[int, int, int], ...] = (*(colour for _, _, colour, _ in _TABLE), (0, 0, 0))
VOID = 19

ALIASES: Mapping[str, tuple[str, ...]] = {
    name: tuple(word.replace("_", " ") for word in words.split()) for name, _, _, words in _TABLE
}
"""Class -> the lower-case words by which a text names it.

"street" is absent: every caption of the authors opens with "an urban street view". "bike" means a bicycle.
"""

LABEL_IDS: tuple[int, ...] = (*(label for _, label, _, _ in _TABLE), 0)
"""Train id -> labelId; void is written as 0 ("unlabeled")."""


def _lookup() -> np.ndarray:
    table = np.full(256, 254, np.uint8)
    table[:34] = VOID
    table[255] = VOID  # labelId -1 (licence plate) in 8 bits
    table[list(LABEL_IDS[:VOID])] = np.arange(VOID, dtype=np.uint8)
    return table


TRAIN_IDS: np.ndarray = _lookup()
"""labelId (as the 8 bits of a file) -> train id; 254 marks the values that are no labelId. uint8 [256]."""
