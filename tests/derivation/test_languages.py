"""LaTeX and MathML are well formed for everything that is built in, and HTML pages need nothing else."""

import re
from html.parser import HTMLParser
from inspect import isabstract
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from branched import branched_nets
from branched import data as branched_data
from nets import X, Y, notes_net, rich_data, rich_net

from deepbp import Sequential, layers, losses
from deepbp.derivation.document import Document, Equations, Paragraph, Row
from deepbp.derivation.expressions import Math, alone
from deepbp.derivation.rendering import Renderable, as_fragment, as_html, as_latex, escaped
from deepbp.formulas.latex import LatexPrinter
from deepbp.formulas.mathml import MathMLPrinter
from deepbp.formulas.printer import Symbol
from deepbp.initializers import Ones
from deepbp.losses import MeanSquaredError, SumSquaredError
from deepbp.optimizers import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    AMSGrad,
    Grouped,
    Lion,
    NAdam,
    Optimizer,
    RAdam,
    RMSprop,
    Rprop,
)


def everything() -> dict[str, Renderable]:
    found: dict[str, Renderable] = {
        "notes": notes_net().derivation(SumSquaredError()),
        "trace": notes_net().trace(X, Y, SumSquaredError()),
        "rich trace": rich_net("float32").trace(*rich_data(), SumSquaredError()),
        "explanation": rich_net().trace(*rich_data(), SumSquaredError()).explain("1.weight", (1, 2)),
    }
    for name, net in branched_nets().items():
        trace = net.trace(*branched_data(), SumSquaredError())
        weight = [key for key, gradient in trace.gradients.items() if gradient.ndim == 2][-1]
        found |= {f"{name}: derivation": net.derivation(SumSquaredError()), f"{name}: trace": trace}
        found[f"{name}: explanation"] = trace.explain(weight, (0, 0))
    given = {"Dense": layers.Dense(2), "Reshape": layers.Reshape(3), "Chain": layers.Flatten()}
    given["Activation"] = layers.Activation(np.sin, np.cos)
    given |= {"Repeat": layers.Repeat(layers.Tanh(), 2), "Residual": layers.Residual(layers.Tanh())}
    given |= {"Parallel": layers.Parallel([layers.Tanh()]), "Split": layers.Split([layers.Tanh()])}
    given["Penalized"] = layers.Penalized(layers.Dense(2), weights=layers.L2(0.1))
    given |= {"Bilinear": layers.Bilinear(2, sizes=(1, 2)), "Embedding": layers.Embedding(5, 2)}
    given |= {"GaussianNoise": layers.GaussianNoise(0.1), "GroupNorm": layers.GroupNorm(1), "Maxout": layers.Maxout(2)}
    given["FormulaLayer"] = layers.FormulaLayer("x * sigmoid(slope * x)", slope=Ones())
    given["TiedDense"] = layers.Chain([dense := layers.Dense(2), layers.TiedDense(dense)])
    attending = layers.EncoderDecoder(layers.Dense(2), layers.CrossAttention(1), source_steps=1)
    sequences: list[layers.Layer] = [
        layers.SimpleRNN(2),
        layers.GRU(2),
        layers.LSTM(2),
        layers.SelfAttention(1),
        layers.Positions(),
    ]
    sequences += [layers.Bidirectional(layers.GRU(2)), layers.Masked(layers.GRU(2)), layers.PerStep(layers.Dense(2))]
    sequences.append(attending)
    given |= {type(one).__name__: layers.Chain([layers.Reshape((3, 1)), one]) for one in sequences}
    given["CrossAttention"] = given["EncoderDecoder"]
    wide = (1, 2)
    pools = [layers.MaxPool2D(wide), layers.AveragePool2D(wide), layers.ZeroPad2D(), layers.UpSample2D()]
    images = [layers.Conv2D(2, wide), layers.ConvTranspose2D(2, 2), layers.DepthwiseConv2D(wide), *pools]
    rows = [layers.Conv1D(2, 2), layers.ConvTranspose1D(2, 2), layers.MaxPool1D(2), layers.AveragePool1D(2)]
    rows += [layers.GlobalAveragePool(), layers.GlobalMaxPool()]
    for shape, those in ((1, 3, 1), images), ((3, 1), rows):
        given |= {type(one).__name__: layers.Chain([layers.Reshape(shape), one]) for one in those}
    for layer in [*built_in(layers, layers.Layer, **given), layers.GELU("tanh"), layers.PReLU(shared=True)]:
        found[f"{layer}"] = Sequential([layer], input_shape=3, rng=0).derivation(MeanSquaredError())
    squares = MeanSquaredError()
    made = {"SumOfLosses": losses.SumOfLosses([squares]), "OnOutputs": losses.OnOutputs(squares, 0, 1)}
    made["IgnoreMissing"] = losses.IgnoreMissing(squares)
    for loss in built_in(losses, losses.Loss, **made):
        found[f"{loss}"] = notes_net().derivation(loss)
    optimizers: list[Optimizer] = [SGD(0.1), SGD(0.1, 0.9, nesterov=True, weight_decay=0.1), Adam(), AdamW()]
    optimizers += [AMSGrad(weight_decay=0.1), NAdam(), RAdam(), Lion(), Rprop(), Adadelta(), Adagrad(weight_decay=0.1)]
    optimizers += [RMSprop(centered=True, momentum=0.9), Grouped({"*": Adam()})]
    for optimizer in optimizers:
        found[f"{optimizer}"] = notes_net().derivation(SumSquaredError(), optimizer)
    return found


