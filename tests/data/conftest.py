import pytest

import src.data as data


@pytest.fixture(scope="session")
def embedded(embedded_home):
    """Function from a name to the record of an embedded dataset."""
    loaded = {}

    def load(name):
        if name not in loaded:
            declared = data.declaration(None, name)
            loaded[name] = declared.load(embedded_home / declared.study)
        return loaded[name]

    return load
