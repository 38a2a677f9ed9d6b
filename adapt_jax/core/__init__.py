"""Mathematics on arrays and the errors every layer shares. Imports only jax and numpy."""
