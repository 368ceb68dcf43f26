"""Learn word embeddings from plain text: a language model that predicts the next word from the previous three.

The text is the reference manual that comes with Python, about 60,000 words. Each word has a trainable vector, an
Embedding (Bengio et al. 2003). On held-out paragraphs, the network is better than a bigram model. A 4-gram model is
even better, because the manual is repetitive, and the average of both is best. The network also learns some grammar:
for most of 38 common words, the nearest embedding belongs to a word of the same part of speech. The picture,
``output/embeddings.png``, shows these words.

Perplexity is e^(cross-entropy). The n-gram models use the smoothing of Kneser & Ney 1995.
"""

import re
from collections import Counter
from itertools import chain
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
from matplotlib.figure import Figure

from deepbp import Sequential
from deepbp.layers import Dense, Dropout, Embedding, Flatten, Softmax, Tanh
from deepbp.losses import SoftmaxCrossEntropy
from deepbp.optimizers import AdamW
from deepbp.optimizers.schedules import Cosine, steps_per_epoch
from deepbp.typing import Array

SEED = 0
BEFORE = 3  # words
UNITS, HIDDEN = 32, 64
LEAST_COUNT = 5  # rarer words are replaced by <rare>
DISCOUNT = 0.75
EPOCHS = 8
BATCH_SIZE = 256
LARGEST_SHARE = 0.9  # perplexity of the network relative to the bigram model
LARGEST_AVERAGED = 0.93  # perplexity of the average relative to the best n-gram model
LEAST_ALIKE = 0.8  # fraction of words with a nearest neighbor of the same kind
KINDS = {
    "modal verb": "can may must should will would cannot",
    "form of be": "is are was be been",
    "conjunction": "if when where because unless",
    "preposition": "of in for from by with",
    "number": "one two three",
    "noun, singular": "object function class method module name",
    "noun, plural": "objects functions classes methods modules names",
}
SHOWN = ("can", "is", "two", "returns", "list", "class")
PICTURE = Path(__file__).parent.parent / "output" / "embeddings.png"

Counts = dict[tuple[int, ...], Counter[int]]


def paragraphs() -> list[list[str]]:
    """Return the tokens of each paragraph, without duplicate paragraphs."""
    texts = dict.fromkeys(" ".join(part.split()) for topic in topics.values() for part in re.split(r"\n\s*\n", topic))
    found = [re.findall(r"[a-z]+|[.,;:()]", text.lower()) for text in texts]
    return [words for words in found if len(words) >= 5]


def windows(texts: list[list[str]], number: dict[str, int]) -> tuple[Array, Array]:
    """Return the indices of the previous words and of the word itself, for every word; 0 is <start>, 1 is <rare>."""
    rows = [[0] * BEFORE + [number.get(word, 1) for word in words] for words in texts]
    found = np.array([row[i : i + BEFORE + 1] for row in rows for i in range(len(row) - BEFORE)])
    return found[:, :-1], found[:, -1]


def train(x: Array, y: Array, words: int, seed: int = SEED) -> Sequential:
    """Train and return the network; its outputs are logits."""
    net = Sequential(
        [Embedding(words, UNITS), Flatten(), Dropout(0.2), Dense(HIDDEN), Tanh(), Dropout(0.2), Dense(words)],
        input_shape=BEFORE,
        rng=seed,
    )
    steps = EPOCHS * steps_per_epoch(len(x), BATCH_SIZE)
    optimizer = AdamW(Cosine(0.01, steps), weight_decay=0.05)
    net.fit(x, y, loss=SoftmaxCrossEntropy(), optimizer=optimizer, epochs=EPOCHS, batch_size=BATCH_SIZE)
    return net


def count(x: Array, y: Array, before: int) -> Counts:
    """Count which words follow which ``before`` words; for shorter contexts, count distinct contexts (Kneser-Ney)."""
    counts: Counts = {}
    met = [(tuple(row), word) for row, word in zip(x[:, BEFORE - before :].tolist(), y.tolist(), strict=True)]
    for _ in range(before + 1):
        for row, word in met:
            counts.setdefault(row, Counter())[word] += 1
        met = [(row[1:], word) for row, word in set(met)]
    return counts


def counted(counts: Counts, before: tuple[int, ...], word: int, words: int) -> float:
    """Return P(word | before) with absolute discounting, interpolated with the shorter context."""
    shorter = counted(counts, before[1:], word, words) if before else 1 / words
    followed = counts.get(before)
    if followed is None:
        return shorter
    return (max(followed[word] - DISCOUNT, 0) + DISCOUNT * len(followed) * shorter) / followed.total()


