"""The ground floor: what every other part of the package may use. Import its files by name."""
