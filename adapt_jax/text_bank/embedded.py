"""A small word list that needs no download, sorted like WordNet's files: for demos and tests."""

_WORDS = {
    "adj.all": (
        "ancient bitter blurry bright broken busy calm cheap clean clever cold colourful "
        "crowded curved dark deep distant dry dusty empty fancy flat foggy fragile fresh frozen "
        "gentle giant glossy golden green grey heavy hollow hot loud modern muddy narrow noisy "
        "old pale plain quiet rainy rough round rusty salty sharp shiny silent slippery smooth "
        "soft striped sunny sweet tall thin tiny transparent warm wet wild wooden young"
    ),
    "noun.act": (
        "archery baking ballet boxing camping climbing cooking cycling dancing diving farming "
        "fishing gardening hiking hunting juggling knitting parade picnic racing rowing sailing "
        "singing skating skiing surfing swimming wedding welding wrestling"
    ),
    "noun.animal": (
        "ant bear beaver bee butterfly camel cow crab crocodile dolphin duck eagle elephant fox "
        "giraffe goat hamster hedgehog lion lizard monkey mouse octopus owl parrot penguin pig "
        "rabbit shark sheep snail snake spider squirrel tiger turtle whale wolf zebra"
    ),
    "noun.artifact": (
        "anchor axe backpack balloon barn basket bathtub bed bell bench bicycle blanket book "
        "bottle bowl brick bridge broom bucket bus camera candle carpet castle chair church "
        "clock coat comb computer cup curtain desk door dress drum elevator factory fence flag "
        "flute fork fountain glove guitar hammer harbour hat helicopter helmet jar kettle key "
        "kitchen knife ladder lamp lighthouse lock mirror motorcycle necklace needle oven "
        "paintbrush pencil piano pillow pipe plate pump radio rocket roof rope sailboat saw "
        "scissors shirt shoe shovel sofa spoon stairs statue stove submarine suitcase sword "
        "table telescope temple tent tower tractor train trumpet tunnel umbrella violin wagon "
        "wallet well wheel whistle window"
    ),
    "noun.body": (
        "beard bone elbow eye finger foot hand heart knee lung nose shoulder skull tooth"
    ),
    "noun.food": (
        "almond apple banana bread butter cake carrot cheese cherry chocolate coffee grape "
        "honey lemon mushroom noodles onion pancake pear pepper pizza potato rice salad "
        "sandwich soup strawberry tea tomato"
    ),
    "noun.object": (
        "beach canyon cave cliff coast comet crystal desert glacier hill iceberg island lake "
        "moon mountain ocean planet pond reef river rock star sun valley volcano waterfall"
    ),
    "noun.person": (
        "acrobat artist astronaut baby baker captain carpenter child clown cook dancer dentist "
        "doctor farmer firefighter fisherman gardener judge king magician nurse painter pilot "
        "plumber policeman queen sailor scientist singer soldier student tailor teacher waiter"
    ),
    "noun.phenomenon": (
        "breeze cloud fire fog frost lightning rain rainbow shadow smoke snow storm"
    ),
    "noun.plant": (
        "acorn bamboo bush cactus daisy fern flower grass hedge ivy leaf lily moss oak orchid "
        "palm pine poppy rose seed sunflower thorn tree tulip vine willow"
    ),
    "noun.substance": (
        "amber bronze cement charcoal clay coal concrete copper cotton glass glue gold ice ink "
        "leather marble oil paint paper plastic rubber sand silk silver soap steel velvet wax "
        "wood wool"
    ),
    "noun.time": (
        "afternoon autumn birthday dawn evening holiday midnight morning spring summer winter"
    ),
}  # fmt: skip
FILES = {name: tuple(text.split()) for name, text in _WORDS.items()}
