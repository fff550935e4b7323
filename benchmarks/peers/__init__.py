"""What other libraries compute for weights and inputs by formula: the modules that `peer_outputs` runs.

A module runs in its library's environment, where grouprank's other rooms are not installed. It imports NumPy, the
library and `formula`, and holds at its top level

- `ENVIRONMENT`: a literal string, the folder of the environment under `.benchmarks`, such as `"fuxictr"`;
- `REQUIREMENTS`: a literal tuple of strings, what pip installs there. Modules of one environment list the same;
- `outputs()`: returns `{case: formula.case(...)}`, what the library computes.

`peer_outputs` reads the two constants without importing the module, and writes `tests/peers/MODULE.json`, which
`tests/peers/test_MODULE.py` reads with `support.peer_cases.peer_cases("MODULE")`.
"""