def built_in(package: Any, kind: type, **made: Any) -> list[Any]:
    """One of each class in a package."""
    classes = [getattr(package, name) for name in package.__all__]
    classes = [cls for cls in classes if isinstance(cls, type) and issubclass(cls, kind) and not isabstract(cls)]
    return [made.get(cls.__name__) or cls() for cls in classes]


EVERYTHING = everything()


def expect_balanced(latex: str) -> None:
    depth = 0
    for character in re.sub(r"\\[{}\\_&%$#]", " ", latex):
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    for one, other in ((r"\\\(", r"\\\)"), (r"\\\[", r"\\\]"), (r"\\left\b", r"\\right\b"), (r"\\begin", r"\\end")):
        assert len(re.findall(one, latex)) == len(re.findall(other, latex))


def doubled(latex: str) -> list[str]:
    """Places where TeX would say "Double superscript": an exponent, or a prime, straight behind another."""
    one = r"(?:\^(?:\{(?:[^{}]|\{[^{}]*\})*\}|\w)|'+)"
    return re.findall(rf"{one}(?:_\{{[^{{}}]*\}})?{one}", latex)


@pytest.mark.parametrize("name", EVERYTHING)
def test_latex_is_well_formed(name: str) -> None:
    latex = EVERYTHING[name].to_latex()
    expect_balanced(latex)
    assert doubled(latex) == []
    words = re.findall(r"\\([A-Za-z]+)", latex)
    known = "beta delta sigma eta mu lambda epsilon partial hat frac sqrt sum left right top cdot leftarrow to ge le ne"
    known += " mathrm mathbf text begin end section subsection ln max min tanh times quad cos cosh gamma sin pi"
    known += (
        " rho psi Delta star hangindent displaystyle hfill small itshape biggl biggr bigl bigr par raggedright mbox"
    )
    known += " binoppenalty relpenalty parindent parskip footnotesize scriptsize tiny surd ldots plus"
    known += " lineskip lineskiplimit smallskip phantom"
    assert set(words) <= set(known.split())
    unknown = set("σ∂δΣ·ᵀ²√ŷ′ηε→−₁ᵢⱼπαωρψΔ⋆∗")  # letters that pdfTeX does not know
    assert not set(re.sub(r"\\text{[^}]*}", "", latex)) & unknown


@pytest.mark.parametrize(
    ("bad", "places"), [("a^{1}^{2}", 1), ("{a^{1}}^{2}", 0), ("f'^{2}", 1), ("a^{1}_{2}^{3}", 1), ("a^{1}(b)^{2}", 0)]
)
def test_double_superscripts_are_noticed(bad: str, places: int) -> None:
    assert len(doubled(bad)) == places


def test_a_complete_document_stands_around_the_fragment() -> None:
    derivation = EVERYTHING["notes"]
    whole = derivation.to_latex(document=True)
    assert whole.startswith("\\documentclass{article}\n")
    assert derivation.to_latex() in whole
    assert whole.endswith("\\end{document}\n")
    assert "\\usepackage{amsmath}" in whole
    assert "\\begin{document}" not in derivation.to_latex()


def test_the_notes_in_latex() -> None:
    latex = EVERYTHING["notes"].to_latex()
    bracket = r"[2(y - \hat{y}) \cdot \sigma'(\hat{y})]"
    moved = rf"\{{{bracket} \, \mathrm{{weights2}}^{{\top}} \cdot \sigma'(\mathrm{{layer1}})\}}"
    assert rf"d_{{2}} = \mathrm{{layer1}}^{{\top}} \, {bracket} = -\frac" in latex
    assert rf"d_{{1}} = \mathrm{{input}}^{{\top}} \, {moved} = -\frac" in latex
    assert r"z^{0} = x \, W^{0}$\hfill \mbox{{\small (B, 3)(3, 4) \(\to\) (B, 4)}" in latex
    assert r"\frac{\partial L}{\partial W^{2}} = a^{1\top} \, \delta^{2}" in latex


