"""Suggestions for unknown names and arguments: what PyTorch, Keras and scikit-learn call a thing, and its name here.

An error about an unknown name ends in code that works: "SGD: unexpected argument 'lr': write SGD(learning_rate=0.1)".
A table of synonyms is searched first, then names that differ in case alone, then similar spellings. Nothing of this
runs unless a look-up or a call has failed.
"""

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from opcode import opname
from typing import Any

# For each public module: the name here, and what it is called elsewhere, in lower case and without endings like "loss".
_NAMES = {
    "layers": {
        "Dense": "linear affine lazylinear fullyconnected",
        "BatchNorm": "batchnormalization",
        "LayerNorm": "layernormalization",
        "GroupNorm": "groupnormalization",
        "RMSNorm": "rmsnormalization",
        "ConvTranspose1D": "conv1dtranspose deconv1d",
        "ConvTranspose2D": "conv2dtranspose deconv2d",
        "MaxPool1D": "maxpooling1d",
        "MaxPool2D": "maxpooling2d",
        "AveragePool1D": "averagepooling1d avgpool1d",
        "AveragePool2D": "averagepooling2d avgpool2d",
        "GlobalAveragePool": "globalaveragepooling adaptiveavgpool",
        "GlobalMaxPool": "globalmaxpooling adaptivemaxpool",
        "ZeroPad2D": "zeropadding2d",
        "UpSample2D": "upsampling2d upsample",
        "Parallel": "concatenate concat",
        "Residual": "add skip skipconnection shortcut",
        "Sine": "sin siren",
        "Standardize": "normalization standardscaler",
        "L1": "lasso",
        "L2": "ridge",
    },
    "losses": {
        "MeanSquaredError": "mse l2loss squarederror",
        "MeanAbsoluteError": "mae l1loss absoluteerror",
        "SoftmaxCrossEntropy": "crossentropyloss categoricalcrossentropy sparsecategoricalcrossentropy softmax",
        "CrossEntropy": "nll log",
        "SigmoidBinaryCrossEntropy": "bcewithlogits",
        "BinaryCrossEntropy": "bce",
        "Huber": "smoothl1",
        "KLDivergence": "kl kldiv",
        "LogPoisson": "poissonnll",
        "CategoricalHinge": "multimargin",
        "CosineSimilarity": "cosine cosineembedding",
        "Quantile": "pinball",
        "SoftmaxFocal": "focal categoricalfocalcrossentropy",
        "SigmoidFocal": "binaryfocalcrossentropy",
    },
    "optimizers": {"SGD": "gradientdescent"},
    "optimizers.schedules": {
        "Cosine": "cosinedecay cosineannealing",
        "CosineRestarts": "cosinedecayrestarts cosineannealingwarmrestarts",
        "Exponential": "exponentialdecay",
        "StepDecay": "step",
        "Piecewise": "multistep piecewiseconstantdecay",
        "Polynomial": "polynomialdecay",
        "InverseTime": "inversetimedecay",
        "Warmup": "linear linearwarmup",
    },
    "metrics": {
        "Accuracy": "acc categoricalaccuracy sparsecategoricalaccuracy accuracyscore",
        "MeanAbsoluteError": "mae",
        "RootMeanSquaredError": "rmse",
        "ROCAUC": "auc auroc rocaucscore",
        "F1": "f1score fscore",
        "R2": "r2score",
        "TopKAccuracy": "topkcategoricalaccuracy sparsetopkcategoricalaccuracy",
    },
    "callbacks": {
        "ModelCheckpoint": "checkpoint",
        "CSVLog": "csvlogger",
        "NonNegative": "nonneg",
        "ReduceOnPlateau": "reducelronplateau",
        "WeightAverage": "ema swa averagedmodel exponentialmovingaverage",
    },
    "initializers": {
        "GlorotUniform": "glorot xavier xavieruniform",
        "GlorotNormal": "xaviernormal",
        "HeNormal": "he kaiming kaimingnormal",
        "HeUniform": "kaiminguniform",
        "LeCunNormal": "lecun",
        "Normal": "randomnormal truncatednormal",
        "Uniform": "randomuniform",
    },
    "training": {},
    "": {"Sequential": "model mlp"},
}
_ENDING = re.compile(r"(loss|layer|optimizer|regularizer|initializer|callback|lr|[123]d)$")

