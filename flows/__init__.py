"""What happens, in order: the Prefect flow and the command line."""

from congeal_floors import moved_modules, own

own()
moved_modules.install()
