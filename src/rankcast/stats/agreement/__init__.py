"""How far two noisy numbers of the same things agree: correlations, lines, the correlation behind the noise, forecasts."""
