"""Networks without a maintained package, implemented from their papers; `BUILDERS` of each file: {name: builder}."""
