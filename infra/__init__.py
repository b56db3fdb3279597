"""The ground floor: storage, compute, the ledger of what is done, settings. Knows nothing of images."""

from congeal_floors import moved_modules

moved_modules.install()
