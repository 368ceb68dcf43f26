"""What Sphinx needs to build the site: pages of public names, typeset formulas, links from names to their pages."""
