"""ReweightOOD on CIFAR-100 with ResNet-18: the official recipe (sudarshanregmi/ReweightOOD).

    python -m adapt_jax.train --config=configs/cifar100_reweightood.py --workdir=runs/c100_reweight

100 epochs of 98 steps, 512 images x 2 views each. Needs one GPU or TPU.
TFDS downloads CIFAR-100, and `python -m adapt_jax.data download openood_cifar100` the OOD
sets; --config.ood=tfds_cifar100 takes those of TFDS.
mahalanobis?covariance=within is the official score. Differs from the official trainer: the last
state is evaluated, not that of the lowest loss (--config.eval_checkpoint=best), and no rate is
negative; for its rates as executed: --config.optimizer.schedule=reweightood_as_executed
"""

from adapt_jax.config import inherit


def get_config():
    config = inherit(__file__, "cifar100_adapt.py", method="reweightood")
    config.ood = "openood_cifar100"
    config.model.name = "resnet18"
    config.epochs = 100
    config.optimizer.learning_rate = 0.1
    config.optimizer.weight_decay = 1e-4
    config.detectors = "mahalanobis?covariance=within,knn?k=50"
    return config