_KINDS = {"Loss": "losses"} | {
    kind: f"{kind.lower()}s" for kind in ("Layer", "Optimizer", "Metric", "Callback", "Initializer")
}

# An argument here, and what it is called elsewhere.
_ARGUMENTS = {
    "units": "out_features output_dim hidden_units embedding_dim",
    "filters": "out_channels num_filters",
    "size": "pool_size kernel_size",
    "stride": "strides",
    "dilation": "dilation_rate",
    "multiplier": "depth_multiplier",
    "use_bias": "bias fit_intercept",
    "weight_init": "kernel_initializer weight_initializer initializer init",
    "bias_init": "bias_initializer",
    "rate": "p prob drop dropout",
    "std": "stddev sigma",
    "epsilon": "eps",
    "slope": "negative_slope alpha",
    "categories": "num_embeddings input_dim",
    "groups": "num_groups",
    "learning_rate": "lr eta learn_rate learning_rate_init",
    "beta1": "beta_1 b1",
    "beta2": "beta_2 b2",
    "rho": "decay alpha",
    "quantiles": "q",
    "delta": "beta",
    "start": "initial_learning_rate base_lr",
    "steps": "decay_steps T_max total_steps",
    "every": "decay_steps step_size",
    "factor": "gamma decay_rate",
    "peak": "max_lr max_learning_rate",
    "path": "filename filepath file",
    "folder": "log_dir directory",
    "restore_best": "restore_best_weights",
    "min_rate": "min_lr",
    "loss": "loss_fn criterion objective",
    "optimizer": "optim solver",
    "epochs": "n_epochs num_epochs max_epochs max_iter",
    "validation_data": "validation val_data eval_set",
    "validation_every": "validation_freq check_val_every_n_epoch",
    "validation_split": "val_split validation_fraction",
    "progress": "verbose",
    "rng": "seed random_state generator",
    "input_shape": "in_features input_dim input_size",
    "clip_norm": "clipnorm max_norm max_grad_norm",
    "clip_value": "clipvalue",
    "threads": "n_jobs workers num_threads n_threads",
    "accumulate": "accumulation_steps gradient_accumulation_steps",
}

# What is to be done instead, where there is no such argument here; {call} is the call without it, {value} its value.
_REMARKS = {
    "activation": "an activation is a layer of its own: write [{call}, {value}]",
    "input_shape": "the network has it: write Sequential([{call}], input_shape={value})",
    "input_dim": "the network has it: write Sequential([{call}], input_shape={value})",
    "in_features": "the size of the input is known from the layer before: write {call}",
    "in_channels": "the number of channels is known from the layer before: write {call}",
    "num_features": "the size of the input is known from the layer before: write {call}",
    "normalized_shape": "the size of the input is known from the layer before: write {call}",
    "dtype": "the network has it: write Sequential([{call}], dtype={value})",
    "params": "fit, or a Trainer, brings the parameters: write {call}",
    "name": "parts have no names: write {call}",
    "inplace": "arrays are never modified: write {call}",
}

# The class that does what an argument of another one does elsewhere.
_CLASSES = {
    "Adam.amsgrad": "AMSGrad",
    "Adam.weight_decay": "AdamW",
    "CrossEntropy.from_logits": "SoftmaxCrossEntropy",
    "BinaryCrossEntropy.from_logits": "SigmoidBinaryCrossEntropy",
    "MeanSquaredError.reduction": "SumSquaredError",
}

# The methods that a network has elsewhere, and what to write here.
FOREIGN_METHODS = {
    "add": "the layers are given at once: write Sequential([Dense(4), ReLU(), Dense(1)], input_shape=3)",
    "compile": "fit takes both: write net.fit(x, y, loss=MeanSquaredError(), optimizer=Adam())",
    "eval": "the mode is the method: write net.predict(x)",
    "train": "the mode is the method: write net.fit(x, y, loss=MeanSquaredError(), optimizer=Adam())",
    "state_dict": "write {name: parameter.value for name, parameter in net.named_parameters().items()}",
    "get_weights": "write [parameter.value for parameter in net.parameters()]",
    "load_state_dict": "from a file: write net.load_weights(path)",
    "zero_grad": "fit and Trainer.step clear the gradients: write ParameterVector.of(net.parameters()).clear_grads()",
    "score": "write net.evaluate(x, y, loss=MeanSquaredError())",
    "weights": "write net.named_parameters()",
    "count_params": "write sum(parameter.value.size for parameter in net.parameters())",
}

