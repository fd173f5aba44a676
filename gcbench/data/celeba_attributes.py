"""CelebA's 40 attributes, in the order of its `list_attr_celeba.txt`, and the words by which a caption affirms each.

Source of the names: Liu et al. 2015, "Deep Learning Face Attributes in the Wild". The words are those of
MM-CelebA-HQ's captions and their everyday variants. How a text is read with them: `gcbench.text.attribute_mentions`.
"""

from collections.abc import Mapping

from gcbench.data.class_tables import words

ATTRIBUTE_WORDS: Mapping[str, tuple[str, ...]] = {
    "5_o_Clock_Shadow": ("5 o'clock shadow", "5 o clock shadow", "five o'clock shadow", "stubble"),
    "Arched_Eyebrows": ("arched eyebrows", "arched eyebrow", "arched brows"),
    "Attractive": ("attractive",),
    "Bags_Under_Eyes": (
        *("bags under eyes", "bags under the eyes", "bags under her eyes", "bags under his eyes"),
        *("bags under their eyes", "eye bags", "eyebags"),
    ),
    "Bald": ("bald",),
    "Bangs": ("bangs", "fringe"),
    "Big_Lips": ("big lips", "large lips", "full lips"),
    "Big_Nose": ("big nose", "large nose"),
    "Black_Hair": ("black hair", "black haired"),
    "Blond_Hair": ("blond hair", "blonde hair", "blond haired", "blonde haired", "blonde"),
    "Blurry": ("blurry", "blurred"),
    "Brown_Hair": ("brown hair", "brown haired", "brunette"),
    "Bushy_Eyebrows": ("bushy eyebrows", "bushy eyebrow", "bushy brows"),
    "Chubby": ("chubby",),
    "Double_Chin": ("double chin",),
    "Eyeglasses": ("eyeglasses", "eyeglass", "eye glasses", "glasses", "sunglasses", "spectacles", "specs"),
    "Goatee": ("goatee",),
    "Gray_Hair": ("gray hair", "grey hair", "gray haired", "grey haired"),
    "Heavy_Makeup": ("heavy makeup", "heavy make up"),
    "High_Cheekbones": ("high cheekbones", "high cheekbone"),
    "Male": words("man men male+ boy+ guy+ gentleman gentlemen he him his himself"),
    "Mouth_Slightly_Open": words(
        "mouth_slightly_open mouth_is_slightly_open slightly_open_mouth slightly_opened_mouth open_mouth opened_mouth"
        " mouth_open mouth_is_open"
    ),
    "Mustache": ("mustache", "mustaches", "moustache", "moustaches"),
    "Narrow_Eyes": ("narrow eyes", "narrow eye"),
    "No_Beard": ("no beard", "no facial hair", "beardless", "clean shaven"),
    "Oval_Face": ("oval face",),
    "Pale_Skin": ("pale skin",),
    "Pointy_Nose": ("pointy nose", "pointed nose"),
    "Receding_Hairline": ("receding hairline", "receding hair line"),
    "Rosy_Cheeks": ("rosy cheeks", "rosy cheek"),
    "Sideburns": ("sideburns", "sideburn"),
    "Smiling": ("smiling", "smile", "smiles"),
    "Straight_Hair": ("straight hair", "straight haired"),
    "Wavy_Hair": ("wavy hair", "wavy haired"),
    "Wearing_Earrings": words("earring+ ear_ring+"),
    "Wearing_Hat": words("hat+ cap+ beanie+ beret+ fedora+ bonnet+"),
    "Wearing_Lipstick": ("lipstick", "lipsticks"),
    "Wearing_Necklace": ("necklace", "necklaces"),
    "Wearing_Necktie": ("necktie", "neckties", "tie"),
    "Young": ("young",),
}

ATTRIBUTES: tuple[str, ...] = tuple(ATTRIBUTE_WORDS)
