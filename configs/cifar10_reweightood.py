"""ReweightOOD on CIFAR-10 with ResNet-18: the official recipe (sudarshanregmi/ReweightOOD).

    python -m adapt_jax.train --config=configs/cifar10_reweightood.py --workdir=runs/c10_reweight

100 epochs of 98 steps, 512 images x 2 views each. Needs one GPU or TPU.
TFDS downloads CIFAR-10, and `python -m adapt_jax.data download openood_cifar10` the OOD
sets; --config.ood=tfds_cifar10 takes those of TFDS.
mahalanobis?covariance=within is the official score. Differs from the official trainer: the last
state is evaluated, not that of the lowest loss (--config.eval_checkpoint=best), and no rate is
negative; for its rates as executed: --config.optimizer.schedule=reweightood_as_executed
Images are normalised as ADAPT's are, so that methods compare; the trainer's own deviation:
'--config.std=(0.247,0.2435,0.2616)'
"""

from adapt_jax.config import inherit


def get_config():
    config = inherit(__file__, "cifar10_adapt.py", method="reweightood")
    config.ood = "openood_cifar10"
    config.model.name = "resnet18"
    config.epochs = 100
    config.optimizer.learning_rate = 0.1
    config.optimizer.weight_decay = 1e-4
    config.detectors = "mahalanobis?covariance=within,knn?k=50"
    return config
