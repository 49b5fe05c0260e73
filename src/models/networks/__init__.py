"""Networks that have no maintained home, each built from its paper; `BUILDERS` of each file maps names to builders."""
