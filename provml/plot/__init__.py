"""Charts of a run's series: curves, and what draws them (a picture, a page, a terminal).

Imports `model`, `page`; numpy and matplotlib when they are used.
"""
