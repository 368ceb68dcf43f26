"""Mistakes: each type checker must complain about every line that ends in ``# error``, and about no other."""

import numpy as np

import deepbp
from deepbp import Sequentail, Sequential, Trainer  # error
from deepbp.callbacks import EarlyStopping, ModelCheckpoint
from deepbp.kernels import sigmiod  # error
from deepbp.layers import Dense, Linear, Parallel, Penalized, ReLU, Repeat, Residual, Split  # error
from deepbp.losses import MeanSquaredError, Quantile, SigmoidBinaryCrossEntropy, SoftmaxFocal, SumOfLosses
from deepbp.metrics import Accuracy
from deepbp.optimizers import SGD, Adam, Grouped
from deepbp.optimizers.schedules import Piecewise

x = np.zeros((4, 3))
net = Sequential([Dense(4), ReLU()], input_shape=3)

Sequential(["dense", 4])  # error
Sequential(Dense(4))  # error
Sequential(Dense(4), ReLU())  # error
Sequential([Dense])  # error
Sequential([Dense(4)], input_shape="3")  # error
Sequential([Dense(4)], input_shap=3)  # error
Sequential([Dense(4)], input_shape=(3, 1.5))  # error
Dense("4")  # error
Dense(4, 2)  # error
Dense(4, activation="relu")  # error
Dense(4, weight_init="he_normal")  # error
Residual("nonsense")  # error
Residual([Dense(4)], shortcut=4)  # error
Repeat("nonsense", 2)  # error
Parallel(Dense(4))  # error
Parallel([Dense(4), 4])  # error
Parallel([Dense(4)], merge="sum")  # error
Split([Dense(4), None], sizes="3")  # error
Penalized("nonsense")  # error
Dense(4).wieght  # error
Dense(4).weight.valeu  # error
net.predit(x)  # error
net.parameter(0)  # error
net.fit(x, x, loss="mse", optimizer=Adam())  # error
net.fit(x, x, loss=MeanSquaredError(), optimizer="adam")  # error
net.fit(x, x, loss=MeanSquaredError(), optimizer=Adam(), epoch=3)  # error
net.fit(x, x, loss=MeanSquaredError(), optimizer=Adam(), metrics=["accuracy"])  # error
net.fit(x, x, loss=MeanSquaredError(), optimizer=Adam(), callbacks=EarlyStopping())  # error
Trainer(net, MeanSquaredError(), Adam(), callbacks=5)  # error
Trainer(net, MeanSquaredError(), Adam(), callbacks=["early_stopping"])  # error
Trainer(net, MeanSquaredError(), Adam(), metrics=Accuracy())  # error
Trainer(net, Adam(), MeanSquaredError())  # error
SGD(lr=0.1)  # error
SGD("0.1")  # error
Grouped([SGD(0.1)])  # error
Grouped({"*": 0.1})  # error
Piecewise(10, [0.1])  # error
Piecewise([10], ["0.1", "0.2"])  # error
SumOfLosses(MeanSquaredError())  # error
SumOfLosses(["mse"])  # error
SumOfLosses([MeanSquaredError()], weights="1")  # error
Quantile("half")  # error
SigmoidBinaryCrossEntropy(pos_weight="balanced")  # error
SoftmaxFocal(alpha="balanced")  # error
ModelCheckpoint(5)  # error
deepbp.losses.MSE  # error
deepbp.Dense  # error