# The same of a history.
FOREIGN_ATTRIBUTES = {
    "history": "it is the dict itself: write history['loss']",
    "plot": "write deepbp.plots.learning_curves(history)",
}


def _bare(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _close(name: str, names: Iterable[str], cutoff: float) -> list[str]:
    from difflib import get_close_matches

    return get_close_matches(name, list(names), 1, cutoff)


def find(name: str, *own: str) -> tuple[str, str] | None:
    """The public module and the name of what is called ``name`` elsewhere; the modules in ``own`` come first.

    >>> find("BatchNorm1d", "layers"), find("xavier_uniform")
    (('layers', 'BatchNorm'), ('initializers', 'GlorotUniform'))
    """
    others = [home for home in _NAMES if home not in own]
    tables = [(own, _translated), (own, _spelled), (others, _spelled), (others, _translated)]
    for key in dict.fromkeys((_bare(name), _ENDING.sub("", _bare(name)))):
        for homes, table in tables:
            for home in homes:
                if ours := table(home).get(key):
                    return home, ours
    for home in own:
        if close := _close(_bare(name), _spelled(home), 0.75):
            return home, _spelled(home)[close[0]]
    return None


def _translated(home: str) -> dict[str, str]:
    return {name: ours for ours, theirs in _NAMES.get(home, {}).items() for name in theirs.split()}


def _spelled(home: str) -> dict[str, str]:
    return {_bare(name): name for name in import_module(f"deepbp.{home}".rstrip(".")).__all__}


def suggest_names(module: str, homes: Mapping[str, str] | None = None) -> Callable[[str], Any]:
    """A module's ``__getattr__``: unknown names raise AttributeError, or ImportError, with the name that exists here.

    ``homes`` are names that are imported on first use, from these modules; a name whose home is the module itself is
    one of its own modules. Assign it through ``globals()``: a type checker that sees a module's ``__getattr__`` accepts
    any name.
    """

    def __getattr__(name: str) -> Any:  # noqa: N807
        if homes and name in homes:
            is_module = homes[name] == module
            found: Any = import_module(f"{module}.{name}") if is_module else getattr(import_module(homes[name]), name)
            vars(sys.modules[module])[name] = found
            return found
        caller: Any = sys._getframe(1)
        while caller.f_code.co_name in ("__getattr__", "_load"):  # of a module which loads its names when they are used
            caller = caller.f_back
        if name.startswith("__") or caller.f_code.co_name == "_handle_fromlist":  # asked before a submodule is imported
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        own = module.removeprefix("deepbp").lstrip(".")
        found = find(name, own)
        path = f"deepbp.{found[0]}".rstrip(".") if found else module
        # `from … import …` drops the message of an AttributeError, so that one statement gets an ImportError.
        if opname[caller.f_code.co_code[caller.f_lasti]] == "IMPORT_FROM":
            fix = f": write from {path} import {found[1]}" if found else ""
            raise ImportError(f"cannot import name {name!r} from {module!r}{fix}", name=module)
        raise AttributeError(
            f"module {module!r} has no attribute {name!r}" + (f": write {path}.{found[1]}" if found else "")
        )

    return __getattr__


def named(value: object, kind: str) -> str:
    """What to write for ``loss="mse"`` and the like, to stand at the end of a message; "" where there is nothing.

    >>> named("mse", "Loss")
    ': write MeanSquaredError(), from deepbp.losses'
    """
    home = _KINDS.get(kind, "")
    if isinstance(value, type) and home:
        return f": write {value.__name__}()"
    found = find(value, home) if isinstance(value, str) and home else None
    if found is None or found[0] != home:
        return ""
    arguments = "learning_rate=0.01" if found[1] == "SGD" else ""
    return f": write {found[1]}({arguments}), from deepbp.{home}"


class ForeignMethod:
    """A method that a network has elsewhere: AttributeError with what to write here, at no cost for other names."""

    def __init__(self, name: str, fix: str) -> None:
        self.name, self.fix = name, fix

    def __get__(self, instance: object, owner: type) -> Any:
        raise AttributeError(f"{owner.__name__!r} object has no attribute {self.name!r}: {self.fix}")


def add_foreign_methods(cls: type, foreign: Mapping[str, str] = FOREIGN_METHODS) -> None:
    """Add them to the class of networks, or another, where type checkers do not see them."""
    for name, fix in foreign.items():
        setattr(cls, name, ForeignMethod(name, fix))


def explain_arguments(function: Callable[..., Any], args: tuple[Any, ...], given: Mapping[str, Any]) -> str | None:
    """Which arguments do not exist, and a call that works; None where none is unknown and none too many."""
    parameters = list(inspect.signature(function).parameters.values())[1:]
    names = [parameter.name for parameter in parameters]
    positional = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    is_constructor = function.__name__ == "__init__"
    place = type(args[0]).__name__ if is_constructor else function.__qualname__
    values, kwargs = list(args[1:]), dict(given)
    unknown = [name for name in kwargs if name not in names]
    problem, remark, cls, value = f"unexpected argument {', '.join(map(repr, unknown))}", "write {call}", place, None

    # Arguments by position: optimizers elsewhere take the parameters first, and layers the size of their input.
    if positional[:1] == ["learning_rate"] and unknown and values and not isinstance(values[0], float | int):
        remark = _REMARKS["params"]
        del values[0]
    if len(values) > (most := len(positional)):
        listed = f" ({', '.join(positional)})" if positional else ""
        problem = f"expected at most {most} argument{'s' * (most != 1)} by position{listed}, got {len(values)}"
        if not is_constructor:
            kwargs |= zip(names[most:], values[most:], strict=False)
        elif positional[:1] == ["layers"]:
            remark, values = "the layers are given in a list: write {call}", [values]
        elif positional[:1] in ([], ["units"]):
            remark, values = _REMARKS["in_features"], values[len(values) - most :]
        else:
            values = values[:most]
    elif not unknown:
        return None

    # Arguments by name: each is renamed, or replaced by a remark, and what is left is a call that works.
    free = [name for name in names if name not in kwargs and name not in positional[: len(values)]]
    for name in unknown:
        this = kwargs.pop(name)
        if name == "betas" and {"beta1", "beta2"} <= set(free):
            kwargs |= dict(zip(("beta1", "beta2"), this, strict=False))
        elif other := _CLASSES.get(f"{place}.{name}"):
            cls, kwargs = other, kwargs | ({name: this} if name == "weight_decay" else {})
        elif ours := _argument(name, free):
            kwargs[ours] = bool(this) if name == "verbose" else this
        elif name in _REMARKS:
            remark, value = _REMARKS[name], this
        else:
            return f"{place}: {problem}: expected {', '.join(names) or 'none'}"
    if not is_constructor:
        return f"{place}: {problem}: write " + ", ".join(f"{n}={_text(v)}" for n, v in kwargs.items() if n not in given)
    listed = ", ".join([*map(_text, values), *(f"{name}={_text(one)}" for name, one in kwargs.items())])
    text = _text(value)
    if isinstance(value, str) and remark == _REMARKS["activation"]:
        text = f"{(find(value, 'layers') or ('', 'ReLU'))[1]}()"
    return f"{place}: {problem}: " + remark.format(call=f"{cls}({listed})", value=text)


def _argument(name: str, free: Sequence[str]) -> str | None:
    """The argument that is called ``name`` elsewhere, or is spelled like it, among those that are not given yet."""
    for ours in free:
        if name in _ARGUMENTS.get(ours, "").split():
            return ours
    close = _close(name, free, 0.7)
    return close[0] if close else None


def _text(value: Any) -> str:
    """As it is written in a call; what would be long, or cannot be read back, is left to the reader."""
    text = repr(value)
    return text if len(text) <= 80 and "<" not in text and "\n" not in text else "..."
