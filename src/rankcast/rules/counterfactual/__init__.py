"""Rules about counterfactual estimates."""
