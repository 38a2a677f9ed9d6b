"""Names of the image sets of an evaluation, beside those of its OOD sets."""

ID, VAL, OOD_VAL = "id", "val", "ood_val"
SHIFTED = "shifted"  # group of covariate-shifted ID sets: ID images in a full-spectrum evaluation
