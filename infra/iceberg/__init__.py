"""Apache Iceberg metadata over Parquet files that are there."""

from congeal_floors.moved_modules import former

__getattr__ = former("infra.iceberg")
