"""`python -m congeal`: the command."""

from congeal_floors import main

if __name__ == "__main__":
    main()
