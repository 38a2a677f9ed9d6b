"""The adaptive detectors written out: float64, one image after the other, full softmaxes.

AdaNeg builds every proxy; TANL keeps plain lists and tries every threshold.
"""

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


class Tanl:
    def __init__(self, labels, negatives, noise, orders, scale, alpha, beta, gamma, gap, lengths):
        self.texts = np.concatenate([labels, negatives]).astype(np.float64)
        self.labels, self.scale, self.alpha, self.beta = len(labels), scale, alpha, beta
        self.gamma, self.gap, (self.length, self.score_length) = gamma, gap, lengths
        self.own, self.other = (
            [self.activation(row) for row in rows[order]][-self.length :]
            for rows, order in zip((labels, noise), orders, strict=True)
        )
        picked = self.pick(self.mean(self.other) - self.mean(self.own))
        self.scores = [self.score(row, picked) for row in (*labels, *noise)][-self.score_length :]

    def mean(self, rows):
        return np.mean(rows, axis=0) if rows else np.zeros(len(self.texts) - self.labels)

    def activation(self, image):
        return softmax(self.scale * self.texts @ image)[self.labels :]

    def pick(self, activation):
        return np.argsort(-activation, kind="stable")[: self.beta]

    def score(self, image, picked):
        logits = self.scale * self.texts @ image
        ends = [self.beta]
        if self.gamma:
            ends = [self.gamma * i for i in range(1, -(-self.beta // self.gamma) + 1)]
        against = [logits[self.labels :][picked[:end]] for end in ends]
        shares = [
            softmax(np.r_[logits[: self.labels], part])[: self.labels].sum() for part in against
        ]
        return np.mean(shares)

    def threshold(self):
        scores = np.array(self.scores)

        def within(t):
            parts = scores[scores >= t], scores[scores < t]
            if not all(map(len, parts)):
                return np.inf
            return sum(len(part) * np.var(part) for part in parts)

        grid = np.arange(100) / 100
        values = np.array([within(t) for t in grid])
        if np.isinf(values).all():
            return 0.5
        best = grid[np.isclose(values, values.min(), rtol=1e-12, atol=0)]
        return best[len(best) // 2]

    def step(self, images):
        images = images.astype(np.float64)
        picked = self.pick(self.mean(self.other) - self.mean(self.own))
        first = np.array([self.score(image, picked) for image in images])
        self.scores = [*self.scores, *first][-self.score_length :]
        t = self.threshold()
        selected = (
            (self.own, first > t + self.gap * (1 - t)),
            (self.other, first < t - self.gap * t),
        )
        means, queues = [], []
        for queue, rows in selected:
            new = [self.activation(image) for image in images[rows]]
            mean = self.mean(queue)
            means.append(self.alpha * mean + (1 - self.alpha) * self.mean(new) if new else mean)
            queues.append([*queue, *new][-self.length :])
        self.own, self.other = queues
        picked = self.pick(means[1] - means[0])
        return np.array([self.score(image, picked) for image in images])
