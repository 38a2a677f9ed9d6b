"""AdaNeg written out: float64, every proxy built, one image after the other, full softmaxes."""

import numpy as np


def softmax(z):
    p = np.exp(z - z.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


def share(logits, labels, groups):
    own = [softmax(np.r_[logits[:labels], logits[labels:][g]])[:labels].sum() for g in groups]
    return np.mean(own)


class AdaNeg:
    def __init__(self, labels, negatives, groups, slots, threshold, gap, beta, lambda_, proxy):
        self.texts = np.concatenate([labels, negatives]).astype(np.float64)
        self.labels, self.groups, self.slots = len(labels), groups, slots
        self.threshold, self.gap, self.beta, self.lambda_ = threshold, gap, beta, lambda_
        self.proxy = proxy
        self.memory = [[] for _ in self.texts]  # (entropy, image), by slot

    def step(self, images):
        images = images.astype(np.float64)
        logits = 100 * images @ self.texts.T
        static = [share(row, self.labels, self.groups) for row in logits]
        for image, row, v in zip(images, logits, static, strict=True):
            self.offer(image, row, v)
        adaptive = [share(100 * self.adapted(image), self.labels, self.groups) for image in images]
        return np.array(adaptive) + self.lambda_ * np.array(static)

    def offer(self, image, row, v):
        if v > self.threshold + self.gap * (1 - self.threshold):
            part, first = row[: self.labels], 0
        elif v < self.threshold - self.gap * self.threshold:
            part, first = row[self.labels :], self.labels
        else:
            return
        p = softmax(part)
        item = (-np.sum(p * np.log(p + 1e-8)), image)
        stored = self.memory[first + np.argmax(part)]
        if len(stored) < self.slots:
            stored.append(item)
        elif any(entropy > item[0] for entropy, _ in stored):
            entropies = [entropy for entropy, _ in stored]
            stored[self.slots - 1 - np.argmax(entropies[::-1])] = item

    def adapted(self, image):
        cosines = []
        for text, stored in zip(self.texts, self.memory, strict=True):
            rows = np.array([text, *(row for _, row in stored)])
            weight = np.exp(-self.beta * (1 - rows @ image)) if self.proxy == "sample" else 1.0
            proxy = np.sum(weight[:, None] * rows if self.proxy == "sample" else rows, axis=0)
            cosines.append(image @ proxy / np.linalg.norm(proxy))
        return np.array(cosines)
