"""The one place where uncertainty is computed. NumPy only; SciPy for quantiles, imported late."""