def perplexity(probabilities: Array) -> float:
    """Return the perplexity, given the probabilities of the actual words."""
    return float(np.exp(-np.log(probabilities).mean()))


def compare(net: Sequential, read: tuple[Array, Array], held_out: tuple[Array, Array], words: int) -> dict[str, float]:
    """Return the perplexities of n-gram models, of the network, and of the average of the last two."""
    (x, y), found = held_out, {}
    by_counts = np.empty(len(y))
    for before in range(BEFORE + 1):
        counts = count(*read, before)
        pairs = zip(x[:, BEFORE - before :].tolist(), y.tolist(), strict=True)
        by_counts = np.array([counted(counts, tuple(row), word, words) for row, word in pairs])
        found[f"{before + 1}-gram model"] = perplexity(by_counts)
    by_net = Softmax().predict(net.predict(x))[np.arange(len(y)), y]
    return {**found, "network": perplexity(by_net), "average": perplexity((by_net + by_counts) / 2)}


def unit(rows: Array) -> Array:
    """Normalize the rows to length 1, so that products of rows are cosine similarities."""
    scaled: Array = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled


def nearest(rows: Array, to: int, most: int) -> list[int]:
    """Return the indices of the most similar rows, in order."""
    order = np.argsort(-(rows @ rows[to]))
    return [int(i) for i in order if i != to][:most]


def draw(rows: Array, words: list[str], kinds: list[str]) -> None:
    """Draw the words at the first two principal components of their embeddings."""
    rows = rows - rows.mean(axis=0)
    places = rows @ np.linalg.svd(rows, full_matrices=False)[2][:2].T
    figure = Figure(figsize=(11, 7.5), layout="constrained")
    axes = figure.subplots()
    for kind in KINDS:
        axes.scatter(*places[[other == kind for other in kinds]].T, label=kind)
    for place, word in zip(places, words, strict=True):
        axes.annotate(word, place, xytext=(4, 3), textcoords="offset points")
    axes.set(title=f"Embeddings of {len(words)} words: two principal components", xticks=[], yticks=[])
    axes.margins(0.09)
    axes.legend(frameon=False)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=120)


def main() -> int:
    """Train, compare, draw; returns 1 if a result is worse than expected."""
    texts = paragraphs()
    order = np.random.default_rng(SEED).permutation(len(texts))
    held_out, read = ([texts[i] for i in part] for part in np.split(order, [len(texts) // 10]))
    frequent = [word for word, times in Counter(chain(*read)).most_common() if times >= LEAST_COUNT]
    vocabulary = ["<start>", "<rare>", *frequent]
    number = {word: i for i, word in enumerate(vocabulary)}
    x, y = windows(read, number)
    print(f"training on {len(y)} tokens of {len(read)} paragraphs, vocabulary of {len(vocabulary)}\n")
    net = train(x, y, len(vocabulary))

    found = compare(net, (x, y), windows(held_out, number), len(vocabulary))
    print(f"perplexity on {len(held_out)} held-out paragraphs")
    for name, value in found.items():
        print(f"    {name:20} {value:6.1f}")

    table = unit(net.parameters()[0].value)
    print(f"\nnearest neighbors in the vocabulary of {len(vocabulary)}")
    for word in SHOWN:
        print(f"    {word:9} {', '.join(vocabulary[i] for i in nearest(table, number[word], 5))}")
    words = [word for group in KINDS.values() for word in group.split()]
    kinds = [kind for kind, group in KINDS.items() for _ in group.split()]
    rows = table[[number[word] for word in words]]
    share = float(np.mean([kinds[i] == kinds[nearest(rows, i, 1)[0]] for i in range(len(words))]))
    print(f"\n{share:.0%} of {len(words)} words of {len(KINDS)} kinds have a nearest neighbor of the same kind")
    draw(rows, words, kinds)
    print(f"picture: {PICTURE}")

    bigrams, best = found["2-gram model"], found[f"{BEFORE + 1}-gram model"]
    if found["network"] > LARGEST_SHARE * bigrams or found["average"] > LARGEST_AVERAGED * best:
        print("missed: expected the network to be better than bigrams, and the average to be better than 4-grams")
        return 1
    if share < LEAST_ALIKE:
        print(f"missed: expected a nearest neighbor of the same kind for {LEAST_ALIKE:.0%} of the words")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
