"""Zero-shot detection with a CLIP made here in a minute or two: no download, no accelerator.

    python -m examples.tiny_clip.digits_clip --out=runs/digits-clip
    python -m adapt_jax.zero_shot --config=configs/digits_zero_shot.py --workdir=runs/demo-zero-shot

`make demo-zero-shot` runs both. A model in another folder: --config=configs/digits_zero_shot.py:DIR

Digits 0-5 are in-distribution. The model has seen neither pictures nor names of the OOD sets:
digits 6-9 (near); patches of a photo of a flower, in colour and in grey, and three kinds of
textures (far). It knows some 50 words, such as roof, tree, brick, star and anchor.

Expected, AUROC in percent over models of seeds 0-2 (mean and population deviation): MCM near
94.6 ± 0.3, far 98.8 ± 0.9; NegLabel 85.6 ± 3.3, 100.0; AdaNeg 92.4 ± 1.7, 100.0; 99 % of the
digits 0-5 are named rightly. Words find what is unlike digits; no word here is like a 6 to 9,
so that negatives do not help there. With the usual fraction of 0.15 they harm: 52.4 and 69.6.
"""

from adapt_jax.config.zero_shot import default_config


def get_config(model: str = "runs/digits-clip"):
    config = default_config()
    config.clip.path = model
    config.class_names = "digits"
    config.test_data = "digits:test?classes=0-5"
    config.ood = (
        "near/digits6-9=digits?classes=6-9,far/flower=photos:colour?classes=1,"
        f"far/grey_flower=photos:grey?classes=1,far/textures=npz:{model}/held_out_textures.npz"
    )
    # 289 nouns and 67 adjectives: too few to throw most of them away, so all are negatives.
    config.corpus.place = "embedded"
    config.negatives.fraction = 1.0
    # 15 is about what training makes of this model's logit scale, as 100 is of OpenAI's models.
    config.detectors = "mcm,neglabel?groups=5&logit_scale=15,adaneg?groups=5&logit_scale=15"
    config.stream.batch_size = 64
    return config
