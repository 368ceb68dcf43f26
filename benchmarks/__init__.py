"""How fast deepbp is, against named peers, in one run, as ratios."""
