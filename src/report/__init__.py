"""The stored scores as a person reads them: one HTML file that opens offline, single figures, tables."""
