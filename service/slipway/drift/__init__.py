"""Whether what a model is asked and what it answers still look as they did when it was trained.

`counting`: questions and answers counted while serving.
`tally`: counted by the bins of a distribution.
`bins`: bins, and values counted by them.
`psi`: how far shares have moved.
`learning`: the distribution that packing stores.
`periods`: periods of the log compared.
`page`: the report.
`plots`: its plots.

Others use `counting.DriftCounter`, `learning.learn_distribution` and `periods.compare`.
"""
