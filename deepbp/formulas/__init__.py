"""Formulas: their language, and printers to text, LaTeX, and MathML."""