def test_matrices_in_latex() -> None:
    assert (
        r"x$ $=$ $\begin{bmatrix} 0 & 0 & 1 \\ 0 & 1 & 1 \\ 1 & 0 & 1 \\ 1 & 1 & 1 \end{bmatrix}"
        in EVERYTHING["trace"].to_latex()
    )


def test_words_are_escaped() -> None:
    nasty = r"<a_b> & 5% $x$ #1 {~^}\\"
    page = Document(nasty, (Paragraph((nasty,)), Equations((Row(alone(Symbol("x")), nasty, nasty),))))
    expect_balanced(as_latex(page, whole=True))
    assert escaped("a_b & 5%") == r"a\_b \& 5\%"
    assert "<a_b>" not in as_html(page)
    assert "&lt;a_b&gt; &amp; 5%" in as_html(page)


@pytest.mark.parametrize("name", EVERYTHING)
def test_mathml_is_well_formed(name: str) -> None:
    page = EVERYTHING[name].to_html()
    formulas = re.findall(r"<math.*?</math>", page, re.DOTALL)
    assert len(formulas) == page.count("<math") == page.count("</math>") > 5
    for formula in formulas:
        for element in ElementTree.fromstring(formula).iter():
            children = {"msup": 2, "msub": 2, "mfrac": 2, "mover": 2, "msubsup": 3}.get(element.tag)
            assert children is None or len(element) == children, formula
            if element.tag in ("mi", "mn", "mo"):
                assert (element.text or "").strip(), formula
                assert len(element) == 0, formula


class Outline(HTMLParser):
    """Open elements must be closed in order; everything that could ask for another file is noted."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.asks: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Any]]) -> None:
        if tag not in ("meta", "br"):
            self.open.append(tag)
        self.asks += [f"{tag} {name}" for name, _ in attrs if name in ("src", "href", "srcset", "data")]
        self.asks += [tag] if tag in ("script", "link", "img", "iframe", "object") else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("name", EVERYTHING)
def test_html_is_one_page_that_needs_nothing_else(name: str) -> None:
    page = EVERYTHING[name].to_html()
    outline = Outline()
    outline.feed(page)
    assert outline.open == []
    assert outline.asks == []
    assert "url(" not in page
    assert "@import" not in page
    assert "prefers-color-scheme: dark" in page
    assert page.startswith("<!DOCTYPE html>")


def test_notebooks_get_a_fragment_that_leaves_the_page_around_it_alone() -> None:
    for written in EVERYTHING.values():
        fragment = written._repr_html_()
        assert fragment == as_fragment(written.document())
        assert "<body" not in fragment
        style = fragment[fragment.index("<style>") : fragment.index("</style>")]
        for selector in re.findall(r"^ *([^@{}\n;]+)\{", style.replace("<style>", ""), re.MULTILINE):
            assert selector.startswith(".deepbp"), selector


@pytest.mark.parametrize(
    ("expression", "latex"),
    [
        ("x.T @ delta", r"x^{\top} \, \delta^{2}"),
        ("delta @ weight.T", r"\delta^{2} \, W^{2\top}"),
        ("y**2", r"(a^{2})^{2}"),
        ("1 / (1 + exp(-x))", r"\frac{1}{1 + e^{-x}}"),
        ("-x / n", r"-\frac{x}{n}"),
        ("(y > 0) * x", r"\mathbf{1}[a^{2} > 0] \cdot x"),
        ("sqrt(x) + beta1**t", r"\sqrt{x} + {\beta_{1}}^{t}"),
        ("row_sum(exp(x))", r"\sum_{j} e^{x}"),
        ("feature_sum(sign(x))", r"\sum_{i} \mathrm{sgn}(x)"),
        ("x - row_mean(x)", r"x - \mathrm{mean}_{j}(x)"),
        ("batch_mean(erf(x))", r"\mathrm{mean}_{i}(\mathrm{erf}(x))"),
        ("sin(w0 * x) * cosh(cos(pi))", r"\sin(\omega_{0} \cdot x) \cdot \cosh(\cos(\pi))"),
        ("gradient.T", r"\biggl(\frac{\partial L}{\partial a^{2}}\biggr)^{\top}"),
    ],
)
def test_expressions_in_latex(expression: str, latex: str) -> None:
    symbols = {
        "delta": Symbol("δ", "2"),
        "weight": Symbol("W", "2"),
        "y": Symbol("a", "2"),
        "beta1": Symbol("β₁"),
        "w0": Symbol("ω₀"),
        "gradient": Symbol("∂L/∂a", "2"),
    }
    assert Math((expression,), symbols).written(LatexPrinter()) == latex
    ElementTree.fromstring(f"<math>{Math((expression,), symbols).written(MathMLPrinter())}</math>")
