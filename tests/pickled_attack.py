"""An object whose unpickling calls a function, which no reader may let it."""


class Attack:
    """Whatever is made of it calls a function with arguments."""

    def __init__(self, call, *arguments) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments
