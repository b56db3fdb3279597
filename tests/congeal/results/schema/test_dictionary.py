from __future__ import annotations

from congeal.results.schema.dictionary import REFERENCES, dictionary, dictionary_text
from congeal.results.schema.tables import SCHEMA_VERSION, TABLES


def test_every_table_and_column_is_in_it() -> None:
    facts = dictionary()
    assert facts["schema_version"] == SCHEMA_VERSION
    assert list(facts["tables"]) == list(TABLES)
    text = dictionary_text()
    for name, schema in TABLES.items():
        table = facts["tables"][name]
        assert f"## {name}\n" in text
        assert [column["name"] for column in table["columns"]] == schema.names
        assert set(table["sorted_by"]) <= set(schema.names)
        for column in table["columns"]:
            assert f"| {column['name']} | {column['type']} | {column['description']} |" in text
    assert facts["tables"]["images"]["columns"][7]["type"] == "string"  # a category, for whoever reads it
    assert "centre of the top-left pixel" in text


def test_references_are_between_columns_that_exist() -> None:
    for here, column, there, key in REFERENCES:
        assert column in TABLES[here].names
        assert key in TABLES[there].names
        assert f"- {here}.{column} -> {there}.{key}" in dictionary_text()
