"""Diagnose vanishing gradients during training: a SignalMonitor measures every layer of two networks.

Both networks classify handwritten digits with ten layers of 32 units and the same optimizer. With sigmoids, the error
signal vanishes in the first layers, which therefore do not learn. With ReLUs and matching weight initialization, it
does not. The picture, ``output/vanishing_signal.png``, shows the error signals during the training.
"""

from pathlib import Path

from matplotlib.figure import Figure
from sklearn.datasets import load_digits

from deepbp import History, Sequential, plots
from deepbp.callbacks import SignalMonitor
from deepbp.initializers import GlorotUniform, HeNormal, Initializer
from deepbp.layers import Dense, Layer, ReLU, Sigmoid
from deepbp.losses import SoftmaxCrossEntropy
from deepbp.metrics import Accuracy
from deepbp.optimizers import SGD
from deepbp.typing import Array

SEED = 0
DEPTH, WIDTH, EPOCHS = 10, 32, 15
PROBE = 128  # samples for the monitor
GUESSING, LEAST_ACCURACY = 0.2, 0.9
PICTURE = Path(__file__).parent.parent / "output" / "vanishing_signal.png"

NETWORKS: dict[str, tuple[type[Layer[Array]], Initializer]] = {
    "Sigmoid": (Sigmoid, GlorotUniform()),
    "ReLU": (ReLU, HeNormal()),
}


def train(activation: type[Layer[Array]], weight_init: Initializer) -> tuple[History, SignalMonitor]:
    """Train on the digits with a monitor that records every tenth step."""
    x, y = load_digits(return_X_y=True)
    x = x / 16
    hidden = [layer for _ in range(DEPTH - 1) for layer in (Dense(WIDTH, weight_init=weight_init), activation())]
    net = Sequential([*hidden, Dense(10)], input_shape=64, rng=SEED)
    monitor = SignalMonitor(x[:PROBE], y[:PROBE], every=10)
    history = net.fit(
        x,
        y,
        loss=SoftmaxCrossEntropy(),
        optimizer=SGD(0.02, momentum=0.9),
        epochs=EPOCHS,
        metrics=[Accuracy()],
        callbacks=[monitor],
    )
    return history, monitor


def draw(trained: dict[str, tuple[History, SignalMonitor]]) -> None:
    """Draw a column for each network: the error signals above, the accuracy below."""
    figure = Figure(figsize=(11, 7.5), layout="constrained")
    panels = figure.subplots(2, len(trained), sharey="row", squeeze=False, height_ratios=(1.6, 1))
    for (name, (history, monitor)), (above, below) in zip(trained.items(), panels.T, strict=True):
        plots.signal(monitor, "error signals", ax=above)
        above.set_title(f"{name}: error signals")
        plots.learning_curves(history, "accuracy", ax=below)
        below.set_ylim(0, 1)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=120)


def main() -> int:
    """Train both, print the reports of the monitors, draw; returns 1 if a result is not as expected."""
    trained = {name: train(*network) for name, network in NETWORKS.items()}
    accuracy = {name: history["accuracy"][-1] for name, (history, _) in trained.items()}
    for name, (_, monitor) in trained.items():
        print(f"{name}: accuracy {accuracy[name]:.1%}\n{monitor.report()}\n")
    draw(trained)
    print(f"picture: {PICTURE}")

    found = {name: monitor.report() for name, (_, monitor) in trained.items()}
    if "vanishing, from the start" not in found["Sigmoid"] or accuracy["Sigmoid"] > GUESSING:
        print(f"missed: expected vanishing gradients and an accuracy of at most {GUESSING:.0%} with sigmoids")
        return 1
    if "vanishing" in found["ReLU"] or accuracy["ReLU"] < LEAST_ACCURACY:
        print(f"missed: expected no vanishing gradients and an accuracy of at least {LEAST_ACCURACY:.0%} with ReLUs")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
