"""Learn from nothing but reading which words are alike: a network guesses the next word from the three before it.

Real text: the reference manual that comes with Python, some 60,000 words. Each word is a row of numbers, an Embedding,
learned with the rest (Bengio et al. 2003). Claimed, for paragraphs it has not read: the network is better than counts
of pairs of words. Counts of four in a row are better still, since the manual repeats itself; but averaged with what the
network says they are best. And though nobody tells it any grammar, most of 38 common words have one of their own kind
as the nearest. The picture, ``output/embeddings.png``, shows these words.

Perplexity is e^(cross-entropy): as if so many words were equally likely. Counts are smoothed after Kneser & Ney 1995.
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
LEAST_COUNT = 5  # rarer words are all one
DISCOUNT = 0.75
EPOCHS = 8
BATCH_SIZE = 256
LARGEST_SHARE = 0.9  # of the perplexity of counts of pairs, for the network
LARGEST_AVERAGED = 0.93  # of that of the best counts, for the average
LEAST_ALIKE = 0.8  # of the words
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
    """The words and signs of each paragraph; one that stands in several chapters is read once."""
    texts = dict.fromkeys(" ".join(part.split()) for topic in topics.values() for part in re.split(r"\n\s*\n", topic))
    found = [re.findall(r"[a-z]+|[.,;:()]", text.lower()) for text in texts]
    return [words for words in found if len(words) >= 5]


def windows(texts: list[list[str]], number: dict[str, int]) -> tuple[Array, Array]:
    """Of every word, the numbers of those before it, and its own. Before a text stand 0s, for rare words 1."""
    rows = [[0] * BEFORE + [number.get(word, 1) for word in words] for words in texts]
    found = np.array([row[i : i + BEFORE + 1] for row in rows for i in range(len(row) - BEFORE)])
    return found[:, :-1], found[:, -1]


def train(x: Array, y: Array, words: int, seed: int = SEED) -> Sequential:
    """The network, which ends in logits."""
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
    """How often which word followed which ``before`` words; after fewer words, how many different words it followed."""
    counts: Counts = {}
    met = [(tuple(row), word) for row, word in zip(x[:, BEFORE - before :].tolist(), y.tolist(), strict=True)]
    for _ in range(before + 1):
        for row, word in met:
            counts.setdefault(row, Counter())[word] += 1
        met = [(row[1:], word) for row, word in set(met)]
    return counts


def counted(counts: Counts, before: tuple[int, ...], word: int, words: int) -> float:
    """P(word | before): DISCOUNT off each count, and what that makes for P(word | one word less)."""
    shorter = counted(counts, before[1:], word, words) if before else 1 / words
    followed = counts.get(before)
    if followed is None:
        return shorter
    return (max(followed[word] - DISCOUNT, 0) + DISCOUNT * len(followed) * shorter) / followed.total()


def perplexity(probabilities: Array) -> float:
    """Of the words that came."""
    return float(np.exp(-np.log(probabilities).mean()))


def compare(net: Sequential, read: tuple[Array, Array], held_out: tuple[Array, Array], words: int) -> dict[str, float]:
    """The perplexity of counts of 1, 2, 3, … words in a row, of the network, and of the average of the last two."""
    (x, y), found = held_out, {}
    by_counts = np.empty(len(y))
    for before in range(BEFORE + 1):
        counts = count(*read, before)
        pairs = zip(x[:, BEFORE - before :].tolist(), y.tolist(), strict=True)
        by_counts = np.array([counted(counts, tuple(row), word, words) for row, word in pairs])
        found[f"counts of {before + 1} in a row"] = perplexity(by_counts)
    by_net = Softmax().predict(net.predict(x))[np.arange(len(y)), y]
    return {**found, "network": perplexity(by_net), "both averaged": perplexity((by_net + by_counts) / 2)}


def unit(rows: Array) -> Array:
    """Each row with length 1, so that products of rows are cosines."""
    scaled: Array = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled


def nearest(rows: Array, to: int, most: int) -> list[int]:
    """The others, from the most alike row on."""
    order = np.argsort(-(rows @ rows[to]))
    return [int(i) for i in order if i != to][:most]


def draw(rows: Array, words: list[str], kinds: list[str]) -> None:
    """The words where their rows lie, seen from the side on which they are spread most."""
    rows = rows - rows.mean(axis=0)
    places = rows @ np.linalg.svd(rows, full_matrices=False)[2][:2].T
    figure = Figure(figsize=(11, 7.5), layout="constrained")
    axes = figure.subplots()
    for kind in KINDS:
        axes.scatter(*places[[other == kind for other in kinds]].T, label=kind)
    for place, word in zip(places, words, strict=True):
        axes.annotate(word, place, xytext=(4, 3), textcoords="offset points")
    axes.set(title=f"{len(words)} words where their embeddings lie: two principal components", xticks=[], yticks=[])
    axes.margins(0.09)
    axes.legend(frameon=False)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=120)


def main() -> int:
    """Read, compare, draw; 1 when a claim is missed."""
    texts = paragraphs()
    order = np.random.default_rng(SEED).permutation(len(texts))
    held_out, read = ([texts[i] for i in part] for part in np.split(order, [len(texts) // 10]))
    frequent = [word for word, times in Counter(chain(*read)).most_common() if times >= LEAST_COUNT]
    vocabulary = ["<start>", "<rare>", *frequent]
    number = {word: i for i, word in enumerate(vocabulary)}
    x, y = windows(read, number)
    print(f"{len(y)} words and signs of {len(read)} paragraphs read, {len(vocabulary)} different ones\n")
    net = train(x, y, len(vocabulary))

    found = compare(net, (x, y), windows(held_out, number), len(vocabulary))
    print(f"perplexity on {len(held_out)} other paragraphs")
    for name, value in found.items():
        print(f"    {name:20} {value:6.1f}")

    table = unit(net.parameters()[0].value)
    print(f"\nnearest of all {len(vocabulary)}")
    for word in SHOWN:
        print(f"    {word:9} {', '.join(vocabulary[i] for i in nearest(table, number[word], 5))}")
    words = [word for group in KINDS.values() for word in group.split()]
    kinds = [kind for kind, group in KINDS.items() for _ in group.split()]
    rows = table[[number[word] for word in words]]
    share = float(np.mean([kinds[i] == kinds[nearest(rows, i, 1)[0]] for i in range(len(words))]))
    print(f"\nof {len(words)} words of {len(KINDS)} kinds, {share:.0%} have one of their own kind as the nearest")
    draw(rows, words, kinds)
    print(f"picture: {PICTURE}")

    pairs, best = found["counts of 2 in a row"], found[f"counts of {BEFORE + 1} in a row"]
    if found["network"] > LARGEST_SHARE * pairs or found["both averaged"] > LARGEST_AVERAGED * best:
        print(
            "missed: the network should be better than counts of pairs, and both averaged than counts of four in a row"
        )
        return 1
    if share < LEAST_ALIKE:
        print(f"missed: {LEAST_ALIKE:.0%} of the words should have one of their own kind as the nearest")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
