"""How the files of the current format version were made: ``python make_model_files.py``.

Files of older versions stay as they are: a new version gets files of its own.
"""

import json
from pathlib import Path

import numpy as np

from deepbp import Sequential
from deepbp.files.network import VERSION
from deepbp.initializers import Constant
from deepbp.layers import L2, BatchNorm, Dense, Penalized, PReLU, Repeat, Reshape, Residual, Tanh, TiedDense
from deepbp.losses import MeanSquaredError
from deepbp.optimizers import Adam

FOLDER = Path(__file__).parent


def make_network() -> Sequential:
    """Layers of many kinds: with buffers, ties, nests, penalties and arguments in tuples."""
    encoder = Dense(3, bias_init=Constant(0.5))
    layers = [
        *(
            encoder,
            BatchNorm(momentum=0.75),
            Tanh(),
            TiedDense(encoder, use_bias=False),
            Reshape((2, 2)),
            Reshape((4,)),
        ),
        *(Residual([Dense(4), PReLU()]), Repeat([Dense(4), Tanh()], 2), Repeat(Dense(4), 2, share=True)),
        Sequential([Penalized(Dense(2), weights=L2(0.01))], rng=7),
    ]
    return Sequential(layers, input_shape=4, rng=3)


if __name__ == "__main__":
    draw = np.random.default_rng(0)
    network = make_network()
    network[6].freeze()
    network.fit(
        draw.normal(size=(64, 4)), draw.normal(size=(64, 2)), loss=MeanSquaredError(), optimizer=Adam(), epochs=5
    )
    for ending in ("npz", "safetensors"):
        network.save(FOLDER / f"model_{VERSION}.{ending}")
    x = draw.normal(size=(5, 4))
    made = {"x": x.tolist(), "y": network.predict(x).tolist(), "frozen": [p.frozen for p in network.parameters()]}
    (FOLDER / f"model_{VERSION}.json").write_text(json.dumps(made, indent=1))
