"""The classes of urban scenes: Cityscapes' 19 and void, their colours and the words that name them.

Knows nothing of files: `streets` draws in these classes, `cityscapes` reads them.
"""

from collections.abc import Mapping

import numpy as np

from gcbench.data.class_tables import colours, words

# name, labelId in Cityscapes' files, colour, words
_TABLE: tuple[tuple[str, int, str, str], ...] = (
    ("road", 7, "804080", "road+ roadway+ carriageway+ highway+ motorway+ asphalt tarmac crosswalk+ zebra_crossing+"),
    ("sidewalk", 8, "f423e8", "sidewalk+ side_walk+ pavement+ footpath+ footway+ walkway+ curb+ kerb+"),
    (
        "building",
        11,
        "464646",
        "building+ house+ skyscraper+ high_rise+ tower+ church churches cottage+ storefront+ shopfront+ facade+",
    ),
    ("wall", 12, "66669c", "wall+"),
    ("fence", 13, "be9999", "fence+ fencing railing+"),
    (
        "pole",
        17,
        "999999",
        "pole+ lamppost+ lamp_post+ street_light+ streetlight+ street_lamp+ streetlamp+ signpost+ sign_post+",
    ),
    ("traffic light", 19, "faaa1e", "traffic_light+ stoplight+ stop_light+ traffic_signal+ traffic_lamp+"),
    (
        "traffic sign",
        20,
        "dcdc00",
        "traffic_sign+ road_sign+ roadsign+ street_sign+ stop_sign+ signage signboard+ sign+",
    ),
    (
        "vegetation",
        21,
        "6b8e23",
        "vegetation+ tree+ plant+ bush bushes hedge+ shrub+ shrubbery foliage greenery flower+",
    ),
    ("terrain", 22, "98fb98", "terrain+ grass lawn+ meadow+ soil turf"),
    ("sky", 23, "4682b4", "sky skies"),
    (
        "person",
        24,
        "dc143c",
        "person+ people pedestrian+ man men woman women child children kid+ boy+ girl+ guy+ lady "
        "ladies gentleman gentlemen adult+ toddler+ baby babies teenager+ passerby passersby "
        "passer_by passers_by bystander+ walker+ jogger+ worker+ policeman policemen tourist+ "
        "crowd+ somebody someone",
    ),
    ("rider", 25, "ff0000", "rider+ cyclist+ bicyclist+ motorcyclist+ biker+ skateboarder+"),
    ("car", 26, "00008e", "car+ automobile+ van+ minivan+ taxi+ cab+ suv+ jeep+ sedan+ hatchback+ limousine+"),
    ("truck", 27, "000046", "truck+ lorry lorries pickup+"),
    ("bus", 28, "003c64", "bus buses busses minibus minibuses coach coaches"),
    ("train", 31, "005064", "train+ tram+ streetcar+ locomotive+ trolley_car+"),
    ("motorcycle", 32, "0000e6", "motorcycle+ motor_cycle+ motorbike+ motor_bike+ moped+ scooter+"),
    ("bicycle", 33, "770b20", "bicycle+ bike+ pushbike+ tricycle+"),
)

CLASSES: tuple[str, ...] = (*(name for name, *_ in _TABLE), "void")
PALETTE: tuple[tuple[int, int, int], ...] = (*(colours(code)[0] for _, _, code, _ in _TABLE), (0, 0, 0))
VOID = 19

ALIASES: Mapping[str, tuple[str, ...]] = {name: words(spelled) for name, _, _, spelled in _TABLE}
"""Class -> the lower-case words by which a text names it.

"street" is absent: every caption of the authors opens with "an urban street view". "bike" means a bicycle, "biker" and
"cyclist" the rider alone. "vehicle" is absent: it is no class, and of several none is meant. Pickups are trucks, taxis
and vans cars, curbs sidewalk, crosswalks road, as Cityscapes labels them; a street light is a pole here.
"""

LABEL_IDS: tuple[int, ...] = (*(label for _, label, _, _ in _TABLE), 0)
"""Train id -> labelId; void is written as 0 ("unlabeled")."""


TRAIN_IDS: np.ndarray = np.full(256, 254, np.uint8)
"""labelId (as the 8 bits of a file) -> train id; 254 marks the values that are no labelId. uint8 [256]."""
TRAIN_IDS[[*range(34), 255]] = VOID  # 255: labelId -1 (licence plate) in 8 bits
TRAIN_IDS[list(LABEL_IDS[:VOID])] = np.arange(VOID)
