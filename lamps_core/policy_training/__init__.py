"""How a policy learns from recorded curves: environments, rewards and algorithms."""
