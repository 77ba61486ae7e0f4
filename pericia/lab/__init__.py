"""The industry lab: a synthetic industry with known right answers, and the recipe of the bundled model."""
