"""How well a result agrees with the truth: its views, its shape over time, the paths of its points and its joints."""
