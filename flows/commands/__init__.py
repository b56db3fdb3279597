"""The commands of `congeal`: each says what it takes, calls one function, and shows what came back."""
